//! The driver's side of a context: attaching, giving it jobs, and what it says of them.

use ractor::ActorRef;
use tokio::sync::oneshot;

use super::state::{Held, State};
use super::{Assigned, AttachRefusal, Connection, ContextMessage, Phase, state};
use crate::api::driver::attach::{
    AckExited, Binary, Cancelled, Failed, Finished, FromShim, Hello, LogPart, ReadLog, Rejected, Run, ToShim, Welcome,
    close,
};
use crate::api::driver::{OfJob, PROTOCOL, Raw, Ready, Stop};
use crate::core::contexts::{Attachment, ContextState};
use crate::core::jobs::{Failure, JobRecord, Outcome};
use crate::core::timeline::{Moment, SentTo};
use crate::runtime::clock;

type Me = ActorRef<ContextMessage>;

/// The class of failures of jobs whose shim did not get their code.
const BINARY_UNAVAILABLE: &str = "BinaryUnavailable";

impl State {
    pub async fn attach(&mut self, me: &Me, hello: &Hello, connection: Connection) -> Result<(), AttachRefusal> {
        if hello.protocol != PROTOCOL {
            return Err(AttachRefusal::Malformed);
        }
        if self.ended {
            return Err(AttachRefusal::NoContext);
        }
        if hello.attempt != self.record.attempt {
            return Err(AttachRefusal::Superseded);
        }
        if state::secret_hash(&hello.secret) != self.record.secret_hash {
            return Err(AttachRefusal::WrongSecret);
        }
        let attachment = Attachment { attempt: hello.attempt, node: self.shared.config.node.name.clone() };
        let version = self.shared.records.attach(&self.record.id, &attachment).await.map_err(|error| {
            tracing::warn!(context = %self.record.name, %error, "cannot record the driver's attachment");
            AttachRefusal::NotNow
        })?;
        if let Some(older) = self.connection.replace(connection) {
            older.close(close::REPLACED);
        }
        if self.detached_since.take().is_some() {
            tracing::info!(context = %self.record.name, "the driver of a context is back");
        }
        let servers = self.shared.servers.borrow().clone();
        self.send(&ToShim::Welcome(Welcome { servers }));
        for id in self.jobs.keys() {
            self.shared.records.mark(id, Moment::Attached);
        }
        self.reconcile(me, hello).await;
        if self.record.state == ContextState::Running {
            self.ready_since.get_or_insert_with(clock::instant);
        }
        if let Some(ready) = &hello.ready {
            self.ready(ready.clone()).await;
        }
        if self.record.state == ContextState::Running {
            self.phase.send_replace(Phase::Ready { attachment: version, attempt: hello.attempt });
        }
        self.attachment = Some(version);
        if self.record.state == ContextState::Stopping {
            self.send_stop(false);
        }
        Ok(())
    }

    /// Brings what the driver holds and what is recorded together.
    async fn reconcile(&mut self, me: &Me, hello: &Hello) {
        for id in &hello.running {
            match self.jobs.get(id) {
                Some(held) if held.killed.is_none() => self.shared.active.running(id),
                _ => self.send(&ToShim::Cancel(OfJob { job: id.clone() })),
            }
        }
        let known = |id: &String| hello.running.contains(id) || hello.unacknowledged.contains(id);
        let is_missing = |held: &Held| held.waiting.is_none() && held.lost.is_none() && !known(&held.record.id);
        for held in self.jobs.values_mut().filter(|held| is_missing(held)) {
            if let Some(pursued) = &mut held.pursued {
                pursued.over = true;
            }
        }
        let missing = self.jobs.values().filter(|held| is_missing(held));
        let (killed, missing): (Vec<_>, Vec<_>) = missing.partition(|held| held.killed.is_some());
        let killed: Vec<String> = killed.into_iter().map(|held| held.record.id.clone()).collect();
        let missing: Vec<JobRecord> = missing.into_iter().filter(|h| !h.ending).map(|h| h.record.clone()).collect();
        for job in killed {
            let _ = me.cast(ContextMessage::Stored { job });
        }
        for record in missing {
            // Its assignment is stored, and the driver never got it: it has not run.
            match self.shared.records.job_config(&record.id).await {
                Ok(Some(config)) => {
                    let config = Raw::from(serde_json::value::RawValue::from_string(config).expect("stored as JSON"));
                    self.send_run(&record, config, binaries_of(&record));
                }
                other => {
                    let why = other.err().map_or_else(|| "its configuration is missing".into(), |e| e.to_string());
                    self.end_job(me, &record.id, Outcome::Failed(Failure::new("JobLost", why)), None);
                }
            }
        }
    }

    pub fn run(&mut self, me: &Me) {
        let Some(Assigned { record, config, binaries, permit }) = self.inbox.pop() else { return };
        let id = record.id.clone();
        self.idle_since = clock::instant();
        if self.phase_allows_jobs() {
            self.send_run(&record, config, binaries);
            self.jobs.insert(id, Held::new(record, Some(permit)));
        } else {
            let mut held = Held::new(record, Some(permit));
            if self.record.state == ContextState::Restarting {
                // It was meant for the attempt that is lost, and never sent there.
                held.waiting = Some(self.idle_since);
            }
            self.jobs.insert(id.clone(), held);
            if !matches!(self.record.state, ContextState::Running | ContextState::Restarting) {
                let failure = self.terminated();
                self.end_job(me, &id, Outcome::Failed(failure), None);
            }
            // Else the driver is detached: it gets the job when it attaches.
        }
    }

