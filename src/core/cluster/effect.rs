//! What a node wants done. The shell does it, in this order, and decides nothing.

use serde::{Deserialize, Serialize};

use crate::decision::Decision;
use crate::ids::{Address, Epoch, NodeId, Term};
use crate::message::Message;
use crate::node::Life;
use crate::store::StoreOp;
use crate::versions::Versions;

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    Send {
        to: Address,
        message: Message,
    },
    /// To be answered with the same number. At most one is under way, but for those whose deadline has passed.
    Store {
        request: u64,
        op: StoreOp,
    },
    /// Begin to run the singleton, whose writes check the fence of this term. The first of them is made at once, if need be without content:
    /// from then on no earlier term writes, even if its fence is put back by hand.
    Run {
        term: Term,
    },
    /// Cease to run it. Its writes are refused already if another term has begun.
    Stop {
        term: Term,
    },
    /// Something that others see of the node has changed.
    Status(Status),
    /// For the log, once.
    Decided(Box<Decision>),
    Warn(Warning),
    /// The node leaves: begin to hand over what it has, and say `HandedOver`.
    HandOver,
    /// Begin anew with another incarnation: whether this one has been a member cannot be known.
    Reincarnate,
    /// Nothing follows.
    Exit(Exit),
}

/// Why a process ends; each has its own exit code.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// It has left as asked.
    Left,
    /// The record is newer and without it. Its supervisor starts it again, and it joins anew.
    Removed {
        epoch: Epoch,
    },
    /// A living node has the same name.
    NameTaken {
        by: NodeId,
        at: Address,
    },
    OtherCluster {
        ours: String,
        theirs: String,
    },
    Versions {
        ours: Versions,
        theirs: Versions,
    },
    /// The cluster has as many members as it may have.
    Full,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Status {
    pub life: Life,
    pub epoch: Epoch,
    pub owner: Option<NodeId>,
    /// Whether the node is to be sent requests.
    pub ready: bool,
    /// Members, or the store, cannot be reached.
    pub degraded: bool,
    pub unreachable: Vec<NodeId>,
    /// Members whose link to some other is broken, and which nobody downs for it.
    pub indirect: Vec<NodeId>,
    pub store_reached: bool,
}

/// For the operator. Each is told when it begins to hold, not again while it does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Warning {
    /// Another node has another list of seeds, which must be the same everywhere but while it is being changed.
    Seeds { ours: Vec<Address>, theirs: Vec<Address>, of: NodeId },
    /// The record that this node has read is absent, older, of another cluster, or cannot be read. An operator must restore it.
    RecordLost { why: String },
    /// The record is there, but not the fence of its owner: somebody has changed the store by hand.
    FenceMissing { term: Term },
    /// There are fences without a record: it was deleted by hand. An operator must restore it.
    FencesLeft { highest: Term },
    /// This node was not running for this long.
    Paused { ms: u64 },
    /// Two nodes say that they are this run of a node.
    TwoSpeakAs { id: NodeId, at: Address },
    /// A newcomer waits outside: these members do not answer it, and would have it removed again.
    Unheard { by: Vec<NodeId> },
}
