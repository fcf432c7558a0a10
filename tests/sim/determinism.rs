//! The same seed leads to the same run.

use doyen_simulator::run::run;
use doyen_simulator::schedule::plan;
use doyen_simulator::world::Watching;

#[test]
fn the_same_seed_twice_is_the_same_run_and_another_seed_is_not() {
    let runs: Vec<(u64, u64)> = (1..20)
        .map(|seed| {
            let first = run(&plan(seed), Watching::NOTHING);
            let second = run(&plan(seed), Watching { flight: Some(100), ..Watching::ALL });
            assert_eq!((first.sum, first.measures), (second.sum, second.measures), "seed {seed}");
            (first.sum, seed)
        })
        .collect();
    for (at, (sum, seed)) in runs.iter().enumerate() {
        assert!(!runs[..at].iter().any(|(other, _)| other == sum), "seed {seed}");
    }
}

#[test]
fn a_plan_that_was_saved_and_read_is_the_same() {
    for seed in 1..200 {
        let before = plan(seed);
        let text = serde_json::to_string(&before).unwrap();
        assert_eq!(serde_json::from_str::<doyen_simulator::plan::Plan>(&text).unwrap(), before);
    }
}

#[test]
fn what_a_flight_recorder_recorded_is_decided_again() {
    for seed in 1..25 {
        let report = run(&plan(seed), Watching { flight: Some(1000), ..Watching::NOTHING });
        assert!(!report.flights.is_empty());
        for flight in &report.flights {
            let replay = doyen_cluster::flight::replay(&flight.dump).unwrap();
            assert_eq!(replay.differs_at, None, "seed {seed}, {}", flight.node);
        }
    }
}
