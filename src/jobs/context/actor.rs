//! The actor of one context: takes messages in order, and hands each to the file that knows.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio_util::task::TaskTracker;

use super::state::{ContextSetup, Held, State};
use super::{ContextMessage, Phase};
use crate::api::driver::spec::{Limits, Spec};
use crate::core::contexts::{ContextState, Process};
use crate::core::jobs::Failure;
use crate::jobs::kinds::Kind;
use crate::ports::Launched;
use crate::runtime::clock;

/// How often a context looks after what no message tells.
const TICK: Duration = Duration::from_millis(500);

pub struct ContextActor;

impl Actor for ContextActor {
    type Msg = ContextMessage;
    type State = State;
    type Arguments = ContextSetup;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        setup: Self::Arguments,
    ) -> Result<State, ActorProcessingErr> {
        myself.send_interval(TICK, || ContextMessage::Tick);
        Ok(begin(setup))
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ContextMessage::Launch { kind, secret } => state.launch(&kind, &secret).await,
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
            ContextMessage::Detached { connection } => {
                if state.connection.as_ref().is_some_and(|c| c.id == connection) {
                    state.lost_connection();
                }
            }
            ContextMessage::Run(assigned) => state.run(&myself, *assigned),
            ContextMessage::Stored { job } => state.stored(&job).await,
            ContextMessage::Kill { job, reply } => state.kill(&job, reply).await,
            ContextMessage::Stop { force, reply } => {
                state.stop_waiters.extend(reply);
                state.stop(force).await;
            }
            ContextMessage::ReadLog { job, offset, max_bytes, reply } => state.read_log(job, offset, max_bytes, reply),
            ContextMessage::Tick => state.tick().await,
        }
        if state.ended {
            // Only now that the driver is told too: who waits may be about to end this process.
            for waiter in state.stop_waiters.drain(..) {
                let _ = waiter.send(());
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
    let mut jobs = HashMap::new();
    for job in setup.jobs {
        let permit = Arc::clone(&setup.slots).try_acquire_owned().ok();
        jobs.insert(job.id.clone(), Held { record: job, permit, ending: false, killed: None });
    }
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
        unable: None,
        unstored_end: None,
        began: now,
        detached_since: setup.found.then_some(now),
        launching: !setup.found,
        kill_at: (record.state == ContextState::Stopping).then_some(now),
        ended: false,
        record,
    }
}

impl State {
    async fn launch(&mut self, kind: &Kind, secret: &str) {
        self.launching = false;
        let spec = self.spec(kind, secret);
        match self.shared.launcher.launch(&spec).await {
            Ok(launched) => {
                self.record.process = Some(Process {
                    pid: launched.pid,
                    start_ticks: launched.start_ticks,
                    directory: launched.directory.clone(),
                });
                self.launched = Some(launched);
                // So that a server that starts after a crash finds the driver.
                if let Err(error) = self.shared.records.update_context(&self.record).await {
                    self.end(Failure::new("StoreUnavailable", error.to_string())).await;
                }
            }
            Err(error) => self.end(Failure::new("LaunchFailed", error.to_string())).await,
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
            trust: config.tls.trusted_by_drivers().map(|file| file.to_string_lossy().into_owned()),
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
    async fn tick(&mut self) {
        if self.launching {
            return;
        }
        if let Some(failure) = self.unstored_end.take() {
            self.end(failure).await;
            return;
        }
        let contexts = &self.shared.config.contexts;
        let alive = self.launched.as_ref().is_some_and(|l| self.shared.launcher.alive(l));
        if self.connection.is_none() && !alive {
            let failure = match self.unable.take() {
                Some(message) => Failure::new("ContextInitError", message),
                None => Failure::new("DriverLost", "the driver's process is gone, and nobody saw how it ended"),
            };
            // For what it may have left behind.
            self.kill_driver().await;
            self.end(failure).await;
            return;
        }
        if self.record.state == ContextState::Started && clock::since(self.began) > contexts.creation_timeout {
            let message = format!(
                "the driver was not ready within {} (contexts.creation-timeout)",
                crate::config::duration::text(contexts.creation_timeout)
            );
            self.kill_driver().await;
            self.end(Failure::new("CreationTimeout", message)).await;
            return;
        }
        if self.detached_since.is_some_and(|since| clock::since(since) > contexts.fence_wait) {
            self.kill_driver().await;
            self.end(Failure::new("DriverLost", "the driver did not come back within contexts.fence-wait")).await;
            return;
        }
        if self.kill_at.is_some_and(|at| clock::instant() >= at) {
            self.kill_driver().await;
            self.end(Failure::default()).await;
        }
    }

    async fn kill_driver(&mut self) {
        self.connection = None;
        if let Some(launched) = self.launched.take() {
            self.shared.launcher.kill(&launched).await;
        }
    }

    pub fn lost_connection(&mut self) {
        tracing::warn!(context = %self.record.name, "the driver's connection is lost");
        self.connection = None;
        self.logs.clear();
        self.detached_since = Some(clock::instant());
        if matches!(*self.phase.borrow(), Phase::Ready { .. }) {
            self.phase.send_replace(Phase::Detached);
        }
    }
}
