//! A driver that was lost: another attempt of its context, or the end, and what becomes of its jobs.

use std::time::Instant;

use ractor::ActorRef;

use super::state::{Left, State, secret_hash};
use super::{ContextMessage, Phase};
use crate::api::driver::Raw;
use crate::core::binaries::BlobRef;
use crate::core::contexts::ContextState;
use crate::core::jobs::{Failure, Outcome};
use crate::core::supervision::{self, AfterLoss, Fence, Loss, Sight};
use crate::jobs::kinds;
use crate::jobs::records::StoreError;
use crate::ports::Launched;
use crate::runtime::{clock, random};

type Me = ActorRef<ContextMessage>;

/// The class of failures that the driver's end caused.
const DRIVER_EXITED: &str = "DriverExited";

impl State {
    /// Whether the driver is still to be waited for; ends the attempt when it is not.
    pub async fn watch(&mut self, me: &Me) {
        let attached = self.connection.is_some();
        // Who is attached lives; to ask for each at each tick would cost more than all else that a server at rest does.
        let shim_alive = attached || self.launched.as_ref().is_some_and(|l| self.shared.launcher.alive(l));
        let away_for = self.detached_since.map(clock::since);
        let sight = Sight { attached, shim_alive, away_for };
        let relaunch = self.record.life.relaunch;
        let Fence::Kill { surely } = supervision::fence(sight, relaunch, self.shared.config.contexts.fence_wait) else {
            return;
        };
        let gone_shim = self.launched.clone().filter(|_| !shim_alive);
        // Also when its shim is gone: for what that may have left behind.
        let gone = self.kill_driver().await;
        // What took its time in here was no freeze.
        self.ticked = clock::instant();
        if !gone && !surely {
            return;
        }
        let failure = match self.unable.take() {
            Some(message) => Failure::new("ContextInitError", message),
            None if !shim_alive => Failure::new("DriverLost", self.how_it_ended(gone_shim).await),
            None if relaunch == supervision::Relaunch::AtOnce => {
                Failure::new("DriverLost", "the driver did not come back, and its context is to be relaunched at once")
            }
            None => Failure::new("DriverLost", "the driver did not come back within contexts.fence-wait"),
        };
        self.lost(me, failure).await;
    }

    async fn how_it_ended(&self, shim: Option<Launched>) -> String {
        let how = match &shim {
            Some(shim) => self.shared.launcher.how_it_ended(shim).await,
            None => None,
        };
        match how {
            Some(how) => format!("the driver's process is gone: {how}"),
            None => "the driver's process is gone, and nobody saw how it ended".into(),
        }
    }

    /// The attempt is over: nothing of it runs any more, or whatever does can write nothing here.
    pub async fn lost(&mut self, me: &Me, failure: Failure) {
        // What the driver said of ends is stored before it may forget them.
        self.storing.close();
        self.storing.wait().await;
        self.storing.reopen();
        self.salvage(self.record.attempt).await;
        let runs_again =
            |held: &super::state::Held| !held.ending && held.record.retry.after_loss(&held.record.attempts).is_some();
        let loss = Loss {
            state: self.record.state,
            restarts: self.record.restarts,
            ran_for: self.ready_since.map(clock::since).unwrap_or_default(),
            healthy_after: self.shared.config.contexts.healthy_after,
            wanted: !self.record.ad_hoc || self.jobs.values().any(|held| held.waiting.is_some() || runs_again(held)),
        };
        match supervision::after_loss(loss, &self.record.life) {
            AfterLoss::End => self.end(failure).await,
            AfterLoss::GiveUp { restarts } => {
                let message = format!("{} (given up after {restarts} restarts, max-restarts)", failure.message);
                self.end(Failure::new(&failure.class, message)).await;
            }
            AfterLoss::Relaunch { after, restarts } => {
                self.restart(me, failure, clock::instant() + after, restarts).await;
                self.settle_lost(me).await;
            }
        }
    }

