//! BinaryStore: content addressed by SHA-256, streamed both ways, written once.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

/// Streams a blob's content.
pub type BlobReader = BoxStream<'static, Result<Bytes, BlobError>>;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    #[error("no blob {0}")]
    NotFound(String),
    /// Nothing is kept of it.
    #[error("the content has the hash {found}, not {expected}")]
    WrongHash { expected: String, found: String },
    /// It is not what was uploaded: who reads the whole of a blob is told so before its last chunk.
    #[error(
        "blob {sha256} is damaged where it is stored: {why}; upload it again, and look at what else is damaged there"
    )]
    Damaged { sha256: String, why: String },
    /// No replica of it could be read although the store answers: damaged, or where it is away.
    #[error("blob {sha256} cannot be read where it is stored: {why}")]
    Unreadable { sha256: String, why: String },
    #[error("the binary store is full: {0}")]
    Full(String),
    #[error("the binary store is unavailable: {0}")]
    Unavailable(String),
}

/// Tells one upload of a content from the next: each `finish`, and each `refresh`, gives the blob another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp(pub i64);

/// A blob as `list` finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobInfo {
    pub sha256: String,
    pub size_bytes: u64,
    pub stamp: Stamp,
}

/// One upload. Dropping it without `finish` leaves nothing behind.
#[async_trait]
pub trait BlobWriter: Send {
    /// Waits until the store has taken the chunk, so memory stays bounded by the caller's chunk size.
    async fn write(&mut self, chunk: Bytes) -> Result<(), BlobError>;

    /// Makes the content durable under its hash, which is the answer (64 lower-case hex digits), with its size in bytes.
    /// Content that is there already is no error. With `expected`, another hash is refused.
    async fn finish(self: Box<Self>, expected: Option<&str>) -> Result<(String, u64), BlobError>;
}

#[async_trait]
pub trait BinaryStore: Send + Sync + 'static {
    async fn create(&self) -> Result<Box<dyn BlobWriter>, BlobError>;

    /// The part from `offset`, at most `length` bytes (to the end without one), and the size of the whole in bytes.
    async fn read(&self, sha256: &str, offset: u64, length: Option<u64>) -> Result<(BlobReader, u64), BlobError>;

    /// Size in bytes, or `None` when it is not there.
    async fn size(&self, sha256: &str) -> Result<Option<u64>, BlobError>;

    /// Deleting what is not there is no error. For blobs that nobody can be about to refer to; else `delete_unchanged`.
    async fn delete(&self, sha256: &str) -> Result<(), BlobError>;

    /// Blobs by ascending hash, from the first after `after`, at most `limit`.
    async fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<BlobInfo>, BlobError>;

    /// The blob as `list` would find it.
    async fn stat(&self, sha256: &str) -> Result<Option<BlobInfo>, BlobError>;

    /// As if the content were uploaded again: whoever means to refer to a blob that is there already says so first.
    /// Its size in bytes, or `None` when it is not there (any more).
    async fn refresh(&self, sha256: &str) -> Result<Option<u64>, BlobError>;

    /// Deletes the blob unless it was uploaded or refreshed since it had this stamp; no upload comes in between the
    /// look and the deletion. True when it was deleted.
    async fn delete_unchanged(&self, sha256: &str, stamp: Stamp) -> Result<bool, BlobError>;

    /// Whether the store takes content and gives it back: something small is written, which is no blob, read and removed. A store
    /// that takes content whenever it is there need do nothing.
    async fn probe(&self) -> Result<(), BlobError> {
        Ok(())
    }
}
