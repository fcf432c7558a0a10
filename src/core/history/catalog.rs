//! The catalog: what is known of each segment without reading it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::States;
use super::codec::Place;
use crate::core::binaries::BlobRef;

/// What stands under `history/<number>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Manifest {
    pub format: u32,
    pub segment: BlobRef,
    pub index: Place,
    /// What its jobs refer to and use.
    pub references: Place,
    /// The smallest and the largest id in it. Ranges of segments may overlap: a job whose callback waits is packed later.
    pub first: String,
    pub last: String,
    pub jobs: u64,
    pub states: States,
    /// When its jobs ended, ms.
    pub oldest_end_ms: i64,
    pub newest_end_ms: i64,
    /// When the first of those ended that have a result, and that have a log, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs_ms: Option<i64>,
    /// The newest revision that wrote one of its records, before it was packed.
    pub newest_version: u64,
    /// Its jobs may still stand under their own keys.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub clearing: bool,
    /// Of its jobs, those of which a record, or a segment with a larger number, tells.
    #[serde(default, skip_serializing_if = "is_0")]
    pub stale: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde wants it")]
fn is_0(number: &u64) -> bool {
    *number == 0
}

impl Manifest {
    /// How many jobs are told by it and by nothing else; while it is to be cleared, that is not known, and at least none.
    pub fn counted(&self) -> u64 {
        if self.clearing { 0 } else { self.jobs.saturating_sub(self.stale) }
    }
}

/// What stands under `history-head`: written with each change of a manifest, so that one look tells whether any changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The number that the next segment gets.
    pub next: u64,
}

/// A segment of the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Of two with the same job, that with the larger number has it as it is.
    pub number: u64,
    /// The revision that wrote the manifest.
    pub version: u64,
    pub manifest: Manifest,
}

/// All segments.
#[derive(Debug, Clone, Default)]
pub struct Catalog(Vec<Arc<Segment>>);

impl Catalog {
    pub fn new(mut segments: Vec<Segment>) -> Self {
        segments.sort_unstable_by_key(|segment| std::cmp::Reverse(segment.number));
        Self(segments.into_iter().map(Arc::new).collect())
    }

    /// The largest number first.
    pub fn segments(&self) -> &[Arc<Segment>] {
        &self.0
    }

    /// Those that may have the job; what the first of them says of it holds.
    pub fn that_may_have<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Arc<Segment>> {
        let may_have = move |segment: &&Arc<Segment>| {
            segment.manifest.first.as_str() <= id && id <= segment.manifest.last.as_str()
        };
        self.0.iter().filter(may_have)
    }
}
