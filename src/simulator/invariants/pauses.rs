//! Promise: an owner that stood still does not write again before it has looked at the record.

use doyen_cluster::ids::{NodeId, Term};

pub fn writes(id: &NodeId, term: Term, has_looked: bool) -> Result<(), String> {
    if has_looked {
        return Ok(());
    }
    Err(format!("stale write: {id} stood still, and writes in term {term} before it has looked"))
}
