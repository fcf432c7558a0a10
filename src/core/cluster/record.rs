//! The record: what the store says about who is a member and who is the owner. It is the one authority on both.

use serde::{Deserialize, Serialize};

use crate::ids::{Address, Age, ClaimId, ClusterId, Epoch, NodeId, NodeName, Role, Term};
use crate::versions::Versions;

/// The newest format of the record that this code writes and reads.
pub const FORMAT: u32 = 1;

/// Members at most: beyond it heartbeats between all of them cost more than they tell.
pub const MOST_MEMBERS: usize = 256;

/// Nobody counts so far; a number beyond it is damage, and would not count on.
const MOST_CHANGES: u64 = 1 << 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberState {
    Up,
    /// It has said that it goes, and hands over.
    Leaving,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Member {
    #[serde(flatten)]
    pub id: NodeId,
    pub age: Age,
    pub state: MemberState,
    pub address: Address,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Role>,
    pub versions: Versions,
}

/// Why the record was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// There was no record.
    Bootstrap,
    Join,
    /// A node took the place of its own earlier run.
    Rejoin,
    /// A node came to a cluster whose members have all gone.
    TakeOver,
    /// Members that cannot be reached were removed.
    Unreachable,
    /// The owner cannot reach the store; another member can.
    OwnerLostStore,
    /// A member has begun to leave, and has handed over if it was the owner.
    Leaving,
    Left,
    /// An operator has restored a record that was lost.
    Restored,
}

/// The cluster's record. Changed only by compare-and-set, one change an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Record {
    pub cluster_id: ClusterId,
    pub epoch: Epoch,
    /// The age of the next who joins.
    pub next_age: Age,
    pub term: Term,
    /// Who hosts the singleton: always a member; none only when there are no members.
    pub owner: Option<NodeId>,
    /// Oldest first.
    pub members: Vec<Member>,
    /// The change that led to this record.
    pub claim_id: ClaimId,
    pub decided_by: NodeId,
    pub reason: Reason,
}

impl Record {
    pub fn member(&self, id: &NodeId) -> Option<&Member> {
        self.members.iter().find(|m| m.id == *id)
    }

    pub fn named(&self, name: &NodeName) -> Option<&Member> {
        self.members.iter().find(|m| m.id.name == *name)
    }

    pub fn contains(&self, id: &NodeId) -> bool {
        self.member(id).is_some()
    }

    pub fn is_owner(&self, id: &NodeId) -> bool {
        self.owner.as_ref() == Some(id)
    }

    /// The fence that is beside this record in the store, also when it has no owner.
    pub fn fence(&self) -> Fence {
        let key = FenceKey { cluster_id: self.cluster_id.clone(), term: self.term };
        Fence { key, epoch: self.epoch }
    }

    /// What holds of every record that this code writes; the first that does not is told.
    pub fn validate(&self) -> Result<(), Invalid> {
        if self.members.len() > MOST_MEMBERS {
            return Err(Invalid("more members than allowed"));
        }
        if self.epoch == Epoch(0) || self.term == Term(0) {
            return Err(Invalid("epoch and term begin at 1"));
        }
        if [self.epoch.0, self.term.0, self.next_age.0].iter().any(|number| *number > MOST_CHANGES) {
            return Err(Invalid("a number is higher than any that was counted"));
        }
        if !self.members.windows(2).all(|pair| pair[0].age < pair[1].age) {
            return Err(Invalid("ages do not strictly increase"));
        }
        if self.members.last().is_some_and(|youngest| youngest.age >= self.next_age) {
            return Err(Invalid("an age is not below next_age"));
        }
        for (at, member) in self.members.iter().enumerate() {
            if !member.id.name.is_valid() {
                return Err(Invalid("a name is not valid"));
            }
            if self.members[..at].iter().any(|other| other.id.name == member.id.name) {
                return Err(Invalid("a name is there twice"));
            }
        }
        match &self.owner {
            None if self.members.is_empty() => Ok(()),
            None => Err(Invalid("there are members and no owner")),
            Some(owner) if self.contains(owner) => Ok(()),
            Some(_) => Err(Invalid("the owner is not a member")),
        }
    }
}

/// What makes a record one that this code never writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub &'static str);

/// The key that each write of the owner of a term checks. There is one: the change that makes a term deletes the key of the term before.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FenceKey {
    pub cluster_id: ClusterId,
    pub term: Term,
}

/// The fence with what lies under its key: the epoch of the last change. Each change compares it, and writes the next, so a record that
/// was put back by hand cannot be changed, even within its term.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fence {
    #[serde(flatten)]
    pub key: FenceKey,
    pub epoch: Epoch,
}
