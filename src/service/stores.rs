//! Which stores are away, in words: for probes, and for those who read what may be old.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::Service;
use crate::config;
use crate::ports::{BinaryStore, BlobError, Freshness};
use crate::runtime::clock;

/// Between two looks at the store of binaries, and how long it may take to answer one before it counts as away.
const BETWEEN: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two trials whether it takes content, while it is well and no upload fails; the next trial, after one has; and how
/// long one may take before it counts as away.
const BETWEEN_TRIALS: Duration = Duration::from_secs(60);
const SOONEST: Duration = Duration::from_secs(1);
const TRIAL_PATIENCE: Duration = Duration::from_secs(10);
/// How long it is known whether the store is there, of which content cannot be read; and how long its answer may take.
const KNOWN: Duration = Duration::from_secs(5);
/// A hash that no content has.
const NOTHING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What the store of binaries does not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Answer,
    TakeContent,
}

/// Since when the store of binaries does not do what it should.
#[derive(Clone, Default)]
pub(super) struct Binaries(Arc<Known>);

#[derive(Default)]
struct Known {
    away: Mutex<Option<(Instant, Trouble)>>,
    /// An upload has failed.
    failed: Notify,
    /// Whether it was there when that was asked last; held while it is asked.
    there: tokio::sync::Mutex<Option<(Instant, bool)>>,
}

impl Binaries {
    fn found(&self, trouble: Option<(Trouble, String)>) {
        let mut away = self.0.away.lock().unwrap_or_else(PoisonError::into_inner);
        match (&mut *away, trouble) {
            (None, Some((trouble, why))) => {
                tell(trouble, &why);
                *away = Some((clock::instant(), trouble));
            }
            (Some((_, before)), Some((trouble, why))) if *before != trouble => {
                tell(trouble, &why);
                *before = trouble;
            }
            (Some((since, _)), None) => {
                tracing::info!(away = ?clock::since(*since), "the store of binaries is well again");
                *away = None;
            }
            _ => {}
        }
    }

    fn away(&self) -> Option<(Duration, Trouble)> {
        let away = *self.0.away.lock().unwrap_or_else(PoisonError::into_inner);
        away.map(|(since, trouble)| (clock::since(since), trouble))
    }

    /// An upload, of whatever, has failed: the store is looked at soon.
    pub(super) fn write_failed(&self) {
        self.0.failed.notify_one();
    }

    /// Whether the store takes content and gives it back, though some of it cannot be read.
    pub(super) async fn is_there(&self, blobs: &dyn BinaryStore) -> bool {
        let mut known = self.0.there.lock().await;
        if let Some((when, is_there)) = *known
            && clock::since(when) < KNOWN
        {
            return is_there;
        }
        let is_there = matches!(timeout(KNOWN, blobs.probe()).await, Ok(Ok(()) | Err(BlobError::Full(_))));
        *known = Some((clock::instant(), is_there));
        if !is_there {
            self.write_failed();
        }
        is_there
    }

    /// Looks at it again and again; where it is remote it is also written to now and then, and when an upload has failed. (The disk
    /// of the data directory can be full as well: that does not make this server one that lost its store.) One look is under
    /// way at a time, however long it takes.
    async fn watch(&self, blobs: Arc<dyn BinaryStore>, is_remote: bool) {
        // It was written to as it was opened.
        let mut tried = clock::instant();
        let mut failed = false;
        loop {
            let mut is_well = self.done(Trouble::Answer, PATIENCE, blobs.stat(NOTHING)).await;
            let is_due = failed || self.away().is_some() || clock::since(tried) >= BETWEEN_TRIALS;
            if is_well && is_remote && is_due {
                is_well = self.done(Trouble::TakeContent, TRIAL_PATIENCE, blobs.probe()).await;
                tried = clock::instant();
            }
            if is_well {
                self.found(None);
            }
            sleep(SOONEST).await;
            failed = tokio::select! {
                () = self.0.failed.notified(), if is_well => true,
                () = sleep(BETWEEN.saturating_sub(SOONEST)) => false,
            };
        }
    }

    /// Whether the store did it at last. It counts as away from when it failed, or took too long.
    async fn done<T>(
        &self,
        trouble: Trouble,
        patience: Duration,
        work: impl Future<Output = Result<T, BlobError>>,
    ) -> bool {
        let mut work = pin!(work);
        let done = match timeout(patience, &mut work).await {
            Ok(done) => done,
            Err(_) => {
                self.found(Some((trouble, format!("it has not answered within {patience:?}"))));
                work.await
            }
        };
        let trouble = done.err().map(|error| (trouble, error.to_string()));
        let is_done = trouble.is_none();
        if !is_done {
            self.found(trouble);
        }
        is_done
    }
}

fn tell(trouble: Trouble, why: &str) {
    match trouble {
        Trouble::Answer => tracing::warn!(trouble = why, "the store of binaries does not answer"),
        Trouble::TakeContent => tracing::warn!(trouble = why, "the store of binaries takes no content"),
    }
}

impl Service {
    /// For as long as the server runs.
    pub async fn watch_stores(self) {
        let is_remote = self.config.store.binaries != config::Binaries::Local;
        self.binaries.watch(Arc::clone(&self.blobs), is_remote).await;
    }

    /// How old what reads tell may be.
    pub fn freshness(&self) -> Freshness {
        self.records.freshness()
    }

    /// For how long each store has been away: nothing when it is there. The store of binaries is away, too, when it answers but
    /// takes no content.
    pub fn away(&self) -> [(&'static str, Option<Duration>); 2] {
        let metadata = match self.freshness() {
            Freshness::Behind(age) => Some(age),
            Freshness::Current => None,
        };
        [("metadata", metadata), ("binaries", self.binaries.away().map(|(away, _)| away))]
    }

    pub(super) fn binaries_are_away(&self) -> bool {
        self.binaries.away().is_some()
    }

    /// Which stores are away, in words. Anybody may read it; the log says more.
    pub(super) fn degraded(&self) -> Option<String> {
        let takes_nothing = self.binaries.away().is_some_and(|(_, trouble)| trouble == Trouble::TakeContent);
        let words = |(store, away): (&str, Option<Duration>)| {
            let (which, what) = match store {
                "metadata" => ("", "reads are answered from memory, changes with 503"),
                _ if takes_nothing => (
                    " for writes",
                    "uploads are answered with 503, or 507 where it is full; jobs with logs or long results end later",
                ),
                _ => ("", "uploads are answered with 503"),
            };
            away.map(|away| format!("the store of {store} has been away{which} for {} s ({what})", away.as_secs()))
        };
        let refusing = self.records.refusing().map(|refusing| {
            let s = refusing.as_secs();
            format!(
                "the store of metadata has refused some changes for {s} s (they are answered with 503, others are made; the log names the \
                 reason)"
            )
        });
        let all: Vec<String> = self.away().into_iter().filter_map(words).chain(refusing).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_away_from_the_first_failure_until_all_is_well() {
        let binaries = Binaries::default();
        assert!(binaries.away().is_none());
        binaries.found(Some((Trouble::TakeContent, "full".into())));
        let since = binaries.0.away.lock().unwrap().unwrap().0;
        binaries.found(Some((Trouble::Answer, "gone".into())));
        assert_eq!(*binaries.0.away.lock().unwrap(), Some((since, Trouble::Answer)));
        binaries.found(None);
        assert!(binaries.away().is_none());
    }
}
