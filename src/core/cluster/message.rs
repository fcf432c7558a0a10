//! What nodes tell each other. Messages carry reachability and wake; they never carry what is true.

use serde::{Deserialize, Serialize};

use crate::ids::{Address, ClusterId, Epoch, Millis, NodeId};
use crate::versions::Versions;

/// What an observer says of itself and of those it does not hear.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Row {
    /// The observer's membership loop has come this far: a row that does not advance tells of a node that is wedged.
    pub progress: u64,
    pub accused: Vec<NodeId>,
    /// Those of the accused of whom nothing at all is heard: neither answers nor questions, nor what others pass on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deaf_to: Vec<NodeId>,
    /// How long ago it sent the newest request that the store has answered; none if it never did.
    pub store: Option<Millis>,
}

/// What heartbeats carry, both ways.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Gossip {
    /// The newest epoch that the sender has read: who has read less reads again.
    pub epoch: Epoch,
    pub row: Row,
    /// Rows of others that the sender hears and that somebody does not.
    pub relayed: Vec<(NodeId, Row)>,
}

/// A newcomer, or a node that has not joined yet, asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hello {
    /// Counts the rounds of asking; answers repeat it.
    pub number: u64,
    pub cluster: String,
    pub versions: Versions,
    pub seeds: Vec<Address>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rejection {
    /// The sender is that name's owner, and it lives.
    NameTaken,
    OtherCluster {
        ours: String,
    },
    Versions {
        ours: Versions,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// The sender is a member, and the newcomer may join; `reaching` are the members that reach the store.
    Welcome {
        epoch: Epoch,
        reaching: Vec<NodeId>,
    },
    /// The sender is no member itself (yet).
    NotMember,
    Rejected(Rejection),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Body {
    /// Numbered, so that an answer proves that the way there and back works now.
    Ping {
        number: u64,
        to: NodeId,
        gossip: Gossip,
    },
    Pong {
        number: u64,
        gossip: Gossip,
    },
    Hello(Hello),
    /// To the `Hello` of that number, with the sender's own list of seeds.
    Answer {
        number: u64,
        seeds: Vec<Address>,
        said: Said,
    },
    /// The record has changed: read it.
    Changed {
        epoch: Epoch,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Message {
    pub from: NodeId,
    pub address: Address,
    /// The cluster that the sender is a member of; none before it has joined.
    pub cluster_id: Option<ClusterId>,
    pub body: Body,
}
