//! Promise: a change of the record does what was decided, and nothing else; and an age is given once.

use std::collections::{BTreeMap, BTreeSet};

use doyen_cluster::decision::{Action, Decision};
use doyen_cluster::ids::{Age, NodeId};
use doyen_cluster::record::Record;

use crate::trace::brief;

#[derive(Default)]
pub struct Decided {
    /// The newest decision of each that changes the record.
    newest: BTreeMap<NodeId, Action>,
    ages: BTreeMap<Age, NodeId>,
}

impl Decided {
    pub fn decided(&mut self, decision: &Decision) {
        if !matches!(decision.action, Action::StandDown | Action::Strand) {
            self.newest.insert(decision.by.clone(), decision.action.clone());
        }
    }

    pub fn committed(&mut self, before: Option<&Record>, record: &Record) -> Result<(), String> {
        for member in &record.members {
            let first = self.ages.entry(member.age).or_insert_with(|| member.id.clone());
            if *first != member.id {
                return Err(format!("wrong age: {} of {} was that of {first}", member.age, member.id));
            }
        }
        let (Some(before), Some(action)) = (before, self.newest.get(&record.decided_by)) else { return Ok(()) };
        let ids = |record: &Record| record.members.iter().map(|m| m.id.clone()).collect::<BTreeSet<_>>();
        let (was, is, by) = (ids(before), ids(record), BTreeSet::from([record.decided_by.clone()]));
        let with = |set: &BTreeSet<NodeId>| set | &by;
        let (members, owner) = match action {
            Action::Found | Action::TakeOver => (by.clone(), Some(&record.decided_by)),
            Action::Join => (with(&was), None),
            Action::Rejoin { instead_of } => (&with(&was) - &BTreeSet::from([instead_of.clone()]), None),
            Action::Remove { members, owner } => (&was - members, Some(owner)),
            Action::MoveOwner { to } => (was, Some(to)),
            Action::BeginToLeave => (was, None),
            Action::Leave => (&was - &by, None),
            Action::StandDown | Action::Strand => return Ok(()),
        };
        if is != members || owner.is_some_and(|owner| record.owner.as_ref() != Some(owner)) {
            return Err(format!("not as decided: {action}, but {} became {}", brief(before), brief(record)));
        }
        Ok(())
    }

    /// Somebody changes the store by hand: ages may be told of twice.
    pub fn tampered(&mut self) {
        self.ages.clear();
        self.newest.clear();
    }
}
