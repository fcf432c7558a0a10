//! What callbacks are signed with.

use std::error::Error as _;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use ring::hmac;

use crate::core::callbacks::{signature, signed_prefix};
use crate::runtime::clock;
use crate::runtime::private_file::{self, Stamp};

/// A change of a file is noticed so much later at most, by the callbacks that follow.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LEAST_BYTES: usize = 16;
const MOST_BYTES: usize = 4096;

#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("cannot read the secret in {path} (callbacks.secret-files)")]
    File { path: PathBuf, source: std::io::Error },
    #[error("the environment variable {0} is not set (callbacks.secret-variables)")]
    Variable(String),
    #[error("the secret in {place} has {bytes} bytes; it needs {LEAST_BYTES} to {MOST_BYTES}")]
    Length { place: String, bytes: usize },
}

/// The newest first or last: each signs, so that receivers may know any of them. Files are read again when they change.
#[derive(Clone, Default)]
pub struct Secrets(Arc<Inner>);

#[derive(Default)]
struct Inner {
    files: Vec<PathBuf>,
    /// Of variables, which stay what they were at the start.
    of_variables: Vec<hmac::Key>,
    of_files: Mutex<Arc<Vec<hmac::Key>>>,
    look: Mutex<Option<Look>>,
}

/// When the files were looked at, and what they were then.
struct Look {
    at: Instant,
    stamps: Vec<Option<Stamp>>,
}

impl Secrets {
    /// Blanks and line ends around a secret do not count.
    ///
    /// # Errors
    /// When one is missing, or cannot be a secret. Later, that leaves what was read before.
    pub fn load(settings: &crate::config::Callbacks) -> Result<Self, SecretError> {
        let variable = |name: &String| {
            let value = std::env::var(name).map_err(|_| SecretError::Variable(name.clone()))?;
            key(value.as_bytes(), || format!("the environment variable {name}"))
        };
        let files = settings.secret_files.clone();
        // Before they are read: what changes in between is read once more.
        let look = Look { at: clock::instant(), stamps: stamps(&files) };
        let of_files = Mutex::new(Arc::new(keys(&files)?));
        let of_variables = settings.secret_variables.iter().map(variable).collect::<Result<_, _>>()?;
        Ok(Self(Arc::new(Inner { files, of_variables, of_files, look: Mutex::new(Some(look)) })))
    }

    /// A signature of what begins at this time, unless there is no secret.
    pub(super) async fn signing(&self, unix_seconds: i64) -> Option<Signing> {
        if self.0.is_due() {
            let inner = Arc::clone(&self.0);
            // It ends without a look only when the server does.
            let _ = tokio::task::spawn_blocking(move || inner.look()).await;
        }
        let of_files = Arc::clone(&lock(&self.0.of_files));
        if of_files.is_empty() && self.0.of_variables.is_empty() {
            return None;
        }
        let codes = of_files.iter().chain(&self.0.of_variables).map(hmac::Context::with_key).collect();
        let mut signing = Signing { unix_seconds, codes };
        signing.add(signed_prefix(unix_seconds).as_bytes());
        Some(signing)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder panics")
}

impl Inner {
    /// Whether it is this caller's turn to look at the files.
    fn is_due(&self) -> bool {
        let mut look = lock(&self.look);
        let Some(look) = look.as_mut().filter(|_| !self.files.is_empty()) else { return false };
        let is_due = clock::since(look.at) >= LOOK_EVERY;
        if is_due {
            look.at = clock::instant();
        }
        is_due
    }

    fn look(&self) {
        let now = stamps(&self.files);
        let changed = lock(&self.look).as_mut().is_some_and(|look| look.stamps != now);
        if !changed {
            return;
        }
        match keys(&self.files) {
            Ok(keys) => {
                tracing::info!(secrets = keys.len(), "the secrets of callbacks were read again");
                *lock(&self.of_files) = Arc::new(keys);
            }
            // They are not read again before they change, so this is said once a change.
            Err(error) => {
                let cause = error.source().map(tracing::field::display);
                tracing::error!(%error, cause, "the changed secrets of callbacks cannot be used; the older ones stay");
            }
        }
        if let Some(look) = lock(&self.look).as_mut() {
            look.stamps = now;
        }
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    files.iter().map(|path| private_file::stamp(path).ok()).collect()
}

fn keys(files: &[PathBuf]) -> Result<Vec<hmac::Key>, SecretError> {
    let one = |path: &PathBuf| {
        let content = read(path).map_err(|source| SecretError::File { path: path.clone(), source })?;
        private_file::warn_if_open(path);
        key(&content, || path.display().to_string())
    };
    files.iter().map(one).collect()
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    // Longer than any secret, and not all of a file that is none.
    std::fs::File::open(path)?.take(2 * MOST_BYTES as u64).read_to_end(&mut content)?;
    Ok(content)
}

fn key(content: &[u8], place: impl Fn() -> String) -> Result<hmac::Key, SecretError> {
    let secret = content.trim_ascii();
    if !(LEAST_BYTES..=MOST_BYTES).contains(&secret.len()) {
        return Err(SecretError::Length { place: place(), bytes: secret.len() });
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, secret))
}

/// The body passes here part by part.
pub(super) struct Signing {
    unix_seconds: i64,
    codes: Vec<hmac::Context>,
}

impl Signing {
    pub(super) fn add(&mut self, part: &[u8]) {
        self.codes.iter_mut().for_each(|code| code.update(part));
    }

