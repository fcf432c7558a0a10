//! MetaStore: a small ordered map of keys to values that changes by all-or-nothing commits.
//!
//! Every rule of the domain is written once, above this port. It fits an embedded database, ZooKeeper, SQL and a
//! replicated log alike.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::StoreMeter;
use crate::core::cluster::record::FenceKey;

/// Number of a commit. Later commits have larger numbers; a key's version is the revision that last wrote it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// What must hold at the moment of the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// The key has no value.
    Absent(String),
    /// The key has a value, whatever its version.
    Exists(String),
    /// The key has a value that this revision wrote.
    At(String, Revision),
    /// No key begins with this prefix.
    NoneUnder(String),
    /// The fence of this term stands where the cluster's record is, and no commit of a later term of the cluster has been taken. It always
    /// holds in a store that one process has for itself: nobody supersedes that.
    Fence(FenceKey),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    Put(String, Bytes),
    /// Deleting a key that is absent is no error.
    Delete(String),
}

/// All of it happens, or nothing. Writes to one key apply in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commit {
    pub preconditions: Vec<Precondition>,
    pub writes: Vec<Write>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    pub value: Bytes,
    pub version: Revision,
}

/// A key that changed (or went away) in a commit; read the key for its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub revision: Revision,
    pub key: String,
}

/// What happened after a cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changes {
    /// In order of revision, perhaps not all at once, but of a commit all; a key that changed several times may be named only
    /// for the last. `cursor` is where to go on.
    Since { changes: Vec<Change>, cursor: Revision },
    /// The store no longer knows what happened since the cursor: scan what you watch, then go on from here.
    Lost { cursor: Revision },
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Nothing was written. The index of the first precondition that did not hold.
    #[error("precondition {0} does not hold")]
    Conflict(usize),
    /// Nothing was written: the store cannot be reached, or refuses.
    #[error("the metadata store is unavailable: {0}")]
    Unavailable(String),
    /// Nothing was written: there is no room for it.
    #[error("the metadata store is full: {0}")]
    Full(String),
    /// It may have been written, or may be later.
    #[error("no answer from the metadata store; whether it wrote is unknown: {0}")]
    Unknown(String),
    /// Nothing was written: it is larger than the store takes.
    #[error("{size_bytes} bytes are more than the metadata store takes in one commit ({limit_bytes})")]
    TooLarge { size_bytes: usize, limit_bytes: usize },
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("the metadata store is unavailable: {0}")]
    Unavailable(String),
}

/// How old the answers of reads may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// They are as new as the store can tell.
    Current,
    /// The store is not reached: what others have committed for so long may be missing.
    Behind(Duration),
}

#[async_trait]
pub trait MetaStore: Send + Sync + 'static {
    /// Durable when it answers `Ok`. Concurrent commits share a transaction.
    async fn commit(&self, commit: Commit) -> Result<Revision, CommitError>;

    /// The newest value: a read that begins after a commit was answered sees it.
    async fn get(&self, key: &str) -> Result<Option<Entry>, ReadError>;

    /// Keys that begin with `prefix`, at most `limit`. Ascending from the first key after `after`, or, with
    /// `descending`, from the last key before `after`. `after` is a whole key, and need not exist.
    async fn range(
        &self,
        prefix: &str,
        after: Option<&str>,
        descending: bool,
        limit: usize,
    ) -> Result<Vec<Entry>, ReadError>;

    /// What one commit holds at most. Longer ones are refused with [`CommitError::TooLarge`].
    fn max_commit_bytes(&self) -> usize {
        usize::MAX
    }

    /// Waits until something happened after `cursor`, then tells it. At least the newest 4096 changes are known; a store that
    /// outlives its process knows them afterwards too. Every revision is a cursor. One that is of another store, or of what
    /// this one has lost when it was put back to an older state, is `Lost`, even once revisions here are higher.
    async fn changes(&self, cursor: Revision) -> Result<Changes, ReadError>;

    /// The newest revision, as a cursor to begin with.
    async fn revision(&self) -> Result<Revision, ReadError>;

    /// Of reads at this moment. A store that reads where it writes is always current.
    fn freshness(&self) -> Freshness {
        Freshness::Current
    }

    /// For how long it has refused some changes, and takes others: nothing, when it lately refused none.
    fn refusing(&self) -> Option<Duration> {
        None
    }

    /// Nothing is asked of it any more: what it has open elsewhere ends in order, within a second or two.
    async fn close(&self) {}

    /// What it has done since the start, where that is more than what its callers do.
    fn meter(&self) -> Option<StoreMeter> {
        None
    }

    /// Reads that begin afterwards see what was answered to anybody before this call, on whatever node. It costs nothing where nobody
    /// else writes to the store. Calls that wait share their way, so it may be called before each read.
    ///
    /// # Errors
    /// When the store cannot be asked, or not soon: reads are then as old as the last that this node has heard of it.
    async fn barrier(&self) -> Result<(), ReadError> {
        Ok(())
    }
}
