//! The redb database behind the embedded store: its tables, reads, transactions, and reopening.

use std::io::{self, ErrorKind};
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use bytes::Bytes;
use redb::{Durability, ReadableDatabase, ReadableTable, Table, TableDefinition};

use super::history::{self, Batch, CHANGES, Told};
use crate::ports::{Change, Commit, Entry, Precondition, Revision, Write};
use crate::runtime::crash::{self, Side};

/// Key → the revision that wrote it (8 bytes, big-endian), then the value.
const ENTRIES: TableDefinition<&[u8], &[u8]> = TableDefinition::new("entries");
const COUNTERS: TableDefinition<&str, u64> = TableDefinition::new("counters");
const REVISION: &str = "revision";
const VERSION_BYTES: usize = 8;

pub(super) type Opener = Box<dyn Fn() -> Result<redb::Database, redb::Error> + Send + Sync>;

/// Why a read or a transaction did not come about.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Redb(redb::Error),
    /// Closed since an error, and reopening failed for this reason.
    #[error("{0}")]
    Down(Reason),
}

/// Why the database is not open, or does not take a transaction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(super) struct Reason {
    pub(super) text: String,
    /// For lack of room.
    pub(super) full: bool,
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Self { text, full: false }
    }
}

impl From<&redb::Error> for Reason {
    fn from(error: &redb::Error) -> Self {
        let is_full = |io: &io::Error| {
            matches!(io.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
        };
        Self { text: error.to_string(), full: matches!(error, redb::Error::Io(io) if is_full(io)) }
    }
}

impl Failure {
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Redb(error) => error.into(),
            Self::Down(reason) => reason.clone(),
        }
    }
}

impl<E: Into<redb::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Redb(error.into())
    }
}

/// A transaction that is not there, or of which it is not known.
pub(super) enum Failed {
    /// Nothing was written.
    Before(Failure),
    /// The commit itself failed behind its first flush; only the reopened file knows whether it was written.
    InCommit(Failure),
}

impl<E: Into<Failure>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Before(error.into())
    }
}

/// What a transaction came to, durably.
pub(super) struct Done {
    /// For each commit its revision, or the precondition that did not hold.
    pub(super) outcomes: Vec<Result<Revision, usize>>,
    pub(super) revision: Revision,
    pub(super) changes: Vec<Change>,
}

/// redb refuses everything after an I/O error until it is closed and opened again; `reopen` does so.
pub(super) struct Database {
    open: Opener,
    /// For when it cannot be opened to be written: what it writes when it is opened goes nowhere.
    open_to_read: Opener,
    /// Successful ones of the storage, ever.
    flushes: Arc<AtomicU64>,
    /// Held for reading by every use, so that nothing uses a database that is being replaced.
    current: RwLock<Current>,
    reopen_asked: AtomicBool,
}

impl Database {
    pub(super) fn open(
        open: Opener,
        open_to_read: Opener,
        flushes: Arc<AtomicU64>,
    ) -> Result<(Self, Revision), redb::Error> {
        let (database, revision) = prepared(&open)?;
        let current = RwLock::new(Current::Open(database));
        Ok((Self { open, open_to_read, flushes, current, reopen_asked: AtomicBool::new(false) }, revision))
    }

    /// Closes the database if it is open, and opens it again. If it cannot be written, what it holds can be read, provided
    /// that nothing is missing up to the revision `known`.
    pub(super) fn reopen(&self, known: Revision) -> Result<Revision, Reason> {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        // The former must be closed before the next can lock the file.
        *current = Current::Shut("it is being reopened".to_owned().into());
        self.reopen_asked.store(false, Ordering::Relaxed);
        match prepared(&self.open) {
            Ok((database, revision)) => {
                *current = Current::Open(database);
                Ok(revision)
            }
            Err(error) => {
                let reason = Reason::from(&error);
                *current = match prepared(&self.open_to_read) {
                    Ok((database, revision)) if revision >= known => Current::ToRead(database, reason.clone()),
                    _ => Current::Shut(reason.clone()),
                };
                Err(reason)
            }
        }
    }

