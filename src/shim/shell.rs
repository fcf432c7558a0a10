//! The loop: waits for servers, driver, transfers, signals and time, and runs the ledger's effects.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::announced::Announced;
use super::attachment::{self, Attachment};
use super::binaries::{Binaries, Wanted};
use super::courses::Courses;
use super::driver::Driver;
use super::job_files::JobFiles;
use super::ledger::{Effect, Ledger, Outcome, Settled, frame};
use super::memory;
use super::report::Report;
use super::settling;
use super::transfer::{Transfer, TransferError};
use crate::api::driver::attach::{Binary, Exited, FromShim, Hello, Run};
use crate::api::driver::line::{self, FromDriver, ToDriver};
use crate::api::driver::spec::{LAST_WORD_FILE, Spec};
use crate::api::driver::{self as protocol, Failure, OfJob, PROTOCOL, Stop, Unable};
use crate::runtime::clock;

/// How often the directory and the time without a server are looked at.
/// Between two looks whether the driver is ready.
const SETTLE: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_secs(5);
/// How often the logs of running jobs are measured.
const MEASURE_LOGS: Duration = Duration::from_millis(250);
/// While so much waits to be sent to the server, the driver is not listened to.
const BACKLOG_BYTES: usize = 8 << 20;
/// On SIGTERM, running jobs have so long.
const TERM_GRACE: Duration = Duration::from_secs(10);
/// After SIGTERM, a server has so long to acknowledge.
const TERM_PATIENCE: Duration = Duration::from_secs(30);
/// Longer than anybody waits, short enough to be added to any time.
const LONGEST_GRACE: Duration = Duration::from_secs(365 * 24 * 3600);
/// Beyond its grace, a driver has this long to close its session before it is signalled.
const CLOSE_WITHIN: Duration = Duration::from_secs(3);
/// How many of the driver's last lines a failed job shows.
const LINES_IN_MESSAGE: usize = 5;

/// What a task has done.
enum Done {
    Fetched { binary: Binary, result: Result<u64, TransferError> },
    Settled(Settled),
}

/// What of the directory is still of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    Nothing,
    /// A server that comes back asks why it ended, and for the logs of its jobs.
    LastWordAndLogs,
}

pub struct Shell {
    directory: PathBuf,
    spec: Spec,
    report: Report,
    ledger: Ledger,
    effects: Vec<Effect>,
    attachment: Attachment,
    announced: Announced,
    driver: Driver,
    files: JobFiles,
    binaries: Binaries,
    courses: Courses,
    transfer: Arc<Transfer>,
    /// Jobs that have left a log or a result here.
    with_files: HashSet<String>,
    tasks: JoinSet<Done>,
    tick_at: Instant,
    measure_at: Instant,
    /// When to look whether the start is over.
    settle_at: Option<Instant>,
    /// On the clock that counts sleep too.
    last_contact: Duration,
    heard_before: Option<Instant>,
    /// Nobody is to be told anything any more: only the driver's end is awaited.
    leaving: bool,
    /// No server was told of the jobs that it has.
    orphaned: bool,
    leave_at: Option<Instant>,
    /// When the grace of the newest stop is over.
    grace_over_at: Option<Instant>,
    stopped: bool,
    driver_gone: bool,
}

impl Shell {
    pub fn new(spec: Spec, directory: &Path) -> io::Result<Self> {
        let now = clock::instant();
        let mut shell = Self {
            directory: directory.to_owned(),
            report: Report::open(directory),
            ledger: Ledger::new(spec.max_jobs),
            effects: Vec::new(),
            attachment: Attachment::new(
                &spec.context,
                &spec.secret,
                spec.servers.clone(),
                spec.trust.clone().map(PathBuf::from),
            ),
            announced: Announced::new(directory),
            driver: Driver::none(),
            files: JobFiles::new(directory, spec.limits.job_log_bytes)?,
            binaries: Binaries::new(directory.join("binaries"), spec.limits.binary_cache_bytes),
            courses: Courses::default(),
            transfer: Arc::new(Transfer::new(&spec)),
            with_files: HashSet::new(),
            tasks: JoinSet::new(),
            tick_at: now,
            measure_at: now,
            settle_at: Some(now + SETTLE),
            last_contact: clock::boottime().unwrap_or_default(),
            heard_before: None,
            leaving: false,
            orphaned: false,
            leave_at: None,
            grace_over_at: None,
            stopped: false,
            driver_gone: false,
            spec,
        };
        shell.start();
        Ok(shell)
    }

