//! Records that are damaged, lost, rolled back; nodes that lie.

use super::*;
use crate::effect::{Effect, Exit, Warning};
use crate::encoding::Unreadable;
use crate::event::Event;
use crate::fixtures::{by, fence, newcomer};
use crate::ids::{Epoch, NodeId, Term};
use crate::message::{Body, Gossip, Row};
use crate::record::Record;
use crate::store::{Reading, StoreAnswer};

/// Neither changes anything nor runs the singleton, is not ready, and has warned.
#[track_caller]
fn stranded(stage: &mut Stage) {
    let before = (stage.record.clone(), stage.fences.clone());
    stage.pass(Millis(30_000));
    assert!(stage.is(Life::Stranded), "{:?}", stage.node.life());
    assert_eq!((stage.record.clone(), stage.fences.clone()), before);
    assert!(!stage.status().ready);
    assert!(stage.warned(|w| matches!(w, Warning::RecordLost { .. } | Warning::FenceMissing { .. })));
}

#[test]
fn the_record_is_deleted_by_hand_and_put_back_as_it_was() {
    let mut stage = alone();
    let before = stage.record.take();
    stranded(&mut stage);
    stage.record = before;
    stage.pass(Millis(1000));
    assert!(stage.is(Life::Member));
}

#[test]
fn the_record_is_rolled_back_to_yesterdays() {
    let mut stage = member_b();
    stage.put(&record(&["a"]));
    stranded(&mut stage);
}

#[test]
fn the_record_is_of_another_cluster() {
    let mut stage = member_b();
    let mut other = record(&["a", "b", "c"]);
    other.cluster_id = "other".into();
    stage.put(&other);
    stranded(&mut stage);
}

#[test]
fn the_record_is_damaged_or_of_a_newer_format() {
    for unreadable in [Unreadable::Damaged { why: "cut".into() }, Unreadable::Newer { format: 2 }] {
        let mut stage = member_b();
        stage.unreadable = Some(unreadable);
        stranded(&mut stage);
        stage.unreadable = None;
        stage.pass(Millis(1000));
        assert!(stage.is(Life::Member));
    }
}

#[test]
fn the_fence_is_deleted_by_hand() {
    let mut stage = alone();
    stage.fences.clear();
    stranded(&mut stage);
    assert!(stage.effects.contains(&Effect::Stop { term: Term(1) }));
}

#[test]
fn a_newcomer_to_a_record_that_was_deleted_founds_none_as_fences_are_left() {
    let mut stage = Stage::new(settings("a", 1, &["a"]));
    stage.fences = vec![fence(7, 9)];
    stage.pass(Millis(30_000));
    assert!(stage.record.is_none());
    assert!(stage.warned(|w| *w == Warning::FencesLeft { highest: Term(7) }));
}

#[test]
fn a_newcomer_to_a_damaged_record_waits() {
    let mut stage = Stage::new(settings("a", 1, &["a"]));
    stage.unreadable = Some(Unreadable::Damaged { why: "cut".into() });
    stranded(&mut stage);
}

fn asked(effects: &[Effect]) -> u64 {
    let asked = effects.iter().find_map(|e| if let Effect::Store { request, .. } = e { Some(*request) } else { None });
    asked.expect("it looks at the record first")
}

/// The record of two, with these fences.
fn answer(fences: Vec<crate::record::Fence>) -> StoreAnswer {
    let record = Ok(Stage::new(settings("a", 1, &["a"])).with(&record(&["a", "b"])).record);
    StoreAnswer::Read(Box::new(Reading { record, fences, registered: Vec::new() }))
}

/// The record is good, and there is no more when the newcomer asks again.
#[test]
fn a_newcomer_to_whom_a_record_is_told_too_late_and_is_then_deleted_with_its_fences_founds_none() {
    let mut stage = Stage::new(settings("a", 1, &["a"]));
    stage.trouble = Trouble::Away;
    stage.pass(Millis(1500));
    let request = asked(&stage.effects);
    stage.step(Event::Answered { request, answer: answer(vec![record(&["a", "b"]).fence()]) });
    assert!(stage.is(Life::Seeking) && stage.node.record().is_none(), "it has given that answer up");
    stage.trouble = Trouble::None;
    stranded(&mut stage);
}

/// A follower that lags still has a record without its fence; it is gone when the newcomer makes sure of that.
#[test]
fn a_newcomer_to_a_doubtful_record_that_is_then_deleted_with_its_fences_founds_none() {
    let mut stage = Stage::new(settings("a", 1, &["a"]));
    let request = asked(&stage.node.step(stage.now, Event::Wake));
    stage.step(Event::Answered { request, answer: answer(Vec::new()) });
    stranded(&mut stage);
    assert_eq!(stage.actions(), [crate::decision::Action::Strand]);
    stage.put(&Record::restored("cluster".into(), Epoch(5), Term(9), crate::ids::Age(3), by("operator")));
    stage.pass(Millis(1000));
    assert!(stage.is(Life::Member), "{:?}", stage.node.life());
}