    async fn restart(&mut self, me: &Me, failure: Failure, at: Instant, restarts: u32) {
        let mut record = self.record.clone();
        record.state = ContextState::Restarting;
        record.attempt += 1;
        // Nobody knows a secret of this hash.
        record.secret_hash = String::new();
        record.process = None;
        record.application_id = None;
        record.ui_url = None;
        record.restarts = restarts;
        record.lost = Some(failure.clone());
        let stored = self.shared.records.restart_context(&record).await;
        if let Err(StoreError::Conflict(_)) = stored {
            // Somebody deleted its record by hand.
            return self.end(failure).await;
        }
        if let Err(error) = stored {
            tracing::error!(context = %record.name, %error, "cannot store that the driver is lost; trying again");
            self.unstored_loss = Some(failure);
            return;
        }
        tracing::warn!(context = %record.name, id = %record.id, attempt = record.attempt, reason = %failure.message, "driver lost; context restarts");
        let attempt = std::mem::replace(&mut self.record, record).attempt;
        self.secret_hash.send_replace(String::new());
        // The shim has what is there of its jobs' logs, until these are settled.
        self.leaving.extend(self.connection.take().map(|shim| (attempt, shim)));
        self.attachment = None;
        self.launched = None;
        self.unable = None;
        self.detached_since = None;
        self.ready_since = None;
        self.logs.clear();
        self.relaunch_at = Some(at);
        self.phase.send_replace(Phase::Detached);
        let killed = self.jobs.values().filter(|held| held.killed.is_some()).map(|held| held.record.id.clone());
        for id in killed.collect::<Vec<_>>() {
            // Its processes are gone with its driver.
            match self.jobs.get(&id).and_then(super::state::Held::left_log) {
                Some(log) => self.end_killed(me, &id, Some(log)),
                None => self.release(&id),
            }
        }
        for pursued in self.jobs.values_mut().filter_map(|held| held.pursued.as_mut()) {
            pursued.over = true;
        }
        for held in self.jobs.values_mut().filter(|held| !held.ending && held.waiting.is_none()) {
            held.lost.get_or_insert_with(|| failure.clone());
        }
    }

    /// Launches the next attempt, with a secret of its own.
    pub async fn relaunch(&mut self, me: &Me) {
        let kind = match kinds::resolve(&self.shared.config, &self.record.kind) {
            Ok(kind) => kind,
            Err(error) => {
                self.relaunch_at = None;
                return self.end(Failure::new("UnknownContextFactory", error.to_string())).await;
            }
        };
        let secret = random::secret();
        let mut record = self.record.clone();
        if !record.secret_hash.is_empty() {
            // A server was about to launch this attempt when it ended; who knows what it did.
            record.attempt += 1;
        }
        record.secret_hash = secret_hash(&secret);
        let stored = self.shared.records.relaunch_context(&record).await;
        if let Err(StoreError::Conflict(_)) = stored {
            // Somebody deleted its record by hand.
            self.relaunch_at = None;
            return self.end(self.record.lost.clone().unwrap_or_default()).await;
        }
        if let Err(error) = stored {
            tracing::error!(context = %record.name, %error, "cannot store the next attempt; trying again");
            return;
        }
        tracing::info!(context = %record.name, id = %record.id, attempt = record.attempt, "context is launched again");
        self.record = record;
        self.secret_hash.send_replace(self.record.secret_hash.clone());
        self.relaunch_at = None;
        self.began = clock::instant();
        self.launch(me, &kind, &secret).await;
    }

    /// The driver says that a job has failed, which need not be the job's end.
    pub async fn failed(&mut self, me: &Me, job: String, error: Failure, log: Option<BlobRef>) {
        let lost = error.class == DRIVER_EXITED;
        let supervised = self.record.life.supervise && self.record.state == ContextState::Running;
        if let Some(held) = self.jobs.get_mut(&job).filter(|held| !held.ending && held.killed.is_none()) {
            let (retry, before) = (&held.record.retry, &held.record.attempts);
            if lost && supervised && retry.after_loss(before).is_some() {
                // `exited` follows, and tells whether there will be a driver to run it again.
                held.lost = Some(error.with_stack());
                held.left = log.map(|log| Left::of(&self.shared.records, log));
                return;
            }
            let again = retry.after_failure(before).filter(|_| !lost && self.record.state == ContextState::Running);
            if let Some(after) = again
                && self.retry(me, &job, &error.message, log.clone(), clock::instant() + after).await
            {
                return self.acknowledge(&job);
            }
        }
        let stopping = self.record.state == ContextState::Stopping;
        let failure = if stopping && lost { self.terminated() } else { error.with_stack() };
        self.end_job(me, &job, Outcome::Failed(failure), log);
    }

