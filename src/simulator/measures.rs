//! What a run is measured by: events, messages, bytes, and the time without an owner that can write.

use doyen_cluster::ids::Term;
use doyen_cluster::message::Message;
use serde::{Deserialize, Serialize};

use crate::plan::HostNo;

/// Writes come every 50 ms: only what is longer is a gap.
pub(crate) const GAP_US: u64 = 150_000;

/// A time in which no write of an owner was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    pub from_us: u64,
    pub to_us: u64,
    /// Who wrote before, who after.
    pub before: HostNo,
    pub after: HostNo,
}

impl Gap {
    pub fn ms(&self) -> u64 {
        (self.to_us - self.from_us) / 1000
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measures {
    /// Events that nodes were given.
    pub steps: u64,
    pub commits: u64,
    pub decisions: u64,
    pub warnings: u64,
    /// By host, if sizes are counted.
    pub messages: Vec<u64>,
    /// As JSON; what goes over a wire is smaller.
    pub bytes: Vec<u64>,
    pub writes: u64,
    pub last_write: Option<(u64, HostNo, Term)>,
    pub gaps: Vec<Gap>,
    pub first_fault_us: Option<u64>,
}

impl Measures {
    pub fn new(hosts: usize) -> Self {
        Self {
            steps: 0,
            commits: 0,
            decisions: 0,
            warnings: 0,
            messages: vec![0; hosts],
            bytes: vec![0; hosts],
            writes: 0,
            last_write: None,
            gaps: Vec::new(),
            first_fault_us: None,
        }
    }

    pub fn sent(&mut self, from: HostNo, message: &Message) {
        self.messages[from] += 1;
        self.bytes[from] += serde_json::to_vec(message).map_or(0, |bytes| bytes.len() as u64);
    }

    pub fn wrote(&mut self, now: u64, by: HostNo, term: Term) {
        self.writes += 1;
        if let Some((at, before, _)) = self.last_write
            && now - at > GAP_US
        {
            self.gaps.push(Gap { from_us: at, to_us: now, before, after: by });
        }
        self.last_write = Some((now, by, term));
    }

    pub fn struck(&mut self, now: u64) {
        self.first_fault_us.get_or_insert(now);
    }

    /// The longest time without an owner that can write since the first fault, in milliseconds; to the end if there is none at the end.
    pub fn longest_gap_ms(&self, end_us: u64) -> u64 {
        let Some(from) = self.first_fault_us else { return 0 };
        let last = self.last_write.map_or(from, |(at, ..)| at);
        let open = end_us.saturating_sub(last);
        let open = if open > GAP_US { open / 1000 } else { 0 };
        let closed = self.gaps.iter().filter(|gap| gap.to_us > from).map(Gap::ms).max();
        closed.unwrap_or(0).max(open)
    }
}
