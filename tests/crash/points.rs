//! The server is killed before and after every durable write that it makes.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use doyen::runtime::clock;
use doyen::runtime::crash::{COMMITS, FIRST_START, Side, WRITES};

use crate::durability::{self, Row};
use crate::lives::Scenario;
use crate::shared::Home;
use crate::world::{Wish, World};

/// Which passing of the point is the last, in one life after the other. What is passed once can end two servers.
const LIVES: [(Side, u32); 6] =
    [(Side::Before, 1), (Side::After, 1), (Side::Before, 2), (Side::After, 2), (Side::Before, 4), (Side::After, 7)];
/// Servers at once, on however few cores: they mostly wait for their drivers.
const AT_ONCE: usize = 6;

/// Set to `all`, the scenarios over shared stores are as many as those over the data directory.
const SHARED: &str = "DOYEN_CRASH_SHARED";
/// What only a server with its records in the data directory passes.
const EMBEDDED: [&str; 2] = ["store-create", "store-batch"];

#[test]
fn what_was_acknowledged_before_a_crash_at_any_point_is_there_afterwards_and_nothing_is_done_twice() {
    let points = COMMITS.iter().chain(FIRST_START).chain(WRITES);
    let rows = all(points, |point| live(point, "server", || None, &LIVES, Scenario::of(point)));
    durability::record("points", rows);
}

/// The same over a ZooKeeper and an HDFS: each commit once, before and after it.
#[test]
fn over_shared_stores_what_was_acknowledged_before_a_crash_at_any_commit_is_there_afterwards() {
    let home = || Some(Home::new());
    let rows = if std::env::var(SHARED).is_ok_and(|wish| wish == "all") {
        let points = COMMITS.iter().chain(FIRST_START).chain(WRITES).filter(|point| !EMBEDDED.contains(point));
        all(points, |point| live(point, "server, shared stores", home, &LIVES, Scenario::of(point)))
    } else {
        all(COMMITS.iter(), |point| live(point, "server, shared stores", home, &LIVES[..2], &Scenario::of(point)[..1]))
    };
    durability::record("shared", rows);
}

/// Several at once; what became of all of them.
fn all<F: Future<Output = Vec<Row>>>(
    points: impl Iterator<Item = &'static &'static str>,
    live: impl Fn(&'static str) -> F + Sync,
) -> Vec<Row> {
    let only = std::env::var("DOYEN_CRASH_ONLY").ok();
    let left = Mutex::new(points.filter(|point| only.as_ref().is_none_or(|only| only == *point)).collect::<Vec<_>>());
    let (rows, failed) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let worker = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        while let Some(point) = { left.lock().unwrap().pop() } {
            match catch_unwind(AssertUnwindSafe(|| runtime.block_on(live(point)))) {
                Ok(of_point) => rows.lock().unwrap().extend(of_point),
                Err(_) => failed.lock().unwrap().push(*point),
            }
        }
    };
    std::thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(worker))));
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{failed:?}: see above; DOYEN_CRASH_ONLY=NAME tries one alone");
    rows.into_inner().unwrap()
}

/// The scenarios of this point, whose servers end there.
async fn live(
    point: &'static str,
    what: &str,
    home: impl Fn() -> Option<Home>,
    lives: &[(Side, u32)],
    scenarios: &[Scenario],
) -> Vec<Row> {
    let mut counts = BTreeMap::new();
    for scenario in scenarios {
        let began = clock::instant();
        let wishes = lives.iter().map(|(side, nth)| Wish { point, side: *side, nth: *nth });
        let mut world = World::start(*scenario, home(), wishes).await;
        world.live(*scenario).await;
        for crash in &world.crashes {
            *counts.entry(crash.side == Side::After).or_insert(0) += 1;
        }
        let (crashes, took) = (world.crashes.len(), clock::since(began));
        println!("{what}, {point}, {scenario:?}: {crashes} crashes, {} checks, {took:.1?}", world.checked);
    }
    assert_eq!(counts.len(), 2, "a scenario must pass `{point}` twice at least: see tests/crash/lives.rs");
    let row = |(after, times)| Row {
        what: what.into(),
        when: format!("{} `{point}`", if after { "after" } else { "before" }),
        times,
        lost: "nothing".into(),
    };
    counts.into_iter().map(row).collect()
}
