//! Teeth: each mechanism is broken in turn, and some seed must show it. `DOYEN_SIM_BROKEN=Name` tries one, `DOYEN_SIM_EVENTS=n` so many events.

use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use doyen_cluster::mutations::{Broken, Mutation};
use doyen_simulator::invariants::Violation;
use doyen_simulator::plan::Plan;
use doyen_simulator::run::run;
use doyen_simulator::schedule::{is_telling, plan};
use doyen_simulator::shrink::{shrink, violated};
use doyen_simulator::world::Watching;

/// Events in which a broken mechanism must be found.
const EVENTS: u64 = 5_000_000;

struct Tried {
    seeds: u64,
    events: u64,
    found: Option<(u64, Violation)>,
}

/// Seed after seed, so that each run of the test tells the same.
fn tries(mutation: Mutation) -> Tried {
    let most = std::env::var("DOYEN_SIM_EVENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(EVENTS);
    let mut tried = Tried { seeds: 0, events: 0, found: None };
    for seed in (1..).filter(|seed| is_telling(*seed)) {
        let report = run(&Plan { broken: Broken::only(mutation), ..plan(seed) }, Watching::NOTHING);
        tried.seeds += 1;
        tried.events += report.measures.steps;
        tried.found = report.violations.into_iter().next().map(|violation| (seed, violation));
        if tried.found.is_some() || tried.events >= most {
            break;
        }
    }
    tried
}

fn row(mutation: Mutation, tried: &Tried) -> Result<String, String> {
    let name = format!("{mutation:?}");
    let effort = format!("{:>5} seeds, {:>9} events", tried.seeds, tried.events);
    match &tried.found {
        Some((seed, violation)) => {
            let what: String = violation.to_string().chars().take(100).collect();
            Ok(format!("{name:<24} {effort}; seed {seed}: {what}"))
        }
        None => Err(format!("{name:<24} {effort}: not found")),
    }
}

/// What a failing seed leaves behind: a plan with less in it, which fails by the same invariant.
#[test]
fn a_failing_seed_is_shrunk_and_fails_as_before() {
    for broken in [Mutation::OneAccuserIsEnough, Mutation::TermKept, Mutation::RemovedGoesOn] {
        let Some((seed, violation)) = tries(broken).found else { panic!("{broken:?} is not found") };
        let before = Plan { broken: Broken::only(broken), ..plan(seed) };
        let small = shrink(&before, 400);
        assert_eq!(violated(&small), Some(violation.invariant), "{broken:?}");
        assert!(small.faults.len() <= before.faults.len() && small.hosts.len() <= before.hosts.len());
        assert_ne!(small, before, "{broken:?}: there is nothing that was of no matter");
    }
}

#[test]
fn each_broken_mechanism_is_found() {
    let wanted = std::env::var("DOYEN_SIM_BROKEN").ok();
    let all: Vec<Mutation> =
        Mutation::ALL.iter().copied().filter(|m| wanted.as_ref().is_none_or(|w| format!("{m:?}") == *w)).collect();
    let (next, rows) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, std::num::NonZero::get) {
            scope.spawn(|| {
                while let Some(mutation) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = row(*mutation, &tries(*mutation));
                    rows.lock().unwrap().push((*mutation, found));
                }
            });
        }
    });
    let mut rows = rows.into_inner().unwrap();
    rows.sort_by_key(|(mutation, _)| *mutation);
    let (mut told, mut missed) = (String::new(), 0);
    for (_, found) in &rows {
        missed += usize::from(found.is_err());
        let (Ok(line) | Err(line)) = found;
        writeln!(told, "{line}").unwrap();
    }
    eprintln!("{told}{} mechanisms broken, {missed} not found", rows.len());
    assert_eq!(missed, 0, "\n{told}");
    assert!(wanted.is_some() || rows.len() >= 25);
}
