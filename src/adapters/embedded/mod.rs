//! EmbeddedStore: a MetaStore in one file (redb), for a node without a metadata server.
//!
//! Commits wait in a bounded queue; one thread drains it into each transaction (group commit), so that many
//! commits share the two flushes of a durable transaction. Reads run on the caller's thread beside it.

mod counted;
pub mod data_dir;
mod database;
mod history;
mod overlay;
mod writer;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use redb::StorageBackend;
use redb::backends::FileBackend;
use tokio::sync::{Semaphore, oneshot};

use self::counted::Counted;
use self::database::{Database, Failure, Opener, Span};
use self::overlay::Overlay;
use self::writer::{Job, Request, Writer};
use super::changes::{ChangeLog, MOST_PASSED_OVER};
use crate::ports::{Changes, Commit, CommitError, Entry, MetaStore, Precondition, ReadError, Revision, Write};
use crate::runtime::random;

/// Keys and values of one commit.
pub const MAX_COMMIT_BYTES: usize = 64 * 1024 * 1024;
/// Commits that wait or are being written.
const MAX_QUEUED: usize = 1024;
/// What they hold together.
const MAX_QUEUED_BYTES: usize = 128 * 1024 * 1024;
/// Ranges of more entries than this run on the blocking pool. A cached read takes 0.2 µs an entry, less than handing
/// it over (20 µs); pages that are not cached are bounded by the number of entries too.
const DIRECT_ENTRIES: usize = 100;
/// Changes that the table tells at once, on the caller's thread.
const CHANGES_AT_ONCE: usize = 1000;
/// A read that fails is tried so often, with this pause.
const READ_TRIES: u32 = 20;
const READ_AGAIN: Duration = Duration::from_millis(10);

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot open the metadata database")]
    Database(#[source] redb::Error),
    #[error("cannot use the metadata database's file")]
    File(#[source] io::Error),
    #[error("cannot start the thread that writes the metadata database")]
    Thread(#[source] io::Error),
}

pub struct EmbeddedStore {
    database: Arc<Database>,
    changes: Arc<ChangeLog>,
    queued_bytes: Arc<Semaphore>,
    /// `None` only while dropping.
    queue: Option<SyncSender<Job>>,
    writer: Option<JoinHandle<()>>,
}

impl EmbeddedStore {
    /// Opens the file, and makes it when it is not there. `cache_bytes` bounds the memory for its pages.
    ///
    /// # Errors
    /// When the file cannot be opened, is in use by another process, or is no such database.
    pub fn open(path: &Path, cache_bytes: usize) -> Result<Self, OpenError> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(|error| OpenError::Database(redb::Error::Io(error)))?;
        // Not by its name: a disk that can be read only would not let us.
        let gap = random::below(MOST_PASSED_OVER);
        let storage = move || FileBackend::new(file.try_clone()?).map_err(io::Error::other);
        let store = Self::open_with(cache_bytes, gap, storage)?;
        // The file's name must survive a power loss as surely as its content.
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(OpenError::File)?;
        Ok(store)
    }

    /// Opens over any storage. `storage` is asked again after each I/O error, once the former is closed. The first commit
    /// passes over `gap` revisions: with a random number, cursors of what this storage does not hold are known as such.
    ///
    /// # Errors
    /// When the storage cannot be opened, or holds no such database.
    pub fn open_with<B: StorageBackend>(
        cache_bytes: usize,
        gap: u64,
        storage: impl Fn() -> io::Result<B> + Send + Sync + 'static,
    ) -> Result<Self, OpenError> {
        let flushes = Arc::new(AtomicU64::new(0));
        let counted = flushes.clone();
        let storage = Arc::new(storage);
        let to_read = Arc::clone(&storage);
        let open: Opener = Box::new(move || {
            let storage = Counted { storage: storage().map_err(redb::Error::Io)?, flushes: counted.clone() };
            Ok(redb::Builder::new().set_cache_size(cache_bytes).create_with_backend(storage)?)
        });
        let open_to_read: Opener = Box::new(move || {
            let storage = to_read().and_then(Overlay::over).map_err(redb::Error::Io)?;
            Ok(redb::Builder::new().set_cache_size(cache_bytes).create_with_backend(storage)?)
        });
        let (database, revision) = Database::open(open, open_to_read, flushes).map_err(OpenError::Database)?;
        let database = Arc::new(database);
        let changes = Arc::new(ChangeLog::new(revision));
        // Each commit holds at least its share of the bytes, so the channel never fills; one more place is for `Reopen`.
        let (queue, jobs) = sync_channel(MAX_QUEUED + 1);
        let writer = Writer::new(jobs, database.clone(), changes.clone(), gap);
        let writer = std::thread::Builder::new()
            .name("meta-writer".into())
            .spawn(move || writer.run())
            .map_err(OpenError::Thread)?;
        let queued_bytes = Arc::new(Semaphore::new(MAX_QUEUED_BYTES));
        Ok(Self { database, changes, queued_bytes, queue: Some(queue), writer: Some(writer) })
    }

    fn enqueue(&self, job: Job) -> Result<(), CommitError> {
        let stopped = || CommitError::Unavailable("its writer has stopped".into());
        self.queue.as_ref().ok_or_else(stopped)?.try_send(job).map_err(|_| stopped())
    }

    /// After an I/O error, of a write perhaps, the database refuses everything until it is reopened, which is the writer's
    /// work and does not take long: a read waits for that a few times.
    async fn read_failed(&self, failure: Failure, tries: &mut u32) -> Result<(), ReadError> {
        if self.database.ask_reopen() {
            let _ = self.enqueue(Job::Reopen);
        }
        *tries += 1;
        if *tries == READ_TRIES {
            return Err(ReadError::Unavailable(failure.to_string()));
        }
        tokio::time::sleep(READ_AGAIN).await;
        Ok(())
    }
}

impl Drop for EmbeddedStore {
    /// Waits until what is queued is durable, and closes the file.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the writer of the metadata database has panicked");
        }
        self.database.close();
    }
}

