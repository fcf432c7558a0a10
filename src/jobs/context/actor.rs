//! The actor of one context: takes messages in order, and hands each to the file that knows.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio_util::task::TaskTracker;

use super::state::{ContextSetup, Held, State};
use super::{ContextMessage, Phase, expiry};
use crate::api::driver::spec::{Limits, Spec};
use crate::core::contexts::{ContextState, Process};
use crate::core::jobs::{Failure, JobState};
use crate::jobs::kinds::Kind;
use crate::ports::Launched;
use crate::runtime::clock;

/// A tick that comes so late says that the process stood still.
const FROZEN: Duration = Duration::from_secs(5);

pub struct ContextActor;

impl Actor for ContextActor {
    type Msg = ContextMessage;
    type State = State;
    type Arguments = ContextSetup;

    async fn pre_start(&self, _: ActorRef<Self::Msg>, setup: Self::Arguments) -> Result<State, ActorProcessingErr> {
        Ok(begin(setup))
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ContextMessage::Launch { kind, secret } => state.launch(&myself, &kind, &secret).await,
            ContextMessage::Attach { hello, connection, reply } => {
                let answer = state.attach(&myself, &hello, connection).await;
                let _ = reply.send(answer);
            }
            ContextMessage::FromDriver { connection, message, permit } => {
                if state.connection.as_ref().is_some_and(|c| c.id == connection) {
                    state.heard(&myself, *message).await;
                }
                drop(permit);
            }
            ContextMessage::Detached { connection, planned } => {
                if state.connection.as_ref().is_some_and(|c| c.id == connection) {
                    if planned { state.disconnected() } else { state.lost_connection() }
                }
            }
            ContextMessage::Run => state.run(&myself),
            ContextMessage::Dispatch => state.dispatch(&myself).await,
            ContextMessage::Stored { job } => state.stored(&myself, &job).await,
            ContextMessage::Kill { job, reply } => state.kill(&myself, &job, reply).await,
            ContextMessage::KillStored { job } => state.kill_stored(&myself, &job).await,
            ContextMessage::Stop { force, reply } => {
                state.stop_waiters.extend(reply);
                state.stop(&myself, force).await;
            }
            ContextMessage::ReadLog { job, offset, max_bytes, reply } => state.read_log(job, offset, max_bytes, reply),
            ContextMessage::Tick => {
                state.dispatch_paused = false;
                state.tick(&myself).await;
            }
        }
        state.ask_dispatch(&myself);
        if state.ended {
            // Only now that the driver is told too: who waits may be about to end this process.
            for waiter in state.stop_waiters.drain(..) {
                let _ = waiter.send(Ok(()));
            }
            myself.stop(None);
        }
        Ok(())
    }
}

fn begin(setup: ContextSetup) -> State {
    let record = setup.record;
    let process = record.process.clone();
    let now = clock::instant();
    let (mut jobs, mut leftovers) = (HashMap::new(), BTreeSet::new());
    for job in setup.jobs {
        let permit = Arc::clone(&setup.slots).try_acquire_owned().ok();
        let id = job.id.clone();
        let mut held = Held::new(job, permit);
        if held.record.state == JobState::Restarting {
            held.waiting = Some(now);
        } else if held.record.attempt > 0 && held.record.attempt < record.attempt {
            // A server knew that its driver was lost, and ended before it had decided about the job.
            let unknown = || Failure::new("DriverLost", "the driver that had the job is lost");
            held.lost = Some(record.lost.clone().unwrap_or_else(unknown));
            leftovers.insert(held.record.attempt);
        }
        jobs.insert(id, held);
    }
    let unlaunched = setup.found && record.state == ContextState::Restarting && record.process.is_none();
    State {
        shared: setup.shared,
        launched: process.map(|p| Launched { pid: p.pid, start_ticks: p.start_ticks, directory: p.directory }),
        connection: None,
        attachment: None,
        jobs,
        storing: TaskTracker::new(),
        logs: HashMap::new(),
        next_request: 0,
        phase: setup.phase,
        created: setup.created,
        stop_waiters: Vec::new(),
        stop_pursued: false,
        unable: None,
        unstored_end: None,
        began: now,
        relaunch_at: unlaunched.then_some(now),
        unstored_loss: None,
        leftovers,
        leaving: Vec::new(),
        ready_since: None,
        idle_since: now,
        first: now,
        age_at_first: expiry::age(&record),
        ticked: now,
        slots: setup.slots,
        secret_hash: setup.secret_hash,
        detached_since: (setup.found && !unlaunched).then_some(now),
        launching: !setup.found,
        queue: setup.queue,
        inbox: setup.inbox,
        dispatch_asked: false,
        dispatch_paused: false,
        kill_at: (record.state == ContextState::Stopping).then_some(now),
        ended: false,
        record,
    }
}

