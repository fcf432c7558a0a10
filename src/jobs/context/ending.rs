//! Ends: of jobs, one by one, and of the context.

use std::time::Duration;

use futures::StreamExt;
use ractor::ActorRef;
use tokio::sync::OwnedSemaphorePermit;

use super::state::{Held, Left, Shared, State};
use super::{Assigned, ContextMessage, Phase};
use crate::api::driver::attach::Exited;
use crate::core::binaries::BlobRef;
use crate::core::contexts::ContextState;
use crate::core::jobs::{Failure, JobRecord, Outcome};
use crate::core::retention;
use crate::jobs::active::Ended;
use crate::jobs::{Records, StoreError};
use crate::runtime::clock;

type Me = ActorRef<ContextMessage>;

/// Beyond its grace, a driver that was told to stop has this long before it is killed.
const STOP_SLACK: Duration = Duration::from_secs(15);
/// Between two tries to store an end while the store is away.
const STORE_AGAIN: Duration = Duration::from_millis(500);
/// Ends of queued jobs that are stored at once: what one transaction of the store takes.
const ENDS_AT_ONCE: usize = 256;

impl State {
    /// Stores a job's end, however long the store is away, and comes back with `Stored`. The first end counts.
    pub fn end_job(&mut self, me: &Me, job: &str, outcome: Outcome, log: Option<BlobRef>) {
        let Some(held) = self.jobs.get_mut(job) else {
            // Stored before; the driver did not hear it. A server that ended after a kill has not heard of the log.
            self.end_killed(me, job, log);
            return;
        };
        if held.killed.is_some() {
            self.end_killed(me, job, log);
            return;
        }
        if let Some(pursued) = &mut held.pursued {
            pursued.over = true;
            held.left = log.map(|log| Left::of(&self.shared.records, log)).or(held.left.take());
            return;
        }
        if std::mem::replace(&mut held.ending, true) {
            return;
        }
        // Its driver is done with it: another job may run, and whoever hears of this end finds the place free.
        let place = held.permit.take();
        let ended_ms = clock::unix_ms().saturating_sub(self.shared.records.settled_for_ms(job));
        let (record, inline_result) = held.record.ended(outcome, log, ended_ms);
        let (me, shared) = (me.clone(), self.shared.clone());
        let held = shared.records.hold(retention::contents(&record));
        self.pass_on(place);
        self.storing.spawn(async move {
            let _held = held;
            let ended = end_surely(&shared, &record, inline_result.as_deref()).await;
            if ended.record.log.is_none() {
                add_log(&shared.records, &record.id, record.log).await;
            }
            announce(&shared, ended);
            // The actor is gone when the context ended meanwhile; then nobody waits for an acknowledgement.
            let _ = me.cast(ContextMessage::Stored { job: record.id });
        });
    }

    /// The job's end is stored, but perhaps not its log, which the driver has only now given away.
    pub fn end_killed(&self, me: &Me, job: &str, log: Option<BlobRef>) {
        let (me, records, job) = (me.clone(), self.shared.records.clone(), job.to_owned());
        let held = records.hold(log.iter().map(|log| log.sha256.as_str()));
        self.storing.spawn(async move {
            let _held = held;
            add_log(&records, &job, log).await;
            let _ = me.cast(ContextMessage::Stored { job });
        });
    }

    pub async fn stored(&mut self, me: &Me, job: &str) {
        self.release(job);
        self.let_go().await;
        self.idle_since = clock::instant();
        if self.record.ad_hoc {
            self.stop(me, false).await;
        }
    }

    /// The driver is done with the job, and its end is stored: its place is free.
    pub fn release(&mut self, job: &str) {
        if let Some(held) = self.jobs.remove(job) {
            self.pass_on(held.permit);
            if let Some(gone) = held.killed {
                let _ = gone.send(());
            }
        }
        self.acknowledge(job);
    }

