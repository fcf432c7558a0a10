//! The claim protocol, checked exhaustively: every order in which nodes read, claim, crash, come back and leave, and in which the store
//! commits, answers, loses answers and commits late, within the bounds of each test. Nodes have no clocks here and believe anything of
//! each other; the claims themselves are made by the functions that the product uses. `DOYEN_MODEL=large` sets larger bounds: with
//! `--test-threads=1` some minutes, and less than three gigabytes of memory.

mod by_hand;
mod checker;
mod moves;
mod node;
mod records;
mod register;
mod rules;
mod tampering;
mod teeth;
mod world;

use std::io::Write;

use checker::{Counterexample, Explored, explore};
use rules::{Bounds, Broken, Grain, Happened};
use world::World;

const TWO: Bounds = Bounds {
    nodes: 2,
    twins: false,
    epochs: 5,
    restarts: 1,
    losses: 1,
    grain: Grain::Coarse,
    hands: 0,
    rewinds: false,
};

/// Steps that only a fine grain tells apart.
const FINE: [Happened; 3] = [Happened::RefusedAsTooLate, Happened::LostAfterCommit, Happened::ReadOld];
const HAND: [Happened; 12] = [
    Happened::DeletedByHand,
    Happened::DeletedWithFence,
    Happened::PutBackByHand,
    Happened::PutRightByHand,
    Happened::PutRightByLateWrite,
    Happened::Restored,
    Happened::WentOnOnceRight,
    Happened::Stranded,
    Happened::FoundAgainAsMember,
    Happened::FoundAgainAsNewcomer,
    Happened::StoodDownWhenRestored,
    Happened::FoundItselfUnjoined,
];

fn run(bounds: Bounds, broken: Option<Broken>) -> (World, Result<Explored, Counterexample>) {
    let mut world = World::new(bounds, broken);
    let result = explore(&mut world);
    (world, result)
}

/// Past the capture of tests, since the counts are what a reader wants to see.
fn say(text: &str) {
    writeln!(std::io::stderr(), "model: {text}").expect("stderr is open");
}

/// Nothing that must never be can be; and all that may happen does, but for what is named.
#[track_caller]
fn holds(bounds: Bounds, absent: &[Happened]) {
    let (world, result) = run(bounds, None);
    let Explored { states, steps, depth } = match result {
        Ok(explored) => explored,
        Err(found) => panic!("{} ({bounds:?})\n  {}", found.violation, found.way.join("\n  ")),
    };
    say(&format!("{states} states, {steps} steps, {depth} deep: {bounds:?}"));
    let missing = |happened: &&Happened| world.tally.of(**happened) == 0 && !absent.contains(happened);
    let missing: Vec<&Happened> = Happened::ALL.iter().filter(missing).collect();
    assert!(missing.is_empty(), "{missing:?} never happened in {bounds:?}");
}

/// The bounds for every day, or those for a long run.
fn either(usual: Bounds, large: Bounds) -> Bounds {
    if std::env::var_os("DOYEN_MODEL").is_some_and(|value| value == "large") { large } else { usual }
}

#[test]
fn two_nodes_in_the_finest_steps() {
    let fine = Bounds { grain: Grain::Fine { lag: 1 }, ..TWO };
    holds(either(fine, Bounds { restarts: 2, ..fine }), &[&HAND[..], &[Happened::TouchLost]].concat());
}

#[test]
fn two_nodes_in_the_finest_steps_with_two_answers_lost() {
    let fine = Bounds { epochs: 4, losses: 2, grain: Grain::Fine { lag: 2 }, ..TWO };
    holds(either(fine, Bounds { epochs: 5, ..fine }), &HAND);
}

#[test]
fn two_nodes_that_restart_twice() {
    let twice = Bounds { epochs: 6, restarts: 2, losses: 2, ..TWO };
    let large = Bounds { epochs: 8, restarts: 3, ..twice };
    holds(either(twice, large), &[&HAND[..], &FINE[..]].concat());
}

#[test]
fn two_of_one_name_and_a_third() {
    let twins = Bounds { nodes: 3, twins: true, ..TWO };
    let large = Bounds { epochs: 6, losses: 2, ..twins };
    let absent = [&HAND[..], &FINE[..], &[Happened::TouchLost]].concat();
    holds(either(twins, large), &absent);
}

#[test]
fn three_nodes() {
    let three = Bounds { nodes: 3, epochs: 6, ..TWO };
    let large = Bounds { restarts: 2, ..three };
    holds(either(three, large), &[&HAND[..], &FINE[..], &[Happened::TouchLost]].concat());
}

#[test]
fn three_nodes_with_two_answers_lost() {
    let three = Bounds { nodes: 3, losses: 2, ..TWO };
    holds(either(three, Bounds { epochs: 6, ..three }), &[&HAND[..], &FINE[..]].concat());
}

#[test]
fn three_nodes_in_the_finest_steps() {
    let fine = Bounds { nodes: 3, epochs: 3, grain: Grain::Fine { lag: 0 }, ..TWO };
    let absent = [&HAND[..], &[Happened::ReadOld, Happened::TouchLost, Happened::CameToNobody]].concat();
    holds(either(fine, Bounds { epochs: 4, ..fine }), &absent);
}

#[test]
fn four_nodes() {
    let four = Bounds { nodes: 4, ..TWO };
    let large = Bounds { epochs: 6, ..four };
    holds(either(four, large), &[&HAND[..], &FINE[..], &[Happened::TouchLost]].concat());
}
