//! When a side decides without a shared store: once its view has been stable for long enough, and no later than it may (row 8).
//!
//! The two sides of a partition decide at about the same time only if both count from the same disturbance. A view that does not come
//! to rest would have them decide at different times, on views that have nothing to do with each other: then all go down.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::keep_oldest::keep_oldest;
use super::{Decision, Situation, Status, Verdict};
use crate::ids::{Millis, Moment, NodeId};
use crate::settings::KeepOldest;

/// How much longer than `stable-after` a view may take to come to rest, at least.
const LEAST_MARGIN: Millis = Millis(4000);

/// The decision clock of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    stable_after: Millis,
    /// None while nobody is unreachable on whom is to be decided.
    disturbance: Option<Disturbance>,
    wake: Option<Moment>,
}

/// From the first member that cannot be reached until all are healed, removed or down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Disturbance {
    since: Moment,
    changed: Moment,
    view: Footprint,
}

/// What restarts the clock when it changes. Who accuses whom does not, as long as the same members are accused; nor who joins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Footprint {
    members: BTreeMap<NodeId, Status>,
    unreachable: BTreeSet<NodeId>,
}

impl Footprint {
    fn of(situation: &Situation) -> Self {
        let members = situation.members.iter().filter(|m| m.status != Status::Joining);
        Self { members: members.map(|m| (m.id.clone(), m.status)).collect(), unreachable: situation.unreachable() }
    }
}

impl Clock {
    pub fn new(stable_after: Millis) -> Self {
        Self { stable_after, disturbance: None, wake: None }
    }

    /// How long a view may take to come to rest, from the first member that cannot be reached.
    pub fn patience(&self) -> Millis {
        self.stable_after + LEAST_MARGIN.max(Millis(self.stable_after.0.saturating_mul(3) / 4))
    }

    /// When to look again at the latest, even if nothing happens; none if there is nothing to wait for.
    pub fn next_wake(&self) -> Option<Moment> {
        self.wake
    }

    /// What `me` has to do now. To be asked after each change of the view and at `next_wake`. After a decision the clock starts anew,
    /// so one that was not carried out is made again.
    pub fn look(&mut self, now: Moment, me: &NodeId, situation: &Situation, settings: &KeepOldest) -> Option<Decision> {
        self.wake = None;
        if !situation.is_undecided() {
            self.disturbance = None;
            return None;
        }
        let view = Footprint::of(situation);
        let disturbance =
            self.disturbance.get_or_insert_with(|| Disturbance { since: now, changed: now, view: view.clone() });
        if disturbance.view != view {
            disturbance.view = view;
            disturbance.changed = now;
        }
        let (since, changed) = (disturbance.since, disturbance.changed);
        if situation.leader(me) != Some(me) {
            return None;
        }
        let (stable, latest) = (changed + self.stable_after, since + self.patience());
        if now < stable.min(latest) {
            self.wake = Some(stable.min(latest));
            return None;
        }
        self.wake = Some(now + self.stable_after);
        if let Some(disturbance) = &mut self.disturbance {
            (disturbance.since, disturbance.changed) = (now, now);
        }
        let decision = if stable <= now && now <= latest {
            keep_oldest(situation, settings)
        } else {
            Decision::new(Verdict::DownAll, &situation.members, &BTreeSet::new())
        };
        (!decision.down.is_empty()).then_some(decision)
    }
}

#[cfg(test)]
mod tests;
