//! Scenarios in one line.

use doyen_simulator::scenario::{Outcome, Scenario};
use doyen_simulator::world::Watching;

/// A scenario is played with this many seeds: other delays, other moments.
const SEEDS: u64 = 12;

/// Plays a scenario and shows its course if `check` fails, or an invariant.
#[track_caller]
pub fn play(scenario: &Scenario, check: impl Fn(&Outcome)) {
    for seed in 1..=SEEDS {
        let outcome = scenario.clone().seed(seed).run(Watching::ALL);
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            assert_eq!(outcome.report.violations, []);
            check(&outcome);
        }));
        if let Err(panic) = told {
            for line in outcome.report.trace.iter().filter(|line| line.at_us / 1000 + 200 > outcome.from_ms) {
                eprintln!("{line}");
            }
            eprintln!("with seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// A cluster of so many nodes, and what happens to it.
#[track_caller]
pub fn cluster(nodes: usize, fault: &str) -> Scenario {
    Scenario::new(nodes).fault(fault).expect("the fault is in the notation")
}
