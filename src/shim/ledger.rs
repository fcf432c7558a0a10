//! Which jobs the shim holds, and what has to be said about them. Pure: events in, effects out.
//!
//! A job is fetched (its binaries), run, settled (its result and log taken to the BinaryStore), and then its terminal
//! message waits, repeated in each attachment, until a server has acknowledged it.

use std::collections::BTreeMap;

use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::api::driver::attach::{self, Binary, BlobRef, Exited, FromShim, ReadLog, Run, ToShim};
use crate::api::driver::line::FromDriver;
use crate::api::driver::{Failure, OfJob, Raw, Ready, Spans, Stop, Unable};

/// More jobs than this are not held: a server that sends so many without acknowledging is cut off.
const MAX_HELD: usize = 50_000;

/// The class of failures that the driver's end caused.
const DRIVER_EXITED: &str = "DriverExited";

/// How a job ended.
#[derive(Debug)]
pub enum Outcome {
    Finished(Option<Raw>),
    /// The result is in the file that `run` named.
    FinishedInFile,
    Rejected(Vec<String>),
    Failed(Failure),
    Cancelled,
}

/// The end of a job, with everything that its terminal message refers to durable.
#[derive(Debug)]
pub struct Settled {
    pub job: String,
    pub outcome: Outcome,
    pub result_ref: Option<BlobRef>,
    pub log_ref: Option<BlobRef>,
    pub spans: Option<Spans>,
}

/// What the shell does for the ledger.
#[derive(Debug)]
pub enum Effect {
    /// Get the job's binaries, then tell `fetched` or `not_fetched`.
    Fetch {
        job: String,
        binaries: Vec<Binary>,
    },
    /// Give the job to the driver.
    Start(Box<Run>),
    Cancel(String),
    StopDriver(Stop),
    /// The driver is to stop in this time, and hears of it later: jobs that it is to run are still being fetched.
    StopLater(Stop),
    /// Upload what has to be uploaded of the ended job, then tell `settled`.
    Settle {
        job: String,
        outcome: Outcome,
    },
    /// To the attached server.
    Send(Utf8Bytes),
    ReadLog {
        request: ReadLog,
        held: bool,
    },
    Servers(Vec<String>),
    /// Remove the job's files.
    Forget(String),
    /// Cut the connection and attach anew.
    Detach(&'static str),
    /// All is told; leave.
    Leave,
}

#[derive(Debug)]
enum Stage {
    Fetching(Box<Run>),
    Running { accepted: bool, cancelled: bool },
    Settling,
    Ended(Utf8Bytes),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Driver {
    Starting,
    Ready,
    Stopping,
    Gone,
}

#[derive(Debug)]
pub struct Ledger {
    jobs: BTreeMap<String, Stage>,
    /// Of those that were tried before: how often.
    retries: BTreeMap<String, u32>,
    /// How many of them are fetched or run.
    active: usize,
    max_jobs: usize,
    driver: Driver,
    /// A stop that waits for jobs that are being fetched.
    stop: Option<Stop>,
    ready: Option<Ready>,
    unable: Option<Unable>,
    exited: Option<Exited>,
    attached: bool,
    /// Whether the attached server knows.
    ready_told: bool,
    exited_told: bool,
}

impl Ledger {
    pub fn new(max_jobs: u32) -> Self {
        Self {
            jobs: BTreeMap::new(),
            retries: BTreeMap::new(),
            active: 0,
            max_jobs: max_jobs as usize,
            driver: Driver::Starting,
            stop: None,
            ready: None,
            unable: None,
            exited: None,
            attached: false,
            ready_told: false,
            exited_told: false,
        }
    }

    /// What `hello` says: the driver's readiness, the running jobs, those that wait for an acknowledgement.
    pub fn hello(&mut self) -> (Option<Ready>, Vec<String>, Vec<String>) {
        self.attached = false;
        self.ready_told = self.ready.is_some();
        self.exited_told = false;
        let (mut running, mut unacknowledged) = (Vec::new(), Vec::new());
        for (job, stage) in &self.jobs {
            let list = if is_active(stage) { &mut running } else { &mut unacknowledged };
            list.push(job.clone());
        }
        (self.ready.clone(), running, unacknowledged)
    }

