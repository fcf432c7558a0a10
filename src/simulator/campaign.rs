//! Many seeds, on several threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use doyen_cluster::mutations::Broken;

use crate::invariants::Violation;
use crate::plan::Plan;
use crate::run::run;
use crate::schedule;
use crate::world::Watching;

#[derive(Debug, Clone)]
pub struct Failure {
    pub seed: u64,
    pub plan: Plan,
    pub violations: Vec<Violation>,
}

#[derive(Debug, Clone, Default)]
pub struct Totals {
    pub seeds: u64,
    /// Events that nodes were given.
    pub events: u64,
    pub simulated_ms: u64,
    pub commits: u64,
    /// After the healing: until there was one owner, until all was well; in milliseconds, in no order.
    pub owner_ms: Vec<u64>,
    pub well_ms: Vec<u64>,
    /// By seed, lowest first.
    pub failures: Vec<Failure>,
}

impl Totals {
    fn add(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.events += other.events;
        self.simulated_ms += other.simulated_ms;
        self.commits += other.commits;
        self.owner_ms.extend(other.owner_ms);
        self.well_ms.extend(other.well_ms);
        self.failures.extend(other.failures);
    }
}

/// Runs seeds from `first` on until `enough` says so of the events so far, or so many have failed.
pub fn campaign(
    first: u64,
    threads: usize,
    broken: Broken,
    most_failures: u64,
    enough: impl Fn(u64) -> bool + Sync,
) -> Totals {
    let (next, events, failed) = (AtomicU64::new(first), AtomicU64::new(0), AtomicU64::new(0));
    let totals = Mutex::new(Totals::default());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                let mut own = Totals::default();
                while !enough(events.load(Ordering::Relaxed)) && failed.load(Ordering::Relaxed) < most_failures {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let before = own.events;
                    one(seed, broken, &mut own);
                    events.fetch_add(own.events - before, Ordering::Relaxed);
                    failed.fetch_add(u64::from(own.failures.last().is_some_and(|f| f.seed == seed)), Ordering::Relaxed);
                }
                totals.lock().unwrap_or_else(std::sync::PoisonError::into_inner).add(own);
            });
        }
    });
    let mut totals = totals.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    totals.failures.sort_by_key(|failure| failure.seed);
    totals
}

fn one(seed: u64, broken: Broken, totals: &mut Totals) {
    let mut plan = schedule::plan(seed);
    plan.broken = broken;
    let report = run(&plan, Watching::NOTHING);
    totals.seeds += 1;
    totals.events += report.measures.steps;
    totals.simulated_ms += report.simulated_ms;
    totals.commits += report.measures.commits;
    if let Some((owner, well)) = report.took_ms {
        totals.owner_ms.push(owner);
        totals.well_ms.push(well);
    }
    if report.failed() {
        totals.failures.push(Failure { seed, plan, violations: report.violations });
    }
}
