//! Callbacks: tells a URL that a job has ended, at least once.
//!
//! What is to be told stands in the outbox, written in one commit with the job's end. The dispatcher delivers from there,
//! and keeps no more than a window of it in memory.

mod delivery;
mod dispatcher;
mod secrets;
#[cfg(test)]
pub(in crate::jobs) mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::records::{Records, StoreError, callbacks as outbox};
use crate::core::jobs::JobRecord;
use crate::ports::{BinaryStore, Outbound};
use delivery::Courier;
use dispatcher::Dispatcher;

pub use secrets::{SecretError, Secrets};

/// Targets that the dispatcher has not heard yet; beyond, it looks into the store.
const MAX_HINTS: usize = 1024;

/// Since the start of the server.
#[derive(Debug, Default)]
struct Counters {
    delivered: AtomicU64,
    failed: AtomicU64,
    given_up: AtomicU64,
}

/// For metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallbackCounts {
    /// In the outbox; at most `MOST_COUNTED`.
    pub waiting: usize,
    pub delivered: u64,
    /// Attempts.
    pub failed: u64,
    pub given_up: u64,
}

/// The door to the dispatcher.
#[derive(Clone)]
pub struct Callbacks {
    records: Records,
    counters: Arc<Counters>,
    hints: mpsc::Sender<String>,
    /// A hint had no room.
    missed: Arc<AtomicBool>,
    stopped: CancellationToken,
    dispatching: TaskTracker,
}

impl Callbacks {
    /// Takes up what the outbox holds, and delivers until it is stopped.
    pub fn start(
        outbound: Arc<dyn Outbound>,
        blobs: Arc<dyn BinaryStore>,
        records: Records,
        settings: crate::config::Callbacks,
        secrets: Secrets,
    ) -> Self {
        let (hints, heard) = mpsc::channel(MAX_HINTS);
        let this = Self {
            records: records.clone(),
            counters: Arc::default(),
            hints,
            missed: Arc::default(),
            stopped: CancellationToken::new(),
            dispatching: TaskTracker::new(),
        };
        let courier = Courier::new(outbound, blobs, records, settings, secrets, Arc::clone(&this.counters));
        let dispatcher = Dispatcher::new(courier, heard, Arc::clone(&this.missed), this.stopped.clone());
        this.dispatching.spawn(dispatcher.run());
        this.dispatching.close();
        this
    }

    /// A job's end is stored: what it wrote into the outbox need not wait until the dispatcher looks there by itself.
    pub fn job_ended(&self, record: &JobRecord) {
        if let Some(url) = record.callback.as_deref().filter(|_| outbox::is_called_back(record.state)) {
            self.waits(outbox::target(url));
        }
    }

    /// Something stands in the outbox for this target.
    pub fn waits(&self, target: String) {
        if self.hints.try_send(target).is_err() {
            self.missed.store(true, Ordering::Relaxed);
        }
    }

    /// # Errors
    /// When the store does not answer.
    pub async fn counts(&self) -> Result<CallbackCounts, StoreError> {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counters { delivered, failed, given_up } = &*self.counters;
        let waiting = self.records.outbox_count().await?;
        Ok(CallbackCounts { waiting, delivered: of(delivered), failed: of(failed), given_up: of(given_up) })
    }

    /// Starts no more deliveries, and waits a moment for those under way; the rest is repeated after the next start.
    pub async fn stop(&self) {
        self.stopped.cancel();
        self.dispatching.wait().await;
    }
}