    fn start(&mut self) {
        match Driver::start(&self.spec, &self.directory) {
            Ok(driver) => {
                self.driver = driver;
                let context = line::ContextName {
                    id: self.spec.context.clone(),
                    name: self.spec.context_name.clone(),
                    attempt: self.spec.attempt,
                };
                self.driver.send(&ToDriver::Start(line::Start {
                    protocol: PROTOCOL,
                    context,
                    kind: self.spec.kind.clone(),
                    settings: self.spec.settings.clone(),
                    max_jobs: self.spec.max_jobs,
                }));
                self.report.say("the driver is started");
            }
            Err(message) => {
                self.report.say(&message);
                self.ledger.became_unable(Unable { message }, &mut self.effects);
            }
        }
    }

    /// Until the driver has ended and all is told, or nobody can be told.
    pub async fn run(mut self) -> io::Result<Left> {
        let mut children = signal(SignalKind::child())?;
        let mut terminate = signal(SignalKind::terminate())?;
        self.reap().await;
        loop {
            self.due();
            self.run_effects();
            if self.has_left() {
                return Ok(if self.orphaned { Left::LastWordAndLogs } else { Left::Nothing });
            }
            let deadline = self.deadline();
            let listening = self.attachment.backlog_bytes() < BACKLOG_BYTES;
            tokio::select! {
                event = self.attachment.event() => self.attachment_event(event),
                lines = self.driver.lines(listening) => self.driver_lines(lines),
                Some(done) = self.tasks.join_next() => self.done(done.map_err(io::Error::other)?),
                _ = children.recv() => self.reap().await,
                _ = terminate.recv() => self.terminate(),
                () = tokio::time::sleep_until(deadline.into()) => {}
            }
        }
    }

    fn has_left(&self) -> bool {
        self.driver_gone && (self.leaving || self.leave_at.is_some_and(|at| clock::instant() >= at))
    }

    fn deadline(&self) -> Instant {
        let measure = self.ledger.is_active().then_some(self.measure_at);
        let leave = self.leave_at.filter(|_| self.driver_gone);
        let (attachment, driver) = (self.attachment.deadline(), self.driver.deadline());
        let others = [measure, leave, self.grace_over_at, self.settle_at, attachment, driver];
        others.into_iter().flatten().fold(self.tick_at, Instant::min)
    }

    fn due(&mut self) {
        let now = clock::instant();
        if self.attachment.is_about_to_connect(now)
            && let Some(announced) = self.announced.look()
        {
            self.report.say(&format!("servers are announced: {}", announced.servers.join(", ")));
            if let Some(trust) = announced.trust.map(PathBuf::from) {
                self.attachment.set_trust(trust.clone());
                self.transfer.set_trust(trust);
            }
            self.attachment.announced(announced.servers);
            self.transfer.set_servers(self.attachment.servers());
        }
        if let Some(event) = self.attachment.due(now) {
            self.attachment_event(event);
        }
        self.driver.due(now);
        if now >= self.measure_at && self.ledger.is_active() {
            for job in self.ledger.running() {
                self.files.bound_log(job);
            }
            self.measure_at = now + MEASURE_LOGS;
        }
        if self.grace_over_at.is_some_and(|at| now >= at) {
            self.grace_over_at = None;
            self.ledger.stop_now(&mut self.effects);
        }
        if self.settle_at.is_some_and(|at| now >= at) {
            self.settle_at = (!self.ledger.is_ready()).then_some(now + SETTLE);
            if self.settle_at.is_none() {
                memory::forget_the_start();
            }
        }
        if now >= self.tick_at {
            self.tick(now);
        }
    }

    fn tick(&mut self, now: Instant) {
        let orphan_timeout = Duration::from_millis(self.spec.limits.orphan_timeout_ms);
        self.tick_at = now + TICK.min(orphan_timeout / 4).max(Duration::from_millis(50));
        if !self.directory.exists() {
            return self.leave("the directory has gone");
        }
        let heard = self.attachment.heard_at();
        let contact = heard.is_some() && heard != self.heard_before;
        self.heard_before = heard;
        let boottime = clock::boottime().unwrap_or(self.last_contact);
        if contact {
            self.last_contact = boottime;
        } else if boottime.saturating_sub(self.last_contact) > orphan_timeout {
            self.orphaned |= !self.leaving;
            let why = format!("it ended itself, as no server was reached for {} s", orphan_timeout.as_secs());
            if let Err(error) = fs::write(self.directory.join(LAST_WORD_FILE), why + " (contexts.orphan-timeout)") {
                self.report.say(&format!("cannot leave a last word: {error}"));
            }
            self.leave("no server was reached within the orphan timeout");
        }
    }

    /// Ends the driver, and then the shim without another word.
    fn leave(&mut self, reason: &str) {
        if !self.leaving {
            self.report.say(&format!("leaving: {reason}"));
            self.leaving = true;
            self.stopped = true;
            self.attachment.end();
            self.driver.end_at(clock::instant());
        }
    }