    /// A job may have none: the server before gave it this place, and ended before the end of the one that had it was stored.
    pub fn pass_on(&mut self, place: Option<OwnedSemaphorePermit>) {
        let lacks = |held: &&mut Held| held.permit.is_none() && !held.ending;
        if place.is_some()
            && let Some(held) = self.jobs.values_mut().find(lacks)
        {
            held.permit = place;
        }
    }

    /// What a job hears whose context goes away; the words are the reference's.
    pub fn terminated(&self) -> Failure {
        let message = format!("Context ({}) for this job was terminated", self.record.name);
        Failure { message, class: String::new(), stack: String::new() }
    }

    pub async fn stop(&mut self, me: &Me, force: bool) {
        if self.ended {
            self.stop_waiters.clear();
            return;
        }
        if self.unstored_end.is_some() {
            // It is over, and this waits for that to be stored.
            return;
        }
        if self.record.state != ContextState::Stopping {
            let mut record = self.record.clone();
            record.state = ContextState::Stopping;
            let stored = self.shared.records.update_context(&record).await;
            if let Err(StoreError::Conflict(_)) = stored {
                tracing::error!(context = %record.name, id = %record.id, "somebody deleted the record of a live context; it is stopped all the same");
            } else if let Err(error) = stored {
                tracing::error!(context = %record.name, %error, "cannot record that the context stops");
                for waiter in self.stop_waiters.drain(..) {
                    let _ = waiter.send(Err(error.failure()));
                }
                // Else its record might say for ever that it stops, while it goes on.
                self.stop_pursued |= matches!(error, StoreError::Unknown(_));
                if self.stop_pursued {
                    self.stop_again(me, force);
                }
                return;
            }
            self.stop_pursued = false;
            self.record = record;
        }
        self.relaunch_at = None;
        self.phase.send_replace(Phase::Stopping);
        self.end_queued(&self.terminated());
        let grace = if force { Duration::ZERO } else { self.shared.config.contexts.stop_grace };
        // Who is not attached does not hear of it, and cannot end in order.
        let slack = if self.connection.is_some() { STOP_SLACK } else { Duration::ZERO };
        let kill_at = clock::instant() + grace + slack;
        self.kill_at = Some(self.kill_at.map_or(kill_at, |before| before.min(kill_at)));
        self.send_stop(force);
    }

    /// Once the store answers.
    fn stop_again(&self, me: &Me, force: bool) {
        let (me, records) = (me.clone(), self.shared.records.clone());
        tokio::spawn(async move {
            tokio::time::sleep(STORE_AGAIN).await;
            while records.barrier().await.is_err() {
                tokio::time::sleep(STORE_AGAIN).await;
            }
            // The actor is gone when the context has ended meanwhile.
            let _ = me.cast(ContextMessage::Stop { force, reply: None });
        });
    }

    /// The shim says how its driver ended.
    pub async fn exited(&mut self, me: &Me, exited: Exited) {
        let failure = match self.unable.take() {
            Some(message) => Failure::new("ContextInitError", message),
            None => Failure::new("DriverExited", describe(&exited)),
        };
        self.lost(me, failure).await;
    }

    /// The context is over: its jobs end with it, its name is free. `failure` does not count when it was being stopped.
    pub async fn end(&mut self, failure: Failure) {
        let stopping = self.record.state == ContextState::Stopping && self.unable.is_none();
        let job_failure = if stopping { self.terminated() } else { failure.clone() };
        self.end_all_jobs(job_failure).await;
        let mut record = self.record.clone();
        record.state = if stopping { ContextState::Finished } else { ContextState::Error };
        record.failure = (!stopping).then(|| failure.clone());
        record.ended_ms = Some(clock::unix_ms());
        record.application_id = None;
        record.ui_url = None;
        let records = &self.shared.records;
        let stored = match records.update_context(&record).await {
            Err(StoreError::Conflict(_)) => records.end_context_again(&record).await,
            stored => stored,
        };
        if let Err(error) = stored {
            tracing::error!(context = %record.name, %error, "cannot store the context's end; trying again");
            if self.created.borrow().is_none() {
                // Whoever waits for it need not wait for the store as well.
                self.created.send_replace(Some(Err(error.failure())));
            }
            self.unstored_end = Some(failure);
            return;
        }
        tracing::info!(context = %record.name, id = %record.id, state = record.state.name(), reason = %failure.message, "context ended");
        self.record = record;
        self.ended = true;
        // The shim waits for it, if it is still there.
        self.acknowledge_exit();
        self.let_go().await;
        self.shared.registry.remove(&self.record);
        self.relaunch_at = None;
        self.phase.send_replace(Phase::Ended);
        if self.created.borrow().is_none() {
            let why =
                if stopping { Failure::new("ContextStopped", "it was stopped while it started") } else { failure };
            self.created.send_replace(Some(Err(why)));
        }
    }

