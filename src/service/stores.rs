//! Which stores are away, in words: for probes, and for those who read what may be old.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::Service;
use crate::ports::{BinaryStore, Freshness};
use crate::runtime::clock;

/// Between two looks at the store of binaries, and how long it may take to answer one before it counts as away.
const BETWEEN: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(3);
/// A hash that no content has.
const NOTHING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Since when the store of binaries does not answer.
#[derive(Clone, Default)]
pub(super) struct Binaries(Arc<Mutex<Option<Instant>>>);

impl Binaries {
    fn found(&self, trouble: Option<String>) {
        let mut away = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (&mut *away, trouble) {
            (None, Some(trouble)) => {
                tracing::warn!(trouble, "the store of binaries does not answer");
                *away = Some(clock::instant());
            }
            (Some(since), None) => {
                tracing::info!(away = ?clock::since(*since), "the store of binaries answers again");
                *away = None;
            }
            _ => {}
        }
    }

    fn away(&self) -> Option<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).map(clock::since)
    }

    /// Looks at it again and again. One look is under way at a time, however long it takes.
    async fn watch(&self, blobs: Arc<dyn BinaryStore>) {
        loop {
            let mut look = blobs.stat(NOTHING);
            let answer = match timeout(PATIENCE, &mut look).await {
                Ok(answer) => answer,
                Err(_) => {
                    self.found(Some(format!("it has not answered within {PATIENCE:?}")));
                    look.await
                }
            };
            self.found(answer.err().map(|error| error.to_string()));
            tokio::time::sleep(BETWEEN).await;
        }
    }
}

impl Service {
    /// For as long as the server runs.
    pub async fn watch_stores(self) {
        self.binaries.watch(Arc::clone(&self.blobs)).await;
    }

    /// How old what reads tell may be.
    pub fn freshness(&self) -> Freshness {
        self.records.freshness()
    }

    /// For how long each store has been away: nothing when it is there.
    pub fn away(&self) -> [(&'static str, Option<Duration>); 2] {
        let metadata = match self.freshness() {
            Freshness::Behind(age) => Some(age),
            Freshness::Current => None,
        };
        [("metadata", metadata), ("binaries", self.binaries.away())]
    }

    /// Which stores are away, in words. Anybody may read it; the log says more.
    pub(super) fn degraded(&self) -> Option<String> {
        let words = |(store, away): (&str, Option<Duration>)| {
            let what = if store == "metadata" {
                "reads are answered from memory, changes with 503"
            } else {
                "uploads are answered with 503"
            };
            away.map(|away| format!("the store of {store} has been away for {} s ({what})", away.as_secs()))
        };
        let all: Vec<String> = self.away().into_iter().filter_map(words).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_away_from_the_first_failure_until_the_next_answer() {
        let binaries = Binaries::default();
        assert!(binaries.away().is_none());
        binaries.found(Some("slow".into()));
        binaries.found(Some("gone".into()));
        assert!(binaries.away().is_some());
        binaries.found(None);
        assert!(binaries.away().is_none());
    }
}
