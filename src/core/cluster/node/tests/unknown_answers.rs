//! Changes whose answer never came.

use super::*;
use crate::effect::Effect;
use crate::event::Event;
use crate::store::{StoreAnswer, StoreOp};

fn joining(trouble: Trouble) -> Stage {
    let mut stage = Stage::new(settings("b", 1, &["a", "b"])).with(&record(&["a"])).alive(&["a"]);
    stage.trouble = trouble;
    stage.pass(Millis(300));
    assert!(stage.is(Life::Joining), "{:?}", stage.node.life());
    stage
}

#[test]
fn a_join_that_was_committed_is_recognised_by_the_records_content() {
    let mut stage = joining(Trouble::AnswersLost);
    stage.trouble = Trouble::None;
    stage.pass(Millis(1000));
    assert!(stage.is(Life::Member));
    assert_eq!(stage.record.expect("there").record.members.len(), 2);
}

#[test]
fn a_join_that_was_not_committed_is_fenced_off_by_a_write_and_tried_again() {
    let mut stage = joining(Trouble::ChangesLost);
    let base = stage.record.clone().expect("there").version;
    stage.trouble = Trouble::None;
    stage.pass(Millis(1000));
    assert!(
        stage
            .effects
            .iter()
            .any(|e| matches!(e, Effect::Store { op: StoreOp::Touch { base: b, .. }, .. } if *b == base))
    );
    assert!(stage.is(Life::Member));
}

#[test]
fn a_join_of_which_nothing_is_seen_in_a_newer_record_is_tried_only_by_another_run() {
    let mut stage = joining(Trouble::ChangesLost);
    stage.put(&record(&["a", "c"]));
    stage.trouble = Trouble::None;
    stage.pass(Millis(1000));
    assert!(stage.effects.contains(&Effect::Reincarnate));
    assert!(stage.is(Life::Ended));
}

#[test]
fn nothing_is_claimed_while_an_answer_is_open() {
    let mut stage = member_b();
    stage.alive.clear();
    stage.trouble = Trouble::ChangesLost;
    stage.pass(Millis(20_000));
    let swaps = stage
        .effects
        .iter()
        .filter(|e| matches!(e, Effect::Store { op: StoreOp::Swap { record, .. }, .. } if record.members.len() == 1));
    assert_eq!(swaps.count(), 1, "it touches again and again, and does not claim");
}

#[test]
fn an_answer_after_the_deadline_is_not_taken_for_that_of_a_later_request() {
    let mut stage = alone();
    stage.trouble = Trouble::Away;
    stage.pass(Millis(5000));
    let old =
        stage.effects.iter().find_map(|e| if let Effect::Store { request, .. } = e { Some(*request) } else { None });
    let before = stage.node.clone();
    let answer = StoreAnswer::Done { version: crate::ids::Version(99) };
    stage.node.step(stage.now, Event::Answered { request: old.expect("it has asked"), answer });
    assert_eq!(stage.node.record(), before.record());
}

#[test]
fn a_first_record_whose_answer_was_lost_is_created_again_and_recognised() {
    for trouble in [Trouble::AnswersLost, Trouble::ChangesLost] {
        let mut stage = Stage::new(settings("a", 1, &["a"]));
        stage.trouble = trouble;
        stage.pass(Millis(100));
        assert!(stage.is(Life::Joining));
        stage.trouble = Trouble::None;
        stage.pass(Millis(1000));
        assert!(stage.is(Life::Member), "{trouble:?}");
    }
}

#[test]
fn a_join_that_may_have_been_committed_to_a_record_that_is_lost_is_tried_only_by_another_run() {
    let mut deleted = Stage::new(settings("a", 1, &["a"]));
    deleted.trouble = Trouble::AnswersLost;
    deleted.pass(Millis(100));
    deleted.record = None;
    let mut put_back = joining(Trouble::AnswersLost);
    put_back.fences[0].epoch = put_back.epoch().next();
    for mut stage in [deleted, put_back] {
        assert!(stage.is(Life::Joining));
        stage.trouble = Trouble::None;
        stage.pass(Millis(1000));
        assert!(stage.effects.contains(&Effect::Reincarnate), "{:?}", stage.node.life());
    }
}
