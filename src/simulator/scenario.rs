//! A cluster that has formed, and then faults in the notation of the fault table.

use doyen_cluster::node::Life;

use crate::notation::{BadFault, parse};
use crate::plan::{Plan, TimedFault};
use crate::run::{End, Report, run};
use crate::world::Watching;

/// How long the cluster has to form and to run calmly, beside the time in which its nodes start.
const CALM_MS: u64 = 6000;

#[derive(Debug, Clone)]
pub struct Scenario {
    pub plan: Plan,
    from_ms: u64,
    lasts_ms: u64,
}

pub struct Outcome {
    pub report: Report,
    /// When the faults began.
    pub from_ms: u64,
}

impl Scenario {
    /// Nodes `A`, `B`, …, which join in this order.
    pub fn new(nodes: usize) -> Self {
        let plan = Plan::calm(1, nodes);
        let from_ms = nodes as u64 * 400 + CALM_MS;
        Self { plan, from_ms, lasts_ms: 20_000 }
    }

    /// # Errors
    /// The fault cannot be read.
    pub fn fault(mut self, text: &str) -> Result<Self, BadFault> {
        for timed in parse(text, self.plan.hosts.len())? {
            self.plan.faults.push(TimedFault { at_ms: timed.at_ms + self.from_ms, fault: timed.fault });
        }
        Ok(self)
    }

    /// Another seed: other delays, and the faults at another moment between two heartbeats.
    pub fn seed(mut self, seed: u64) -> Self {
        self.plan.seed = seed;
        let shift = crate::random::Random::new(seed).below(1000);
        for timed in &mut self.plan.faults {
            timed.at_ms += shift;
        }
        self.from_ms += shift;
        self
    }

    /// How long it goes on after the faults have begun.
    pub fn lasting(mut self, ms: u64) -> Self {
        self.lasts_ms = ms;
        self
    }

    /// How long supervisors take to start an ended process again; none: they never do.
    pub fn restarts(mut self, after_ms: Option<u64>) -> Self {
        for host in &mut self.plan.hosts {
            host.restart_ms = after_ms;
        }
        self
    }

    /// It is one fault, so it may not stop all.
    pub fn survives(mut self) -> Self {
        self.plan.survive_from_ms = Some(self.from_ms);
        self
    }

    /// What is run, and when the faults begin.
    pub fn into_plan(mut self) -> (Plan, u64) {
        self.plan.end_ms = self.from_ms + self.lasts_ms;
        (self.plan, self.from_ms)
    }

    pub fn run(self, watching: Watching) -> Outcome {
        let (plan, from_ms) = self.into_plan();
        Outcome { report: run(&plan, watching), from_ms }
    }
}

impl Outcome {
    fn names(&self, of: impl Fn(&End) -> bool) -> String {
        self.report.ends.iter().filter(|end| of(end)).map(|end| end.name.as_str()).collect()
    }

    fn is_member(end: &End) -> bool {
        end.status.as_ref().is_some_and(|status| status.life == Life::Member)
    }

    /// Those that run and are members as far as they know.
    pub fn living(&self) -> String {
        self.names(Self::is_member)
    }

    /// Those that are to be sent requests.
    pub fn ready(&self) -> String {
        self.names(|end| end.status.as_ref().is_some_and(|status| status.ready))
    }

    /// Those that ended by themselves at some time.
    pub fn stopped(&self) -> String {
        self.names(|end| !end.exits.is_empty())
    }

    /// Those that run the singleton.
    pub fn running(&self) -> String {
        self.names(|end| end.runs_singleton)
    }

    /// The owner by the record.
    pub fn owner(&self) -> String {
        let owner = self.report.record.as_ref().and_then(|record| record.owner.as_ref());
        owner.map(|id| id.name.to_string()).unwrap_or_default()
    }

    /// The members by the record, by name.
    pub fn members(&self) -> String {
        let mut names: Vec<String> = self
            .report
            .record
            .iter()
            .flat_map(|record| &record.members)
            .map(|member| member.id.name.to_string())
            .collect();
        names.sort();
        names.concat()
    }

    /// The longest time without an owner that could write since the faults began.
    pub fn gap_ms(&self) -> u64 {
        self.report.measures.longest_gap_ms((self.from_ms.max(self.report.simulated_ms)) * 1000)
    }
}
