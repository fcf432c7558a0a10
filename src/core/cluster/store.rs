//! What the core asks of the store, and what it may answer.

use serde::{Deserialize, Serialize};

use crate::encoding::Unreadable;
use crate::ids::{NodeId, Version};
use crate::record::{Fence, Record};

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreOp {
    /// Reads the record, the fences and who is registered, all as of one moment. With `confirm` the answer is at least as new as this request: the shell
    /// writes something of no matter first, as a read, also after ZooKeeper's `sync`, may come from a follower that lags.
    Read { confirm: bool },
    /// Creates the record, the parent of the fences and the record's fence in one transaction; refused if there is a record, a fence, or
    /// their parent.
    Create { record: Record },
    /// Replaces the record if it still has the version `base` and `fence` lies in the store, and puts the record's own fence in the place of that,
    /// in one transaction.
    Swap { base: Version, fence: Fence, record: Record },
    /// Writes the record as it is if it still has the version `base` and `fence` lies in the store: afterwards no change upon
    /// `base` can commit any more.
    Touch { base: Version, fence: Fence },
}

/// The record as it lies in the store.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stored {
    pub record: Record,
    pub version: Version,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reading {
    pub record: Result<Option<Stored>, Unreadable>,
    /// All that are there, of whatever cluster and term.
    pub fences: Vec<Fence>,
    /// The nodes whose registration stands: a run of a node that is not here has ended, or has lost its session.
    pub registered: Vec<NodeId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// The record is not what the change was made for: another version, there already, or not there.
    Conflict,
    /// The fence that the change needs is not there, or one is that should not be: somebody has changed the store by hand.
    Fence,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreAnswer {
    Read(Box<Reading>),
    /// The change is committed; the record has this version now.
    Done {
        version: Version,
    },
    /// The change is not committed and never will be.
    Refused(Refusal),
    /// No answer came. A change may have been committed, or may yet be.
    Lost,
}
