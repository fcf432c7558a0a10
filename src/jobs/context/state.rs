//! What a context's actor keeps, and what it needs from outside.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio_util::task::TaskTracker;

use super::{Connection, Inbox, JobQueue, Phase};
use crate::api::driver::attach::LogPart;
use crate::config::Config;
use crate::core::binaries::BlobRef;
use crate::core::contexts::ContextRecord;
use crate::core::jobs::{Failure, JobRecord};
use crate::jobs::callbacks::Callbacks;
use crate::jobs::records::Hold;
use crate::jobs::supervisor::Registry;
use crate::jobs::{ActiveJobs, Records};
use crate::ports::{BinaryStore, Launched, Launcher, Revision};

/// What the actors of all contexts share.
#[derive(Clone)]
pub struct Shared {
    pub config: Arc<Config>,
    pub records: Records,
    pub active: ActiveJobs,
    pub launcher: Arc<dyn Launcher>,
    pub blobs: Arc<dyn BinaryStore>,
    pub callbacks: Callbacks,
    pub registry: Registry,
    /// Where drivers reach this server; set once it listens.
    pub servers: watch::Receiver<Vec<String>>,
}

/// How a context's actor begins.
pub struct ContextSetup {
    pub shared: Shared,
    pub record: ContextRecord,
    /// Found in the store, with a driver already; else `Launch` follows.
    pub found: bool,
    /// Jobs that the store holds for it, not ended: those that a driver was given.
    pub jobs: Vec<JobRecord>,
    pub slots: Arc<Semaphore>,
    pub queue: Arc<JobQueue>,
    pub inbox: Arc<Inbox>,
    pub phase: watch::Sender<Phase>,
    pub created: watch::Sender<Option<Result<(), Failure>>>,
    pub secret_hash: watch::Sender<String>,
}

/// A job that was given to the driver, or is about to be.
pub struct Held {
    pub record: JobRecord,
    /// `None` for one that was found in the store.
    pub permit: Option<OwnedSemaphorePermit>,
    /// Its end is being stored; what comes later does not count.
    pub ending: bool,
    /// Ended by a kill: the driver's word is awaited before the place is free again.
    pub killed: Option<oneshot::Sender<()>>,
    /// Nobody knows whether its kill was stored: it is being stored again, and the driver is told afterwards.
    pub pursued: Option<Pursued>,
    /// It is in no driver, and is given to one from then on.
    pub waiting: Option<Instant>,
    /// Lost with its driver, and not decided yet: with what failure it ends, if it ends.
    pub lost: Option<Failure>,
    /// What it left in its lost attempt, once that was looked for.
    pub left: Option<Left>,
}

/// What happens to a job while its kill is being stored again.
#[derive(Default)]
pub struct Pursued {
    /// No driver has it any more. What it left is with the job, and its end is not acknowledged before the kill is stored.
    pub over: bool,
}

/// The log of a lost attempt, which is kept from retention until a record refers to it.
pub struct Left {
    log: Option<BlobRef>,
    _hold: Option<Hold>,
}

impl Left {
    pub fn nothing() -> Self {
        Self { log: None, _hold: None }
    }

    pub fn of(records: &Records, log: BlobRef) -> Self {
        let hold = records.hold([log.sha256.as_str()]);
        Self { log: Some(log), _hold: Some(hold) }
    }
}

impl Held {
    /// How many tries of it went before.
    pub fn retry(&self) -> u32 {
        u32::try_from(self.record.attempts.len()).unwrap_or(u32::MAX)
    }

    pub fn new(record: JobRecord, permit: Option<OwnedSemaphorePermit>) -> Self {
        Self { record, permit, ending: false, killed: None, pursued: None, waiting: None, lost: None, left: None }
    }

    /// The log of its lost attempt, as far as it is known.
    pub fn left_log(&self) -> Option<BlobRef> {
        self.left.as_ref().and_then(|left| left.log.clone())
    }

    /// Whether it was in a driver, which was not heard of its log, and nobody has looked for that yet.
    pub fn may_have_left_a_log(&self) -> bool {
        let is_settled = self.ending && self.killed.is_none() && self.pursued.is_none();
        self.waiting.is_none() && self.left.is_none() && !is_settled
    }
}

pub struct State {
    pub shared: Shared,
    pub record: ContextRecord,
    pub launched: Option<Launched>,
    pub connection: Option<Connection>,
    /// Version of the newest attachment.
    pub attachment: Option<Revision>,
    pub jobs: HashMap<String, Held>,
    /// Ends of jobs that are being stored.
    pub storing: TaskTracker,
    pub logs: HashMap<u64, oneshot::Sender<LogPart>>,
    pub next_request: u64,
    pub phase: watch::Sender<Phase>,
    pub created: watch::Sender<Option<Result<(), Failure>>>,
    pub stop_waiters: Vec<oneshot::Sender<Result<(), Failure>>>,
    /// Nobody knows whether the stop was stored: it is tried again once the store answers.
    pub stop_pursued: bool,
    /// What the driver said of why it cannot go on.
    pub unable: Option<String>,
    /// The context is over, but the store did not take it: the next tick tries again.
    pub unstored_end: Option<Failure>,
    pub began: Instant,
    pub detached_since: Option<Instant>,
    /// When the driver of a stopping context is killed.
    pub kill_at: Option<Instant>,
    /// Attempts that are over, or about to be, whose directories may be there still.
    pub leftovers: BTreeSet<u32>,
    /// Shims of attempts that are over, which wait to hear that this is known.
    pub leaving: Vec<(u32, Connection)>,
    /// When the next attempt is launched.
    pub relaunch_at: Option<Instant>,
    /// The driver is lost, but the store did not take it: the next tick tries again.
    pub unstored_loss: Option<Failure>,
    /// Since this server knows that the context runs.
    pub ready_since: Option<Instant>,
    pub idle_since: Instant,
    /// When this actor began, and how old the context was then.
    pub first: Instant,
    pub age_at_first: Duration,
    pub slots: Arc<Semaphore>,
    /// Of the secret of the attempt.
    pub secret_hash: watch::Sender<String>,
    pub ticked: Instant,
    /// `Launch` is on its way.
    pub launching: bool,
    pub queue: Arc<JobQueue>,
    pub inbox: Arc<Inbox>,
    /// `Dispatch` is on its way.
    pub dispatch_asked: bool,
    /// The store did not take an assignment: the next tick tries again.
    pub dispatch_paused: bool,
    pub ended: bool,
}

/// SHA-256 in hex: what is stored of a secret.
pub fn secret_hash(secret: &str) -> String {
    Sha256::digest(secret.as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
}