#[test]
fn what_an_operator_restored_is_above_all_and_members_join_it_anew() {
    let mut stage = alone();
    let next_age = stage.record.take().expect("founded").record.next_age;
    stranded(&mut stage);
    stage.put(&Record::restored("cluster".into(), Epoch(5), Term(9), next_age, by("operator")));
    stage.pass(Millis(1000));
    assert_eq!(stage.exit(), Some(&Exit::Removed { epoch: Epoch(6) }));
}

#[test]
fn one_stale_reading_is_confirmed_before_it_is_believed() {
    let mut stage = member_b();
    let now = (stage.record.clone(), stage.fences.clone());
    stage.put(&record(&["a"]));
    // The follower that lags is asked first; what is asked next is confirmed.
    stage.node.step(stage.now, Event::RecordChanged);
    (stage.record, stage.fences) = now;
    stage.pass(Millis(2000));
    assert!(stage.is(Life::Member));
}

#[test]
fn another_process_has_this_runs_name_and_number() {
    let taken = record(&["a", "b"]);
    let mut ours = settings("b", 1, &["a"]);
    ours.me.address = "elsewhere:2552".into();
    let mut stage = Stage::new(ours).with(&taken).alive(&["a"]);
    stage.pass(Millis(1000));
    assert!(stage.effects.contains(&Effect::Reincarnate), "it takes another number; then the name is refused");
}

#[test]
fn a_node_that_lies_about_its_run_is_told_of_and_not_listened_to() {
    let mut stage = member_b();
    let liar = NodeId::new("b", 1);
    let row = Row { progress: 9, accused: vec![id("a")], deaf_to: Vec::new(), store: None };
    let gossip = Gossip { epoch: Epoch(1), row, relayed: Vec::new() };
    let message = crate::message::Message {
        from: liar,
        address: "elsewhere:2552".into(),
        cluster_id: None,
        body: Body::Ping { number: 1, to: id("b"), gossip },
    };
    stage.step(Event::Heard(message));
    assert!(stage.warned(|w| matches!(w, Warning::TwoSpeakAs { .. })));
    assert!(stage.node.view().accusations.is_empty());
}

#[test]
fn what_a_run_says_that_was_removed_counts_for_nothing() {
    let mut stage = second_of(&["a", "b", "c"]);
    let row = Row { progress: u64::MAX, accused: vec![id("a"), id("c")], deaf_to: Vec::new(), store: None };
    let relayed = vec![(NodeId::new("a", 7), row.clone()), (id("c"), row.clone())];
    let gossip = Gossip { epoch: Epoch(1), row, relayed };
    stage.hear(&NodeId::new("c", 7), Body::Ping { number: 1, to: id("b"), gossip });
    assert!(stage.node.view().accusations.is_empty());
}

#[test]
fn ten_thousand_messages_at_once_cost_ten_thousand_answers_and_one_look() {
    let mut stage = second_of(&["a", "b", "c"]);
    stage.effects.clear();
    for number in 0..10_000 {
        let row = Row { progress: 100_000 + number, accused: Vec::new(), deaf_to: Vec::new(), store: None };
        let gossip = Gossip { epoch: Epoch(1), row, relayed: Vec::new() };
        stage.hear(&id("c"), Body::Ping { number, to: id("b"), gossip });
    }
    let looks = stage.effects.iter().filter(|e| matches!(e, Effect::Store { .. })).count();
    assert!(looks <= 1 && stage.effects.len() <= 10_010, "{looks} looks, {} effects", stage.effects.len());
}

#[test]
fn an_epoch_that_does_not_exist_makes_it_look_and_no_more() {
    let mut stage = member_b();
    stage.effects.clear();
    for _ in 0..1000 {
        stage.hear(&id("a"), Body::Changed { epoch: Epoch(u64::MAX) });
    }
    assert!(stage.is(Life::Member));
    assert_eq!(stage.node.record().map(|r| r.epoch), Some(stage.epoch()));
}

#[test]
fn a_cluster_that_is_full_takes_no_more() {
    let names: Vec<String> = (0..crate::record::MOST_MEMBERS).map(|n| format!("n{n}")).collect();
    let full = record(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let mut stage = Stage::new(settings("more", 1, &["n0"])).with(&full).alive(&["n0"]);
    stage.pass(Millis(1000));
    assert_eq!(stage.exit(), Some(&Exit::Full));
    assert!(full.joined(&newcomer("n0", 2), &crate::fixtures::ids(&["n1"]), by("n0")).is_ok());
}
