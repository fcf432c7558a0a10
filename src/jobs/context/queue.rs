//! The jobs of a context that wait for a place: kept beside its actor, so that places in it are told without asking, and
//! given to the driver by the actor, many in one commit.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use ractor::ActorRef;
use tokio::sync::OwnedSemaphorePermit;

use super::ContextMessage;
use super::driver::binaries_of;
use super::ending::announce;
use super::state::{Held, State};
use crate::api::driver::Raw;
use crate::core::contexts::ContextState;
use crate::core::jobs::{Failure, JobRecord, Outcome};
use crate::core::queue::{Entry, Queue};
use crate::jobs::StoreError;
use crate::runtime::clock;

type Me = ActorRef<ContextMessage>;

/// Jobs that one commit gives to the driver: in ZooKeeper it writes the rest of what belongs to each again, and has 900 kB for all.
const BATCH: usize = 128;
/// A batch ends with the job whose record and configuration, which is read for it and not written, reach this in memory.
const BATCH_BYTES: usize = 8 << 20;

/// Ids and priorities; the records are with the active jobs, their configurations in the store.
pub struct JobQueue {
    inner: Mutex<Inner>,
    /// Times within are counted from here, so that a clock that is set does not move them.
    began: Instant,
}

#[derive(Default)]
struct Inner {
    queue: Queue,
    /// Places that are promised to jobs that are being recorded.
    promised: usize,
    /// The context stops: nothing comes any more.
    closed: bool,
}

/// A promised place at the queue.
pub struct Promised(Arc<JobQueue>);

impl Drop for Promised {
    fn drop(&mut self) {
        self.0.lock().promised -= 1;
    }
}

impl Promised {
    /// Puts the recorded job in. False when the context has stopped meanwhile: then nobody else ends the job.
    #[must_use]
    pub fn keep(self, job: &JobRecord) -> bool {
        self.0.push(job)
    }
}

impl JobQueue {
    /// With what the store holds.
    pub(in crate::jobs) fn new<'a>(jobs: impl Iterator<Item = &'a JobRecord>) -> Arc<Self> {
        let queue = Self { inner: Mutex::default(), began: clock::instant() };
        for job in jobs {
            queue.push(job);
        }
        Arc::new(queue)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder panics")
    }

    fn now_ms(&self) -> i64 {
        i64::try_from(clock::since(self.began).as_millis()).unwrap_or(i64::MAX)
    }

    /// A place for one more job, unless `max` wait or are about to.
    pub fn promise(self: &Arc<Self>, max: usize) -> Option<Promised> {
        let mut inner = self.lock();
        if inner.queue.len() + inner.promised >= max {
            return None;
        }
        inner.promised += 1;
        Some(Promised(Arc::clone(self)))
    }

    /// False for a job that does not wait, and when the context stops.
    pub(super) fn push(&self, job: &JobRecord) -> bool {
        let Some(queued) = job.queued.as_ref().filter(|_| !job.state.has_ended()) else { return false };
        let now_ms = self.now_ms();
        let wait_ms = queued.not_before_ms.saturating_sub(clock::unix_ms());
        let not_before_ms = if wait_ms > 0 { now_ms.saturating_add(wait_ms) } else { 0 };
        let mut inner = self.lock();
        if inner.closed {
            return false;
        }
        inner.queue.push(Entry { id: job.id.clone(), priority: job.priority, not_before_ms }, now_ms);
        true
    }

    /// 1 for the next.
    pub fn position(&self, job: &JobRecord) -> Option<usize> {
        self.lock().queue.position(job.priority, &job.id)
    }

    /// Jobs that could begin now, if there were a place.
    pub fn due_count(&self) -> usize {
        let now_ms = self.now_ms();
        let mut inner = self.lock();
        inner.queue.ripen(now_ms);
        inner.queue.due_count()
    }

    /// All that wait, due or not.
    pub fn count(&self) -> usize {
        self.lock().queue.len()
    }

    fn take(&self, most: usize) -> Vec<Entry> {
        let now_ms = self.now_ms();
        self.lock().queue.take(most, now_ms)
    }

    pub(super) fn remove(&self, job: &JobRecord) -> bool {
        self.lock().queue.remove(job.priority, &job.id)
    }

    /// Takes all; nothing comes any more.
    fn close(&self) -> Vec<Entry> {
        let mut inner = self.lock();
        inner.closed = true;
        inner.queue.drain()
    }
}

/// A job on its way out of the queue.
struct Leaving {
    record: JobRecord,
    config: Raw,
    permit: OwnedSemaphorePermit,
}

impl Leaving {
    fn size_bytes(&self) -> usize {
        let names: usize = self.record.binaries.iter().map(|binary| binary.name.len()).sum();
        let callback = self.record.callback.as_ref().map_or(0, String::len);
        self.config.get().len() + self.record.class_path.len() + names + callback
    }
}

impl State {
    fn may_dispatch(&self) -> bool {
        !self.dispatch_paused
            && self.connection.is_some()
            && self.record.state == ContextState::Running
            && self.slots.available_permits() > 0
            && self.queue.due_count() > 0
    }