    fn terminate(&mut self) {
        self.report.say("stopping: SIGTERM");
        let patience = clock::instant() + TERM_GRACE + TERM_PATIENCE;
        self.leave_at.get_or_insert(patience);
        let grace_ms = u64::try_from(TERM_GRACE.as_millis()).unwrap_or(u64::MAX);
        self.ledger.stop(Stop { graceful: true, grace_ms }, &mut self.effects);
    }

    fn attachment_event(&mut self, event: attachment::Event) {
        match event {
            attachment::Event::Open => self.hello(),
            attachment::Event::Messages(messages) => {
                for message in messages {
                    self.server_message(&message);
                }
            }
            attachment::Event::Lost(reason) => {
                self.ledger.detached();
                self.report.say(&format!("not attached: {reason}"));
            }
            attachment::Event::Refused(reason) => self.leave(&reason),
        }
    }

    fn hello(&mut self) {
        let (ready, running, unacknowledged) = self.ledger.hello();
        let hello = FromShim::Hello(Hello {
            protocol: PROTOCOL,
            context: self.spec.context.clone(),
            attempt: self.spec.attempt,
            secret: self.spec.secret.clone(),
            product: env!("CARGO_PKG_VERSION").into(),
            ready,
            running,
            unacknowledged,
        });
        self.attachment.send(frame(&hello));
    }

    fn server_message(&mut self, text: &Utf8Bytes) {
        match protocol::read(text) {
            Ok(Some(message)) => self.ledger.server_says(message, &mut self.effects),
            Ok(None) => {}
            Err(error) => self.detach(&format!("a message of the server cannot be read: {error}")),
        }
    }

    fn detach(&mut self, reason: &str) {
        self.report.say(&format!("detached: {reason}"));
        self.ledger.detached();
        self.attachment.cut(clock::instant());
    }

    fn driver_lines(&mut self, lines: io::Result<Option<Bytes>>) {
        match lines {
            Ok(Some(lines)) => self.read_lines(&lines),
            Ok(None) => self.driver.close(clock::instant()),
            Err(error) => self.driver_misbehaves(&error.to_string()),
        }
    }

