//! Keys of history: which old jobs are packed into segments.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::schema::{Config, Metadata};
use super::validate::Rules;

/// A segment is made in memory, and written anew as a whole when some of its jobs go.
const MAX_SEGMENT_JOBS: usize = 20_000;

/// Whether old jobs are packed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pack {
    /// Where the metadata is in ZooKeeper, which has all of it in memory.
    #[default]
    Auto,
    On,
    Off,
}

/// Old jobs are packed into segments in the BinaryStore. docs/adr/0022.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct History {
    pub pack: Pack,
    /// The newest jobs that stay records, ended or not.
    pub recent: u64,
    /// Jobs of a segment; so many more stay records until there are enough.
    pub segment_jobs: usize,
    /// A job is packed so long after its end at the earliest.
    #[serde(with = "super::duration")]
    pub settled_after: Duration,
    /// Between two looks.
    #[serde(with = "super::duration")]
    pub interval: Duration,
    /// What was read of segments, in memory.
    pub cache_bytes: usize,
}

impl Default for History {
    fn default() -> Self {
        Self {
            pack: Pack::Auto,
            recent: 10_000,
            segment_jobs: 2000,
            settled_after: Duration::from_secs(60),
            interval: Duration::from_secs(10),
            cache_bytes: 32 << 20,
        }
    }
}

impl Config {
    /// Whether this server packs old jobs. Those that are packed are read in any case.
    pub fn packs_history(&self) -> bool {
        match self.history.pack {
            Pack::Auto => self.store.metadata == Metadata::ZooKeeper,
            Pack::On => true,
            Pack::Off => false,
        }
    }
}

pub(super) fn rules(history: &History, rules: &mut Rules) {
    let not_0 = |key: &str| format!("`{key}` must not be 0");
    rules.hold(history.interval > Duration::ZERO, &["history.interval"], not_0("history.interval"), None);
    rules.hold(
        history.recent > 0,
        &["history.recent"],
        not_0("history.recent"),
        Some("to pack nothing, set `history.pack = \"off\"`"),
    );
    rules.hold(
        (1..=MAX_SEGMENT_JOBS).contains(&history.segment_jobs),
        &["history.segment-jobs"],
        format!("`history.segment-jobs` has to be 1 to {MAX_SEGMENT_JOBS}"),
        None,
    );
}
