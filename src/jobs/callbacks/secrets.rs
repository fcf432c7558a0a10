//! What callbacks are signed with.

use std::io::Read;
use std::path::{Path, PathBuf};

use ring::hmac;

use crate::core::callbacks::{signature, signed_prefix};

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

/// The newest first or last: each signs, so that receivers may know any of them.
#[derive(Debug, Clone, Default)]
pub struct Secrets(Vec<hmac::Key>);

impl Secrets {
    /// Blanks and line ends around a secret do not count.
    ///
    /// # Errors
    /// When one is missing, or cannot be a secret.
    pub fn load(settings: &crate::config::Callbacks) -> Result<Self, SecretError> {
        let mut keys = Vec::new();
        for path in &settings.secret_files {
            let content = read(path).map_err(|source| SecretError::File { path: path.clone(), source })?;
            keys.push(key(&content, || path.display().to_string())?);
        }
        for name in &settings.secret_variables {
            let value = std::env::var(name).map_err(|_| SecretError::Variable(name.clone()))?;
            keys.push(key(value.as_bytes(), || format!("the environment variable {name}"))?);
        }
        Ok(Self(keys))
    }

    /// A signature of what begins at this time, unless there is no secret.
    pub(super) fn signing(&self, unix_seconds: i64) -> Option<Signing> {
        if self.0.is_empty() {
            return None;
        }
        let codes = self.0.iter().map(hmac::Context::with_key).collect();
        let mut signing = Signing { unix_seconds, codes };
        signing.add(signed_prefix(unix_seconds).as_bytes());
        Some(signing)
    }
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
        let directory = tempfile::tempdir().unwrap();
        let path = |number: usize| directory.path().join(number.to_string());
        let write = |(number, content): (usize, &&str)| std::fs::write(path(number), content).unwrap();
        contents.iter().enumerate().for_each(write);
        let secret_files = (0..contents.len()).map(path).collect();
        Secrets::load(&crate::config::Callbacks { secret_files, ..Default::default() })
    }

    #[test]
    fn time_and_body_are_signed_with_each_secret() {
        let secrets = of_files(&["0123456789abcdef\n", "another-secret-of-mine"]).unwrap();
        let mut signing = secrets.signing(1_700_000_000).unwrap();
        signing.add(b"{\"jobId\":");
        signing.add(b"\"j\"}");
        // printf '1700000000.{"jobId":"j"}' | openssl dgst -sha256 -hmac 0123456789abcdef
        assert_eq!(signing.header(), EXPECTED);
    }

    const EXPECTED: &str = "t=1700000000,v1=db0c687d65060ca4bbabfc23994ce684bfeb75c638dfe3c3becf32719020f21b,v1=541158afb6b9717fee6cd93eeacacb588efed9f24cc55820499f98f4c6561fab";

    #[test]
    fn without_secrets_nothing_is_signed() {
        assert!(Secrets::default().signing(1).is_none());
    }

    #[test]
    fn what_cannot_be_a_secret_is_refused_and_not_repeated() {
        let text = of_files(&["short"]).unwrap_err().to_string();
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
