//! Leaving in good order.

use super::*;
use crate::effect::{Effect, Exit};
use crate::event::Event;
use crate::ids::Term;

#[test]
fn an_owner_gives_the_singleton_away_at_once_and_goes_when_all_is_handed_over() {
    let mut stage = Stage::new(settings("a", 1, &["a", "b"])).alive(&["b"]);
    stage.pass(Millis(600));
    let both = stage.record.clone().expect("founded").record;
    let joined =
        both.joined(&crate::fixtures::newcomer("b", 1), &crate::fixtures::ids(&["a"]), crate::fixtures::by("b"));
    stage.put(&joined.expect("there is room"));
    stage.pass(Millis(1000));
    stage.effects.clear();
    stage.step(Event::Leave);
    let record = stage.record.clone().expect("there").record;
    assert_eq!((record.owner.clone(), record.term), (Some(id("b")), Term(2)));
    assert!(stage.effects.contains(&Effect::HandOver) && stage.effects.contains(&Effect::Stop { term: Term(1) }));
    stage.pass(Millis(3000));
    assert!(stage.is(Life::Leaving), "it has not handed over");
    stage.step(Event::HandedOver);
    assert_eq!(stage.exit(), Some(&Exit::Left));
    assert!(!stage.record.expect("there").record.contains(&id("a")));
}

#[test]
fn the_last_leaves_a_record_without_owner_and_a_fence_that_no_owner_had() {
    let mut stage = alone();
    stage.step(Event::Leave);
    stage.step(Event::HandedOver);
    assert_eq!(stage.exit(), Some(&Exit::Left));
    assert_eq!(stage.record.expect("there").record.owner, None);
    assert_eq!(stage.fences.iter().map(|fence| fence.key.term).collect::<Vec<_>>(), [Term(2)]);
}

#[test]
fn who_cannot_hand_over_in_time_goes_without() {
    let mut stage = alone();
    stage.step(Event::Leave);
    stage.pass(Millis(9_900));
    assert!(stage.is(Life::Leaving));
    stage.pass(Millis(1000));
    assert_eq!(stage.exit(), Some(&Exit::Left));
}

#[test]
fn who_cannot_reach_the_store_goes_all_the_same() {
    let mut stage = alone();
    stage.trouble = Trouble::Away;
    stage.step(Event::Leave);
    stage.pass(Millis(15_000));
    assert_eq!(stage.exit(), Some(&Exit::Left));
}

#[test]
fn who_has_not_joined_yet_just_goes() {
    let mut stage = Stage::new(settings("b", 1, &["a", "b"]));
    stage.pass(Millis(100));
    stage.step(Event::Leave);
    assert_eq!(stage.exit(), Some(&Exit::Left));
}

#[test]
fn a_leave_during_a_join_waits_for_what_has_come_of_it() {
    let mut stage = Stage::new(settings("b", 1, &["a", "b"])).with(&record(&["a"])).alive(&["a"]);
    stage.trouble = Trouble::AnswersLost;
    stage.pass(Millis(300));
    assert!(stage.is(Life::Joining));
    stage.step(Event::Leave);
    stage.trouble = Trouble::None;
    stage.pass(Millis(1000));
    assert!(stage.is(Life::Leaving), "{:?}", stage.node.life());
    stage.step(Event::HandedOver);
    stage.pass(Millis(100));
    assert!(!stage.record.expect("there").record.contains(&id("b")));
}

#[test]
fn a_leave_during_a_join_of_which_the_store_says_nothing_ends_all_the_same() {
    let mut stage = Stage::new(settings("b", 1, &["a", "b"])).with(&record(&["a"])).alive(&["a"]);
    stage.trouble = Trouble::AnswersLost;
    stage.pass(Millis(300));
    stage.trouble = Trouble::Away;
    stage.step(Event::Leave);
    stage.pass(Millis(11_900));
    assert!(stage.is(Life::Joining), "{:?}", stage.node.life());
    stage.pass(Millis(1000));
    assert_eq!(stage.exit(), Some(&Exit::Left));
}

#[test]
fn who_leaves_while_the_record_is_lost_ends_all_the_same() {
    let mut stage = alone();
    stage.step(Event::Leave);
    stage.record = None;
    stage.pass(Millis(2000));
    assert!(stage.is(Life::Stranded), "{:?}", stage.node.life());
    stage.pass(Millis(11_000));
    assert_eq!(stage.exit(), Some(&Exit::Left));
}

#[test]
fn an_owner_that_leaves_does_not_hand_over_to_another_that_leaves() {
    let mut stage = member_b();
    let record = stage.record.clone().expect("there").record;
    let a_leaves = record.leaving(&id("a"), &ids(&["b"]), by("a"));
    assert!(a_leaves.is_owner(&id("b")));
    stage.put(&a_leaves);
    stage.pass(Millis(1000));
    stage.step(Event::Leave);
    stage.pass(Millis(3000));
    let record = stage.record.clone().expect("there").record;
    assert_eq!((record.owner.clone(), record.term), (Some(id("b")), Term(2)));
    stage.step(Event::HandedOver);
    assert!(stage.record.expect("there").record.is_owner(&id("a")), "it goes first");
}
