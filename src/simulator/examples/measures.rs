//! Measures the simulated core, and prints Markdown: the time without an owner that can write for each row of the fault table, and what a
//! calm cluster costs its nodes. For docs/benchmarks.md.

use doyen_simulator::plan::Plan;
use doyen_simulator::run::run;
use doyen_simulator::scenario::Scenario;
use doyen_simulator::world::Watching;

const SEEDS: u64 = 300;

/// What happens, to how many nodes, and the budget in milliseconds, if there is one.
type Row = (&'static str, &'static [usize], &'static str, Option<u64>);

const ROWS: &[Row] = &[
    ("the oldest leaves in good order", &[2, 3, 5], "leave A", Some(500)),
    ("the oldest is killed", &[2, 3, 5], "crash A never", Some(1000)),
    ("the youngest is killed", &[2], "crash B never", None),
    ("the youngest is killed", &[3], "crash C never", None),
    ("the oldest's host is lost", &[2, 3, 5], "power A", Some(4000)),
    ("the oldest stops (SIGSTOP)", &[2, 3, 5], "freeze A", Some(4000)),
    ("the oldest's loop hangs", &[2, 3, 5], "wedge A", Some(4000)),
    ("A\\|B", &[2], "A|B", None),
    ("A\\|BC", &[3], "A|BC", Some(4000)),
    ("AB\\|C", &[3], "AB|C", None),
    ("A\\|BCDE", &[5], "A|BCDE", Some(4000)),
    ("AB\\|CDE", &[5], "AB|CDE", None),
    ("A\\|B\\|C", &[3], "A|B|C", None),
    ("the two oldest are killed", &[3, 5], "crash AB never", Some(4000)),
    ("the two oldest's hosts are lost", &[3, 5], "power AB", Some(4000)),
    ("all but the oldest are killed", &[3], "crash BC never", None),
    ("all but the oldest are killed", &[5], "crash BCDE never", None),
    ("one link is cut", &[3, 5], "A-B", None),
    ("a link flaps each 400 ms", &[2], "flap A-B every 400ms 10 times", None),
    ("the owner loses the store", &[2, 3, 5], "store cut A", None),
    ("another loses the store", &[2, 3, 5], "store cut B", None),
    ("the store is away for 8 s", &[3, 5], "store away for 8s", None),
    ("the same, and A\\|B…", &[3], "A|BC, store away for 8s", None),
    ("all lose power for 5 s, the first seed's host for good", &[3], "power A, power BC for 5s", None),
    ("A\\|B; the winner's host is lost after 4 s", &[2], "A|B, power A at 4s", None),
];

fn at(sorted: &[u64], per_cent: usize) -> u64 {
    sorted.get((sorted.len() * per_cent / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or(0)
}

fn gaps() {
    println!("| what | nodes | p50 | p99 | max | budget |\n|---|---|---|---|---|---|");
    for (what, sizes, fault, budget) in ROWS {
        for nodes in *sizes {
            let scenario = Scenario::new(*nodes).fault(fault).expect("the fault is in the notation").lasting(25_000);
            let gap = |seed| scenario.clone().seed(seed).run(Watching::NOTHING).gap_ms();
            let mut gaps: Vec<u64> = (1..=SEEDS).map(gap).collect();
            gaps.sort_unstable();
            let told = [50, 99, 100].map(|share| match at(&gaps, share) {
                0 => "< 150 ms".to_owned(),
                ms => format!("{ms} ms"),
            });
            let budget = budget.map_or(String::new(), |ms| format!("≤ {ms} ms"));
            println!("| {what} | {nodes} | {} | {budget} |", told.join(" | "));
        }
    }
}

/// Nanoseconds of CPU that this process has used.
fn cpu_ns() -> u64 {
    let told = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    told.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Messages and bytes sent, events taken, CPU used from the start until then.
fn counted(nodes: usize, end_ms: u64, sizes: bool) -> [u64; 4] {
    let mut plan = Plan::calm(1, nodes);
    for (no, host) in plan.hosts.iter_mut().enumerate() {
        host.start_ms = Some(no as u64 * 50);
    }
    plan.end_ms = end_ms;
    let before = cpu_ns();
    let measures = run(&plan, Watching { sizes, ..Watching::NOTHING }).measures;
    [measures.messages.iter().sum(), measures.bytes.iter().sum(), measures.steps, cpu_ns() - before]
}

fn costs() {
    const SECONDS: u64 = 10;
    println!(
        "\n| nodes | messages | bytes of JSON | events | CPU for an event | share of a core |\n|---|---|---|---|---|---|"
    );
    for nodes in [3, 9, 50, 100] {
        let formed_ms = nodes as u64 * 50 + 6000;
        let span = |sizes| {
            let (from, to) = (counted(nodes, formed_ms, sizes), counted(nodes, formed_ms + SECONDS * 1000, sizes));
            [0, 1, 2, 3].map(|which| to[which].saturating_sub(from[which]))
        };
        let ([messages, bytes, ..], [_, _, events, ns]) = (span(true), span(false));
        let share = SECONDS * nodes as u64;
        println!(
            "| {nodes} | {} | {} | {} | {:.1} µs | {:.2} % |",
            messages / share,
            bytes / share,
            events / share,
            ns as f64 / events as f64 / 1000.0,
            ns as f64 / share as f64 / 1e7,
        );
    }
}

fn main() {
    gaps();
    costs();
}
