//! What is done to a store while no server serves it: it is checked, repaired, counted, exported and imported.

mod check;
mod export;
mod frames;
mod import;
mod stats;

use std::io;
use std::sync::Arc;

pub use check::{CheckOptions, Checked, Repaired, check};
pub use export::{ExportOptions, export};
pub use frames::{Counts, FormatError};
pub use import::{Imported, Source, import};
pub use stats::{FamilyStats, Stats, stats};

pub use crate::core::consistency::{Finding, Kind};
use crate::core::history::catalog::Segment;
use crate::core::keys;
use crate::jobs::history::Segments;
use crate::jobs::{Records, StoreError};
pub use crate::ports::BlobError;
use crate::ports::{BinaryStore, BlobInfo, Entry, MetaStore, ReadError};

/// Entries that are read at once, and blobs that are listed at once.
const PAGE: usize = 100;
const BLOBS: usize = 1000;

/// The stores of a configuration, which nobody else uses.
pub struct Stores {
    pub meta: Arc<dyn MetaStore>,
    pub blobs: Arc<dyn BinaryStore>,
    /// For people: where each of them is.
    pub meta_place: String,
    pub blobs_place: String,
    /// The longest commit that the metadata takes.
    pub commit_bytes: usize,
    /// Of a store in ZooKeeper: its znodes.
    pub znodes: Option<usize>,
}

/// Is told of bytes that are done.
pub type Progress<'a> = &'a (dyn Fn(u64) + Sync);

#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    #[error(transparent)]
    Records(#[from] StoreError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error("cannot write: {0}")]
    Output(io::Error),
    #[error(
        "{contexts} contexts live, and {jobs} jobs have not ended ({queued} of them wait in a queue): their drivers cannot be exported"
    )]
    Live { contexts: usize, jobs: usize, queued: usize },
    #[error("an import into {place} has not come to its end")]
    HalfImported { place: String },
    #[error("{place} is not empty: it holds {example}, for instance")]
    NotEmpty { place: String, example: String },
    #[error("an import of another file into {place} has not come to its end")]
    OtherImport { place: String },
    #[error("{key} has {size_bytes} bytes, and {place} takes {limit_bytes} at most")]
    TooLarge { key: String, size_bytes: usize, limit_bytes: usize, place: String },
    #[error("{key} is there already with another value, although nobody but this import has written here")]
    Differs { key: String },
}

/// All entries of a store, in the order of their keys.
struct Scan<'a> {
    store: &'a dyn MetaStore,
    after: Option<String>,
    done: bool,
}

impl<'a> Scan<'a> {
    fn new(store: &'a dyn MetaStore) -> Self {
        Self { store, after: None, done: false }
    }

    /// Nothing at the end.
    async fn page(&mut self) -> Result<Vec<Entry>, ReadError> {
        if self.done {
            return Ok(Vec::new());
        }
        let page = self.store.range("", self.after.as_deref(), false, PAGE).await?;
        self.done = page.len() < PAGE;
        if let Some(last) = page.last() {
            self.after = Some(last.key.clone());
        }
        Ok(page)
    }
}

/// All blobs of a store, in the order of their hashes.
struct BlobScan<'a> {
    store: &'a dyn BinaryStore,
    after: Option<String>,
    done: bool,
}

impl<'a> BlobScan<'a> {
    fn new(store: &'a dyn BinaryStore) -> Self {
        Self { store, after: None, done: false }
    }

    /// Nothing at the end.
    async fn page(&mut self) -> Result<Vec<BlobInfo>, BlobError> {
        if self.done {
            return Ok(Vec::new());
        }
        let page = self.store.list(self.after.as_deref(), BLOBS).await?;
        self.done = page.len() < BLOBS;
        if let Some(last) = page.last() {
            self.after = Some(last.sha256.clone());
        }
        Ok(page)
    }
}

/// The segment whose manifest this is.
fn segment_of(entry: &Entry) -> Option<Segment> {
    let number = entry.key.strip_prefix(keys::HISTORY)?.parse().ok()?;
    let manifest = serde_json::from_slice(&entry.value).ok()?;
    Some(Segment { number, version: entry.version.0, manifest })
}

impl Stores {
    fn records(&self) -> Records {
        Records::new(Arc::clone(&self.meta))
    }

    /// Nothing of them is cached: each is read once.
    fn segments(&self) -> Segments {
        Segments::new(Arc::clone(&self.blobs), 0)
    }

    /// Bytes of all blobs, for progress.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn blob_bytes(&self) -> Result<u64, ToolError> {
        let (mut scan, mut bytes) = (BlobScan::new(&*self.blobs), 0);
        loop {
            let page = scan.page().await?;
            if page.is_empty() {
                return Ok(bytes);
            }
            bytes += page.iter().map(|blob| blob.size_bytes).sum::<u64>();
        }
    }
}

#[cfg(test)]
mod tests;
