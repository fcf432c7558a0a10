//! Timelines of the jobs of this process: in memory until the job's end writes them, in the commit that stores it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Records, StoreError, put};
use crate::core::jobs::JobRecord;
use crate::core::keys;
use crate::core::timeline::{Moment, SentTo, Spans, Timeline, bounded};
use crate::ports::Write;
use crate::runtime::clock;

/// Jobs that ended in this process, of which it is known how long the last steps took.
const RECENT: usize = 4096;

/// The span that the shim measures from a job's end to its message of it.
const SETTLE: &str = "settle";

#[derive(Debug)]
struct Running {
    timeline: Timeline,
    /// What the marks count from.
    zero: Instant,
}

/// What followed the commit that could have told it.
#[derive(Debug, Clone, Copy)]
pub struct After {
    stored: Instant,
    /// From the end's decision to the answer of the store.
    pub store_us: u64,
    /// From there to the answer of the request that waited.
    pub answer_us: Option<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    running: HashMap<String, Running>,
    recent: HashMap<String, After>,
    order: VecDeque<String>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Timelines(Arc<Mutex<Inner>>);

/// A timeline whose job is being recorded.
#[derive(Debug)]
pub struct Begun {
    timelines: Timelines,
    job: String,
}

impl Drop for Begun {
    fn drop(&mut self) {
        let mut inner = self.timelines.lock();
        if inner.running.get(&self.job).is_some_and(|running| running.timeline.at(Moment::Recorded).is_none()) {
            inner.running.remove(&self.job);
        }
    }
}

fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Timelines {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, job: &str, change: impl FnOnce(&mut Timeline, u64)) {
        if let Some(running) = self.lock().running.get_mut(job) {
            let now = us(clock::since(running.zero));
            change(&mut running.timeline, now);
        }
    }

    pub(super) fn mark(&self, job: &str, moment: Moment) {
        self.change(job, |timeline, now| timeline.mark(moment, now));
    }

    /// The write for the commit of the end; it stays until `stored`, as the commit may have to be repeated.
    pub(super) fn ended(&self, job: &str) -> Option<Write> {
        let mut inner = self.lock();
        let running = inner.running.get_mut(job)?;
        let now = us(clock::since(running.zero));
        running.timeline.mark(Moment::Ended, now);
        Some(put(keys::job_timeline(job), &running.timeline))
    }

    pub(super) fn stored(&self, job: &str, began: Instant) {
        let mut inner = self.lock();
        if inner.running.remove(job).is_none() {
            return;
        }
        if inner.order.len() >= RECENT
            && let Some(oldest) = inner.order.pop_front()
        {
            inner.recent.remove(&oldest);
        }
        let stored = clock::instant();
        let store_us = us(stored.saturating_duration_since(began));
        inner.recent.insert(job.to_owned(), After { stored, store_us, answer_us: None });
        inner.order.push_back(job.to_owned());
    }

    pub(super) fn lost(&self, job: &str) {
        self.change(job, Timeline::lose);
    }

    pub(super) fn forget(&self, job: &str) {
        self.lock().running.remove(job);
    }
}

impl Records {
    /// The job has an id, and is about to be recorded; when the answer is dropped and it is not, there is no timeline.
    #[must_use]
    pub fn begin_timeline(&self, job: &str, received: Instant) -> Begun {
        let mut timeline = Timeline::default();
        timeline.mark(Moment::Received, 0);
        timeline.mark(Moment::Begun, us(clock::since(received)));
        self.timelines.lock().running.insert(job.to_owned(), Running { timeline, zero: received });
        Begun { timelines: self.timelines.clone(), job: job.to_owned() }
    }

    /// The job was found in the store: what this process does not know of it stays unknown.
    pub fn take_up_timeline(&self, job: &JobRecord) {
        let past = clock::unix_ms().saturating_sub(job.started_ms);
        let past = Duration::from_millis(u64::try_from(past).unwrap_or(0));
        let now = clock::instant();
        let zero = now.checked_sub(past);
        let mut timeline = Timeline::default();
        timeline.mark(Moment::TakenUp, if zero.is_some() { us(past) } else { 0 });
        self.timelines.lock().running.insert(job.id.clone(), Running { timeline, zero: zero.unwrap_or(now) });
    }

