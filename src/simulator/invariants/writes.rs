//! Invariant 2: no committed write of the singleton carries a term that was superseded before it committed.

use doyen_cluster::ids::{NodeId, Term};
use doyen_cluster::record::Record;

#[derive(Default)]
pub struct Writes {
    /// The highest that was ever committed.
    term: Term,
    /// The highest that a write has begun.
    begun: Term,
    /// A hand has put the fence of an earlier term back before the present one had begun: nothing but the fence held that off.
    put_back: Option<Term>,
}

impl Writes {
    pub fn committed(&mut self, record: &Record) {
        self.term = self.term.max(record.term);
    }

    pub fn put_back(&mut self) {
        self.put_back = Some(self.term).filter(|term| self.begun < *term);
    }

    pub fn wrote(&mut self, by: &NodeId, term: Term) -> Result<(), String> {
        let in_the_gap = self.put_back == Some(self.term) && self.begun < self.term;
        if term < self.term && !in_the_gap {
            return Err(format!("{by} wrote in term {term} after term {} had begun", self.term));
        }
        self.begun = self.begun.max(term);
        Ok(())
    }
}