    /// After every message. What waits in the mailbox comes first: it may free more places, for the same commit.
    pub fn ask_dispatch(&mut self, me: &Me) {
        if !self.dispatch_asked && self.may_dispatch() {
            self.dispatch_asked = me.cast(ContextMessage::Dispatch).is_ok();
        }
    }

    /// Gives free places to those that wait: first in the store, then to the driver.
    pub async fn dispatch(&mut self, me: &Me) {
        self.dispatch_asked = false;
        let Some(attachment) = self.attachment.filter(|_| self.may_dispatch()) else { return };
        let mut permits = Vec::new();
        for _ in 0..self.queue.due_count().min(BATCH) {
            permits.extend(Arc::clone(&self.slots).try_acquire_owned().ok());
        }
        let mut leaving = Vec::with_capacity(permits.len());
        let mut bytes = 0;
        for permit in permits {
            if bytes >= BATCH_BYTES || self.dispatch_paused {
                break;
            }
            let Some(entry) = self.queue.take(1).pop() else { break };
            if let Some(prepared) = self.prepare(me, &entry.id, permit).await {
                bytes += prepared.size_bytes();
                leaving.push(prepared);
            }
        }
        let records: Vec<JobRecord> = leaving.iter().map(|l| l.record.clone()).collect();
        match self.shared.records.assign(&records, attachment).await {
            Ok(()) => {
                for Leaving { record, config, permit } in leaving {
                    self.hand_over(record, config, permit);
                }
            }
            Err(StoreError::Conflict(index)) if index > 0 => {
                let lost = leaving.remove(index - 1);
                self.put_back(leaving);
                self.settle(lost).await;
            }
            Err(error) => {
                tracing::warn!(context = %self.record.name, %error, "cannot give queued jobs to the driver; trying again");
                self.put_back(leaving);
                self.dispatch_paused = true;
            }
        }
    }

    /// What the driver must know of a job that leaves the queue; the record as it will be.
    async fn prepare(&mut self, me: &Me, id: &str, permit: OwnedSemaphorePermit) -> Option<Leaving> {
        let waiting = self.shared.active.get(id)?;
        let record = JobRecord { attempt: self.record.attempt, queued: None, ..waiting.clone() };
        match self.shared.records.job_config(id).await {
            Ok(Some(config)) => {
                let config = Raw::from(serde_json::value::RawValue::from_string(config).expect("stored as JSON"));
                Some(Leaving { record, config, permit })
            }
            Ok(None) => {
                let failure = Failure::new("JobLost", "its configuration is missing");
                self.jobs.insert(id.into(), Held::new(waiting, None));
                self.end_job(me, id, Outcome::Failed(failure), None);
                None
            }
            Err(error) => {
                tracing::warn!(job = id, %error, "cannot read a queued job; trying again");
                self.queue.push(&waiting);
                self.dispatch_paused = true;
                None
            }
        }
    }

    fn hand_over(&mut self, record: JobRecord, config: Raw, permit: OwnedSemaphorePermit) {
        self.shared.active.assigned(&record);
        self.send_run(&record, config, binaries_of(&record));
        self.jobs.insert(record.id.clone(), Held::new(record, Some(permit)));
    }

    /// With their places freed.
    fn put_back(&self, leaving: Vec<Leaving>) {
        for Leaving { record, .. } in leaving {
            if let Some(waiting) = self.shared.active.get(&record.id) {
                self.queue.push(&waiting);
            }
        }
    }

    /// The store says that the job does not wait: an assignment of ours was written although its answer was lost, or the
    /// job has ended.
    async fn settle(&mut self, lost: Leaving) {
        let records = &self.shared.records;
        match records.job(&lost.record.id).await {
            Ok(Some(stored)) if stored == lost.record => self.hand_over(stored, lost.config, lost.permit),
            Ok(Some(stored)) if stored.state.has_ended() => match records.stored_end(&stored.id).await {
                Ok(ended) => ended.into_iter().for_each(|ended| announce(&self.shared, ended)),
                Err(_) => {
                    self.put_back(vec![lost]);
                    self.dispatch_paused = true;
                }
            },
            Ok(_) => tracing::warn!(job = %lost.record.id, "a queued job was taken by somebody else"),
            Err(_) => {
                self.put_back(vec![lost]);
                self.dispatch_paused = true;
            }
        }
    }

    /// Ends all that wait, for this reason; nothing comes any more. The context's own end waits for it.
    pub fn end_queued(&self, failure: &Failure) {
        let waiting = self.queue.close();
        if waiting.is_empty() {
            return;
        }
        let jobs: Vec<JobRecord> = waiting.iter().filter_map(|entry| self.shared.active.get(&entry.id)).collect();
        let (shared, failure) = (self.shared.clone(), failure.clone());
        self.storing.spawn(async move { super::ending::end_unrun(&shared, jobs, &failure).await });
    }
}
