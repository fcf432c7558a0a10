//! What the core can be told to do otherwise. The defaults keep the time budget: a dead owner is replaced within four seconds.

use serde::{Deserialize, Serialize};

use crate::changes::Newcomer;
use crate::ids::{Address, ClusterId, Millis, Role};
use crate::mutations::Broken;

/// When a silence is suspicious.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetectorSettings {
    /// Phi, the negative decimal logarithm of the chance that a node which is silent that long still lives, 1 to 15.
    pub threshold: u8,
    /// A silence as long as this beyond the usual is no reason for suspicion yet: pauses of garbage collectors, busy machines.
    pub acceptable_pause: Millis,
    /// The least standard deviation that is reckoned with, as very regular heartbeats would make it nervous.
    pub least_deviation: Millis,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    pub heartbeat: Millis,
    pub detector: DetectorSettings,
    /// The k-th seed waits k times this before it founds a cluster.
    pub seed_timeout: Millis,
    /// How long the view must stay as it is before members are removed.
    pub stable_after: Millis,
    /// How much longer the side waits that keep-oldest does not prefer.
    pub arbiter_delay: Millis,
    /// How long an owner may be without the store while another member reaches it.
    pub store_patience: Millis,
    /// Between two looks at the record, beside the watch.
    pub store_poll: Millis,
    /// A request to the store that takes longer has got no answer.
    pub store_deadline: Millis,
    /// How long the store keeps the registration of a node that is gone.
    pub session_timeout: Millis,
    /// A leaving node that cannot hand over in this time goes without.
    pub leave_timeout: Millis,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Millis(250),
            detector: DetectorSettings { threshold: 8, acceptable_pause: Millis(750), least_deviation: Millis(60) },
            seed_timeout: Millis(5000),
            stable_after: Millis(1000),
            arbiter_delay: Millis(800),
            store_patience: Millis(2000),
            store_poll: Millis(500),
            store_deadline: Millis(1000),
            session_timeout: Millis(6000),
            leave_timeout: Millis(10_000),
        }
    }
}

impl Timing {
    /// Who has reached the store within this time reaches it: a look that got no answer, and the next that did.
    pub fn store_fresh(&self) -> Millis {
        self.store_poll + self.store_deadline + self.heartbeat.times(2)
    }
}

/// Which members keep-oldest counts, and whether an oldest that is alone goes down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepOldest {
    pub role: Option<Role>,
    pub down_if_alone: bool,
}

impl Default for KeepOldest {
    fn default() -> Self {
        Self { role: None, down_if_alone: true }
    }
}

/// All that a node is told at its start. Two nodes of a cluster may differ in all but the cluster's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The name of the cluster, which all its nodes are configured with.
    pub cluster: String,
    /// With its address as the seeds name it, if it is one of them.
    pub me: Newcomer,
    /// In the order in which they found a cluster.
    pub seeds: Vec<Address>,
    /// The id of the cluster that this node would found: random, new at each start.
    pub new_cluster_id: ClusterId,
    pub timing: Timing,
    pub keep_oldest: KeepOldest,
    /// Nobody else can have the store open, so other members that the record names are gone.
    pub exclusive_store: bool,
    /// For tests of the tests.
    #[serde(default)]
    pub broken: Broken,
}

/// A setting that cannot be, in words for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cluster.{setting}: {why}")]
pub struct BadSetting {
    pub setting: &'static str,
    pub why: String,
}

impl Settings {
    /// # Errors
    /// The first setting that cannot be.
    pub fn validate(&self) -> Result<(), BadSetting> {
        let bad = |setting, why: String| Err(BadSetting { setting, why });
        let t = &self.timing;
        if !self.me.id.name.is_valid() {
            return bad("node", format!("{:?} is no name: 1 to 128 bytes without white space", self.me.id.name));
        }
        for (at, seed) in self.seeds.iter().enumerate() {
            if self.seeds[..at].contains(seed) {
                return bad("seeds", format!("{seed} is there twice"));
            }
        }
        if t.heartbeat.0 < 10 || t.heartbeat.0 > 10_000 {
            return bad("heartbeat", format!("{} is not between 10 ms and 10 s", t.heartbeat));
        }
        if !(1..=15).contains(&t.detector.threshold) {
            return bad("detector.threshold", format!("{} is not between 1 and 15", t.detector.threshold));
        }
        if t.detector.acceptable_pause < t.heartbeat {
            return bad("detector.acceptable-pause", format!("less than a heartbeat ({})", t.heartbeat));
        }
        if t.stable_after < t.heartbeat.times(2) {
            return bad("stable-after", format!("less than two heartbeats ({})", t.heartbeat.times(2)));
        }
        if t.store_deadline > t.session_timeout {
            return bad("store-deadline", format!("longer than the session timeout ({})", t.session_timeout));
        }
        for (setting, span) in [
            ("seed-timeout", t.seed_timeout),
            ("store-patience", t.store_patience),
            ("store-poll", t.store_poll),
            ("store-deadline", t.store_deadline),
            ("session-timeout", t.session_timeout),
            ("leave-timeout", t.leave_timeout),
        ] {
            if span.0 < 50 || span.0 > 600_000 {
                return bad(setting, format!("{span} is not between 50 ms and 10 min"));
            }
        }
        Ok(())
    }
}
