//! Invariant 2: no committed write of the singleton carries a term that was superseded before it committed.

use doyen_cluster::ids::{NodeId, Term};
use doyen_cluster::record::Record;

#[derive(Default)]
pub struct Writes {
    /// The highest that was ever committed.
    term: Term,
}

impl Writes {
    pub fn committed(&mut self, record: &Record) {
        self.term = self.term.max(record.term);
    }

    pub fn wrote(&self, by: &NodeId, term: Term) -> Result<(), String> {
        if term < self.term {
            return Err(format!("{by} wrote in term {term} after term {} had begun", self.term));
        }
        Ok(())
    }
}
