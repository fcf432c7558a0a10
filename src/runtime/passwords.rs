//! Hashes of passwords: argon2id. Slow and hungry by design: 19 MiB and two passes, some 20 ms.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};

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

/// Whether the PHC string is the password's. One that cannot be read is nobody's.
pub fn verify(password: &str, hash: &str) -> bool {
    let Ok(hash) = PasswordHash::new(hash) else { return false };
    Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
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