    async fn end_all_jobs(&mut self, failure: Failure) {
        self.end_queued(&failure);
        self.salvage(self.record.attempt).await;
        for Assigned { record, permit, .. } in self.inbox.close() {
            self.jobs.insert(record.id.clone(), Held::new(record, Some(permit)));
        }
        let mut late = Vec::new();
        for (id, held) in std::mem::take(&mut self.jobs) {
            let log = held.left_log();
            if held.pursued.is_some() {
                // Its kill is being stored; then it gets what it left.
                late.push((id, log, held));
                continue;
            }
            if let Some(gone) = held.killed {
                add_log(&self.shared.records, &id, log).await;
                let _ = gone.send(());
                continue;
            }
            if held.ending {
                // Its own end is being stored; see below.
                continue;
            }
            let failure = held.lost.unwrap_or_else(|| failure.clone());
            let (record, _) = held.record.ended(Outcome::Failed(failure), log, clock::unix_ms());
            announce(&self.shared, end_surely(&self.shared, &record, None).await);
        }
        // An ended context has no running jobs, whoever looks; and the shim may not forget an end before it is stored.
        self.storing.close();
        self.storing.wait().await;
        for (id, log, _held) in late {
            add_log(&self.shared.records, &id, log).await;
        }
    }
}

/// Gives a killed job its log, if there is one.
async fn add_log(records: &Records, job: &str, log: Option<BlobRef>) {
    if let Some(log) = log
        && let Err(error) = records.add_log(job, log).await
    {
        tracing::warn!(%job, %error, "the log of a killed job is lost");
    }
}

/// Ends jobs that no driver was given, however long the store is away.
pub async fn end_unrun(shared: &Shared, jobs: Vec<JobRecord>, failure: &Failure) {
    let end = |job: JobRecord| async move {
        let (record, _) = job.ended(Outcome::Failed(failure.clone()), None, clock::unix_ms());
        announce(shared, end_surely(shared, &record, None).await);
    };
    futures::stream::iter(jobs).map(end).buffer_unordered(ENDS_AT_ONCE).collect::<()>().await;
}

/// Stores a job's end, however long the store is away. Answers the end that counts.
pub async fn end_surely(shared: &Shared, record: &JobRecord, inline_result: Option<&str>) -> Ended {
    loop {
        match shared.records.end(record, inline_result).await {
            Ok(ended) => return ended,
            Err(error) => tracing::error!(job = %record.id, %error, "cannot store the job's end; trying again"),
        }
        tokio::time::sleep(STORE_AGAIN).await;
    }
}

/// Tells all who wait for the job's end, which is stored.
pub fn announce(shared: &Shared, ended: Ended) {
    shared.callbacks.job_ended(&ended.record);
    shared.active.end(ended);
}

fn describe(exited: &Exited) -> String {
    let how = match (exited.status, exited.signal) {
        (_, Some(signal)) => format!("the driver was killed by signal {signal}"),
        (Some(status), None) => format!("the driver exited with status {status}"),
        (None, None) => "the driver is gone".into(),
    };
    with_last_lines(how, &exited.last_lines)
}

pub fn with_last_lines(how: String, lines: &[String]) -> String {
    if lines.is_empty() { how } else { format!("{how}; its last lines:\n{}", lines.join("\n")) }
}
