//! Archives: whether stored content is a sound zip archive.

use async_trait::async_trait;

use super::BlobError;

#[derive(Debug, Clone, Copy)]
pub struct ArchiveLimits {
    /// All entries together.
    pub max_unpacked_bytes: u64,
    pub max_entries: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    #[error("not an archive")]
    NotAnArchive,
    /// In words for the user who uploaded it.
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Store(#[from] BlobError),
}

#[async_trait]
pub trait Archives: Send + Sync + 'static {
    /// Refuses what would be dangerous to unpack: bombs, names that point outside, links.
    async fn check(&self, sha256: &str, size_bytes: u64, limits: ArchiveLimits) -> Result<(), ArchiveError>;
}