    fn read_lines(&mut self, lines: &[u8]) {
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let message = std::str::from_utf8(line).map_err(|error| error.to_string());
            let message = message.and_then(|line| protocol::read(line).map_err(|error| error.to_string()));
            match message {
                Ok(Some(message)) => self.driver_message(message),
                Ok(None) => {}
                Err(error) => return self.driver_misbehaves(&format!("a line of the driver cannot be read: {error}")),
            }
        }
    }

    fn driver_message(&mut self, mut message: FromDriver) {
        if let Some((job, spans)) = message.take_spans() {
            self.courses.measured(job, spans);
        }
        if let FromDriver::Bye(_) | FromDriver::Unable(_) = message {
            self.driver.announced_its_end(clock::instant());
        }
        self.ledger.driver_says(message, &mut self.effects);
    }

    /// A message that cannot be read may be the end of a job that would be awaited for ever.
    fn driver_misbehaves(&mut self, reason: &str) {
        self.report.say(&format!("ending the driver: {reason}"));
        let now = clock::instant();
        self.driver.misbehaved(reason);
        self.driver.close(now);
        self.driver.end_at(now);
    }

    async fn reap(&mut self) {
        if !self.driver.reap(clock::instant()) {
            return;
        }
        let rest = self.driver.rest();
        self.read_lines(&rest);
        let exited = self.driver.exited().await;
        let reason = how_it_ended(&exited, self.stopped);
        self.report.say(&reason);
        self.ledger.driver_gone(exited, &reason, &mut self.effects);
        self.driver_gone = true;
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Fetched { binary, result: Ok(size) } => {
                for job in self.binaries.arrived(&binary, size) {
                    self.ledger.fetched(&job, &mut self.effects);
                }
            }
            Done::Fetched { binary, result: Err(error) } => {
                let message = format!("The binary {} ({}) cannot be fetched: {error}.", binary.name, binary.sha256);
                self.report.say(&message);
                for job in self.binaries.unobtainable(&binary) {
                    let error = Failure::new("BinaryUnavailable", message.clone());
                    self.ledger.not_fetched(&job, error, &mut self.effects);
                }
            }
            Done::Settled(settled) => self.settled(settled),
        }
    }

    /// Effects may have effects, so until none is left.
    fn run_effects(&mut self) {
        while !self.effects.is_empty() {
            for effect in std::mem::take(&mut self.effects) {
                self.run_effect(effect);
            }
        }
    }

    fn run_effect(&mut self, effect: Effect) {
        match effect {
            Effect::Fetch { job, binaries } => self.fetch(&job, &binaries),
            Effect::Start(run) => self.start_job(*run),
            Effect::Cancel(job) => self.driver.send(&ToDriver::Cancel(OfJob { job })),
            Effect::StopDriver(stop) => self.stop_driver(stop),
            Effect::StopLater(stop) => {
                self.stopped = true;
                self.end_within(clock::instant() + grace(&stop));
            }
            Effect::Settle { job, outcome } => self.settle(job, outcome),
            Effect::Send(text) => self.attachment.send(text),
            Effect::ReadLog { request, held } => {
                self.attachment.send(frame(&FromShim::Log(self.files.read(&request, held))));
            }
            Effect::Servers(servers) => {
                self.attachment.welcomed(&servers, clock::instant());
                self.transfer.set_servers(self.attachment.servers());
            }
            Effect::Forget(job) => {
                if self.with_files.remove(&job) {
                    self.files.forget(&job);
                }
            }
            Effect::Detach(reason) => self.detach(reason),
            Effect::Leave => self.leave("the driver's end is acknowledged"),
        }
    }

    fn fetch(&mut self, job: &str, binaries: &[Binary]) {
        self.courses.fetching(job, clock::instant());
        match self.binaries.wanted(job, binaries) {
            Ok(Wanted::Here) => self.ledger.fetched(job, &mut self.effects),
            Ok(Wanted::Waits(fetch)) => {
                for binary in fetch {
                    let Some(path) = self.binaries.path(&binary) else { continue };
                    let transfer = Arc::clone(&self.transfer);
                    self.tasks.spawn(async move {
                        let result = transfer.fetch(&binary, &path).await;
                        Done::Fetched { binary, result }
                    });
                }
            }
            Err(message) => {
                let error = Failure::new("BinaryUnavailable", message);
                self.ledger.not_fetched(job, error, &mut self.effects);
            }
        }
    }

    fn start_job(&mut self, run: Run) {
        self.courses.given_to_driver(&run.job, clock::instant());
        let local = |binary: Binary| line::LocalBinary {
            path: self.binaries.path(&binary).map(|path| path.display().to_string()).unwrap_or_default(),
            name: binary.name,
            kind: binary.kind,
            sha256: binary.sha256,
        };
        let run = line::Run {
            binaries: run.binaries.into_iter().map(local).collect(),
            log: self.files.log(&run.job).display().to_string(),
            result_file: self.files.result(&run.job).display().to_string(),
            inline_result_bytes: self.spec.limits.inline_result_bytes,
            job: run.job,
            class: run.class,
            config: run.config,
        };
        self.driver.send(&ToDriver::Run(run));
    }

    fn stop_driver(&mut self, stop: Stop) {
        self.stopped = true;
        let now = clock::instant();
        if stop.graceful {
            // A part of it may be over, if jobs were being fetched.
            let until = (now + grace(&stop)).min(self.grace_over_at.unwrap_or(now + LONGEST_GRACE));
            self.end_within(until);
            let grace_ms = u64::try_from(until.saturating_duration_since(now).as_millis()).unwrap_or(u64::MAX);
            self.driver.send(&ToDriver::Stop(Stop { grace_ms, ..stop }));
        } else {
            self.driver.end_at(now);
        }
    }

    /// Jobs have until then.
    fn end_within(&mut self, until: Instant) {
        self.grace_over_at = Some(self.grace_over_at.map_or(until, |before| before.min(until)));
        self.driver.end_at(until + CLOSE_WITHIN);
    }

    /// Most jobs have neither a log nor a large result: then one look at the log is all that this costs.
    fn settle(&mut self, job: String, outcome: Outcome) {
        for unused in self.binaries.released(&job) {
            let _ = fs::remove_file(unused);
        }
        self.courses.settling(&job, clock::instant());
        let ended = settling::look(&self.files, &self.spec.limits, job, outcome);
        self.with_files.extend(ended.with_files().map(str::to_owned));
        if ended.needs_no_upload() {
            return self.settled(ended.without_upload());
        }
        let transfer = Arc::clone(&self.transfer);
        self.tasks.spawn(async move { Done::Settled(ended.upload(&transfer).await) });
    }

    fn settled(&mut self, mut settled: Settled) {
        settled.spans = self.courses.settled(&settled.job, clock::instant());
        self.ledger.settled(settled, &mut self.effects);
    }
}

fn grace(stop: &Stop) -> Duration {
    Duration::from_millis(stop.grace_ms).min(LONGEST_GRACE)
}

fn how_it_ended(exited: &Exited, stopped: bool) -> String {
    let mut text = match (exited.status, exited.signal) {
        (Some(status), _) => format!("The driver ended with status {status}"),
        (_, Some(signal)) => format!("The driver was killed by signal {signal}"),
        _ => "The driver did not start".into(),
    };
    if stopped {
        text += " after the context was stopped";
    }
    let skip = exited.last_lines.len().saturating_sub(LINES_IN_MESSAGE);
    let lines = exited.last_lines[skip..].join("\n");
    if lines.is_empty() { text + "." } else { format!("{text}; its last lines:\n{lines}") }
}
