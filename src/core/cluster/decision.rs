//! Decisions are values, and carry what led to them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ids::{Epoch, Millis, NodeId};

/// The cluster as a node sees it: the record's members, and who of them can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct View {
    pub epoch: Epoch,
    /// Oldest first.
    pub members: Vec<NodeId>,
    pub owner: Option<NodeId>,
    pub unreachable: BTreeSet<NodeId>,
    /// Who accuses whom, as far as it is heard: observer, subject.
    pub accusations: BTreeSet<(NodeId, NodeId)>,
    /// Nobody listens where they were.
    pub gone: BTreeSet<NodeId>,
    /// Members that have reached the store lately.
    pub reaching: BTreeSet<NodeId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    Found,
    Join,
    /// In the place of an earlier run of the same name.
    Rejoin {
        instead_of: NodeId,
    },
    /// All others have gone.
    TakeOver,
    Remove {
        members: BTreeSet<NodeId>,
        owner: NodeId,
    },
    MoveOwner {
        to: NodeId,
    },
    BeginToLeave,
    Leave,
    /// Stop: the record is without this node.
    StandDown,
    /// Neither claim nor create, nor run the singleton: the record is lost.
    Strand,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Because {
    /// A rule of the node's life, as the action says.
    Rule,
    OwnerGone,
    /// Keep-oldest prefers this side.
    Preferred,
    /// It does not, and the other side had its time.
    OtherSideSilent,
    OwnerLostStore,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Decision {
    pub by: NodeId,
    pub action: Action,
    pub because: Because,
    pub view: View,
    /// How long the view had been as it is.
    pub stable: Millis,
}
