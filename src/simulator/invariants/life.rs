//! A node's life goes only the ways of its table.

use doyen_cluster::ids::NodeId;
use doyen_cluster::node::Life;

pub fn changed(id: &NodeId, from: Life, to: Life) -> Result<(), String> {
    // One event may lead a node two steps on.
    let by_two = || Life::ALL.iter().any(|between| from.may_become(*between) && between.may_become(to));
    if from == to || from.may_become(to) || by_two() {
        return Ok(());
    }
    Err(format!("{id} was {from:?} and is {to:?}"))
}