    pub fn detached(&mut self) {
        self.attached = false;
    }

    /// Jobs that are in the driver.
    pub fn is_ready(&self) -> bool {
        self.ready.is_some()
    }

    pub fn running(&self) -> impl Iterator<Item = &str> {
        self.jobs.iter().filter(|(_, stage)| matches!(stage, Stage::Running { .. })).map(|(job, _)| job.as_str())
    }

    /// Whether any job is being fetched or runs.
    pub fn is_active(&self) -> bool {
        self.active > 0
    }

    pub fn server_says(&mut self, message: ToShim, effects: &mut Vec<Effect>) {
        match message {
            ToShim::Welcome(welcome) => self.welcome(welcome.servers, effects),
            ToShim::Run(run) => self.run(run, effects),
            ToShim::Cancel(OfJob { job }) => self.cancel(job, effects),
            ToShim::Stop(stop) => self.stop(stop, effects),
            ToShim::Ack(OfJob { job }) => self.acknowledged(job, effects),
            ToShim::ReadLog(request) => {
                let held = self.jobs.contains_key(&request.job);
                effects.push(Effect::ReadLog { request, held });
            }
            ToShim::AckExited(_) if self.exited.is_some() => effects.push(Effect::Leave),
            ToShim::AckExited(_) => {}
        }
    }

    pub fn driver_says(&mut self, message: FromDriver, effects: &mut Vec<Effect>) {
        match message {
            FromDriver::Ready(ready) => self.became_ready(ready, effects),
            FromDriver::Unable(unable) => self.became_unable(unable, effects),
            FromDriver::Accepted(OfJob { job }) => self.accepted(job, effects),
            FromDriver::Progress(progress) => {
                if matches!(self.jobs.get(&progress.job), Some(Stage::Running { .. })) {
                    self.send(&FromShim::Progress(progress), effects);
                }
            }
            FromDriver::Finished(finished) => {
                let outcome = match (finished.result, finished.result_file) {
                    (None, Some(_)) => Outcome::FinishedInFile,
                    (result, _) => Outcome::Finished(result),
                };
                self.ended(finished.job, outcome, effects);
            }
            FromDriver::Rejected(rejected) => self.ended(rejected.job, Outcome::Rejected(rejected.problems), effects),
            FromDriver::Failed(failed) => self.ended(failed.job, Outcome::Failed(failed.error), effects),
            FromDriver::Cancelled(OfJob { job }) => self.ended(job, Outcome::Cancelled, effects),
            FromDriver::Bye(_) => {
                if self.driver != Driver::Gone {
                    self.driver = Driver::Stopping;
                }
            }
        }
    }

    pub fn became_unable(&mut self, unable: Unable, effects: &mut Vec<Effect>) {
        self.send(&FromShim::Unable(unable.clone()), effects);
        self.unable = Some(unable);
        self.driver = Driver::Stopping;
    }

    pub fn stop(&mut self, stop: Stop, effects: &mut Vec<Effect>) {
        if self.driver == Driver::Gone {
            return;
        }
        self.driver = Driver::Stopping;
        if stop.graceful && stop.grace_ms > 0 && self.is_fetching() {
            effects.push(Effect::StopLater(stop.clone()));
            self.stop = Some(stop);
            return;
        }
        self.stop = None;
        for job in self.jobs_where(|stage| matches!(stage, Stage::Fetching(_))) {
            let error = driver_exited("The context was stopped before the job began.");
            self.ended(job, Outcome::Failed(error), effects);
        }
        effects.push(Effect::StopDriver(stop));
    }

    /// The time of a stop is over: jobs that are still being fetched do not begin any more.
    pub fn stop_now(&mut self, effects: &mut Vec<Effect>) {
        if let Some(stop) = self.stop.take() {
            self.stop(Stop { grace_ms: 0, ..stop }, effects);
        }
    }

    fn is_fetching(&self) -> bool {
        self.jobs.values().any(|stage| matches!(stage, Stage::Fetching(_)))
    }

