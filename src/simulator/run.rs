//! Runs a plan, and reports.

use doyen_cluster::effect::{Exit, Status};
use doyen_cluster::ids::NodeId;
use doyen_cluster::record::Record;
use serde::{Deserialize, Serialize};

use crate::invariants::Violation;
use crate::measures::Measures;
use crate::plan::Plan;
use crate::trace::Line;
use crate::world::{Watching, World};

/// What the flight recorder of a node held when it ended, or at the end of the run: for `doyen replay`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flight {
    pub node: String,
    pub dump: String,
}

/// A host at the end of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    pub name: String,
    /// What runs there.
    pub id: Option<NodeId>,
    pub status: Option<Status>,
    pub runs_singleton: bool,
    /// It ended by itself so often, and why.
    pub exits: Vec<Exit>,
    pub crashes: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub simulated_ms: u64,
    /// A sum over all that happened.
    pub sum: u64,
    pub violations: Vec<Violation>,
    pub measures: Measures,
    /// After the healing: until there was one owner, until all was well.
    pub took_ms: Option<(u64, u64)>,
    pub ends: Vec<End>,
    /// The record at the end.
    pub record: Option<Record>,
    pub trace: Vec<Line>,
    pub flights: Vec<Flight>,
}

impl Report {
    pub fn failed(&self) -> bool {
        !self.violations.is_empty()
    }
}

/// Runs a plan to its end, or to the first violation.
pub fn run(plan: &Plan, watching: Watching) -> Report {
    let mut world = World::new(plan.clone(), watching);
    world.run_until(plan.end_ms * 1000);
    world.finish()
}

impl World {
    pub fn finish(mut self) -> Report {
        let now = self.now;
        if self.ledger.violations.is_empty() {
            self.ledger.closed(now);
        }
        for host in 0..self.hosts.len() {
            self.land(host);
        }
        let record = self.store.record().cloned();
        let took_ms = self.ledger.settling.took_ms();
        let ends = self.hosts.into_iter().map(|host| End {
            name: host.name,
            id: host.process.as_ref().map(|process| process.id.clone()),
            runs_singleton: host.process.as_ref().is_some_and(|process| process.running.is_some()),
            status: host.process.and_then(|process| process.status),
            exits: host.exits,
            crashes: host.crashes,
        });
        Report {
            simulated_ms: now / 1000,
            sum: self.trace.sum(),
            violations: self.ledger.violations,
            measures: self.measures,
            took_ms,
            ends: ends.collect(),
            record,
            trace: self.trace.into_lines(),
            flights: self.flights,
        }
    }
}