#[async_trait]
impl MetaStore for EmbeddedStore {
    /// Dropping the future does not take the commit back.
    async fn commit(&self, commit: Commit) -> Result<Revision, CommitError> {
        let size_bytes = size_bytes(&commit);
        if size_bytes > MAX_COMMIT_BYTES {
            return Err(CommitError::TooLarge { size_bytes, limit_bytes: MAX_COMMIT_BYTES });
        }
        let held = size_bytes.max(MAX_QUEUED_BYTES / MAX_QUEUED);
        let held = u32::try_from(held).expect("at most MAX_COMMIT_BYTES");
        let permit = self.queued_bytes.clone().acquire_many_owned(held).await.expect("never closed");
        let (answer, answered) = oneshot::channel();
        self.enqueue(Job::Commit(Request { commit, size_bytes, answer, _permit: permit }))?;
        answered.await.unwrap_or_else(|_| Err(CommitError::Unknown("its writer has stopped".into())))
    }

    async fn get(&self, key: &str) -> Result<Option<Entry>, ReadError> {
        let mut tries = 0;
        loop {
            match self.database.get(key) {
                Ok(found) => return Ok(found),
                Err(failure) => self.read_failed(failure, &mut tries).await?,
            }
        }
    }

    async fn range(
        &self,
        prefix: &str,
        after: Option<&str>,
        descending: bool,
        limit: usize,
    ) -> Result<Vec<Entry>, ReadError> {
        let Some(span) = Span::new(prefix, after, descending) else { return Ok(Vec::new()) };
        let mut tries = 0;
        loop {
            let entries = if limit <= DIRECT_ENTRIES {
                self.database.range(&span, limit)
            } else {
                let (database, span) = (self.database.clone(), span.clone());
                let read = tokio::task::spawn_blocking(move || database.range(&span, limit)).await;
                read.unwrap_or_else(|error| Err(Failure::Down(error.to_string().into())))
            };
            match entries {
                Ok(found) => return Ok(found),
                Err(failure) => self.read_failed(failure, &mut tries).await?,
            }
        }
    }

    fn max_commit_bytes(&self) -> usize {
        MAX_COMMIT_BYTES
    }

    async fn changes(&self, cursor: Revision) -> Result<Changes, ReadError> {
        let newest = match self.changes.after(cursor).await {
            Changes::Lost { cursor } => cursor,
            since @ Changes::Since { .. } => return Ok(since),
        };
        let mut tries = 0;
        loop {
            // Here, not on another thread: a caller that often begins anew would never see its end.
            match self.database.changes(cursor, newest, CHANGES_AT_ONCE) {
                Ok(Some((changes, cursor))) => return Ok(Changes::Since { changes, cursor }),
                Ok(None) => return Ok(Changes::Lost { cursor: newest }),
                Err(failure) => self.read_failed(failure, &mut tries).await?,
            }
        }
    }

    async fn revision(&self) -> Result<Revision, ReadError> {
        Ok(self.changes.revision())
    }
}

/// What a commit counts for against limits: its keys and values.
pub(super) fn size_bytes(commit: &Commit) -> usize {
    let preconditions = commit.preconditions.iter().map(|precondition| match precondition {
        Precondition::Absent(key) | Precondition::Exists(key) | Precondition::At(key, _) => key.len(),
        Precondition::NoneUnder(prefix) => prefix.len(),
        Precondition::Fence(fence) => fence.cluster_id.as_str().len(),
    });
    let writes = commit.writes.iter().map(|write| match write {
        Write::Put(key, value) => key.len() + value.len(),
        Write::Delete(key) => key.len(),
    });
    preconditions.sum::<usize>() + writes.sum::<usize>()
}
