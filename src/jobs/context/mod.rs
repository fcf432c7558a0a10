//! One context: the actor that holds its driver, and the handle by which everybody else reaches it.

mod actor;
mod connection;
mod driver;
mod ending;
mod expiry;
mod inbox;
mod killing;
mod queue;
mod relaunch;
mod salvage;
mod state;
#[cfg(test)]
mod tests;
mod unready;

use std::sync::Arc;
use std::time::Duration;

use ractor::ActorRef;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use crate::api::driver::Raw;
use crate::api::driver::attach::{Binary, FromShim, Hello, LogPart};
use crate::core::jobs::{Failure, JobRecord};
use crate::jobs::kinds::Kind;
use crate::ports::Revision;

pub use actor::ContextActor;
pub use connection::{Connection, Frame};
pub use ending::{announce, end_unrun};
pub use expiry::birth;
pub use inbox::Inbox;
pub use queue::{JobQueue, Promised};
pub use state::{ContextSetup, Shared, secret_hash};

/// Where a context stands, as others see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Its driver starts.
    Starting,
    /// Jobs may be given to the attachment of this version.
    Ready {
        attachment: Revision,
        attempt: u32,
    },
    /// Its driver was ready, and is not attached at the moment.
    Detached,
    Stopping,
    Ended,
}

/// Everything that a context's actor is told.
pub enum ContextMessage {
    /// Once the context is in the registry, where its driver looks for it.
    Launch {
        kind: Box<Kind>,
        secret: String,
    },
    Attach {
        hello: Box<Hello>,
        connection: Connection,
        reply: oneshot::Sender<Result<(), AttachRefusal>>,
    },
    /// The permit bounds what waits in the mailbox.
    FromDriver {
        connection: u64,
        message: Box<FromShim>,
        permit: OwnedSemaphorePermit,
    },
    Detached {
        connection: u64,
        /// This server stops.
        planned: bool,
    },
    /// A job is in the inbox.
    Run,
    /// A place may be free for a job that waits.
    Dispatch,
    /// A job's end is stored.
    Stored {
        job: String,
    },
    Kill {
        job: String,
        reply: oneshot::Sender<KillAnswer>,
    },
    /// A kill of which nobody knew whether it was stored.
    KillStored {
        job: String,
    },
    Stop {
        force: bool,
        reply: Option<oneshot::Sender<Result<(), Failure>>>,
    },
    ReadLog {
        job: String,
        offset: u64,
        max_bytes: u64,
        reply: oneshot::Sender<LogPart>,
    },
    Tick,
}

/// Why a driver may not attach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachRefusal {
    Malformed,
    WrongSecret,
    NoContext,
    Superseded,
    NotNow,
}

/// A job whose record is stored, with what its driver must know.
pub struct Assigned {
    pub record: JobRecord,
    pub config: Raw,
    pub binaries: Vec<Binary>,
    pub permit: OwnedSemaphorePermit,
}

pub enum KillAnswer {
    /// Stored; the receiver tells when its processes are gone.
    Killed { gone: oneshot::Receiver<()> },
    /// It has ended, or is ending, by itself.
    TooLate,
    /// Nothing was stored, and nothing will be.
    Unavailable(String),
    /// It may be stored, or be stored yet.
    Unknown(String),
}

/// A place for one more job.
pub struct Reservation {
    pub permit: OwnedSemaphorePermit,
    pub attachment: Revision,
    pub attempt: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoReservation {
    /// As many jobs run as may.
    Full {
        max_jobs: u32,
    },
    Stopping,
    Ended,
    /// Its driver is not attached.
    Detached,
    /// As many jobs wait as may.
    QueueFull {
        max: usize,
    },
}

/// What all the server knows of a live context.
pub struct ContextHandle {
    pub id: String,
    pub name: String,
    /// Kind of driver, and whether that is our Python driver.
    pub kind: String,
    pub is_python: bool,
    pub max_jobs: u32,
    /// Whether its jobs wait for a place when they do not say; `None` is as the server is configured.
    pub queues: Option<bool>,
    /// Whether a driver that is lost is replaced.
    pub is_supervised: bool,
    pub queue: Arc<JobQueue>,
    pub(in crate::jobs) inbox: Arc<Inbox>,
    pub phase: watch::Receiver<Phase>,
    pub actor: ActorRef<ContextMessage>,
    /// SHA-256 of the attempt's secret in hex, for the blobs' routes; empty while there is no attempt.
    pub secret_hash: watch::Receiver<String>,
    pub(in crate::jobs) slots: Arc<Semaphore>,
    pub(in crate::jobs) created: watch::Receiver<Option<Result<(), Failure>>>,
}

impl ContextHandle {
    /// Waits a short time for a driver that starts or attaches anew.
    pub async fn reserve(&self, patience: Duration) -> Result<Reservation, NoReservation> {
        let mut phase = self.phase.clone();
        let settled = phase.wait_for(|p| !matches!(p, Phase::Starting | Phase::Detached));
        let phase = match tokio::time::timeout(patience, settled).await {
            Ok(Ok(phase)) => *phase,
            Ok(Err(_)) => Phase::Ended,
            Err(_) => Phase::Detached,
        };
        self.reserve_in(phase)
    }

    /// The same at once.
    pub fn reserve_now(&self) -> Result<Reservation, NoReservation> {
        self.reserve_in(self.phase())
    }

    fn reserve_in(&self, phase: Phase) -> Result<Reservation, NoReservation> {
        match phase {
            Phase::Ready { attachment, attempt } => match self.free_place() {
                Some(permit) => Ok(Reservation { permit, attachment, attempt }),
                // Whoever decides to stop a context takes all places first.
                None if self.phase() == Phase::Stopping => Err(NoReservation::Stopping),
                None => Err(NoReservation::Full { max_jobs: self.max_jobs }),
            },
            Phase::Stopping => Err(NoReservation::Stopping),
            Phase::Ended => Err(NoReservation::Ended),
            Phase::Starting | Phase::Detached => Err(NoReservation::Detached),
        }
    }

    /// Nobody overtakes those that wait.
    fn free_place(&self) -> Option<OwnedSemaphorePermit> {
        if self.queue.due_count() > 0 {
            return None;
        }
        Arc::clone(&self.slots).try_acquire_owned().ok()
    }

    /// Hands over a recorded job. False when the context has ended: then nobody else ends the job.
    #[must_use]
    pub fn run(&self, assigned: Assigned) -> bool {
        self.inbox.push(assigned) && self.actor.cast(ContextMessage::Run).is_ok()
    }

    /// To be called when a job was put into the queue.
    pub fn queued(&self) {
        // Who frees a place looks into the queue afterwards; so without a free place there is nothing to say.
        if self.slots.available_permits() > 0 {
            // An actor that is gone has ended the job.
            let _ = self.actor.cast(ContextMessage::Dispatch);
        }
    }

    /// Waits until the context runs, or has failed to.
    pub async fn created(&self) -> Result<(), Failure> {
        let mut created = self.created.clone();
        match created.wait_for(Option::is_some).await {
            Ok(answer) => answer.clone().expect("waited for it"),
            Err(_) => Err(Failure::new("ContextStopped", "the server stopped while the context started")),
        }
    }

    /// Whether this is the secret of the context's attempt.
    pub fn knows_secret(&self, secret: &str) -> bool {
        state::secret_hash(secret) == *self.secret_hash.borrow()
    }

    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }
}
