//! The server is killed before and after every durable write that it makes.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use doyen::runtime::clock;
use doyen::runtime::crash::{COMMITS, FIRST_START, Side, WRITES};

use crate::durability::{self, Row};
use crate::lives::Scenario;
use crate::world::{Wish, World};

/// Which passing of the point is the last, in one life after the other. What is passed once can end two servers.
const LIVES: [(Side, u32); 6] =
    [(Side::Before, 1), (Side::After, 1), (Side::Before, 2), (Side::After, 2), (Side::Before, 4), (Side::After, 7)];
/// Servers at once, on however few cores: they mostly wait for their drivers.
const AT_ONCE: usize = 6;

#[test]
fn what_was_acknowledged_before_a_crash_at_any_point_is_there_afterwards_and_nothing_is_done_twice() {
    let only = std::env::var("DOYEN_CRASH_ONLY").ok();
    let points =
        COMMITS.iter().chain(FIRST_START).chain(WRITES).filter(|point| only.as_ref().is_none_or(|only| only == *point));
    let left = Mutex::new(points.collect::<Vec<_>>());
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
    durability::record("points", rows.into_inner().unwrap());
}

/// The scenarios of this point, whose servers end there.
async fn live(point: &'static str) -> Vec<Row> {
    let mut counts = BTreeMap::new();
    for scenario in Scenario::of(point) {
        let began = clock::instant();
        let mut world = World::start(*scenario, LIVES.map(|(side, nth)| Wish { point, side, nth })).await;
        world.live(*scenario).await;
        for crash in &world.crashes {
            *counts.entry(crash.side == Side::After).or_insert(0) += 1;
        }
        let (crashes, took) = (world.crashes.len(), clock::since(began));
        println!("{point}, {scenario:?}: {crashes} crashes, {} checks, {took:.1?}", world.checked);
    }
    assert_eq!(counts.len(), 2, "a scenario must pass `{point}` twice at least: see tests/crash/lives.rs");
    let row = |(after, times)| Row {
        what: "server".into(),
        when: format!("{} `{point}`", if after { "after" } else { "before" }),
        times,
        lost: "nothing".into(),
    };
    counts.into_iter().map(row).collect()
}
