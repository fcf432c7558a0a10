//! The jobs of this node that have not ended, and who waits for their end.
//!
//! A view for reads that the store need not answer: it holds what the store holds for these jobs, and beyond it which
//! of them their driver has accepted (RUNNING), which is not worth a durable write for each job.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{broadcast, oneshot};

use crate::api::driver::Progress;
use crate::core::jobs::{JobRecord, JobState};
use crate::core::quotas::{Exceeded, Limits, Quotas};

/// The end of a job: its record, and its result when that is short.
#[derive(Debug, Clone)]
pub struct Ended {
    pub record: JobRecord,
    pub inline_result: Option<String>,
}

#[derive(Debug)]
struct Active {
    record: JobRecord,
    progress: Option<Progress>,
}

#[derive(Debug, Default)]
struct Inner {
    jobs: BTreeMap<String, Active>,
    quotas: Quotas,
    waiters: HashMap<String, Vec<oneshot::Sender<Arc<Ended>>>>,
    began: Began,
}

/// Jobs that a reader has not taken, beyond which it misses some.
const MAX_BEGAN: usize = 1024;

/// Tells which jobs have become RUNNING.
#[derive(Debug)]
struct Began(broadcast::Sender<Arc<str>>);

impl Default for Began {
    fn default() -> Self {
        Self(broadcast::Sender::new(MAX_BEGAN))
    }
}

impl Inner {
    fn insert(&mut self, record: JobRecord) {
        self.remove(&record.id);
        self.quotas.add(&record.principal, record.queued.is_some());
        self.jobs.insert(record.id.clone(), Active { record, progress: None });
    }

    fn remove(&mut self, id: &str) {
        if let Some(Active { record, .. }) = self.jobs.remove(id) {
            self.quotas.remove(&record.principal, record.queued.is_some());
        }
    }
}

#[derive(Debug, Clone, Default)]
pub struct ActiveJobs(Arc<Mutex<Inner>>);

impl ActiveJobs {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no holder panics")
    }

    /// Before the job is recorded: from then on nobody may see it without its being here.
    pub fn insert(&self, record: JobRecord) {
        self.lock().insert(record);
    }

    /// The same for a new job, if its principal may have one more.
    pub fn admit(&self, record: JobRecord, limits: Limits) -> Result<(), Exceeded> {
        let mut inner = self.lock();
        inner.quotas.check(&record.principal, record.queued.is_some(), limits)?;
        inner.insert(record);
        Ok(())
    }

    /// A job that waited was given to a driver.
    pub fn assigned(&self, record: &JobRecord) {
        let mut inner = self.lock();
        if inner.jobs.contains_key(&record.id) {
            inner.insert(record.clone());
        }
    }

    /// The job was not recorded after all.
    pub fn forget(&self, id: &str) {
        let mut inner = self.lock();
        inner.remove(id);
        inner.waiters.remove(id);
    }

    pub fn running(&self, id: &str) {
        let mut inner = self.lock();
        if let Some(active) = inner.jobs.get_mut(id)
            && active.record.state.may_become(JobState::Running)
        {
            active.record.state = JobState::Running;
            if inner.began.0.receiver_count() > 0 {
                // Who listens may just have gone.
                let _ = inner.began.0.send(id.into());
            }
        }
    }

    /// Ids of the jobs that become RUNNING from now on; who reads too slowly misses some.
    pub fn began(&self) -> broadcast::Receiver<Arc<str>> {
        self.lock().began.0.subscribe()
    }

    pub fn progress(&self, progress: Progress) {
        if let Some(active) = self.lock().jobs.get_mut(&progress.job) {
            active.progress = Some(progress);
        }
    }

    /// The job's end is stored: wakes all that wait for it.
    pub fn end(&self, ended: Ended) {
        let waiters = {
            let mut inner = self.lock();
            inner.remove(&ended.record.id);
            inner.waiters.remove(&ended.record.id)
        };
        let ended = Arc::new(ended);
        for waiter in waiters.into_iter().flatten() {
            // A waiter that gave up is no concern of ours.
            let _ = waiter.send(Arc::clone(&ended));
        }
    }

    pub fn get(&self, id: &str) -> Option<JobRecord> {
        self.lock().jobs.get(id).map(|active| active.record.clone())
    }

    pub fn progress_of(&self, id: &str) -> Option<Progress> {
        self.lock().jobs.get(id).and_then(|active| active.progress.clone())
    }

    /// Newest first.
    pub fn in_state(&self, state: JobState, limit: usize) -> Vec<JobRecord> {
        let inner = self.lock();
        let found = inner.jobs.values().rev().map(|a| &a.record).filter(|r| r.state == state);
        found.take(limit).cloned().collect()
    }

    pub fn count(&self) -> usize {
        self.lock().jobs.len()
    }

    /// Told at the job's end; `None` when it is not active here (any more).
    pub fn wait(&self, id: &str) -> Option<oneshot::Receiver<Arc<Ended>>> {
        let mut inner = self.lock();
        if !inner.jobs.contains_key(id) {
            return None;
        }
        let waiters = inner.waiters.entry(id.into()).or_default();
        waiters.retain(|waiter| !waiter.is_closed());
        let (sender, receiver) = oneshot::channel();
        waiters.push(sender);
        Some(receiver)
    }
}
