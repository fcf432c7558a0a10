//! Invariant 1: terms strictly increase, each with one owner incarnation; epochs strictly increase.

use std::collections::BTreeMap;

use doyen_cluster::ids::{Epoch, NodeId, Term};
use doyen_cluster::record::Record;

use crate::trace::brief;

#[derive(Default)]
pub struct Terms {
    epoch: Epoch,
    highest_epoch: Epoch,
    owners: BTreeMap<Term, NodeId>,
    /// The owner of the newest record.
    owner: Option<NodeId>,
    term: Term,
    /// Somebody changed the store by hand: the owner of the newest record is whoever had its term.
    tampered: bool,
}

impl Terms {
    pub fn committed(&mut self, record: &Record) -> Result<(), String> {
        if record.epoch <= self.epoch {
            return Err(format!("epoch {} after epoch {}: {}", record.epoch, self.epoch, brief(record)));
        }
        if std::mem::take(&mut self.tampered) {
            self.owner = self.owners.get(&record.term).cloned();
        }
        let changed = record.owner.is_some() && record.owner != self.owner;
        if record.term < self.term || (changed && record.term == self.term) {
            return Err(format!("term {} after term {}: {}", record.term, self.term, brief(record)));
        }
        if !changed && record.owner.is_some() && !self.owners.is_empty() && record.term != self.term {
            return Err(format!("term {} without another owner: {}", record.term, brief(record)));
        }
        if let Some(owner) = &record.owner {
            let first = self.owners.entry(record.term).or_insert_with(|| owner.clone());
            if first != owner {
                return Err(format!("term {} had the owner {first}: {}", record.term, brief(record)));
            }
        }
        self.epoch = record.epoch;
        self.highest_epoch = self.highest_epoch.max(record.epoch);
        self.owner = record.owner.clone();
        self.term = record.term;
        Ok(())
    }

    /// A node runs the singleton, or writes as it.
    pub fn runs(&self, id: &NodeId, term: Term) -> Result<(), String> {
        match self.owners.get(&term) {
            Some(owner) if owner == id => Ok(()),
            other => Err(format!("{id} runs the singleton of term {term}, whose owner is {other:?}")),
        }
    }

    /// Epochs may begin anew from an older record; terms never do.
    pub fn tampered(&mut self) {
        self.epoch = Epoch(0);
        self.tampered = true;
    }

    pub fn highest(&self) -> (Epoch, Term) {
        (self.highest_epoch, self.owners.last_key_value().map_or(self.term, |(term, _)| *term))
    }
}
