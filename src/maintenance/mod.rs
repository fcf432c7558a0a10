//! What is done to a store while no server serves it: it is checked, repaired, counted, exported and imported.

mod check;
mod export;
mod frames;
mod import;
mod packing;
mod parts;
mod stats;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::LocalBoxStream;
use futures::{StreamExt, TryStreamExt};

pub use check::{CheckOptions, Checked, Repaired, check};
pub use export::{ExportOptions, export};
pub use frames::{Counts, FormatError};
pub use import::{Imported, Source, import};
pub use stats::{FamilyStats, Stats, stats};

pub use crate::core::consistency::{Finding, Kind};
use crate::core::history::catalog::Segment;
use crate::core::history::packing::Rule;
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
    pub belongings: Arc<dyn Belongings>,
    /// Which old jobs an import puts into segments; `None` where no server packs.
    pub packing: Option<Rule>,
    /// A directory for what has to be put aside.
    pub scratch: PathBuf,
}

/// What names the metadata store that it belongs to: the data directory, and binaries that are elsewhere.
#[async_trait]
pub trait Belongings: Send + Sync {
    /// They belong to the metadata store with this id from now on.
    ///
    /// # Errors
    /// With what could not be written, and why. To be said again then.
    async fn belong_to(&self, store: &str) -> Result<(), String>;
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
    #[error("cannot put jobs aside in the data directory: {0}")]
    Aside(io::Error),
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
    #[error("cannot write whose it is: {0}")]
    Belongings(String),
}

/// All that a store has, read in pages of this size: each begins behind the key of the last of the page before.
fn paged<'a, T: 'a, E: 'a>(
    size: usize,
    key: impl Fn(&T) -> &str + 'a,
    page: impl AsyncFn(Option<&str>) -> Result<Vec<T>, E> + 'a,
) -> LocalBoxStream<'a, Result<T, E>> {
    let all = async_stream::try_stream! {
        let mut after: Option<String> = None;
        loop {
            let found = page(after.as_deref()).await?;
            let is_last = found.len() < size;
            after = found.last().map(|last| key(last).to_owned());
            for one in found {
                yield one;
            }
            if is_last {
                break;
            }
        }
    };
    all.boxed_local()
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

    /// All entries, in the order of their keys.
    fn entries(&self) -> LocalBoxStream<'_, Result<Entry, ReadError>> {
        paged(PAGE, |entry: &Entry| &entry.key, async |after| self.meta.range("", after, false, PAGE).await)
    }

    /// All blobs, in the order of their hashes.
    fn all_blobs(&self) -> LocalBoxStream<'_, Result<BlobInfo, BlobError>> {
        paged(BLOBS, |blob: &BlobInfo| &blob.sha256, async |after| self.blobs.list(after, BLOBS).await)
    }

    /// Why this content cannot be read, of a store that gives other content; an error that is about the whole store stays one.
    async fn unreadable(&self, error: BlobError) -> Result<String, BlobError> {
        let BlobError::Unreadable { why, .. } = error else { return Err(error) };
        match self.blobs.probe().await {
            Ok(()) | Err(BlobError::Full(_)) => Ok(why),
            Err(away) => Err(away),
        }
    }

    async fn is_there(&self) -> bool {
        matches!(self.blobs.probe().await, Ok(()) | Err(BlobError::Full(_)))
    }

    /// Bytes of all blobs, for progress.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn blob_bytes(&self) -> Result<u64, ToolError> {
        let (mut blobs, mut bytes) = (self.all_blobs(), 0);
        while let Some(blob) = blobs.try_next().await? {
            bytes += blob.size_bytes;
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod packing_tests;
#[cfg(test)]
mod tests;