    /// After a job is no longer fetched.
    fn stop_if_fetched(&mut self, effects: &mut Vec<Effect>) {
        if !self.is_fetching()
            && let Some(stop) = self.stop.take()
        {
            effects.push(Effect::StopDriver(stop));
        }
    }

    pub fn fetched(&mut self, job: &str, effects: &mut Vec<Effect>) {
        let Some(stage) = self.jobs.get_mut(job) else { return };
        match std::mem::replace(stage, Stage::Running { accepted: false, cancelled: false }) {
            Stage::Fetching(run) => effects.push(Effect::Start(run)),
            other => *stage = other,
        }
        self.stop_if_fetched(effects);
    }

    pub fn not_fetched(&mut self, job: &str, error: Failure, effects: &mut Vec<Effect>) {
        if matches!(self.jobs.get(job), Some(Stage::Fetching(_))) {
            self.ended(job.to_owned(), Outcome::Failed(error), effects);
            self.stop_if_fetched(effects);
        }
    }

    pub fn settled(&mut self, settled: Settled, effects: &mut Vec<Effect>) {
        let Settled { job, outcome, result_ref, log_ref, spans } = settled;
        let of = job.clone();
        let retry = self.retries.get(&job).copied().unwrap_or(0);
        let message = match outcome {
            Outcome::Finished(result) => {
                FromShim::Finished(attach::Finished { job: of, result, result_ref, log_ref, retry, spans })
            }
            Outcome::FinishedInFile => {
                FromShim::Finished(attach::Finished { job: of, result: None, result_ref, log_ref, retry, spans })
            }
            Outcome::Rejected(problems) => {
                FromShim::Rejected(attach::Rejected { job: of, problems, log_ref, retry, spans })
            }
            Outcome::Failed(error) => FromShim::Failed(attach::Failed { job: of, error, log_ref, retry, spans }),
            Outcome::Cancelled => FromShim::Cancelled(attach::Cancelled { job: of, log_ref, retry }),
        };
        let frame = frame(&message);
        if self.attached {
            effects.push(Effect::Send(frame.clone()));
        }
        self.jobs.insert(job, Stage::Ended(frame));
        self.tell_exited(effects);
    }

    /// The driver and all below it are gone; what still ran in it has failed with `reason`.
    pub fn driver_gone(&mut self, exited: Exited, reason: &str, effects: &mut Vec<Effect>) {
        self.driver = Driver::Gone;
        self.stop = None;
        self.exited = Some(exited);
        for job in self.jobs_where(is_active) {
            self.ended(job, Outcome::Failed(driver_exited(reason)), effects);
        }
        self.tell_exited(effects);
    }

    fn welcome(&mut self, servers: Vec<String>, effects: &mut Vec<Effect>) {
        effects.push(Effect::Servers(servers));
        if std::mem::replace(&mut self.attached, true) {
            return;
        }
        if let (false, Some(ready)) = (self.ready_told, self.ready.clone()) {
            self.send(&FromShim::Ready(ready), effects);
        }
        if let Some(unable) = self.unable.clone() {
            self.send(&FromShim::Unable(unable), effects);
        }
        for (job, stage) in &self.jobs {
            match stage {
                Stage::Running { accepted: true, .. } => {
                    effects.push(Effect::Send(frame(&FromShim::Accepted(OfJob { job: job.clone() }))));
                }
                Stage::Ended(frame) => effects.push(Effect::Send(frame.clone())),
                _ => {}
            }
        }
        self.tell_exited(effects);
    }

