//! A node without clocks: what it may claim when it has read a record, and what it is waiting for.

use crate::records::{Change, Rec, Records, Run, Set, runs};
use crate::register::{Content, Flight};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Life {
    Seeking,
    Member,
    /// It does not believe what it has read: it neither claims nor creates until it does.
    Stranded {
        member: bool,
    },
    /// It has ended, and is not started again.
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The node becomes a member.
    Enter,
    /// A member changes something.
    Claim,
    /// A member goes.
    Leave,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Write {
    pub kind: Kind,
    pub flight: Flight,
    /// What became of it in truth, which the node does not know until it is told: the version that it made.
    pub committed: Option<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ask {
    Nothing,
    /// For the answer to a write.
    Waiting(Write),
    /// The answer never came; for the answer to the write that settles, which has made this version if it is committed.
    Settling {
        write: Write,
        settled: Option<u8>,
    },
    /// The write that settles was refused; for what the record says.
    Judging(Write),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Node {
    pub run: Run,
    pub life: Life,
    /// The newest record that it has read, in the finest steps.
    pub known: Content,
    /// It seeks, has just read what is known to it, and has not acted upon that.
    pub fresh: bool,
    pub ask: Ask,
    /// A node of this place has tried to write.
    pub wrote: bool,
}

impl Node {
    pub fn first(place: usize) -> Self {
        Self {
            run: Run::new(place, 1),
            life: Life::Seeking,
            known: None,
            fresh: false,
            ask: Ask::Nothing,
            wrote: false,
        }
    }

    pub fn place(&self) -> usize {
        self.run.place()
    }

    /// Everything the protocol allows to a node that has read this, whatever it believes of the others: it may be wrong.
    pub fn claims(&self, rec: Option<Rec>, records: &mut Records) -> Vec<(Change, Rec)> {
        let changes = match (self.life, rec) {
            (Life::Seeking, None) => vec![Change::Found],
            (Life::Seeking, Some(rec)) => self.entries(rec, records),
            (Life::Member, Some(rec)) => self.changes(rec, records),
            _ => Vec::new(),
        };
        let mut claims: Vec<(Change, Rec)> = Vec::new();
        for change in changes {
            let Some(to) = records.changed(rec, self.run, change) else { continue };
            let same = |(other, known): &(Change, Rec)| *known == to && kind(*other) == kind(change);
            if !claims.iter().any(same) {
                claims.push((change, to));
            }
        }
        claims
    }

    fn entries(&self, rec: Rec, records: &Records) -> Vec<Change> {
        let members = records.facts(rec).members;
        // Who finds itself there without having joined begins anew.
        if members & self.run.bit() != 0 {
            return Vec::new();
        }
        let others = members & !records.namesakes(self.place());
        let mut changes: Vec<Change> = believed(others).map(|reaching| Change::Join { reaching }).collect();
        if members != 0 {
            changes.push(Change::TakeOver);
        }
        changes
    }

    fn changes(&self, rec: Rec, records: &Records) -> Vec<Change> {
        let facts = records.facts(rec);
        if facts.members & self.run.bit() == 0 {
            return Vec::new();
        }
        let others = facts.members & !self.run.bit();
        let mut changes = Vec::new();
        for gone in subsets(others) {
            changes.push(Change::Remove { gone, own: false });
            changes.push(Change::Remove { gone, own: true });
        }
        if facts.owner != Some(self.run) {
            changes.push(Change::MoveOwner);
        }
        let said = facts.leaving & self.run.bit() != 0;
        // Who owns and leaves hands over once somebody can take it, also after it has said so.
        if !said || facts.owner == Some(self.run) {
            changes.extend(
                believed(others).filter(|r| !said || r.is_some()).map(|reaching| Change::BeginToLeave { reaching }),
            );
        }
        if said {
            changes.extend(believed(others).map(|reaching| Change::Leave { reaching }));
        }
        changes
    }
}

pub fn kind(change: Change) -> (Kind, bool) {
    match change {
        Change::Found | Change::Join { .. } => (Kind::Enter, false),
        Change::TakeOver => (Kind::Enter, true),
        Change::Leave { .. } => (Kind::Leave, false),
        _ => (Kind::Claim, false),
    }
}

/// Nobody else reaches the store, or this one does.
fn believed(others: Set) -> impl Iterator<Item = Option<Run>> {
    std::iter::once(None).chain(runs(others).map(Some))
}

fn subsets(set: Set) -> Vec<Set> {
    runs(set).fold(vec![0], |sets, run| sets.iter().flat_map(|set| [*set, set | run.bit()]).collect()).split_off(1)
}

#[test]
fn two_others_can_be_removed_in_three_ways() {
    assert_eq!(subsets(0b1010), [0b1000, 0b0010, 0b1010]);
    assert!(subsets(0).is_empty());
}