    pub(super) fn header(self) -> String {
        let hex = |tag: hmac::Tag| tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let codes: Vec<String> = self.codes.into_iter().map(|code| hex(code.sign())).collect();
        signature(self.unix_seconds, &codes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_files(contents: &[&str]) -> Result<Secrets, SecretError> {
        in_directory(&tempfile::tempdir().unwrap(), contents)
    }

    fn in_directory(directory: &tempfile::TempDir, contents: &[&str]) -> Result<Secrets, SecretError> {
        let path = |number: usize| directory.path().join(number.to_string());
        let write = |(number, content): (usize, &&str)| std::fs::write(path(number), content).unwrap();
        contents.iter().enumerate().for_each(write);
        let secret_files = (0..contents.len()).map(path).collect();
        Secrets::load(&crate::config::Callbacks { secret_files, ..Default::default() })
    }

    async fn header(secrets: &Secrets) -> String {
        // As if a second had passed.
        if let Some(look) = lock(&secrets.0.look).as_mut() {
            look.at = clock::instant().checked_sub(LOOK_EVERY).unwrap();
        }
        let mut signing = secrets.signing(1_700_000_000).await.unwrap();
        signing.add(b"{\"jobId\":");
        signing.add(b"\"j\"}");
        signing.header()
    }

    #[tokio::test]
    async fn time_and_body_are_signed_with_each_secret() {
        let secrets = of_files(&["0123456789abcdef\n", "another-secret-of-mine"]).unwrap();
        let mut signing = secrets.signing(1_700_000_000).await.unwrap();
        signing.add(b"{\"jobId\":");
        signing.add(b"\"j\"}");
        // printf '1700000000.{"jobId":"j"}' | openssl dgst -sha256 -hmac 0123456789abcdef
        assert_eq!(signing.header(), EXPECTED);
    }

    #[tokio::test]
    async fn a_secret_that_changes_signs_from_then_on_and_damage_leaves_the_older() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("0");
        let secrets = in_directory(&directory, &["0123456789abcdef"]).unwrap();
        let first = header(&secrets).await;
        std::fs::write(&file, "fedcba9876543210").unwrap();
        let second = header(&secrets).await;
        assert_ne!(first, second);
        std::fs::write(&file, "short").unwrap();
        assert_eq!(header(&secrets).await, second);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(header(&secrets).await, second);
        std::fs::write(&file, "0123456789abcdef").unwrap();
        assert_eq!(header(&secrets).await, first);
    }

    const EXPECTED: &str = "t=1700000000,v1=db0c687d65060ca4bbabfc23994ce684bfeb75c638dfe3c3becf32719020f21b,v1=541158afb6b9717fee6cd93eeacacb588efed9f24cc55820499f98f4c6561fab";

    #[tokio::test]
    async fn without_secrets_nothing_is_signed() {
        assert!(Secrets::default().signing(1).await.is_none());
    }

    #[test]
    fn what_cannot_be_a_secret_is_refused_and_not_repeated() {
        let text = of_files(&["short"]).err().unwrap().to_string();
        assert!(text.ends_with("has 5 bytes; it needs 16 to 4096") && !text.contains("short"), "{text}");
        assert!(of_files(&[&"x".repeat(5000)]).is_err());
        let missing = |files: &[&str], variables: &[&str]| {
            let secret_files = files.iter().map(PathBuf::from).collect();
            let secret_variables = variables.iter().map(|&name| name.to_owned()).collect();
            Secrets::load(&crate::config::Callbacks { secret_files, secret_variables, ..Default::default() }).is_err()
        };
        assert!(missing(&["/nowhere/secret"], &[]) && missing(&[], &["DOYEN_TEST_NO_SUCH_SECRET"]));
    }
}
