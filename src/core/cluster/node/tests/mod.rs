//! A node by itself, before a store that does as the test says.

mod bad_input;
mod claiming;
mod coming_in;
mod leaving;
mod life;
mod unknown_answers;

use super::stage::{Stage, Trouble};
use super::{Life, Node};
use crate::fixtures::{by, id, ids, newcomer, record, settings};
use crate::ids::Millis;

/// The second of two members, with the first, which owns, alive.
fn member_b() -> Stage {
    second_of(&["a", "b"])
}

/// Node b, having joined a, which owns; then the others joined, and all are alive.
fn second_of(names: &[&str]) -> Stage {
    let mut stage = Stage::new(settings("b", 1, &["a", "b"])).with(&record(&["a"])).alive(&["a"]);
    stage.pass(Millis(1000));
    assert!(stage.is(Life::Member), "{:?}", stage.node.life());
    for name in &names[2..] {
        let record = stage.record.clone().expect("it has joined").record;
        stage.put(&record.joined(&newcomer(name, 1), &ids(&["a"]), by(name)).expect("there is room"));
        stage = stage.alive(&[name]);
    }
    stage.pass(Millis(1000));
    stage
}

/// A node that has founded its cluster.
fn alone() -> Stage {
    let mut stage = Stage::new(settings("a", 1, &["a"]));
    stage.pass(Millis(100));
    assert!(stage.is(Life::Member));
    stage
}