impl State {
    pub async fn launch(&mut self, me: &ActorRef<ContextMessage>, kind: &Kind, secret: &str) {
        self.launching = false;
        let spec = self.spec(kind, secret);
        match self.shared.launcher.launch(&spec).await {
            Ok(launched) => {
                self.record.process = Some(Process::from(launched.clone()));
                self.launched = Some(launched);
                // So that a server that starts after a crash finds the driver.
                if let Err(error) = self.shared.records.update_context(&self.record).await {
                    self.kill_driver().await;
                    self.lost(me, error.failure()).await;
                }
            }
            Err(error) => self.lost(me, Failure::new(error.class, error.to_string())).await,
        }
    }

    fn spec(&self, kind: &Kind, secret: &str) -> Spec {
        let config = &self.shared.config;
        let ms = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        Spec {
            context: self.record.id.clone(),
            context_name: self.record.name.clone(),
            attempt: self.record.attempt,
            secret: secret.into(),
            servers: self.shared.servers.borrow().clone(),
            trust: config.tls.trusted_by_drivers(),
            kind: kind.name.clone(),
            executable: kind.driver.executable.clone(),
            arguments: kind.driver.arguments.clone(),
            environment: kind.driver.environment.clone(),
            python_package: kind.is_python(),
            settings: serde_json::value::RawValue::from_string(self.record.settings.clone())
                .expect("settings are stored as JSON"),
            max_jobs: self.record.max_jobs,
            limits: Limits {
                inline_result_bytes: config.jobs.inline_result_bytes,
                max_result_bytes: config.jobs.max_result_bytes,
                job_log_bytes: config.jobs.log_bytes,
                driver_log_bytes: kind.driver.log_bytes.unwrap_or(config.jobs.log_bytes),
                binary_cache_bytes: config.store.driver_cache_bytes,
                orphan_timeout_ms: ms(config.contexts.orphan_timeout),
            },
        }
    }

    /// Looks after what no message tells: drivers that never come, that died unseen, or that do not stop.
    async fn tick(&mut self, me: &ActorRef<ContextMessage>) {
        self.bear_with_drivers_after_a_freeze();
        if self.launching {
            return;
        }
        if self.record.state == ContextState::Stopping {
            // Found in the store: it was stopped before the server was.
            self.end_queued(&self.terminated());
        }
        if let Some(failure) = self.unstored_end.take() {
            self.end(failure).await;
            return;
        }
        if let Some(failure) = self.unstored_loss.take() {
            self.lost(me, failure).await;
            return;
        }
        self.settle_lost(me).await;
        self.expire(me).await;
        if let Some(at) = self.relaunch_at {
            if clock::instant() >= at {
                self.relaunch(me).await;
            }
            return;
        }
        let creation_timeout = self.shared.config.contexts.creation_timeout;
        let starting = matches!(self.record.state, ContextState::Started | ContextState::Restarting);
        if starting && clock::since(self.began) > creation_timeout {
            self.give_up_starting(me, creation_timeout).await;
            return;
        }
        self.run_waiting(me).await;
        self.watch(me).await;
        if self.ended || self.relaunch_at.is_some() {
            return;
        }
        if self.kill_at.is_some_and(|at| clock::instant() >= at) {
            self.kill_driver().await;
            self.end(Failure::default()).await;
        }
    }

    /// While this process was frozen no driver could attach: that time does not count against them.
    fn bear_with_drivers_after_a_freeze(&mut self) {
        let frozen = clock::since(self.ticked);
        self.ticked = clock::instant();
        if frozen > FROZEN
            && let Some(since) = &mut self.detached_since
        {
            *since += frozen;
        }
    }

    /// Whether nothing is left of it.
    pub async fn kill_driver(&mut self) -> bool {
        self.connection = None;
        let Some(launched) = &self.launched else { return true };
        self.leftovers.insert(self.record.attempt);
        let gone = self.shared.launcher.kill(launched).await;
        if gone {
            self.launched = None;
        }
        gone
    }

    pub fn lost_connection(&mut self) {
        tracing::warn!(context = %self.record.name, "the driver's connection is lost");
        self.disconnected();
    }

    fn disconnected(&mut self) {
        self.connection = None;
        self.logs.clear();
        self.detached_since = Some(clock::instant());
        if matches!(*self.phase.borrow(), Phase::Ready { .. }) {
            self.phase.send_replace(Phase::Detached);
        }
    }
}
