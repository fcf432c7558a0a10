//! Invariant 5: a removed incarnation never returns; all who read the same epoch agree on members, ages and owner.

use std::collections::{BTreeMap, BTreeSet};

use doyen_cluster::decision::{Action, Decision};
use doyen_cluster::effect::Status;
use doyen_cluster::ids::{Epoch, NodeId};
use doyen_cluster::record::Record;

use crate::trace::brief;

#[derive(Default)]
pub struct Agreement {
    epochs: BTreeMap<Epoch, Record>,
    members: BTreeSet<NodeId>,
    removed: BTreeSet<NodeId>,
    /// Somebody changed the store by hand: epochs may be told of twice.
    tampered: bool,
}

impl Agreement {
    pub fn committed(&mut self, record: &Record) -> Result<(), String> {
        let members: BTreeSet<NodeId> = record.members.iter().map(|member| member.id.clone()).collect();
        if let Some(returned) = members.iter().find(|id| self.removed.contains(id)) {
            return Err(format!("{returned} was removed, and is back: {}", brief(record)));
        }
        self.removed.extend(self.members.difference(&members).cloned());
        self.members = members;
        match self.epochs.insert(record.epoch, record.clone()) {
            Some(before) if !self.tampered && before != *record => {
                Err(format!("two records of one epoch: {} and {}", brief(&before), brief(record)))
            }
            _ => Ok(()),
        }
    }

    pub fn adopted(&self, id: &NodeId, record: &Record) -> Result<(), String> {
        match self.epochs.get(&record.epoch) {
            _ if self.tampered => Ok(()),
            Some(committed) if committed == record => Ok(()),
            other => Err(format!("{id} goes by {}, but committed is {:?}", brief(record), other.map(brief))),
        }
    }

    pub fn said(&self, id: &NodeId, status: &Status) -> Result<(), String> {
        match self.epochs.get(&status.epoch) {
            _ if self.tampered || status.epoch == Epoch(0) => Ok(()),
            Some(committed) if committed.owner == status.owner || status.owner.is_none() => Ok(()),
            other => Err(format!("{id} says {status:?}, but committed is {:?}", other.map(brief))),
        }
    }

    /// A decision on members is made in view of a record that was committed.
    pub fn decided(&self, decision: &Decision) -> Result<(), String> {
        let on_members = matches!(decision.action, Action::Remove { .. } | Action::MoveOwner { .. });
        if self.tampered || !on_members {
            return Ok(());
        }
        let view = &decision.view;
        let Some(record) = self.epochs.get(&view.epoch) else {
            return Err(format!("{} decides in an epoch that never was: {decision:?}", decision.by));
        };
        if record.owner != view.owner || !record.members.iter().map(|member| &member.id).eq(&view.members) {
            return Err(format!("{} decides in view of {view:?}, but committed is {}", decision.by, brief(record)));
        }
        Ok(())
    }

    /// What is in the store is another's work. Those whom it names again were not brought back by a node.
    pub fn tampered(&mut self) {
        self.tampered = true;
        self.members.clear();
        self.removed.clear();
    }
}
