//! Credentials from a file in AWS's format, which may be renewed while the server runs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use object_store::aws::AwsCredential;
use object_store::{CredentialProvider, Error, Result};

use crate::runtime::clock;

/// So long what was read is taken for new.
const FRESH: Duration = Duration::from_secs(10);
/// Such files have some lines.
const MAX_BYTES: u64 = 1 << 20;

pub(super) struct CredentialsFile {
    path: PathBuf,
    profile: String,
    known: Mutex<Option<(Instant, Arc<AwsCredential>)>>,
}

impl std::fmt::Debug for CredentialsFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.path.display())
    }
}

impl CredentialsFile {
    pub(super) fn new(path: &Path) -> Self {
        let profile = std::env::var("AWS_PROFILE").unwrap_or_else(|_| "default".into());
        Self { path: path.to_owned(), profile, known: Mutex::default() }
    }

    pub(super) fn read(&self) -> Result<AwsCredential, String> {
        let said = |why: &str| format!("store.s3.credentials-file ({}) {why}", self.path.display());
        let size = std::fs::metadata(&self.path).map_err(|error| said(&format!("cannot be read: {error}")))?.len();
        if size > MAX_BYTES {
            return Err(said("is too large"));
        }
        let text = std::fs::read_to_string(&self.path).map_err(|error| said(&format!("cannot be read: {error}")))?;
        parse(&text, &self.profile).ok_or_else(|| {
            let needs = "aws_access_key_id and aws_secret_access_key";
            said(&format!("has no {needs} in the profile [{}]", self.profile))
        })
    }

    fn known(&self) -> Option<(Instant, Arc<AwsCredential>)> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, credential: &Arc<AwsCredential>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some((clock::instant(), Arc::clone(credential)));
    }
}

#[async_trait]
impl CredentialProvider for CredentialsFile {
    type Credential = AwsCredential;

    /// What cannot be used is logged, and what was read before stays.
    async fn get_credential(&self) -> Result<Arc<AwsCredential>> {
        let known = self.known();
        if let Some((read, credential)) = &known
            && clock::since(*read) < FRESH
        {
            return Ok(Arc::clone(credential));
        }
        // A small file: it is in memory.
        let credential = match (self.read(), known) {
            (Ok(credential), _) => Arc::new(credential),
            (Err(error), Some((_, older))) => {
                tracing::warn!(error, "the older credentials stay");
                older
            }
            (Err(error), None) => return Err(Error::Generic { store: "S3", source: error.into() }),
        };
        self.remember(&credential);
        Ok(credential)
    }
}

/// Lines like `name = value` below `[profile]`.
fn parse(text: &str, profile: &str) -> Option<AwsCredential> {
    let (mut inside, mut key_id, mut secret_key, mut token) = (false, None, None, None);
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            let section = section.trim();
            inside = section.strip_prefix("profile ").unwrap_or(section).trim() == profile;
        } else if let Some((name, value)) = line.split_once('=').filter(|_| inside) {
            let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
            match name.trim() {
                "aws_access_key_id" => key_id = value,
                "aws_secret_access_key" => secret_key = value,
                "aws_session_token" => token = value,
                _ => {}
            }
        }
    }
    Some(AwsCredential { key_id: key_id?, secret_key: secret_key?, token })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# ours\n[default]\naws_access_key_id = one\naws_secret_access_key = a=b/c+d\n\n[other]\n\
                        aws_access_key_id=two\naws_secret_access_key=secret\naws_session_token=token\nregion = x\n[half]\naws_access_key_id=three\n";

    #[test]
    fn a_profile_is_found_and_half_of_one_is_none() {
        let found = |profile| parse(FILE, profile).map(|found| (found.key_id, found.secret_key, found.token));
        assert_eq!(found("default"), Some(("one".into(), "a=b/c+d".into(), None)));
        assert_eq!(found("other"), Some(("two".into(), "secret".into(), Some("token".into()))));
        assert_eq!(found("half"), None);
        assert_eq!(found("none"), None);
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_told_with_the_setting_and_no_secret() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("credentials");
        let file = CredentialsFile { path: path.clone(), profile: "default".into(), known: Mutex::default() };
        assert!(file.get_credential().await.unwrap_err().to_string().contains("store.s3.credentials-file"));
        std::fs::write(&path, "[default]\naws_secret_access_key = hidden\n").unwrap();
        let said = file.get_credential().await.unwrap_err().to_string();
        assert!(said.contains("aws_access_key_id") && !said.contains("hidden"), "{said}");
        std::fs::write(&path, FILE).unwrap();
        assert_eq!(file.get_credential().await.unwrap().key_id, "one");
        assert!(!format!("{file:?}").contains("a=b"));
    }
}
