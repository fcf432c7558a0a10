//! What happens to a node, from outside.

use serde::{Deserialize, Serialize};

use crate::ids::Address;
use crate::message::Message;
use crate::store::StoreAnswer;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// The moment has come that `Node::next_wake` told, or a later one.
    Wake,
    Heard(Message),
    /// A connection to this address was refused, or was reset and then refused: no process listens there.
    Refused {
        address: Address,
    },
    Answered {
        request: u64,
        answer: StoreAnswer,
    },
    /// The watch says that the record has changed.
    RecordChanged,
    /// The node shall leave the cluster in good order.
    Leave,
    /// What a leaving node had to hand over is handed over.
    HandedOver,
}
