//! The dispatcher: reads windows of the outbox, and starts the deliveries that the lanes choose.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::delivery::{Courier, Outcome};
use crate::core::callbacks::{AT_ONCE, Finished, Lanes, Limits, Step};

/// Targets known at once, and keys of each; the rest waits in the store.
const LANES: usize = 4096;
const WINDOW: usize = 32;
/// Between two looks for targets that no hint told of.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Targets that one look finds.
const SWEEP_TARGETS: usize = 256;
/// After the store did not answer.
const STORE_AGAIN_MS: i64 = 500;
/// What is due later than the longest pause and this was written by a clock that has stepped back since.
const SLACK_MS: i64 = 1000;
/// How long a stop waits for deliveries under way.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

pub(super) struct Dispatcher {
    courier: Courier,
    lanes: Lanes,
    deliveries: JoinSet<Outcome>,
    /// Target and key of each.
    under_way: HashMap<Id, (String, String)>,
    heard: mpsc::Receiver<String>,
    missed: Arc<AtomicBool>,
    stopped: CancellationToken,
    sweep: Sweep,
}

/// A walk through the targets in the outbox, again and again.
#[derive(Default)]
struct Sweep {
    after: Option<String>,
    /// The first walk makes no pauses.
    walked: bool,
}

impl Dispatcher {
    pub(super) fn new(
        courier: Courier,
        heard: mpsc::Receiver<String>,
        missed: Arc<AtomicBool>,
        stopped: CancellationToken,
    ) -> Self {
        let limits = Limits {
            at_work: courier.settings.concurrency,
            per_target: courier.settings.concurrency_per_target,
            lanes: LANES,
            window: WINDOW,
        };
        Self {
            courier,
            lanes: Lanes::new(limits),
            deliveries: JoinSet::new(),
            under_way: HashMap::new(),
            heard,
            missed,
            stopped,
            sweep: Sweep::default(),
        }
    }

    pub(super) async fn run(mut self) {
        let mut ticks = tokio::time::interval(SWEEP_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.start_all().await;
            let due = self.lanes.due_ms().map(|due| due.saturating_sub(self.courier.now_ms()));
            let due = Duration::from_millis(u64::try_from(due.unwrap_or(i64::MAX)).unwrap_or(0));
            tokio::select! {
                () = self.stopped.cancelled() => break,
                Some(target) = self.heard.recv() => self.hear(&target),
                Some(done) = self.deliveries.join_next_with_id() => self.done(done),
                () = tokio::time::sleep(due.min(SWEEP_EVERY)) => {}
                _ = ticks.tick() => self.look().await,
            }
        }
        let rest = async { while self.deliveries.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(STOP_PATIENCE, rest).await;
    }

    async fn start_all(&mut self) {
        while let Some(step) = self.lanes.next(self.courier.now_ms()) {
            match step {
                Step::Load { target, limit } => self.load(&target, limit).await,
                Step::Start { target, key } => {
                    let (courier, outbox_key) = (self.courier.clone(), key.clone());
                    let task = self.deliveries.spawn(async move { courier.deliver(&outbox_key).await });
                    self.under_way.insert(task.id(), (target, key));
                }
            }
        }
    }

    async fn load(&mut self, target: &str, limit: usize) {
        let now = self.courier.now_ms();
        match self.courier.records().outbox_of(target, limit).await {
            Ok(keys) => {
                let full = keys.len() >= limit;
                let longest = i64::try_from(self.courier.schedule.max_backoff.as_millis()).unwrap_or(i64::MAX);
                let latest = now.saturating_add(longest).saturating_add(SLACK_MS);
                let due = |(key, due): (String, i64)| (key, if due > latest { AT_ONCE } else { due });
                self.lanes.loaded(target, keys.into_iter().map(due).collect(), full, now);
            }
            Err(error) => {
                tracing::error!(target, %error, "cannot read the outbox; trying again");
                self.lanes.not_loaded(target, now.saturating_add(STORE_AGAIN_MS));
            }
        }
    }

    fn hear(&mut self, target: &str) {
        self.lanes.found(target);
        while let Ok(target) = self.heard.try_recv() {
            self.lanes.found(&target);
        }
    }

    fn done(&mut self, done: Result<(Id, Outcome), JoinError>) {
        let (id, outcome) = done.unwrap_or_else(|error| {
            tracing::error!(%error, "a delivery broke; trying again");
            (error.id(), Outcome::Away)
        });
        let (target, key) = self.under_way.remove(&id).expect("each has its entry since its start");
        let finished = match outcome {
            Outcome::Gone { slow } => Finished { slow, due_ms: None },
            Outcome::Later { slow, due_ms } => Finished { slow, due_ms: Some(due_ms) },
            Outcome::Away => {
                let again = self.courier.now_ms().saturating_add(STORE_AGAIN_MS);
                Finished { slow: false, due_ms: Some(again) }
            }
        };
        self.lanes.finished(&target, &key, finished);
    }

    /// Finds targets that no hint told of: at the start, after hints that had no room, and after what only the store knows.
    async fn look(&mut self) {
        if self.missed.swap(false, Ordering::Relaxed) {
            self.sweep = Sweep::default();
        }
        loop {
            for _ in 0..SWEEP_TARGETS {
                match self.courier.records().outbox_target(self.sweep.after.as_deref()).await {
                    Ok(Some(target)) => {
                        if !self.lanes.found(&target) {
                            self.sweep.walked = true;
                            return;
                        }
                        self.sweep.after = Some(target);
                    }
                    Ok(None) => {
                        self.sweep = Sweep { after: None, walked: true };
                        return;
                    }
                    Err(error) => {
                        tracing::error!(%error, "cannot look into the outbox; trying again");
                        return;
                    }
                }
            }
            if self.sweep.walked {
                return;
            }
            self.start_all().await;
        }
    }
}
