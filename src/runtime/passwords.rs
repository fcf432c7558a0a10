//! Hashes of passwords: argon2id. Slow and hungry by design: 19 MiB and two passes, some 20 ms.

use std::sync::{Mutex, MutexGuard, PoisonError};

use argon2::password_hash::phc::{Output, PasswordHash};
use argon2::{Algorithm, Argon2, Block, Params, PasswordHasher, Version};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the password cannot be hashed: {0}")]
pub struct HashError(String);

/// A PHC string, with random salt.
///
/// # Errors
/// When there is not the memory for it.
///
/// # Panics
/// When the operating system gives no randomness.
pub fn hash(password: &str) -> Result<String, HashError> {
    let mut salt = [0u8; 16];
    getrandom::fill(&mut salt).expect("the operating system gives randomness");
    let hash = Argon2::default().hash_password_with_salt(password.as_bytes(), &salt);
    let hash: PasswordHash = hash.map_err(|error| HashError(error.to_string()))?;
    Ok(hash.to_string())
}

/// The memory of verifications that are over, for the next ones. A block of this size that is freed stays with the
/// process, in the allocator's arena of its thread: guessers would fill one for each thread that ever verified.
static SCRATCH: Mutex<Vec<Vec<Block>>> = Mutex::new(Vec::new());
/// Blocks that are kept, as many as are in use at once (`service/authentication.rs`).
const MAX_SCRATCH: usize = 4;

/// Whether the PHC string is the password's. One that cannot be read is nobody's.
pub fn verify(password: &str, hash: &str) -> bool {
    let mut memory = scratch().pop().unwrap_or_default();
    let is_password = PasswordHash::new(hash).is_ok_and(|hash| verify_in(&mut memory, password, &hash) == Some(true));
    let mut kept = scratch();
    if kept.len() < MAX_SCRATCH {
        kept.push(memory);
    }
    is_password
}

/// None when the hash is not whole, or of another kind.
fn verify_in(memory: &mut Vec<Block>, password: &str, hash: &PasswordHash) -> Option<bool> {
    let (salt, expected) = (hash.salt.as_ref()?, hash.hash.as_ref()?);
    let algorithm = Algorithm::try_from(hash.algorithm.as_str()).ok()?;
    let version = hash.version.map_or(Ok(Version::default()), Version::try_from).ok()?;
    let params = Params::try_from(hash).ok()?;
    memory.resize(params.block_count(), Block::default());
    let mut out = [0u8; Output::MAX_LENGTH];
    let out = out.get_mut(..expected.len())?;
    let argon2 = Argon2::new(algorithm, version, params);
    argon2.hash_password_into_with_memory(password.as_bytes(), salt.as_ref(), out, memory).ok()?;
    // Compares in constant time.
    Some(Output::new(out).ok()? == *expected)
}

fn scratch() -> MutexGuard<'static, Vec<Vec<Block>>> {
    SCRATCH.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_of_its_password_alone_and_salted() {
        let (one, two) = (hash("hush").unwrap(), hash("hush").unwrap());
        assert_ne!(one, two);
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
        assert!(verify("hush", &one) && !verify("Hush", &one) && !verify("", &one));
    }

    #[test]
    fn what_was_verified_before_in_the_same_memory_changes_nothing() {
        let cheap = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$kyj4KAQPkDHofxQqmZFrtcrDql5eltyrs3W6/tB5JPs";
        let dear = hash("hush").unwrap();
        let mut memory = Vec::new();
        for (password, hash, is) in [
            ("hush", &*dear, true),
            ("open sesame", cheap, true),
            ("hush", cheap, false),
            ("hush", &dear, true),
            ("open sesame", &dear, false),
        ] {
            assert_eq!(verify_in(&mut memory, password, &PasswordHash::new(hash).unwrap()), Some(is), "{password}");
        }
    }

    #[test]
    fn no_more_memory_is_kept_than_is_used_at_once() {
        let hash = hash("hush").unwrap();
        std::thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| assert!(verify("hush", &hash)));
            }
        });
        assert!(scratch().len() <= MAX_SCRATCH);
    }

    #[test]
    fn costs_stand_in_the_hash() {
        let cheap = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$kyj4KAQPkDHofxQqmZFrtcrDql5eltyrs3W6/tB5JPs";
        assert!(verify("open sesame", cheap) && !verify("other", cheap));
        for unreadable in
            ["", "hush", "$argon2id$", "$argon2id$v=19$m=1,t=1,p=9$c29tZXNhbHRzYWx0$SjwG0UXzPlaBPgwfxA2RHQ"]
        {
            assert!(!verify("hush", unreadable), "{unreadable}");
        }
    }
}
