//! Joining, founding, taking over.

use super::*;
use crate::decision::Action;
use crate::effect::{Effect, Exit};
use crate::fixtures::{address, ids};
use crate::ids::NodeId;
use crate::record::Record;
use crate::versions::Versions;

/// Node `name` (run 9) before this record, with these alive; `ms` later.
fn newcomer_after(name: &str, before: &Record, alive: &[&str], ms: u64) -> Stage {
    let mut stage = Stage::new(settings(name, 9, &["a", "b", "c"])).with(before).alive(alive);
    stage.registered = before.members.iter().map(|m| m.id.clone()).collect();
    stage.pass(Millis(ms));
    stage
}

fn members(stage: &Stage) -> Vec<String> {
    let record = &stage.record.as_ref().expect("there is a record").record;
    record.members.iter().map(|m| format!("{}{}", m.id, if record.is_owner(&m.id) { "*" } else { "" })).collect()
}

#[test]
fn a_lone_seed_founds_at_once() {
    assert_eq!(members(&alone()), ["a#1*"]);
}

#[test]
fn the_kth_seed_waits_k_times_when_nobody_answers() {
    for (place, name) in (1_u64..).zip(["a", "b", "c"]) {
        let mut stage = Stage::new(settings(name, 1, &["a", "b", "c"]));
        stage.pass(Millis(place * 5000 - 100));
        assert!(stage.record.is_none(), "{name} waits");
        stage.pass(Millis(600));
        assert_eq!(members(&stage), [format!("{name}#1*")]);
    }
}

#[test]
fn the_first_seed_founds_at_once_when_no_other_is_a_member_either() {
    let mut stage = Stage::new(settings("a", 1, &["a", "b", "c"])).alive(&["b", "c"]);
    stage.pass(Millis(600));
    assert_eq!(members(&stage), ["a#1*"]);
}

#[test]
fn the_second_seed_leaves_it_to_the_first_that_answers() {
    let mut stage = Stage::new(settings("b", 1, &["a", "b", "c"])).alive(&["a", "c"]);
    stage.pass(Millis(4000));
    assert!(stage.record.is_none());
}

#[test]
fn any_seed_founds_at_once_when_nobody_listens_at_the_others() {
    let mut stage = Stage::new(settings("b", 1, &["a", "b"]));
    stage.step(crate::event::Event::Wake);
    stage.step(crate::event::Event::Refused { address: address("a") });
    stage.pass(Millis(600));
    assert_eq!(members(&stage), ["b#1*"]);
}

#[test]
fn who_is_no_seed_never_founds() {
    let mut stage = Stage::new(settings("d", 1, &["a", "b"]));
    stage.pass(Millis(60_000));
    assert!(stage.record.is_none());
}

#[test]
fn a_newcomer_joins_when_a_member_welcomes_it() {
    assert_eq!(members(&newcomer_after("c", &record(&["a", "b"]), &["b"], 1000)), ["a#1*", "b#1", "c#9"]);
}

#[test]
fn a_newcomer_waits_for_members_that_do_not_answer_but_are_registered() {
    let stage = newcomer_after("c", &record(&["a", "b"]), &[], 30_000);
    assert_eq!(members(&stage), ["a#1*", "b#1"]);
}

#[test]
fn a_restarted_member_takes_its_own_place() {
    assert_eq!(members(&newcomer_after("b", &record(&["a", "b"]), &["a"], 1000)), ["a#1*", "b#9"]);
}

#[test]
fn a_restarted_owner_comes_back_as_the_youngest_and_owns_no_more() {
    assert_eq!(members(&newcomer_after("a", &record(&["a", "b"]), &["b"], 1000)), ["b#1*", "a#9"]);
}

#[test]
fn all_lost_power_and_one_takes_over_after_one_session_timeout() {
    let mut stage = newcomer_after("b", &record(&["a", "b"]), &[], 100);
    stage.registered.clear();
    stage.pass(Millis(5700));
    assert_eq!(members(&stage), ["a#1*", "b#1"]);
    stage.pass(Millis(1000));
    assert_eq!(members(&stage), ["b#9*"]);
}

#[test]
fn all_lost_power_and_two_come_back_at_once_and_find_each_other_new() {
    let before = record(&["a", "b"]);
    let mut stage = Stage::new(settings("b", 9, &["a", "b"])).with(&before);
    stage.alive.insert(NodeId::new("a", 9), None);
    stage.pass(Millis(1500));
    assert_eq!(members(&stage), ["b#9*"], "a answers as another run, so the one in the record is gone");
}

#[test]
fn an_empty_cluster_is_joined_without_a_wait() {
    let before = record(&["a"]);
    let empty = before.left(&id("a"), &ids(&[]), crate::fixtures::by("a"));
    assert_eq!(members(&newcomer_after("c", &empty, &[], 100)), ["c#9*"]);
}

#[test]
fn a_name_that_is_taken_by_a_living_node_is_refused() {
    // Elsewhere than the one that has the name.
    let mut ours = settings("b", 9, &["a"]);
    ours.me.address = "elsewhere:2552".into();
    let mut stage = Stage::new(ours).with(&record(&["a", "b"])).alive(&["a", "b"]);
    stage.pass(Millis(1000));
    assert_eq!(stage.exit(), Some(&Exit::NameTaken { by: id("b"), at: address("b") }));
}

#[test]
fn a_name_whose_holder_is_silent_is_waited_for_until_its_registration_expires() {
    let mut ours = settings("b", 9, &["a"]);
    ours.me.address = "elsewhere:2552".into();
    let mut stage = Stage::new(ours).with(&record(&["a", "b"])).alive(&["a"]);
    stage.registered = vec![id("b")];
    stage.pass(Millis(20_000));
    assert_eq!(members(&stage), ["a#1*", "b#1"]);
    stage.registered.clear();
    stage.pass(Millis(1000));
    assert_eq!(members(&stage), ["a#1*", "b#9"]);
}

