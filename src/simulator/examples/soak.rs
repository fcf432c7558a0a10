//! Runs seeds from the first given until so many events are done, and prints what came of it as one line of JSON. For `scripts/soak sim`.
//!
//!     soak FIRST EVENTS

use doyen_cluster::mutations::Broken;
use doyen_simulator::campaign::campaign;

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let [first, events] = numbers.as_slice() else {
        eprintln!("soak FIRST EVENTS");
        std::process::exit(2);
    };
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let totals = campaign(*first, threads, Broken::default(), 5, |done| done >= *events);
    let most = |of: &[u64]| of.iter().copied().max().unwrap_or(0);
    let failures: Vec<_> = totals.failures.iter().map(|f| (f.seed, f.violations[0].to_string())).collect();
    let told = serde_json::json!({
        "seeds": totals.seeds,
        "events": totals.events,
        "simulated_ms": totals.simulated_ms,
        "commits": totals.commits,
        "owner_ms": most(&totals.owner_ms),
        "well_ms": most(&totals.well_ms),
        "failures": failures,
    });
    println!("{told}");
}
