//! A node's own life: which state may follow which.

use super::*;

#[test]
fn every_pair_of_lives_is_decided() {
    let allowed: Vec<String> = Life::ALL
        .iter()
        .flat_map(|from| Life::ALL.iter().map(move |to| (from, to)))
        .filter(|(from, to)| from.may_become(**to))
        .map(|(from, to)| format!("{from:?} > {to:?}"))
        .collect();
    let expected = [
        "Seeking > Joining",
        "Seeking > Stranded",
        "Seeking > Ended",
        "Joining > Seeking",
        "Joining > Member",
        "Joining > Ended",
        "Member > Leaving",
        "Member > Stranded",
        "Member > Ended",
        "Leaving > Stranded",
        "Leaving > Ended",
        "Stranded > Seeking",
        "Stranded > Member",
        "Stranded > Leaving",
        "Stranded > Ended",
    ];
    assert_eq!(allowed, expected);
}

#[test]
fn nothing_follows_the_end() {
    let mut stage = alone();
    stage.step(crate::event::Event::Leave);
    stage.step(crate::event::Event::HandedOver);
    stage.pass(Millis(1000));
    assert!(stage.is(Life::Ended));
    stage.effects.clear();
    stage.pass(Millis(10_000));
    assert!(stage.effects.is_empty());
    assert_eq!(stage.node.next_wake(), crate::ids::Moment(u64::MAX));
}

#[test]
fn a_stopped_owner_reads_the_record_before_it_owns_again() {
    let mut stage = alone();
    stage.effects.clear();
    stage.trouble = Trouble::Away;
    stage.freeze(Millis(5000));
    stage.pass(Millis(1000));
    let term = crate::ids::Term(1);
    assert!(stage.effects.contains(&crate::effect::Effect::Stop { term }));
    assert!(!stage.effects.contains(&crate::effect::Effect::Run { term }));
    stage.trouble = Trouble::None;
    stage.pass(Millis(5000));
    assert!(stage.effects.contains(&crate::effect::Effect::Run { term }));
}

#[test]
fn a_clock_that_steps_back_is_taken_for_a_stop_of_it() {
    let mut stage = member_b();
    let before = stage.node.view().clone();
    stage.node.step(crate::ids::Moment(1), crate::event::Event::Wake);
    assert_eq!(stage.node.view(), &before);
    assert!(stage.node.next_wake() > stage.now, "it goes on from the latest moment that it has seen");
}

#[test]
fn it_is_the_same_node_after_it_was_written_down_and_read() {
    let stage = second_of(&["a", "b", "c"]);
    let text = serde_json::to_string(&stage.node).expect("JSON");
    let read: Node = serde_json::from_str(&text).expect("a node");
    assert_eq!(read, stage.node);
    assert_eq!(read.id(), &id("b"));
}
