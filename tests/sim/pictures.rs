//! The pictures of docs/split-brain.md are runs of the simulator. `scripts/pictures` draws them anew.

use std::path::{Path, PathBuf};

use doyen_simulator::run::run;
use doyen_simulator::scenario::Scenario;
use doyen_simulator::story::{Story, picture};
use doyen_simulator::world::Watching;

/// What `doyen simulate` shows of the time before the faults, in milliseconds.
const LEAD_MS: i64 = 500;

/// File, nodes, faults, and how long it goes on, in seconds.
const PICTURES: [(&str, usize, &str, u64); 7] = [
    ("two-nodes", 2, "A|B for 6s", 10),
    ("owner-killed", 3, "crash A", 4),
    ("owner-frozen", 3, "freeze A for 6s", 10),
    ("one-against-two", 3, "A|BC for 6s", 10),
    ("owner-without-store", 3, "store cut A for 6s", 10),
    ("cut-and-without-store", 2, "A|B, store cut A for 6s", 10),
    ("power", 3, "power A, power BC for 3s", 14),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn file(name: &str) -> String {
    format!("images/split-brain-{name}.svg")
}

/// As `doyen simulate --nodes … --fault … --for … --svg` draws it.
fn drawn(nodes: usize, fault: &str, seconds: u64) -> String {
    let scenario = Scenario::new(nodes).fault(fault).expect("it is in the notation").lasting(seconds * 1000).seed(1);
    let (plan, from_ms) = scenario.into_plan();
    let report = run(&plan, Watching::ALL);
    assert_eq!(report.violations, [], "{fault}");
    picture::drawn(&Story::new(&format!("{nodes} nodes: {fault}"), &plan, &report, from_ms).since(-LEAD_MS))
}

#[test]
fn pictures_are_what_the_simulator_draws() {
    for (name, nodes, fault, seconds) in PICTURES {
        let (path, now) = (root().join(file(name)), drawn(nodes, fault, seconds));
        if std::env::var_os("DOYEN_WRITE_PICTURES").is_some() {
            std::fs::write(&path, &now).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == now, "{} is another picture than is drawn now: see scripts/pictures", path.display());
        assert!(now.len() < 12_000, "{name}: {} bytes", now.len());
    }
}

#[test]
fn the_page_shows_each_picture_with_the_command_that_draws_it() {
    let page = std::fs::read_to_string(root().join("docs/split-brain.md")).unwrap();
    for (name, nodes, fault, seconds) in PICTURES {
        assert!(page.contains(&format!("](../{})", file(name))), "{name} is not shown");
        let command = format!("doyen simulate --nodes {nodes} --fault '{fault}' --for {seconds}s");
        assert!(page.contains(&command), "{command}");
    }
}
