//! DataFiles: files that clients upload for their jobs to read by path.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DataError {
    /// The client's content broke off; nothing is kept.
    #[error("{0}")]
    Cut(String),
    #[error("more than {limit_bytes} bytes")]
    TooLarge { limit_bytes: u64 },
    /// No file can have the name.
    #[error("the name is not possible")]
    BadName,
    #[error("no such data file")]
    NotFound,
    #[error("the disk is full: {0}")]
    Full(String),
    #[error("{0}")]
    Failed(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredData {
    /// Absolute.
    pub path: String,
    /// Of the content.
    pub sha256: String,
}

#[async_trait]
pub trait DataFiles: Send + Sync + 'static {
    /// Absolute paths.
    async fn list(&self) -> Result<Vec<String>, DataError>;

    /// Stores the content in a new file whose name begins with `name`, which holds no `/`. Durable when it answers. With a
    /// `key`, the same content under the same key is the same file, however often it is stored.
    async fn store(
        &self,
        name: &str,
        key: Option<&str>,
        content: BoxStream<'_, Result<Bytes, String>>,
        limit_bytes: u64,
    ) -> Result<StoredData, DataError>;

    /// By a path that `list` gave; nothing else is ever deleted.
    async fn delete(&self, path: &str) -> Result<(), DataError>;

    async fn delete_all(&self) -> Result<(), DataError>;
}