    /// Whether the driver repeats the end of a try that another has followed, not having heard that it is acknowledged.
    pub async fn is_of_before(&mut self, job: &str, retry: u32) -> bool {
        let Some(held) = self.jobs.get(job).filter(|held| held.retry() > retry) else { return false };
        let (record, given) = (held.record.clone(), held.waiting.is_none() && !held.ending);
        self.acknowledge(job);
        // As long as the driver held the old try, it ignored the new one.
        if given && let Ok(Some(config)) = self.shared.records.job_config(job).await {
            let config = Raw::from(serde_json::value::RawValue::from_string(config).expect("stored as JSON"));
            self.send_run(&record, config, super::driver::binaries_of(&record));
        }
        true
    }

    /// Jobs that were lost with the driver of an earlier attempt: each ends, or is to run again. What the store does not take now is tried
    /// again.
    pub async fn settle_lost(&mut self, me: &Me) {
        // Of this attempt it is not known yet whether another follows.
        let lost = self.jobs.values().filter(|held| !held.ending && held.record.attempt < self.record.attempt);
        let lost: Vec<_> = lost.filter_map(|held| Some((held.record.id.clone(), held.lost.clone()?))).collect();
        if !lost.is_empty() {
            // Found in the store, of a server that ended before it had looked.
            self.salvage(self.record.attempt - 1).await;
        }
        for (id, failure) in lost {
            let Some(held) = self.jobs.get(&id) else { continue };
            let log = held.left_log();
            match held.record.retry.after_loss(&held.record.attempts) {
                None => self.end_job(me, &id, Outcome::Failed(failure), log),
                Some(after) => {
                    self.retry(me, &id, &failure.message, log, clock::instant() + after).await;
                }
            }
        }
        self.let_go().await;
    }

    /// Records that the job is to run again. It keeps its place. False when the store did not take it.
    async fn retry(&mut self, me: &Me, job: &str, why: &str, log: Option<BlobRef>, not_before: Instant) -> bool {
        let Some(held) = self.jobs.get_mut(job) else { return true };
        let _hold = self.shared.records.hold(log.iter().map(|log| log.sha256.as_str()));
        let record = held.record.lost(&self.shared.config.node.name, why, log.clone(), clock::unix_ms());
        match self.shared.records.retry(&record).await {
            Ok(()) => {
                self.shared.active.insert(record.clone());
                held.record = record;
                held.lost = None;
                held.left = None;
                held.waiting = Some(not_before);
                true
            }
            Err(StoreError::Conflict(_)) => {
                self.has_ended(me, job, log);
                true
            }
            Err(error) => {
                tracing::error!(%job, %error, "cannot store that the job is to run again");
                false
            }
        }
    }

    /// The store says that the job has ended: those who wait for it hear of the end that is stored.
    fn has_ended(&mut self, me: &Me, job: &str, log: Option<BlobRef>) {
        let failure = Failure::new("JobLost", "its record is gone");
        self.end_job(me, job, Outcome::Failed(failure), log);
    }

    /// Gives jobs whose time has come to the attached driver.
    pub async fn run_waiting(&mut self, me: &Me) {
        let now = clock::instant();
        let due = |held: &&super::state::Held| !held.ending && held.waiting.is_some_and(|at| at <= now);
        let due: Vec<String> = self.jobs.values().filter(due).map(|held| held.record.id.clone()).collect();
        for id in due {
            let (Some(attachment), true) = (self.attachment, self.phase_allows_jobs()) else { return };
            let Some(held) = self.jobs.get_mut(&id) else { continue };
            let config = match self.shared.records.job_config(&id).await {
                Ok(Some(config)) => config,
                Ok(None) => {
                    let failure = Failure::new("JobLost", "its configuration is missing");
                    self.end_job(me, &id, Outcome::Failed(failure), None);
                    continue;
                }
                Err(_) => return,
            };
            let record = held.record.again(self.record.attempt, clock::unix_ms());
            match self.shared.records.reassign(&record, attachment).await {
                Ok(()) => {}
                Err(StoreError::Conflict(1)) => {
                    self.has_ended(me, &id, None);
                    continue;
                }
                // The driver attaches anew at this moment, or the store is away.
                Err(_) => return,
            }
            held.record = record.clone();
            held.waiting = None;
            self.shared.active.insert(record.clone());
            let config = Raw::from(serde_json::value::RawValue::from_string(config).expect("stored as JSON"));
            self.send_run(&record, config, super::driver::binaries_of(&record));
        }
    }
}
