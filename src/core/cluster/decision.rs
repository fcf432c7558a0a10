//! Decisions are values, and carry what led to them.

use std::collections::BTreeSet;
use std::fmt;

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

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found => f.write_str("founds the cluster"),
            Self::Join => f.write_str("joins"),
            Self::Rejoin { instead_of } => write!(f, "joins in the place of {instead_of}"),
            Self::TakeOver => f.write_str("takes over"),
            Self::Remove { members, owner } => write!(f, "claims: without {}, owner {owner}", list(members)),
            Self::MoveOwner { to } => write!(f, "claims: owner {to}"),
            Self::BeginToLeave => f.write_str("begins to leave"),
            Self::Leave => f.write_str("leaves"),
            Self::StandDown => f.write_str("stands down"),
            Self::Strand => f.write_str("strands: the record is lost"),
        }
    }
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rule => "",
            Self::OwnerGone => "the owner's process is gone",
            Self::Preferred => "keep-oldest prefers this side",
            Self::OtherSideSilent => "keep-oldest prefers the other side, which has done nothing",
            Self::OwnerLostStore => "the owner cannot reach the store",
        })
    }
}

/// The line for the log: what, why, and the view that it follows from.
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let view = &self.view;
        write!(f, "{} {}", self.by, self.action)?;
        if self.because != Because::Rule {
            write!(f, "; {}", self.because)?;
        }
        let owner = |id: &NodeId| if view.owner.as_ref() == Some(id) { format!("{id}*") } else { id.to_string() };
        let members: Vec<String> = view.members.iter().map(owner).collect();
        write!(
            f,
            " (epoch {} of {}",
            view.epoch,
            if members.is_empty() { "nobody".into() } else { members.join(" ") }
        )?;
        for (what, who) in
            [("unreachable", &view.unreachable), ("gone", &view.gone), ("reach the store", &view.reaching)]
        {
            if !who.is_empty() {
                write!(f, ", {what}: {}", list(who))?;
            }
        }
        write!(f, ", for {})", self.stable)
    }
}

fn list(ids: &BTreeSet<NodeId>) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
