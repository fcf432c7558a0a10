//! The one thread that writes: drains the queue into each transaction, and reopens the database after errors.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::database::{Database, Failed, Reason};
use crate::adapters::changes::ChangeLog;
use crate::ports::{Commit, CommitError, Revision};

/// A batch ends with the commit that reaches either.
const BATCH_COMMITS: usize = 256;
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// How often an idle store tries to come back after an error. A commit that arrives tries at once.
const RETRY: Duration = Duration::from_millis(500);

pub(super) enum Job {
    Commit(Request),
    /// A read met an error.
    Reopen,
}

pub(super) struct Request {
    pub(super) commit: Commit,
    pub(super) size_bytes: usize,
    pub(super) answer: oneshot::Sender<Result<Revision, CommitError>>,
    /// Its share of the queue, until it is answered.
    pub(super) _permit: OwnedSemaphorePermit,
}

impl Request {
    /// Whoever asked may have gone.
    fn answer(self, result: Result<Revision, CommitError>) {
        let _ = self.answer.send(result);
    }
}

pub(super) struct Writer {
    jobs: Receiver<Job>,
    database: Arc<Database>,
    changes: Arc<ChangeLog>,
    /// Revisions that the next batch passes over; of the first one only.
    gap: Cell<u64>,
}

impl Writer {
    pub(super) fn new(jobs: Receiver<Job>, database: Arc<Database>, changes: Arc<ChangeLog>, gap: u64) -> Self {
        Self { jobs, database, changes, gap: Cell::new(gap) }
    }

    /// Until the queue is closed and empty.
    pub(super) fn run(self) {
        loop {
            match self.next() {
                Ok(first) => {
                    let batch = self.gather(first);
                    self.write(batch);
                }
                Err(RecvTimeoutError::Timeout) => {
                    let _ = self.reopen();
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn next(&self) -> Result<Job, RecvTimeoutError> {
        if self.database.is_open() {
            self.jobs.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            self.jobs.recv_timeout(RETRY)
        }
    }

    /// What waits already, without waiting for more: while one batch is written the next one gathers.
    fn gather(&self, first: Job) -> Vec<Request> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Commit(request) => {
                    bytes += request.size_bytes;
                    batch.push(request);
                }
                Job::Reopen => {
                    let _ = self.reopen();
                }
            }
            let full = batch.len() >= BATCH_COMMITS || bytes >= BATCH_BYTES;
            next = if full { None } else { self.jobs.try_recv().ok() };
        }
        batch
    }

    fn write(&self, batch: Vec<Request>) {
        if batch.is_empty() {
            return;
        }
        if !self.database.is_open()
            && let Err(reason) = self.reopen()
        {
            return refuse(batch, &reason);
        }
        let before = self.changes.revision();
        let base = Revision(before.0 + self.gap.get());
        match self.database.transact(before, base, batch.iter().map(|request| &request.commit)) {
            Ok(done) => {
                // Published first: whoever gets an answer finds the change.
                if done.revision > base {
                    self.gap.set(0);
                    self.changes.publish(base, done.revision, done.changes);
                }
                for (request, outcome) in batch.into_iter().zip(done.outcomes) {
                    request.answer(outcome.map_err(CommitError::Conflict));
                }
            }
            Err(Failed::Before(failure)) => {
                let reason = failure.reason();
                tracing::error!(%reason, commits = batch.len(), "the metadata database cannot write");
                let _ = self.reopen();
                refuse(batch, &reason);
            }
            Err(Failed::InCommit(failure)) => {
                let reason = failure.reason();
                tracing::error!(%reason, commits = batch.len(), "the metadata database cannot commit");
                self.settle(before, batch, &reason);
            }
        }
    }

    /// A commit failed on its way to the disk. The file tells whether it arrived; if it did, it may still not be
    /// durable, since the flush failed.
    fn settle(&self, before: Revision, batch: Vec<Request>, reason: &Reason) {
        if self.reopen() == Ok(before) {
            return refuse(batch, reason);
        }
        for request in batch {
            request.answer(Err(CommitError::Unknown(reason.text.clone())));
        }
    }

    fn reopen(&self) -> Result<Revision, Reason> {
        let known = self.changes.revision();
        let revision = self.database.reopen(known)?;
        if revision < known {
            let reason = Reason::from(format!("its file is at revision {}, but {} was answered", revision.0, known.0));
            tracing::error!(%reason, "the metadata database has lost commits");
            self.database.shut(reason.clone());
            return Err(reason);
        }
        if revision > known {
            self.changes.lose(revision);
        }
        tracing::info!(revision = revision.0, "the metadata database is open again");
        Ok(revision)
    }
}

fn refuse(batch: Vec<Request>, reason: &Reason) {
    for request in batch {
        let text = reason.text.clone();
        request.answer(Err(if reason.full { CommitError::Full(text) } else { CommitError::Unavailable(text) }));
    }
}