    fn run(&mut self, run: Run, effects: &mut Vec<Effect>) {
        if self.jobs.contains_key(&run.job) {
            return;
        }
        if self.jobs.len() >= MAX_HELD {
            return effects.push(Effect::Detach("the server sends jobs without acknowledging their ends"));
        }
        if !is_job_id(&run.job) {
            return effects.push(Effect::Detach("the server sent a job id that cannot be a file's name"));
        }
        let job = run.job.clone();
        if run.retry > 0 {
            self.retries.insert(job.clone(), run.retry);
        }
        self.active += 1;
        let refusal = match self.driver {
            Driver::Starting => Some("The context is not ready for jobs yet."),
            Driver::Stopping => Some("The context is stopping."),
            Driver::Gone => Some("The driver has ended."),
            Driver::Ready if self.active > self.max_jobs => Some("The context already runs as many jobs as it may."),
            Driver::Ready => None,
        };
        if let Some(message) = refusal {
            self.jobs.insert(job.clone(), Stage::Fetching(Box::new(run)));
            self.ended(job, Outcome::Failed(Failure::new("NotAccepting", message)), effects);
        } else if run.binaries.is_empty() {
            self.jobs.insert(job, Stage::Running { accepted: false, cancelled: false });
            effects.push(Effect::Start(Box::new(run)));
        } else {
            effects.push(Effect::Fetch { job: job.clone(), binaries: run.binaries.clone() });
            self.jobs.insert(job, Stage::Fetching(Box::new(run)));
        }
    }

    fn cancel(&mut self, job: String, effects: &mut Vec<Effect>) {
        match self.jobs.get_mut(&job) {
            Some(Stage::Fetching(_)) => {
                self.ended(job, Outcome::Cancelled, effects);
                self.stop_if_fetched(effects);
            }
            Some(Stage::Running { cancelled, .. }) if !*cancelled => {
                *cancelled = true;
                effects.push(Effect::Cancel(job));
            }
            _ => {}
        }
    }

    fn acknowledged(&mut self, job: String, effects: &mut Vec<Effect>) {
        if matches!(self.jobs.get(&job), Some(Stage::Ended(_))) {
            self.jobs.remove(&job);
            self.retries.remove(&job);
            effects.push(Effect::Forget(job));
        }
    }

    fn became_ready(&mut self, ready: Ready, effects: &mut Vec<Effect>) {
        if self.driver == Driver::Starting {
            self.driver = Driver::Ready;
        }
        self.ready_told = self.attached;
        self.send(&FromShim::Ready(ready.clone()), effects);
        self.ready = Some(ready);
    }

    fn accepted(&mut self, job: String, effects: &mut Vec<Effect>) {
        if let Some(Stage::Running { accepted, .. }) = self.jobs.get_mut(&job) {
            *accepted = true;
            self.send(&FromShim::Accepted(OfJob { job }), effects);
        }
    }

    /// The first end of a job counts; whatever else is said about it later does not.
    fn ended(&mut self, job: String, outcome: Outcome, effects: &mut Vec<Effect>) {
        if let Some(stage) = self.jobs.get_mut(&job).filter(|stage| is_active(stage)) {
            *stage = Stage::Settling;
            self.active -= 1;
            effects.push(Effect::Settle { job, outcome });
        }
    }

    /// `exited` comes after the terminal messages of all jobs.
    fn tell_exited(&mut self, effects: &mut Vec<Effect>) {
        let settling = || self.jobs.values().any(|stage| is_active(stage) || matches!(stage, Stage::Settling));
        if let Some(exited) = self.exited.as_ref().filter(|_| self.attached && !self.exited_told && !settling()) {
            effects.push(Effect::Send(frame(&FromShim::Exited(exited.clone()))));
            self.exited_told = true;
        }
    }

    fn send(&self, message: &FromShim, effects: &mut Vec<Effect>) {
        if self.attached {
            effects.push(Effect::Send(frame(message)));
        }
    }

    fn jobs_where(&self, wanted: impl Fn(&Stage) -> bool) -> Vec<String> {
        self.jobs.iter().filter(|(_, stage)| wanted(stage)).map(|(job, _)| job.clone()).collect()
    }
}

/// A message as a text frame.
pub fn frame(message: &FromShim) -> Utf8Bytes {
    serde_json::to_string(message).expect("messages have string keys only").into()
}

fn is_active(stage: &Stage) -> bool {
    matches!(stage, Stage::Fetching(_) | Stage::Running { .. })
}

/// Job ids become file names.
fn is_job_id(job: &str) -> bool {
    (1..=64).contains(&job.len()) && job.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn driver_exited(message: &str) -> Failure {
    Failure::new(DRIVER_EXITED, message)
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
