//! Who goes down when members cannot be reached and no shared store decides: a view in, a decision out.
//!
//! The rows that comments name are those of the table of keep-oldest in docs/split-brain.md. With a shared store the same rules are
//! only a preference: they say which side claims first, and the store's compare-and-set says which side lives.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ids::{Age, NodeId, Role};

mod indirect;
pub mod instability;
pub mod keep_oldest;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod notation;

/// Where a member is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Not counted, as another side may not know it yet; it can go down.
    Joining,
    Up,
    /// Counted; but another side may take it for gone already.
    Leaving,
    /// It has all but left: neither counted nor acted on.
    Exiting,
    /// Somebody has decided on it already.
    Down,
}

/// A member, as far as it matters for who goes down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    pub id: NodeId,
    pub age: Age,
    pub status: Status,
    pub roles: Vec<Role>,
}

impl Candidate {
    /// Whether a decision may name it: those who leave by themselves or are down already are never acted on.
    fn can_go_down(&self) -> bool {
        matches!(self.status, Status::Joining | Status::Up | Status::Leaving)
    }
}

/// The cluster as one node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Situation {
    pub members: Vec<Candidate>,
    /// Who cannot reach whom, as far as it is heard: observer, subject. Only what is said of and by members counts.
    pub accusations: BTreeSet<(NodeId, NodeId)>,
    /// Who has seen the gossip that led to this view, the node itself included.
    pub seen: BTreeSet<NodeId>,
}

impl Situation {
    /// The accusations by members of other members.
    fn links(&self) -> BTreeSet<(NodeId, NodeId)> {
        let members: BTreeSet<&NodeId> = self.members.iter().map(|member| &member.id).collect();
        let between_members = |(observer, subject): &&(NodeId, NodeId)| {
            observer != subject && members.contains(observer) && members.contains(subject)
        };
        self.accusations.iter().filter(between_members).cloned().collect()
    }

    /// Members that a member cannot reach.
    pub fn unreachable(&self) -> BTreeSet<NodeId> {
        self.links().into_iter().map(|(_, subject)| subject).collect()
    }

    /// Whether a member cannot be reached on which nobody has decided yet, and which does not leave by itself.
    pub fn is_undecided(&self) -> bool {
        let unreachable = self.unreachable();
        self.members.iter().any(|member| member.can_go_down() && unreachable.contains(&member.id))
    }

    /// Who decides for the side of `me`: the first by name of those on it, `me` included whoever accuses it. A joining or exiting
    /// member only when there is no other, one that is down never.
    pub fn leader<'a>(&'a self, me: &'a NodeId) -> Option<&'a NodeId> {
        let unreachable = self.unreachable();
        let on_my_side = |id: &NodeId| id == me || !unreachable.contains(id);
        let leads = self.members.iter().filter(|m| m.status != Status::Down && on_my_side(&m.id));
        leads.min_by_key(|m| (!matches!(m.status, Status::Up | Status::Leaving), &m.id)).map(|m| &m.id)
    }
}

/// What a side does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// All can be reached.
    Nothing,
    /// This side lives.
    DownUnreachable,
    /// The other side may live.
    DownReachable,
    /// The indirectly connected nodes, and those that the rules name when what these say of each other is left out.
    DownIndirectlyConnected,
    /// No side can be sure.
    DownAll,
}

/// A verdict, and whom it means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    pub verdict: Verdict,
    /// Empty if all whom it means leave by themselves or are down.
    pub down: BTreeSet<NodeId>,
}

impl Decision {
    /// The decision for a side that cannot reach these.
    fn new(verdict: Verdict, members: &[Candidate], unreachable: &BTreeSet<NodeId>) -> Self {
        let is_meant = |id: &NodeId| match verdict {
            Verdict::Nothing | Verdict::DownIndirectlyConnected => false,
            Verdict::DownUnreachable => unreachable.contains(id),
            Verdict::DownReachable => !unreachable.contains(id),
            Verdict::DownAll => true,
        };
        let down = members.iter().filter(|m| m.can_go_down() && is_meant(&m.id)).map(|m| m.id.clone()).collect();
        Self { verdict, down }
    }
}