    /// Puts it out of use, for this reason.
    pub(super) fn shut(&self, reason: Reason) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Current::Shut(reason);
    }

    pub(super) fn close(&self) {
        self.shut("it is closed".to_owned().into());
    }

    /// To be read and written.
    pub(super) fn is_open(&self) -> bool {
        matches!(*self.current(), Current::Open(_))
    }

    /// Whether the caller is the first to ask since the last reopening.
    pub(super) fn ask_reopen(&self) -> bool {
        !self.reopen_asked.swap(true, Ordering::Relaxed)
    }

    pub(super) fn get(&self, key: &str) -> Result<Option<Entry>, Failure> {
        let current = self.current();
        let entries = current.to_read()?.begin_read()?.open_table(ENTRIES)?;
        let Some(stored) = entries.get(key.as_bytes())? else { return Ok(None) };
        let (version, value) = split(stored.value())?;
        Ok(Some(Entry { key: key.to_owned(), value: Bytes::copy_from_slice(value), version }))
    }

    pub(super) fn range(&self, span: &Span, limit: usize) -> Result<Vec<Entry>, Failure> {
        let current = self.current();
        let entries = current.to_read()?.begin_read()?.open_table(ENTRIES)?;
        let mut range = entries.range::<&[u8]>(span.bounds())?;
        let mut found = Vec::new();
        while found.len() < limit {
            let Some(entry) = (if span.descending { range.next_back() } else { range.next() }) else { break };
            let (key, stored) = entry?;
            let key = str::from_utf8(key.value()).map_err(|_| corrupted("a key is not UTF-8"))?.to_owned();
            let (version, value) = split(stored.value())?;
            found.push(Entry { key, value: Bytes::copy_from_slice(value), version });
        }
        Ok(found)
    }

    /// What happened after the cursor up to the revision `last`, some `most` changes of it, and where to go on. `None` when
    /// that is not known.
    pub(super) fn changes(&self, cursor: Revision, last: Revision, most: usize) -> Result<Option<Told>, Failure> {
        let current = self.current();
        match current.to_read()?.begin_read()?.open_table(CHANGES) {
            Ok(table) => history::after(&table, cursor, last, most),
            // Nothing was committed since a program wrote the file that knows no such table.
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// All commits in one durable transaction, in order, each against the state that those before it made. One that
    /// conflicts writes nothing and leaves the others alone. The store is at the revision `before`; theirs follow `base`.
    pub(super) fn transact<'a>(
        &self,
        before: Revision,
        base: Revision,
        commits: impl Iterator<Item = &'a Commit>,
    ) -> Result<Done, Failed> {
        let current = self.current();
        let transaction = begin_write(current.to_write()?)?;
        let mut revision = base;
        let mut outcomes = Vec::new();
        let mut changes = Vec::new();
        {
            let mut entries = transaction.open_table(ENTRIES)?;
            for commit in commits {
                if let Some(index) = conflict(&entries, &commit.preconditions)? {
                    outcomes.push(Err(index));
                    continue;
                }
                revision.0 += 1;
                apply(&mut entries, revision, &commit.writes)?;
                changes.extend(commit.writes.iter().map(|write| Change { revision, key: key_of(write).to_owned() }));
                outcomes.push(Ok(revision));
            }
        }
        if outcomes.iter().all(Result::is_err) {
            transaction.abort()?;
            return Ok(Done { outcomes, revision, changes });
        }
        transaction.open_table(COUNTERS)?.insert(REVISION, revision.0)?;
        let batch = Batch { before, base, newest: revision, changes: &changes };
        history::add(&mut transaction.open_table(CHANGES)?, &batch)?;
        let flushes = self.flushes.load(Ordering::Relaxed);
        crash::point("store-batch", Side::Before);
        transaction.commit().map_err(|error| {
            let flushed = self.flushes.load(Ordering::Relaxed) > flushes;
            if flushed { Failed::InCommit(error.into()) } else { Failed::Before(error.into()) }
        })?;
        crash::point("store-batch", Side::After);
        Ok(Done { outcomes, revision, changes })
    }

    fn current(&self) -> RwLockReadGuard<'_, Current> {
        self.current.read().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Current {
    Open(redb::Database),
    /// Why it cannot be written.
    ToRead(redb::Database, Reason),
    Shut(Reason),
}

impl Current {
    fn to_write(&self) -> Result<&redb::Database, Failure> {
        match self {
            Self::Open(database) => Ok(database),
            Self::ToRead(_, reason) | Self::Shut(reason) => Err(Failure::Down(reason.clone())),
        }
    }

    fn to_read(&self) -> Result<&redb::Database, Failure> {
        match self {
            Self::Open(database) | Self::ToRead(database, _) => Ok(database),
            Self::Shut(reason) => Err(Failure::Down(reason.clone())),
        }
    }
}

/// An open database that has its tables, with its newest revision.
fn prepared(open: &Opener) -> Result<(redb::Database, Revision), redb::Error> {
    let database = open()?;
    match database.begin_read()?.open_table(COUNTERS) {
        Ok(counters) => {
            let revision = counters.get(REVISION)?.map_or(0, |stored| stored.value());
            return Ok((database, Revision(revision)));
        }
        Err(redb::TableError::TableDoesNotExist(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let transaction = begin_write(&database)?;
    transaction.open_table(ENTRIES)?;
    transaction.open_table(COUNTERS)?.insert(REVISION, 0)?;
    crash::point("store-create", Side::Before);
    transaction.commit()?;
    crash::point("store-create", Side::After);
    Ok((database, Revision(0)))
}

/// Two-phase commit and quick repair make opening after a crash a matter of reading, not of walking all pages.
fn begin_write(database: &redb::Database) -> Result<redb::WriteTransaction, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    transaction.set_two_phase_commit(true);
    transaction.set_quick_repair(true);
    Ok(transaction)
}

type Entries<'txn> = Table<'txn, &'static [u8], &'static [u8]>;

/// The first precondition that does not hold.
fn conflict(entries: &Entries<'_>, preconditions: &[Precondition]) -> Result<Option<usize>, Failure> {
    for (index, precondition) in preconditions.iter().enumerate() {
        let holds = match precondition {
            Precondition::Absent(key) => entries.get(key.as_bytes())?.is_none(),
            Precondition::Exists(key) => entries.get(key.as_bytes())?.is_some(),
            Precondition::At(key, version) => match entries.get(key.as_bytes())? {
                Some(stored) => split(stored.value())?.0 == *version,
                None => false,
            },
            Precondition::Fence(_) => true,
            Precondition::NoneUnder(prefix) => match entries.range(prefix.as_bytes()..)?.next() {
                Some(first) => !first?.0.value().starts_with(prefix.as_bytes()),
                None => true,
            },
        };
        if !holds {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

fn apply(entries: &mut Entries<'_>, revision: Revision, writes: &[Write]) -> Result<(), Failure> {
    for write in writes {
        match write {
            Write::Put(key, value) => {
                let mut place = entries.insert_reserve(key.as_bytes(), VERSION_BYTES + value.len())?;
                let (version, rest) = place.as_mut().split_at_mut(VERSION_BYTES);
                version.copy_from_slice(&revision.0.to_be_bytes());
                rest.copy_from_slice(value);
            }
            Write::Delete(key) => {
                entries.remove(key.as_bytes())?;
            }
        }
    }
    Ok(())
}

fn key_of(write: &Write) -> &str {
    match write {
        Write::Put(key, _) | Write::Delete(key) => key,
    }
}

fn split(stored: &[u8]) -> Result<(Revision, &[u8]), Failure> {
    let (version, value) =
        stored.split_first_chunk::<VERSION_BYTES>().ok_or_else(|| corrupted("a value has no version"))?;
    Ok((Revision(u64::from_be_bytes(*version)), value))
}

pub(super) fn corrupted(text: &str) -> Failure {
    Failure::Redb(redb::Error::Corrupted(text.into()))
}

/// A part of the keys, and the end to begin from.
#[derive(Clone)]
pub(super) struct Span {
    lower: Bound<Vec<u8>>,
    upper: Bound<Vec<u8>>,
    descending: bool,
}

impl Span {
    /// `None` when no key can be in it.
    pub(super) fn new(prefix: &str, after: Option<&str>, descending: bool) -> Option<Self> {
        let mut lower = Bound::Included(prefix.as_bytes().to_vec());
        // The first key behind all that begin with the prefix. No byte of UTF-8 is 255, so one more always fits.
        let mut end = prefix.as_bytes().to_vec();
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        let mut upper = if end.is_empty() { Bound::Unbounded } else { Bound::Excluded(end.clone()) };
        if let Some(after) = after.map(str::as_bytes) {
            let behind = !end.is_empty() && after >= end.as_slice();
            let before = after < prefix.as_bytes();
            match (descending, before, behind) {
                (false, false, true) | (true, true, false) => return None,
                (false, false, false) => lower = Bound::Excluded(after.to_vec()),
                (true, false, false) => upper = Bound::Excluded(after.to_vec()),
                _ => {}
            }
        }
        Some(Self { lower, upper, descending })
    }

    fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (self.lower.as_ref().map(Vec::as_slice), self.upper.as_ref().map(Vec::as_slice))
    }
}
