//! Data files in a local directory.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use sha2::{Digest, Sha256};
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt;

use super::hex;
use crate::core::timestamp;
use crate::ports::{DataError, DataFiles, StoredData};
use crate::runtime::clock;
use crate::runtime::crash::{self, Side};

/// What is being uploaded; never listed.
const PARTIAL: &str = ".partial";
/// Tries to find a name that is free.
const TRIES: i64 = 1000;

pub struct LocalDataFiles {
    directory: PathBuf,
}

impl LocalDataFiles {
    /// Makes the directory, and removes what uploads left behind that never ended.
    ///
    /// # Errors
    /// When the directory cannot be made or read.
    pub fn open(directory: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let directory = directory.canonicalize()?;
        for entry in std::fs::read_dir(&directory)? {
            let path = entry?.path();
            if path.to_string_lossy().ends_with(PARTIAL) {
                std::fs::remove_file(path)?;
            }
        }
        Ok(Self { directory })
    }

    /// Names bear the time to the millisecond; of two in one, the second takes the next.
    async fn create(&self, name: &str) -> Result<(File, PathBuf), DataError> {
        let now = clock::unix_ms();
        for ms in now..now + TRIES {
            let path = self.directory.join(format!("{name}-{}.dat", timestamp::file_name_text(ms)));
            if tokio::fs::try_exists(&path).await.map_err(|error| io_error(&error))? {
                continue;
            }
            match OpenOptions::new().write(true).create_new(true).open(partial(&path)).await {
                Ok(file) => return Ok((file, path)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(io_error(&error)),
            }
        }
        Err(DataError::Failed("no free name".into()))
    }

    async fn fill(
        &self,
        file: &mut File,
        mut content: BoxStream<'_, Result<Bytes, String>>,
        limit_bytes: u64,
    ) -> Result<String, DataError> {
        let mut size = 0u64;
        let mut hash = Sha256::new();
        while let Some(part) = content.next().await {
            let part = part.map_err(DataError::Cut)?;
            size += part.len() as u64;
            if size > limit_bytes {
                return Err(DataError::TooLarge { limit_bytes });
            }
            hash.update(&part);
            file.write_all(&part).await.map_err(|error| io_error(&error))?;
        }
        file.sync_all().await.map_err(|error| io_error(&error))?;
        Ok(hex(&hash.finalize()))
    }

    async fn sync_directory(&self) -> Result<(), DataError> {
        let directory = File::open(&self.directory).await.map_err(|error| io_error(&error))?;
        directory.sync_all().await.map_err(|error| io_error(&error))
    }
}

/// Sixteen characters for a key and a content.
fn short_digest(key: &str, sha256: &str) -> String {
    let mut digest = hex(&Sha256::new().chain_update(key).chain_update(sha256).finalize());
    digest.truncate(16);
    digest
}

fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(PARTIAL);
    name.into()
}

fn io_error(error: &std::io::Error) -> DataError {
    match error.kind() {
        ErrorKind::NotFound => DataError::NotFound,
        ErrorKind::InvalidFilename => DataError::BadName,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => DataError::Full(error.to_string()),
        _ => DataError::Failed(error.to_string()),
    }
}

/// Removes an upload that did not end, also when its caller went away.
struct Unfinished(Option<PathBuf>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(path) = self.0.take()
            && let Err(error) = std::fs::remove_file(&path)
        {
            tracing::warn!(path = %path.display(), %error, "cannot remove a broken upload");
        }
    }
}