    pub fn phase_allows_jobs(&self) -> bool {
        self.connection.is_some() && self.record.state == ContextState::Running
    }

    pub fn send_run(&mut self, record: &JobRecord, config: Raw, binaries: Vec<Binary>) {
        let retry = u32::try_from(record.attempts.len()).unwrap_or(u32::MAX);
        let run = Run { job: record.id.clone(), class: record.class_path.clone(), config, binaries, retry };
        self.send(&ToShim::Run(run));
        let node = self.shared.config.node.name.clone();
        let pid = self.launched.as_ref().map(|launched| launched.pid);
        self.shared.records.mark_sent(&record.id, SentTo { attempt: record.attempt, node, pid });
    }

    /// To the attached driver; one that takes nothing any more is let go, and attaches anew.
    pub fn send(&mut self, message: &ToShim) {
        if let Some(connection) = &self.connection
            && !connection.send(message)
        {
            self.lost_connection();
        }
    }

    pub fn send_stop(&mut self, force: bool) {
        let grace = self.shared.config.contexts.stop_grace;
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.send(&ToShim::Stop(Stop { graceful: !force, grace_ms }));
    }

    pub async fn heard(&mut self, me: &Me, message: FromShim) {
        if let Some((job, retry)) = message.end_of()
            && self.is_of_before(job, retry).await
        {
            return;
        }
        match message {
            // Said once, at the beginning.
            FromShim::Hello(_) => {}
            FromShim::Ready(ready) => {
                self.ready(ready).await;
                if let (Some(attachment), ContextState::Running) = (self.attachment, self.record.state) {
                    self.phase.send_replace(Phase::Ready { attachment, attempt: self.record.attempt });
                    self.run_waiting(me).await;
                }
            }
            FromShim::Unable(unable) => self.unable = Some(unable.message),
            FromShim::Accepted(OfJob { job }) => {
                self.shared.records.mark(&job, Moment::Accepted);
                self.shared.active.running(&job);
            }
            FromShim::Progress(progress) => self.shared.active.progress(progress),
            FromShim::Finished(Finished { job, result, result_ref, log_ref, spans, .. }) => {
                self.shared.records.mark_heard(&job, spans);
                let outcome = match (result, result_ref) {
                    (_, Some(blob)) => Outcome::FinishedLarge(blob),
                    (Some(json), None) => Outcome::Finished(json.get().to_owned()),
                    (None, None) => Outcome::Finished("null".into()),
                };
                self.end_job(me, &job, outcome, log_ref);
            }
            FromShim::Rejected(Rejected { job, problems, log_ref, spans, .. }) => {
                self.shared.records.mark_heard(&job, spans);
                let failure = Failure::new("ValidationFailed", problems.join("\n"));
                self.end_job(me, &job, Outcome::Failed(failure), log_ref);
            }
            FromShim::Failed(Failed { job, error, log_ref, spans, .. }) => {
                self.shared.records.mark_heard(&job, spans);
                if error.class == BINARY_UNAVAILABLE {
                    tracing::error!(%job, context = %self.record.name, reason = %error.message, "a job's code cannot be had");
                }
                self.failed(me, job, error, log_ref).await;
            }
            FromShim::Cancelled(Cancelled { job, log_ref, .. }) => {
                let failure = self.terminated();
                self.end_job(me, &job, Outcome::Failed(failure), log_ref);
            }
            FromShim::Log(part) => {
                if let Some(reply) = self.logs.remove(&part.request) {
                    let _ = reply.send(part);
                }
            }
            FromShim::Exited(exited) => self.exited(me, exited).await,
        }
    }

    async fn ready(&mut self, ready: Ready) {
        if !matches!(self.record.state, ContextState::Started | ContextState::Restarting) {
            return;
        }
        let mut record = self.record.clone();
        record.state = ContextState::Running;
        record.initialized = true;
        record.application_id = ready.application_id;
        record.ui_url = ready.ui_url;
        match self.shared.records.update_context(&record).await {
            Ok(()) => {
                self.record = record;
                self.ready_since = Some(clock::instant());
                self.idle_since = clock::instant();
                self.created.send_replace(Some(Ok(())));
                tracing::info!(context = %self.record.name, id = %self.record.id, "context runs");
            }
            Err(error) => {
                tracing::error!(context = %self.record.name, %error, "cannot record that the context runs");
                self.kill_driver().await;
                self.end(error.failure()).await;
            }
        }
    }

    pub fn read_log(&mut self, job: String, offset: u64, max_bytes: u64, reply: oneshot::Sender<LogPart>) {
        // Those who gave up waiting.
        self.logs.retain(|_, waiting| !waiting.is_closed());
        self.next_request += 1;
        let request = self.next_request;
        self.logs.insert(request, reply);
        self.send(&ToShim::ReadLog(ReadLog { request, job, offset, max_bytes }));
    }

    pub fn acknowledge(&mut self, job: &str) {
        self.send(&ToShim::Ack(OfJob { job: job.into() }));
    }

    pub fn acknowledge_exit(&mut self) {
        self.send(&ToShim::AckExited(AckExited {}));
    }
}

pub fn binaries_of(record: &JobRecord) -> Vec<Binary> {
    let binary = |b: &crate::core::jobs::BinaryUse| Binary {
        name: b.name.clone(),
        kind: b.kind.name().into(),
        sha256: b.content.sha256.clone(),
        size_bytes: b.content.size_bytes,
    };
    record.binaries.iter().map(binary).collect()
}
