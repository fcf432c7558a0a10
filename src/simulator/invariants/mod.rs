//! What must hold in every run, one invariant a file, with the numbers of the design. Nodes are never asked: what counts is what the store
//! has committed, and what they do.

mod agreement;
mod alarms;
mod decided;
mod founding;
mod identity;
mod leaving;
mod life;
mod one_owner;
mod owners;
mod pauses;
mod removals;
mod standing;
mod stranding;
mod survival;
mod terms;
pub mod truth;
mod writes;

use std::fmt;

use doyen_cluster::decision::Decision;
use doyen_cluster::effect::{Exit, Status};
use doyen_cluster::ids::{Age, Epoch, NodeId, Term};
use doyen_cluster::node::Life;
use doyen_cluster::record::Record;
use serde::{Deserialize, Serialize};

use crate::plan::Plan;
pub use founding::Seen;
pub use one_owner::{Order, Settling};
pub use standing::Seen as ProcessSeen;

/// A number of the design's list; 0 for what the core promises of itself.
pub type Number = u8;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    pub invariant: Number,
    pub at_us: u64,
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at_us as f64 / 1e6;
        match self.invariant {
            0 => write!(f, "a promise at {at:.3} s: {}", self.what),
            number => write!(f, "invariant {number} at {at:.3} s: {}", self.what),
        }
    }
}

/// What has been committed so far, and what is wrong with it.
pub struct Ledger {
    terms: terms::Terms,
    writes: writes::Writes,
    agreement: agreement::Agreement,
    identity: identity::Identity,
    survival: survival::Survival,
    decided: decided::Decided,
    pub truth: truth::Truth,
    pub settling: Settling,
    next_age: Age,
    pub violations: Vec<Violation>,
}

impl Ledger {
    pub fn new(plan: &Plan) -> Self {
        Self {
            terms: terms::Terms::default(),
            writes: writes::Writes::default(),
            agreement: agreement::Agreement::default(),
            identity: identity::Identity::default(),
            survival: survival::Survival::new(plan),
            decided: decided::Decided::default(),
            truth: truth::Truth::new(plan),
            settling: Settling::new(plan),
            next_age: Age(0),
            violations: Vec::new(),
        }
    }

    fn check(&mut self, invariant: Number, at_us: u64, found: Result<(), String>) {
        if let Err(what) = found {
            self.violations.push(Violation { invariant, at_us, what });
        }
    }

    /// A record is committed by a node.
    pub fn committed(&mut self, now: u64, record: &Record) {
        let found = self.terms.committed(record);
        self.check(1, now, found);
        let found = self.agreement.committed(record);
        self.check(5, now, found);
        let found = self.identity.committed(record);
        self.check(6, now, found);
        self.writes.committed(record);
        let found = self.decided.committed(self.truth.record.as_ref(), record);
        self.check(0, now, found);
        let found = owners::committed(&self.truth, now, self.truth.record.as_ref(), record);
        self.check(0, now, found);
        self.truth.committed(now, record);
        self.next_age = self.next_age.max(record.next_age);
    }

    /// A node wanted to commit what is no record.
    pub fn invalid(&mut self, now: u64, what: String) {
        self.check(0, now, Err(what));
    }

    /// The singleton is about to write.
    pub fn writes(&mut self, now: u64, id: &NodeId, term: Term, has_looked: bool) {
        self.check(0, now, pauses::writes(id, term, has_looked));
    }

    /// A write of the singleton is committed.
    pub fn wrote(&mut self, now: u64, by: &NodeId, term: Term) {
        let found = self.writes.wrote(by, term);
        self.check(2, now, found);
        let found = self.terms.runs(by, term);
        self.check(1, now, found);
    }

    /// A node begins to run the singleton.
    pub fn ran(&mut self, now: u64, id: &NodeId, term: Term) {
        let found = self.terms.runs(id, term);
        self.check(1, now, found);
    }

    /// A node goes by another record than before.
    pub fn adopted(&mut self, now: u64, id: &NodeId, record: &Record) {
        let found = self.agreement.adopted(id, record);
        self.check(5, now, found);
    }

    pub fn said(&mut self, now: u64, id: &NodeId, status: &Status) {
        let found = self.agreement.said(id, status);
        self.check(5, now, found);
        let found = alarms::said(&self.truth, now, id, status);
        self.check(0, now, found);
    }

    pub fn decided(&mut self, now: u64, decision: &Decision, seen: Seen) {
        let found = self.agreement.decided(decision);
        self.check(5, now, found);
        let truth = &self.truth;
        let promises = [
            removals::decided(truth, now, decision),
            owners::decided(truth, now, decision),
            founding::decided(truth, now, decision, seen),
            stranding::decided(truth, decision),
        ];
        self.decided.decided(decision);
        for found in promises {
            self.check(0, now, found);
        }
    }

    /// How things stand.
    pub fn stand(&mut self, now: u64, processes: &[ProcessSeen]) {
        let found = standing::judged(&self.truth, now, processes);
        self.check(0, now, found);
    }

    /// A process is about to end by itself.
    pub fn exits(&mut self, now: u64, id: &NodeId, exit: &Exit) {
        let found = leaving::exited(&self.truth, now, id, exit);
        self.check(0, now, found);
    }

    pub fn lived(&mut self, now: u64, id: &NodeId, from: Life, to: Life) {
        self.check(0, now, life::changed(id, from, to));
    }

    /// A process has ended; so many are left.
    pub fn ended(&mut self, now: u64, alive: usize) {
        let found = self.survival.ended(now, alive);
        self.check(9, now, found);
    }

    /// Somebody has changed the store by hand: what was read of it before may differ.
    pub fn tampered(&mut self) {
        self.agreement.tampered();
        self.terms.tampered();
        self.decided.tampered();
    }

    /// One that was deleted lies there again, beside that of the owner.
    pub fn fence_put_back(&mut self) {
        self.writes.put_back();
    }

    pub fn restored(&mut self, now: u64, record: &Record) {
        self.tampered();
        self.committed(now, record);
    }

    /// The highest epoch and term that ever were, and the age of the next.
    pub fn highest(&self) -> ((Epoch, Term), Age) {
        (self.terms.highest(), self.next_age)
    }

    pub fn healed(&mut self, now: u64) {
        self.settling.healed(now);
    }

    /// How things stand after the faults.
    pub fn judged(&mut self, now: u64, order: &Order) {
        let found = self.settling.judged(now, order);
        self.check(8, now, found);
    }

    /// The run is over.
    pub fn closed(&mut self, now: u64) {
        let found = self.settling.closed();
        self.check(8, now, found);
    }
}