#[async_trait]
impl DataFiles for LocalDataFiles {
    async fn list(&self) -> Result<Vec<String>, DataError> {
        let mut entries = tokio::fs::read_dir(&self.directory).await.map_err(|error| io_error(&error))?;
        let mut paths = Vec::new();
        while let Some(entry) = entries.next_entry().await.map_err(|error| io_error(&error))? {
            let path = entry.path().to_string_lossy().into_owned();
            if !path.ends_with(PARTIAL) {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }

    async fn store(
        &self,
        name: &str,
        key: Option<&str>,
        content: BoxStream<'_, Result<Bytes, String>>,
        limit_bytes: u64,
    ) -> Result<StoredData, DataError> {
        crash::point("data-create", Side::Before);
        let (mut file, free) = self.create(name).await?;
        let mut unfinished = Unfinished(Some(partial(&free)));
        crash::point("data-create", Side::After);
        crash::point("data-write", Side::Before);
        let sha256 = self.fill(&mut file, content, limit_bytes).await?;
        crash::point("data-write", Side::After);
        let path = match key {
            None => free.clone(),
            Some(key) => self.directory.join(format!("{name}-{}.dat", short_digest(key, &sha256))),
        };
        crash::point("data-rename", Side::Before);
        tokio::fs::rename(partial(&free), &path).await.map_err(|error| io_error(&error))?;
        unfinished.0 = None;
        crash::point("data-rename", Side::After);
        self.sync_directory().await?;
        Ok(StoredData { path: path.to_string_lossy().into_owned(), sha256 })
    }

    async fn delete(&self, path: &str) -> Result<(), DataError> {
        if !self.list().await?.iter().any(|listed| listed == path) {
            return Err(DataError::NotFound);
        }
        crash::point("data-delete", Side::Before);
        tokio::fs::remove_file(path).await.map_err(|error| io_error(&error))?;
        crash::point("data-delete", Side::After);
        self.sync_directory().await
    }

    async fn delete_all(&self) -> Result<(), DataError> {
        for path in self.list().await? {
            match tokio::fs::remove_file(&path).await {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(io_error(&error)),
            }
        }
        self.sync_directory().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(parts: &[Result<&'static str, &str>]) -> BoxStream<'static, Result<Bytes, String>> {
        let parts: Vec<_> =
            parts.iter().map(|p| p.map(|s| Bytes::from_static(s.as_bytes())).map_err(str::to_owned)).collect();
        futures::stream::iter(parts).boxed()
    }

    #[tokio::test]
    async fn two_uploads_of_one_name_are_two_files_and_only_listed_ones_are_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let files = LocalDataFiles::open(&dir.path().join("data")).unwrap();
        let one = files.store("two words", None, content(&[Ok("x"), Ok("y")]), 10).await.unwrap().path;
        let two = files.store("two words", None, content(&[]), 10).await.unwrap().path;
        assert_ne!(one, two);
        assert_eq!(std::fs::read_to_string(&one).unwrap(), "xy");
        let outside = dir.path().join("outside");
        std::fs::write(&outside, "").unwrap();
        assert_eq!(files.delete(&outside.to_string_lossy()).await, Err(DataError::NotFound));
        assert_eq!(files.delete(&one).await, Ok(()));
        assert_eq!(files.list().await.unwrap(), [two]);
    }

    #[tokio::test]
    async fn one_content_under_one_key_is_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let files = LocalDataFiles::open(dir.path()).unwrap();
        let store = async |key, text| files.store("a", Some(key), content(&[Ok(text)]), 10).await.unwrap();
        let one = store("k", "x").await;
        assert_eq!(store("k", "x").await, one);
        assert!(store("k", "y").await.path != one.path && store("l", "x").await.path != one.path);
        assert_eq!(std::fs::read_to_string(&one.path).unwrap(), "x");
        assert_eq!(files.list().await.unwrap().len(), 3);
    }

    #[tokio::test]
    async fn a_broken_or_too_long_upload_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let files = LocalDataFiles::open(dir.path()).unwrap();
        let cut = files.store("a", None, content(&[Ok("x"), Err("reset")]), 10).await;
        assert_eq!(cut, Err(DataError::Cut("reset".into())));
        let long = files.store("a", Some("k"), content(&[Ok("0123456789"), Ok("x")]), 10).await;
        assert_eq!(long, Err(DataError::TooLarge { limit_bytes: 10 }));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
