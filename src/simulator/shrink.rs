//! Makes a failing plan smaller while it fails in the same way: fewer faults, fewer hosts, less noise.

use crate::invariants::Number;
use crate::plan::{Noise, Plan, StoreNoise};
use crate::run::run;
use crate::world::Watching;

/// The invariant that a plan violates, if any.
pub fn violated(plan: &Plan) -> Option<Number> {
    run(plan, Watching::NOTHING).violations.first().map(|violation| violation.invariant)
}

/// Shrinks a plan with this many runs at most. A plan that does not fail comes back as it is.
pub fn shrink(plan: &Plan, mut runs: usize) -> Plan {
    let Some(invariant) = violated(plan) else { return plan.clone() };
    let mut best = plan.clone();
    let mut fails = |candidate: &Plan| {
        runs = runs.saturating_sub(1);
        runs > 0 && candidate.validate().is_ok() && violated(candidate) == Some(invariant)
    };
    loop {
        let before = best.clone();
        fewer_faults(&mut best, &mut fails);
        fewer_hosts(&mut best, &mut fails);
        calmer(&mut best, &mut fails);
        if best == before {
            return best;
        }
    }
}

/// Drops halves, quarters, … of the faults, down to single ones.
fn fewer_faults(best: &mut Plan, fails: &mut impl FnMut(&Plan) -> bool) {
    let mut chunk = best.faults.len().div_ceil(2);
    while chunk > 0 {
        let mut from = 0;
        while from < best.faults.len() {
            let mut candidate = best.clone();
            candidate.faults.drain(from..(from + chunk).min(best.faults.len()));
            if fails(&candidate) {
                *best = candidate;
            } else {
                from += chunk;
            }
        }
        chunk = if chunk == 1 { 0 } else { chunk.div_ceil(2) };
    }
}

/// Drops the last host, if no fault is left that names it.
fn fewer_hosts(best: &mut Plan, fails: &mut impl FnMut(&Plan) -> bool) {
    while best.hosts.len() > 1 {
        let mut candidate = best.clone();
        candidate.hosts.pop();
        let last = candidate.hosts.len();
        candidate.faults.retain(|timed| !timed.fault.hosts().contains(&last));
        if !fails(&candidate) {
            return;
        }
        *best = candidate;
    }
}

fn calmer(best: &mut Plan, fails: &mut impl FnMut(&Plan) -> bool) {
    let changes: [fn(&mut Plan); 5] = [
        |plan| plan.noise = Noise::default(),
        |plan| plan.store = StoreNoise::default(),
        |plan| plan.links_hold = false,
        |plan| plan.timing = doyen_cluster::settings::Timing::default(),
        |plan| {
            for host in &mut plan.hosts {
                (host.clock_ms, host.drift_ppm) = (0, 0);
            }
        },
    ];
    for change in changes {
        let mut candidate = best.clone();
        change(&mut candidate);
        if candidate != *best && fails(&candidate) {
            *best = candidate;
        }
    }
}
