//! The domain's records over the MetaStore: which keys change together, and what must hold when they do.

mod binaries;
pub mod callbacks;
mod contexts;
pub mod history;
mod holds;
mod idempotency;
mod identity;
mod jobs;
mod queue;
mod retention;
mod timelines;
mod tokens;
mod tools;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::core::jobs::{Failure, failure};
use crate::core::keys;
use crate::jobs::history::Segments;
use crate::ports::{Changes, Commit, CommitError, Freshness, MetaStore, ReadError, Revision, StoreMeter, Write};
use crate::runtime::crash::{self, Side};

pub use holds::Hold;
pub use retention::{Settled, Trimmed};
pub use timelines::After;
pub use tools::ImportRecord;

pub use idempotency::{Claim, Claims};

/// Records read at once when all of a kind are wanted.
const PAGE: usize = 1000;
/// This part of a commit is for what stands beside a text that somebody sent.
const ROOM: usize = 9;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Nothing was written: somebody else was faster. The index of the precondition.
    #[error("it was changed at the same time (precondition {0})")]
    Conflict(usize),
    /// Nothing was written: the request's idempotency key has been recorded in this moment.
    #[error("its idempotency key was used at the same time")]
    Claimed,
    #[error("{0}")]
    Unavailable(String),
    /// It may have been written.
    #[error("{0}")]
    Unknown(String),
    #[error("{0}")]
    Full(String),
    /// Nothing was written.
    #[error("{size_bytes} bytes are more than the metadata store takes in one commit ({limit_bytes})")]
    TooLarge { size_bytes: usize, limit_bytes: usize },
    /// A record does not read back: a newer version wrote it, or the disk lies.
    #[error("the record {key} cannot be read: {cause}")]
    Corrupt { key: String, cause: String },
}

impl StoreError {
    /// As the cause of a context's or job's end.
    pub fn failure(&self) -> Failure {
        let class = match self {
            Self::Full(_) => failure::STORAGE_FULL,
            Self::Unknown(_) => failure::STORE_UNKNOWN,
            _ => failure::STORE_UNAVAILABLE,
        };
        Failure::new(class, self.to_string())
    }
}

impl From<CommitError> for StoreError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict(index) => Self::Conflict(index),
            CommitError::Full(_) => Self::Full(error.to_string()),
            CommitError::TooLarge { size_bytes, limit_bytes } => Self::TooLarge { size_bytes, limit_bytes },
            CommitError::Unavailable(_) => Self::Unavailable(error.to_string()),
            CommitError::Unknown(_) => Self::Unknown(error.to_string()),
        }
    }
}

impl From<ReadError> for StoreError {
    fn from(error: ReadError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// A record and the revision that wrote it.
#[derive(Debug, Clone)]
pub struct Versioned<T> {
    pub record: T,
    pub version: Revision,
}

#[derive(Clone)]
pub struct Records {
    store: Arc<dyn MetaStore>,
    claims: Arc<Claims>,
    held: holds::Held,
    timelines: timelines::Timelines,
    /// Where old jobs are; `None` in tests that have none.
    segments: Option<Arc<Segments>>,
}

fn put<T: Serialize>(key: String, record: &T) -> Write {
    Write::Put(key, serde_json::to_vec(record).expect("records are plain data").into())
}

fn mark(key: String) -> Write {
    Write::Put(key, Bytes::new())
}

fn read<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(value).map_err(|e| StoreError::Corrupt { key: key.into(), cause: e.to_string() })
}

impl Records {
    pub fn new(store: Arc<dyn MetaStore>) -> Self {
        Self {
            store,
            claims: Arc::default(),
            held: holds::Held::default(),
            timelines: timelines::Timelines::default(),
            segments: None,
        }
    }

    /// Whether the store answers.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.store.get(keys::STORE_ID).await?;
        Ok(())
    }

    /// Of what is read at this moment.
    pub fn freshness(&self) -> Freshness {
        self.store.freshness()
    }

    /// For how long the store has refused some changes.
    pub fn refusing(&self) -> Option<Duration> {
        self.store.refusing()
    }

    /// What the store has done, where that is told.
    pub fn meter(&self) -> Option<StoreMeter> {
        self.store.meter()
    }

    /// Reads that begin afterwards see what was answered to anybody before, on whatever node.
    pub async fn barrier(&self) -> Result<(), StoreError> {
        Ok(self.store.barrier().await?)
    }

    /// How long the configuration of a job, or the settings of a context, may be: what is written beside it has room in the same commit,
    /// and so has what its record says later.
    ///
    /// # Errors
    /// When it is longer.
    pub fn check_text(&self, text: &str) -> Result<(), StoreError> {
        let commit_bytes = self.store.max_commit_bytes();
        let limit_bytes = commit_bytes - commit_bytes / ROOM;
        let size_bytes = text.len();
        if size_bytes > limit_bytes { Err(StoreError::TooLarge { size_bytes, limit_bytes }) } else { Ok(()) }
    }

    /// Waits until something changed after the cursor.
    pub async fn changes(&self, cursor: Revision) -> Result<Changes, StoreError> {
        Ok(self.store.changes(cursor).await?)
    }

    /// The newest revision, as a cursor to begin with.
    pub async fn revision(&self) -> Result<Revision, StoreError> {
        Ok(self.store.revision().await?)
    }

    /// Every durable write of the domain passes here, under a name of its own.
    async fn commit(&self, name: &'static str, commit: Commit) -> Result<Revision, CommitError> {
        crash::point(name, Side::Before);
        let done = self.store.commit(commit).await;
        crash::point(name, Side::After);
        tracing::trace!(commit = name, committed = done.is_ok());
        done
    }

    async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<Versioned<T>>, StoreError> {
        match self.store.get(key).await? {
            None => Ok(None),
            Some(entry) => Ok(Some(Versioned { record: read(key, &entry.value)?, version: entry.version })),
        }
    }

    async fn text(&self, key: &str) -> Result<Option<String>, StoreError> {
        let entry = self.store.get(key).await?;
        Ok(entry.map(|e| String::from_utf8_lossy(&e.value).into_owned()))
    }

    async fn leaves(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.store.range(prefix, after.as_deref(), false, PAGE).await?;
            all.extend(page.iter().map(|e| keys::leaf(&e.key).to_owned()));
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(last.key.clone()),
                _ => return Ok(all),
            }
        }
    }
}