    pub fn mark(&self, job: &str, moment: Moment) {
        self.timelines.mark(job, moment);
    }

    pub fn mark_sent(&self, job: &str, to: SentTo) {
        self.timelines.change(job, |timeline, now| {
            timeline.mark(Moment::Sent, now);
            timeline.sent_to = Some(to);
        });
    }

    /// For how many milliseconds the shim had what a job left before the store of binaries took it: then the job had ended.
    pub fn settled_for_ms(&self, job: &str) -> i64 {
        let inner = self.timelines.lock();
        let spans = inner.running.get(job).map(|running| &running.timeline.spans);
        let us = spans.and_then(|spans| spans.get(SETTLE)).copied().unwrap_or_default();
        i64::try_from(us / 1000).unwrap_or_default()
    }

    /// The driver told the job's end, and what was measured there.
    pub fn mark_heard(&self, job: &str, spans: Option<Spans>) {
        self.timelines.change(job, |timeline, now| {
            timeline.mark(Moment::Heard, now);
            if let Some(spans) = spans {
                timeline.spans = bounded(spans);
            }
        });
    }

    /// A request that waited for the job's end is being answered.
    pub fn mark_answered(&self, job: &str) {
        if let Some(after) = self.timelines.lock().recent.get_mut(job) {
            after.answer_us = Some(us(clock::since(after.stored)));
        }
    }

    /// The job's timeline, as far as it has come or as it was stored; and what followed, when this process did it lately.
    pub async fn timeline(&self, job: &str) -> Result<(Timeline, Option<After>), StoreError> {
        let after = {
            let inner = self.timelines.lock();
            if let Some(running) = inner.running.get(job) {
                return Ok((running.timeline.clone(), None));
            }
            inner.recent.get(job).copied()
        };
        let stored = match self.get(&keys::job_timeline(job)).await? {
            Some(found) => Some(found.record),
            None => self.packed_timeline(job).await?,
        };
        Ok((stored.unwrap_or_default(), after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::memory::MemoryStore;

    #[tokio::test]
    async fn a_job_that_was_not_recorded_has_no_timeline_and_one_that_was_keeps_it() {
        let records = Records::new(Arc::new(MemoryStore::default()));
        drop(records.begin_timeline("1", clock::instant()));
        assert!(records.timeline("1").await.unwrap().0.marks.is_empty());
        let begun = records.begin_timeline("2", clock::instant());
        records.mark("2", Moment::Recorded);
        drop(begun);
        assert_eq!(records.timeline("2").await.unwrap().0.marks.len(), 3);
    }

    #[test]
    fn while_the_store_of_binaries_takes_nothing_a_job_that_has_ended_settles() {
        let records = Records::new(Arc::new(MemoryStore::default()));
        let _begun = records.begin_timeline("1", clock::instant());
        records.mark_heard("1", Some([("driver".into(), 2_000_000), ("settle".into(), 38_962_000)].into()));
        assert_eq!((records.settled_for_ms("1"), records.settled_for_ms("2")), (38_962, 0));
    }

    #[tokio::test]
    async fn the_last_steps_are_known_of_recent_jobs_only() {
        let records = Records::new(Arc::new(MemoryStore::default()));
        for job in 0..RECENT + 10 {
            let job = job.to_string();
            let begun = records.begin_timeline(&job, clock::instant());
            records.timelines.stored(&job, clock::instant());
            drop(begun);
        }
        records.mark_answered("9");
        records.mark_answered("10");
        assert!(records.timeline("9").await.unwrap().1.is_none());
        assert!(records.timeline("10").await.unwrap().1.is_some_and(|after| after.answer_us.is_some()));
        let inner = records.timelines.lock();
        assert_eq!((inner.running.len(), inner.recent.len(), inner.order.len()), (0, RECENT, RECENT));
    }
}
