//! All that a run depends on: a plan can be saved, run again, and made smaller.

use doyen_cluster::mutations::Broken;
use doyen_cluster::settings::{KeepOldest, Timing};
use serde::{Deserialize, Serialize};

use crate::faults::Fault;

/// Nodes are numbered from 0; their names are `A`, `B`, … in this order.
pub type HostNo = usize;

/// Hosts at most.
pub const MOST_HOSTS: usize = 128;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostPlan {
    /// Usually [`name`] of its number. Two hosts with one name are a fault of their operator.
    pub name: String,
    /// When its process starts; none if only a fault starts it.
    pub start_ms: Option<u64>,
    /// What its clock shows at the beginning.
    pub clock_ms: u64,
    /// How much faster than true time its clock runs, in millionths.
    pub drift_ppm: i64,
    /// How long its supervisor takes to start an ended process again; none if it never does.
    pub restart_ms: Option<u64>,
    /// It stays dead when all else is healed.
    pub never_returns: bool,
}

/// What is usual for a network: one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noise {
    pub delay_us: u64,
    pub jitter_us: u64,
    pub loss_per_mille: u16,
    pub twice_per_mille: u16,
    /// Messages that overtake others.
    pub overtaking_per_mille: u16,
}

impl Default for Noise {
    fn default() -> Self {
        Self { delay_us: 200, jitter_us: 300, loss_per_mille: 0, twice_per_mille: 0, overtaking_per_mille: 0 }
    }
}

impl Noise {
    /// Without what is a fault.
    pub fn healed(self) -> Self {
        Self { loss_per_mille: 0, ..self }
    }
}

impl StoreNoise {
    /// Without what is a fault.
    pub fn healed(self) -> Self {
        Self { lost_before_per_mille: 0, lost_after_per_mille: 0, late_per_mille: 0, ..self }
    }
}

/// What is usual for a node's way to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreNoise {
    /// One way, with as much again at random.
    pub delay_us: u64,
    /// Requests that get lost on their way there.
    pub lost_before_per_mille: u16,
    /// Requests whose answer gets lost.
    pub lost_after_per_mille: u16,
    /// Of the requests whose connection breaks, those that are carried out later.
    pub late_per_mille: u16,
    /// How much later at most.
    pub late_ms: u64,
    /// How far a follower lags at most.
    pub lag_ms: u64,
    pub watch_lost_per_mille: u16,
}

impl Default for StoreNoise {
    fn default() -> Self {
        Self {
            delay_us: 1000,
            lost_before_per_mille: 0,
            lost_after_per_mille: 0,
            late_per_mille: 0,
            late_ms: 0,
            lag_ms: 0,
            watch_lost_per_mille: 0,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimedFault {
    pub at_ms: u64,
    pub fault: Fault,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub seed: u64,
    pub hosts: Vec<HostPlan>,
    /// How many hosts, from the first, are seeds.
    pub seeds: usize,
    pub timing: Timing,
    pub keep_oldest: KeepOldest,
    #[serde(default)]
    pub broken: Broken,
    pub noise: Noise,
    pub store: StoreNoise,
    /// What is sent into a cut link arrives once it is mended, as with TCP; else it is lost.
    pub links_hold: bool,
    pub faults: Vec<TimedFault>,
    /// When all faults end; none if what the plan says is all that happens.
    pub heal_ms: Option<u64>,
    pub end_ms: u64,
    /// How long after the healing there must be one owner, and all be well.
    pub owner_within_ms: u64,
    pub well_within_ms: u64,
    /// There is but one fault, so it may not stop all nodes. From this moment on.
    pub survive_from_ms: Option<u64>,
}

/// The name of a host.
pub fn name(host: HostNo) -> String {
    match u8::try_from(host) {
        Ok(number) if number < 26 => char::from(b'A' + number).to_string(),
        _ => format!("n{host}"),
    }
}

/// The host of a one-letter name.
pub fn host_named(letter: char) -> Option<HostNo> {
    letter.is_ascii_uppercase().then(|| letter as usize - 'A' as usize)
}

impl HostPlan {
    pub fn new(host: HostNo, start_ms: Option<u64>) -> Self {
        Self { name: name(host), start_ms, clock_ms: 0, drift_ppm: 0, restart_ms: Some(1000), never_returns: false }
    }
}

impl Plan {
    /// A plan without faults: the nodes start one after another.
    pub fn calm(seed: u64, hosts: usize) -> Self {
        Self {
            seed,
            hosts: (0..hosts).map(|host| HostPlan::new(host, Some(host as u64 * 400))).collect(),
            seeds: hosts.min(9),
            timing: Timing::default(),
            keep_oldest: KeepOldest::default(),
            broken: Broken::default(),
            noise: Noise::default(),
            store: StoreNoise::default(),
            links_hold: false,
            faults: Vec::new(),
            heal_ms: None,
            end_ms: 30_000,
            owner_within_ms: 4000,
            well_within_ms: 20_000,
            survive_from_ms: None,
        }
    }

    /// Somebody changes the store by hand.
    pub fn tampers(&self) -> bool {
        self.faults.iter().any(|timed| timed.fault.tampers())
    }
}
