//! What a metadata store that is reached over the network has done since the start, for operators.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

/// Clones count together.
#[derive(Debug, Clone)]
pub struct StoreMeter {
    /// Written.
    pub commits: Counter,
    /// That wrote them; several commits share one.
    pub transactions: Counter,
    /// From when a transaction was sent to its answer, in seconds.
    pub duration: Histogram,
    pub sessions: Counter,
    pub znodes: Gauge,
}

impl Default for StoreMeter {
    fn default() -> Self {
        Self {
            commits: Counter::default(),
            transactions: Counter::default(),
            // From 0.5 ms to 16 s.
            duration: Histogram::new(exponential_buckets(0.0005, 2.0, 16)),
            sessions: Counter::default(),
            znodes: Gauge::default(),
        }
    }
}

impl StoreMeter {
    /// A transaction was answered.
    pub fn wrote(&self, commits: usize, took: Duration) {
        self.transactions.inc();
        self.commits.inc_by(commits as u64);
        self.duration.observe(took.as_secs_f64());
    }
}
