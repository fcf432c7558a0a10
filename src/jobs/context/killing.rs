//! Kills: stored first, then the driver is told.

use ractor::ActorRef;
use tokio::sync::oneshot;

use super::ending::{announce, end_surely};
use super::state::{Held, Pursued, State};
use super::{ContextMessage, KillAnswer};
use crate::api::driver::OfJob;
use crate::api::driver::attach::ToShim;
use crate::core::jobs::{Failure, JobRecord, JobState, Outcome};
use crate::jobs::StoreError;
use crate::runtime::clock;

type Me = ActorRef<ContextMessage>;

impl State {
    pub async fn kill(&mut self, me: &Me, job: &str, reply: oneshot::Sender<KillAnswer>) {
        let waiting = self.shared.active.get(job).filter(|record| self.queue.remove(record));
        if let Some(record) = &waiting {
            let held = Held { waiting: Some(clock::instant()), ..Held::new(record.clone(), None) };
            self.jobs.insert(job.into(), held);
        }
        let answer = self.try_to_kill(me, job).await;
        if let (KillAnswer::Unavailable(_), Some(record)) = (&answer, waiting) {
            self.jobs.remove(job);
            self.queue.push(&record);
        }
        // Who asked may be gone.
        let _ = reply.send(answer);
    }

    async fn try_to_kill(&mut self, me: &Me, job: &str) -> KillAnswer {
        match self.jobs.get(job) {
            Some(held) if held.pursued.is_some() => {
                return KillAnswer::Unknown("whether an earlier kill was stored is not known yet".into());
            }
            Some(held) if !held.ending => {}
            _ => return KillAnswer::TooLate,
        }
        if self.jobs.get(job).is_some_and(|held| held.lost.is_some()) {
            let before = self.record.attempt.saturating_sub(1);
            self.salvage(before).await;
        }
        let Some(held) = self.jobs.get_mut(job) else { return KillAnswer::TooLate };
        let failure = Failure::new("JobKilled", format!("Job {job} killed"));
        let (record, _) = held.record.ended(Outcome::Killed(failure), held.left_log(), clock::unix_ms());
        match self.shared.records.end(&record, None).await {
            Ok(ended) => {
                let was_killed = ended.record.state == JobState::Killed;
                let gone = self.cancel(me, job).await;
                announce(&self.shared, ended);
                if was_killed { KillAnswer::Killed { gone } } else { KillAnswer::TooLate }
            }
            Err(StoreError::Unknown(why)) => {
                held.ending = true;
                held.pursued = Some(Pursued::default());
                self.pursue(me, record);
                KillAnswer::Unknown(why)
            }
            Err(error) => KillAnswer::Unavailable(error.to_string()),
        }
    }

    /// The job's end is stored: its driver is told, and what it says of it is awaited. The receiver hears when that has come.
    async fn cancel(&mut self, me: &Me, job: &str) -> oneshot::Receiver<()> {
        let (sender, gone) = oneshot::channel();
        let Some(held) = self.jobs.get_mut(job) else { return gone };
        held.ending = true;
        held.killed = Some(sender);
        if held.waiting.is_none() && held.lost.is_none() {
            self.send(&ToShim::Cancel(OfJob { job: job.into() }));
        } else {
            self.stored(me, job).await;
        }
        gone
    }

    /// Who asked for the kill heard that it may be stored: it is, from now on or once the store is back, unless the job has
    /// ended before.
    fn pursue(&self, me: &Me, record: JobRecord) {
        let (me, shared) = (me.clone(), self.shared.clone());
        self.storing.spawn(async move {
            let ended = end_surely(&shared, &record, None).await;
            announce(&shared, ended);
            // The actor is gone when the context has ended meanwhile, and its driver with it.
            let _ = me.cast(ContextMessage::KillStored { job: record.id });
        });
    }

    pub async fn kill_stored(&mut self, me: &Me, job: &str) {
        let Some(held) = self.jobs.get_mut(job) else { return };
        match held.pursued.take() {
            Some(Pursued { over: true }) => {
                let log = held.left_log();
                self.end_killed(me, job, log);
            }
            Some(Pursued { over: false }) => drop(self.cancel(me, job).await),
            None => {}
        }
    }
}