#[test]
fn a_version_that_does_not_fit_is_refused_with_both_versions() {
    let (mut ours, theirs) = (settings("c", 1, &["a"]), crate::fixtures::VERSIONS);
    ours.me.versions = Versions { minor: theirs.minor + 2, ..theirs };
    let mut stage = Stage::new(ours.clone()).with(&record(&["a"])).alive(&["a"]);
    stage.pass(Millis(1000));
    assert_eq!(stage.exit(), Some(&Exit::Versions { ours: ours.me.versions, theirs }));
}

#[test]
fn a_version_that_does_not_fit_those_who_have_gone_is_let_in() {
    let mut ours = settings("c", 1, &["a"]);
    ours.me.versions = Versions { minor: crate::fixtures::VERSIONS.minor + 2, ..crate::fixtures::VERSIONS };
    let mut stage = Stage::new(ours).with(&record(&["a", "b"]));
    stage.registered = vec![id("a")];
    stage.pass(Millis(20_000));
    assert_eq!((stage.exit(), members(&stage)), (None, vec!["a#1*".to_owned(), "b#1".to_owned()]));
    stage.registered.clear();
    stage.pass(Millis(1000));
    assert_eq!(members(&stage), ["c#1*"]);
}

#[test]
fn a_newcomer_answers_heartbeats_before_it_knows_that_it_has_joined() {
    let mut stage = Stage::new(settings("b", 1, &["a", "b"])).with(&record(&["a"]));
    stage.pass(Millis(100));
    let gossip = crate::message::Gossip {
        epoch: crate::ids::Epoch(1),
        row: crate::message::Row { progress: 1, accused: Vec::new(), deaf_to: Vec::new(), store: None },
        relayed: Vec::new(),
    };
    stage.effects.clear();
    stage.hear(&id("a"), crate::message::Body::Ping { number: 1, to: id("b"), gossip });
    let pong = |e: &Effect| matches!(e, Effect::Send { message, .. } if matches!(message.body, crate::message::Body::Pong { number: 1, .. }));
    assert!(stage.effects.iter().any(pong), "{:?}", stage.effects);
}

#[test]
fn differing_seeds_are_a_warning_that_names_both() {
    let mut stage = Stage::new(settings("b", 1, &["a", "b"])).with(&record(&["a"]));
    let hello = crate::message::Hello {
        number: 1,
        cluster: "test".into(),
        versions: crate::fixtures::VERSIONS,
        seeds: vec![address("z")],
    };
    stage.hear(&id("z"), crate::message::Body::Hello(hello));
    let both = |w: &crate::effect::Warning| matches!(w, crate::effect::Warning::Seeds { ours, theirs, .. } if ours.len() == 2 && *theirs == [address("z")]);
    assert!(stage.warned(both), "{:?}", stage.effects);
}

#[test]
fn an_exclusive_store_proves_all_others_gone() {
    let mut ours = settings("a", 9, &[]);
    ours.exclusive_store = true;
    let mut stage = Stage::new(ours).with(&record(&["a"]));
    stage.pass(Millis(50));
    assert_eq!(members(&stage), ["a#9*"]);
    assert_eq!(stage.actions(), [Action::TakeOver]);
}

/// All statuses that it told show everybody as reachable.
fn accuses_nobody(stage: &Stage) {
    let shown = stage.effects.iter().filter_map(|e| if let Effect::Status(status) = e { Some(status) } else { None });
    for status in shown {
        assert_eq!((status.unreachable.as_slice(), status.indirect.as_slice()), ([].as_slice(), [].as_slice()));
    }
}

#[test]
fn who_waited_long_before_it_joins_accuses_nobody_for_the_silence_until_then() {
    let mut stage = newcomer_after("c", &record(&["a", "b"]), &[], 5000);
    assert!(stage.is(Life::Seeking));
    stage = stage.alive(&["a", "b"]);
    stage.pass(Millis(600));
    assert!(stage.is(Life::Member));
    accuses_nobody(&stage);
}

#[test]
fn an_answer_to_a_ping_of_an_earlier_run_proves_nothing() {
    let mut stage =
        Stage::new(settings("c", 1_000_000, &["a", "b", "c"])).with(&record(&["a", "b"])).alive(&["a", "b"]);
    stage.registered = vec![id("a"), id("b")];
    stage.pass(Millis(3000));
    let earlier = NodeId { name: id("a").name, incarnation: crate::ids::Incarnation(77) };
    for number in 0..100 {
        let row = crate::message::Row { progress: 1, accused: Vec::new(), deaf_to: Vec::new(), store: None };
        let gossip = crate::message::Gossip { epoch: crate::ids::Epoch(1), row, relayed: Vec::new() };
        stage.hear(&earlier, crate::message::Body::Pong { number, gossip });
    }
    accuses_nobody(&stage);
}

#[test]
fn what_was_told_to_an_earlier_run_is_not_listened_to() {
    let mut stage = newcomer_after("c", &record(&["a", "b"]), &["a"], 1000);
    assert!(stage.is(Life::Member));
    let row = crate::message::Row { progress: 1, accused: vec![id("a")], deaf_to: Vec::new(), store: None };
    let gossip = crate::message::Gossip { epoch: crate::ids::Epoch(1), row, relayed: Vec::new() };
    stage.hear(&id("b"), crate::message::Body::Ping { number: 1, to: id("c"), gossip });
    accuses_nobody(&stage);
    assert!(stage.node.view().accusations.is_empty());
}
