//! Old jobs in segments: their format, the catalog of them, and lists over records and segments. docs/adr/0022.

pub mod builder;
pub mod catalog;
mod codec;
pub mod merge;
pub mod packing;
pub mod segment;
pub mod trim;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::jobs::JobState;

pub use codec::Place;

/// Of what this version writes. A newer one is refused.
pub const FORMAT: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damaged {
    #[error("{0}")]
    Bad(&'static str),
    #[error("it has format {0}, and this version knows {FORMAT}")]
    Newer(u32),
}

/// A value, and the revision that wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub version: u64,
    pub value: Bytes,
}

/// What is kept of a job beside its record, as it was stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    pub config: Option<Bytes>,
    pub result: Option<Bytes>,
    pub timeline: Option<Bytes>,
    pub callback: Option<Stored>,
}

/// Everything that is kept of an ended job, as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    pub id: String,
    pub record: Stored,
    pub details: Details,
}

/// How many jobs ended in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct States {
    #[serde(default)]
    pub finished: u64,
    #[serde(default)]
    pub error: u64,
    #[serde(default)]
    pub killed: u64,
}

impl States {
    pub fn count(&self, state: JobState) -> u64 {
        match state {
            JobState::Finished => self.finished,
            JobState::Error => self.error,
            JobState::Killed => self.killed,
            JobState::Started | JobState::Running | JobState::Restarting => 0,
        }
    }

    fn add(&mut self, state: JobState) {
        match state {
            JobState::Finished => self.finished += 1,
            JobState::Error => self.error += 1,
            JobState::Killed => self.killed += 1,
            JobState::Started | JobState::Running | JobState::Restarting => {}
        }
    }

    /// Whether a list of these jobs (`None`: of all) needs what this counts.
    pub fn has(&self, wanted: Option<JobState>) -> bool {
        wanted.is_none_or(|state| self.count(state) > 0)
    }
}

#[cfg(test)]
pub(crate) mod tests;
