//! When a member changes the record for others: members that cannot be reached are removed, and an owner without the store is relieved.
//! Nobody downs itself, or another, on its own evidence: a claim is a compare-and-set, and whoever loses it reads what is true.

use std::collections::BTreeSet;

use crate::decision::{Action, Because, View};
use crate::downing::keep_oldest::prefers_this_side;
use crate::ids::{Millis, Moment, NodeId};
use crate::mutations::{Broken, Mutation};
use crate::record::{Member, MemberState, Record};
use crate::settings::{KeepOldest, Timing};

/// A claim that this node is to make, if its view stays as it is until then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    pub at: Moment,
    pub action: Action,
    pub because: Because,
}

pub struct Situation<'a> {
    pub me: &'a NodeId,
    pub record: &'a Record,
    pub view: &'a View,
    /// Since when the view is as it is.
    pub since: Moment,
    /// Since when this node has reached the store without a gap.
    pub stored_since: Moment,
    /// When the owner has last reached the store, by this node's clock, but not before this node could reach it; none if the
    /// owner is not heard.
    pub owner_stored: Option<Moment>,
    /// Whether each member that is not unreachable has been heard at least once.
    pub heard_each: bool,
    pub timing: &'a Timing,
    pub keep_oldest: &'a KeepOldest,
    pub broken: Broken,
}

impl Situation<'_> {
    pub fn due(&self) -> Option<Due> {
        if self.view.unreachable.is_empty() { self.relieve_owner() } else { self.remove() }
    }

    /// Those of `side` that reach the store; the first is the one who claims.
    fn claimant<'m>(&self, side: &[&'m Member]) -> Option<&'m NodeId> {
        let mine = side.iter().find(|m| m.id == *self.me && self.broken.is(Mutation::AnyoneClaims));
        if let Some(mine) = mine {
            return Some(&mine.id);
        }
        let regardless = self.broken.is(Mutation::ClaimantWithoutStore);
        let able = || side.iter().filter(|m| regardless || self.view.reaching.contains(&m.id));
        able().find(|m| m.state == MemberState::Up).or_else(|| able().next()).map(|m| &m.id)
    }

    fn remove(&self) -> Option<Due> {
        let unreachable = &self.view.unreachable;
        let mut since = self.since;
        let mut side: Vec<&Member> = self.record.members.iter().filter(|m| !unreachable.contains(&m.id)).collect();
        // The others cannot hear me: they are the side, unless none of them could change anything.
        if unreachable.contains(self.me) {
            if self.claimant(&side).is_some() && !self.broken.is(Mutation::AccusedClaimsToo) {
                return None;
            }
            // Or they could again, and have not had the time to say so.
            if !self.broken.is(Mutation::AccusedDoesNotWait) {
                since = since.max(self.stored_since + self.timing.store_fresh());
            }
            // Each is accused by some: then those are one side who do not accuse each other.
            side = self.record.members.iter().filter(|m| self.hear_each_other(&m.id)).collect();
        }
        if self.claimant(&side) != Some(self.me) {
            return None;
        }
        let gone: BTreeSet<NodeId> = self
            .record
            .members
            .iter()
            .map(|m| &m.id)
            .filter(|id| !side.iter().any(|m| m.id == **id))
            .cloned()
            .collect();
        let owner = self.record.owner.as_ref()?;
        let stays = !gone.contains(owner) && self.view.reaching.contains(owner);
        let next_owner = if stays { owner } else { self.me };
        let (delay, because) = self.delay(owner, &gone);
        let action = Action::Remove { members: gone, owner: next_owner.clone() };
        Some(Due { at: since + delay, action, because })
    }

    /// Neither this node nor that one accuses the other.
    fn hear_each_other(&self, other: &NodeId) -> bool {
        let accuses = |a: &NodeId, b: &NodeId| self.view.accusations.contains(&(a.clone(), b.clone()));
        !accuses(self.me, other) && !accuses(other, self.me)
    }

    fn delay(&self, owner: &NodeId, gone: &BTreeSet<NodeId>) -> (Millis, Because) {
        let Timing { stable_after, arbiter_delay, .. } = *self.timing;
        if gone.contains(owner) && self.view.gone.contains(owner) {
            // Who has just joined knows nothing yet of those who are older and reach the store.
            let delay = if self.heard_each { Millis::ZERO } else { stable_after };
            return (delay, Because::OwnerGone);
        }
        if self.broken.is(Mutation::NoStability) {
            return (Millis::ZERO, Because::Preferred);
        }
        if prefers_this_side(&self.record.members, owner, gone, self.keep_oldest) {
            return (stable_after, Because::Preferred);
        }
        if self.broken.is(Mutation::NoArbiterDelay) {
            return (stable_after, Because::OtherSideSilent);
        }
        (stable_after + arbiter_delay, Because::OtherSideSilent)
    }

    /// The owner is heard, and cannot reach the store for longer than patience allows, while this node can.
    fn relieve_owner(&self) -> Option<Due> {
        let owner = self.record.owner.as_ref()?;
        if owner == self.me || self.view.reaching.contains(owner) || self.broken.is(Mutation::OwnerWithoutStoreStays) {
            return None;
        }
        let members: Vec<&Member> = self.record.members.iter().collect();
        if self.claimant(&members) != Some(self.me) {
            return None;
        }
        let patience = if self.broken.is(Mutation::NoPatience) { Millis::ZERO } else { self.timing.store_patience };
        let at = self.owner_stored? + patience;
        Some(Due { at, action: Action::MoveOwner { to: self.me.clone() }, because: Because::OwnerLostStore })
    }
}
