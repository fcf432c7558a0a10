//! A member claims for others.

use super::*;
use crate::decision::{Action, View};
use crate::effect::Effect;
use crate::event::Event;
use crate::fixtures::ids;
use crate::ids::NodeId;
use crate::membership::claims::Situation;
use crate::message::{Body, Gossip, Row};
use crate::store::{Reading, StoreAnswer};

fn removals(stage: &Stage) -> Vec<Action> {
    stage.actions().into_iter().filter(|a| matches!(a, Action::Remove { .. } | Action::MoveOwner { .. })).collect()
}

fn removed(names: &[&str], owner: &str) -> Action {
    Action::Remove { members: ids(names), owner: id(owner) }
}

#[test]
fn of_two_the_owner_falls_silent_and_the_other_claims_after_both_delays() {
    let mut stage = member_b();
    stage.alive.clear();
    stage.pass(Millis(1337 + 1000 + 500));
    assert_eq!(removals(&stage), []);
    stage.pass(Millis(700));
    assert_eq!(removals(&stage), [removed(&["a"], "b")]);
}

/// It learns late of c, which hears the owner.
#[test]
fn of_two_the_owner_falls_silent_and_who_has_just_joined_is_heard_before_it_is_removed() {
    let mut stage = member_b();
    stage.alive.clear();
    stage.pass(Millis(1337 + 1000 + 500));
    let record = stage.record.clone().expect("it has joined").record;
    stage.put(&record.joined(&newcomer("c", 1), &ids(&["a"]), by("c")).expect("there is room"));
    stage = stage.alive(&["c"]);
    stage.step(crate::event::Event::RecordChanged);
    stage.pass(Millis(5000));
    assert_eq!((removals(&stage), stage.status().indirect), (vec![], vec![id("a")]));
}

/// Nor is it waited for long, if it is not heard either.
#[test]
fn of_two_the_owner_falls_silent_and_who_has_just_joined_as_well_then_the_owner_is_removed() {
    let mut stage = member_b();
    stage.alive.clear();
    stage.pass(Millis(1337 + 1000 + 500));
    let record = stage.record.clone().expect("it has joined").record;
    stage.put(&record.joined(&newcomer("c", 1), &ids(&["a"]), by("c")).expect("there is room"));
    stage.step(crate::event::Event::RecordChanged);
    stage.pass(Millis(900));
    assert_eq!(removals(&stage), []);
    stage.pass(Millis(200));
    assert_eq!(removals(&stage), [removed(&["a"], "b")]);
}

#[test]
fn the_process_of_the_owner_dies_and_the_other_claims_at_once() {
    let mut stage = member_b();
    stage.alive.clear();
    stage.step(crate::event::Event::Refused { address: crate::fixtures::address("a") });
    stage.pass(Millis(5));
    assert_eq!(removals(&stage), [removed(&["a"], "b")]);
}

/// Each answer takes longer than it waits between two looks.
#[test]
fn the_process_of_the_owner_dies_and_who_has_a_slow_store_claims_when_it_has_read() {
    let mut stage = member_b();
    let slow = stage.node.settings.timing.store_poll + Millis(100);
    stage.trouble = Trouble::Away;
    stage.pass(slow);
    stage.effects.clear();
    stage.alive.clear();
    stage.step(crate::event::Event::Refused { address: crate::fixtures::address("a") });
    stage.pass(slow);
    let asks = |e: &Effect| if let Effect::Store { request, .. } = e { Some(*request) } else { None };
    let mut request = stage.node.requests;
    for _ in 0..3 {
        let record = Ok(stage.record.clone());
        let reading = Reading { record, fences: stage.fences.clone(), registered: Vec::new() };
        stage.step(Event::Answered { request, answer: StoreAnswer::Read(Box::new(reading)) });
        request = stage.effects.iter().rev().find_map(asks).expect("it looks");
        stage.pass(slow);
    }
    assert_eq!(removals(&stage), [removed(&["a"], "b")]);
}

#[test]
fn of_three_one_broken_link_removes_nobody_and_is_shown() {
    let mut stage = second_of(&["a", "b", "c"]);
    stage.alive.remove(&id("a"));
    stage.pass(Millis(20_000));
    assert_eq!(removals(&stage), []);
    assert_eq!(stage.status().indirect, [id("a")]);
}

#[test]
fn of_three_two_that_miss_the_owner_remove_it() {
    let mut stage = second_of(&["a", "b", "c"]);
    stage.alive.remove(&id("a"));
    stage.accuse = vec![id("a")];
    stage.pass(Millis(4000));
    assert_eq!(removals(&stage), [removed(&["a"], "b")]);
}

#[test]
fn it_leaves_the_claim_to_an_older_member_of_its_side_that_reaches_the_store() {
    let mut stage = Stage::new(settings("b", 1, &["a", "b"])).with(&record(&["a", "c"])).alive(&["a", "c"]);
    stage.pass(Millis(1000));
    stage.alive.remove(&id("a"));
    stage.accuse = vec![id("a")];
    stage.pass(Millis(10_000));
    assert_eq!(removals(&stage), []);
    stage.alive.insert(id("c"), None);
    stage.pass(Millis(10_000));
    assert_eq!(removals(&stage), [removed(&["a"], "b")], "c lost the store");
}

#[test]
fn the_others_do_not_hear_me_so_i_do_not_claim() {
    let mut stage = second_of(&["a", "b", "c", "d"]);
    stage.alive.remove(&id("a"));
    stage.accuse = vec![id("a"), id("b")];
    stage.pass(Millis(10_000));
    assert_eq!(removals(&stage), []);
}

#[test]
fn the_owner_loses_its_store_and_a_peer_relieves_it() {
    let mut stage = member_b();
    stage.alive.insert(id("a"), Some(Millis(60_000)));
    stage.pass(Millis(1000));
    assert_eq!(removals(&stage), [Action::MoveOwner { to: id("b") }]);
    let record = &stage.record.as_ref().expect("there").record;
    assert_eq!((record.members.len(), record.owner.clone()), (2, Some(id("b"))));
}

#[test]
fn the_store_is_away_for_all_and_nobody_does_anything_and_all_stay_ready() {
    let mut stage = member_b();
    stage.trouble = Trouble::Away;
    stage.alive.insert(id("a"), None);
    stage.pass(Millis(30_000));
    assert_eq!(removals(&stage), []);
    assert!(stage.status().ready && stage.status().degraded);
}

#[test]
fn who_alone_loses_the_store_is_not_ready() {
    let mut stage = member_b();
    stage.trouble = Trouble::Away;
    stage.pass(Millis(5000));
    assert!(!stage.status().ready);
    assert!(stage.is(Life::Member));
}

/// B hears each, and they do not hear each other.
#[test]
fn who_alone_loses_the_store_is_not_ready_though_those_who_reach_it_are_accused() {
    let mut stage = second_of(&["a", "b", "c", "d"]);
    stage.trouble = Trouble::Away;
    stage.accuse = vec![id("a"), id("c"), id("d")];
    stage.pass(Millis(5000));
    assert_eq!(stage.status().unreachable, [id("a"), id("c"), id("d")]);
    assert!(!stage.status().ready);
}

/// C has joined since, and says that it reaches the store; later the network brings the same up again.
#[test]
fn who_alone_loses_the_store_believes_one_that_it_does_not_know_but_not_what_that_said_in_the_past() {
    let mut stage = alone();
    stage.trouble = Trouble::Away;
    stage.pass(Millis(5000));
    assert!(stage.status().ready);
    let row = |progress| Row { progress, accused: Vec::new(), deaf_to: Vec::new(), store: Some(Millis(10)) };
    for (progress, ready) in [(7, false), (8, false), (7, true), (8, true), (9, false)] {
        let gossip = Gossip { epoch: crate::ids::Epoch(9), row: row(progress), relayed: Vec::new() };
        stage.hear(&id("c"), Body::Ping { number: 1, to: id("a"), gossip });
        assert_eq!(stage.status().ready, ready, "{progress}");
        if progress != 7 {
            stage.pass(Millis(5000));
        }
    }
}

#[test]
fn a_view_that_changes_starts_the_clock_anew() {
    let mut stage = member_b();
    for _ in 0..10 {
        stage.alive.clear();
        stage.pass(Millis(2400));
        stage = stage.alive(&["a"]);
        stage.pass(Millis(600));
    }
    assert_eq!(removals(&stage), []);
}

#[test]
fn a_newer_run_that_answers_proves_the_older_gone() {
    let mut stage = member_b();
    stage.alive.clear();
    stage.alive.insert(NodeId::new("a", 2), None);
    stage.pass(Millis(600));
    assert_eq!(removals(&stage), [removed(&["a"], "b")]);
}

#[test]
fn a_removed_member_stops() {
    let mut stage = member_b();
    stage.put(&record(&["a", "x", "y"]));
    stage.pass(Millis(1000));
    assert_eq!(stage.exit(), Some(&crate::effect::Exit::Removed { epoch: crate::ids::Epoch(3) }));
}

/// Two pairs that do not hear each other well, and hear of each other that they do not.
#[test]
fn when_each_is_accused_the_oldest_of_those_who_hear_each_other_claims_for_them() {
    let (record, settings) = (record(&["a", "b", "c", "d"]), settings("a", 1, &["a"]));
    let all = ids(&["a", "b", "c", "d"]);
    let across = |one: &NodeId, other: &NodeId| ids(&["a", "b"]).contains(one) != ids(&["a", "b"]).contains(other);
    let pairs = all.iter().flat_map(|one| all.iter().map(move |other| (one.clone(), other.clone())));
    let view = View {
        members: all.iter().cloned().collect(),
        owner: record.owner.clone(),
        accusations: pairs.filter(|(one, other)| across(one, other)).collect(),
        unreachable: all.clone(),
        reaching: all.clone(),
        ..View::default()
    };
    let claims = |me: &NodeId| {
        let situation = Situation {
            me,
            record: &record,
            view: &view,
            since: crate::ids::Moment(0),
            stored_since: crate::ids::Moment(0),
            owner_stored: None,
            heard_each: true,
            timing: &settings.timing,
            keep_oldest: &settings.keep_oldest,
            broken: settings.broken,
        };
        situation.due().map(|due| due.action)
    };
    let expected = [Some(removed(&["c", "d"], "a")), None, Some(removed(&["a", "b"], "c")), None];
    assert_eq!(["a", "b", "c", "d"].map(|name| claims(&id(name))), expected);
}

#[test]
fn what_others_pass_on_of_a_member_does_not_age_twice() {
    let (now, timing) = (crate::ids::Moment(10_000), crate::settings::Timing::default());
    let mut reach = crate::reachability::Reachability::default();
    reach.follow(&record(&["a", "b"]).members, &id("b"), now, &timing);
    let row =
        |ago| crate::message::Row { progress: 7, accused: Vec::new(), deaf_to: Vec::new(), store: Some(Millis(ago)) };
    reach.row(&id("a"), row(10), now);
    for later in [200, 400, 600] {
        reach.row(&id("a"), row(10 + later), now + Millis(later));
    }
    let heard = reach.heard(&id("b"), None, now + Millis(600), &timing);
    assert_eq!(heard.store.get(&id("a")), Some(&Millis(610)));
}

/// The view is as old as the last beat, and meanwhile the owner is heard again: what it says of the store counts.
#[test]
fn an_owner_that_is_heard_again_and_reaches_the_store_keeps_the_singleton() {
    let mut told = settings("b", 1, &["a", "b"]);
    told.timing.store_patience = Millis(500);
    told.timing.store_poll = Millis(1500);
    let mut stage = Stage::new(told).with(&record(&["a"])).alive(&["a"]);
    stage.pass(Millis(1000));
    let record = stage.record.clone().expect("it has joined").record;
    stage.put(&record.joined(&newcomer("c", 1), &ids(&["a"]), by("c")).expect("there is room"));
    stage = stage.alive(&["c"]);
    stage.pass(Millis(2000));
    // The owner falls silent for this node alone, until it is not fresh any more.
    stage.alive.remove(&id("a"));
    stage.pass(Millis(1200));
    let row =
        crate::message::Row { progress: 1_000_000, accused: Vec::new(), deaf_to: Vec::new(), store: Some(Millis(800)) };
    let gossip = crate::message::Gossip { epoch: crate::ids::Epoch(0), row, relayed: Vec::new() };
    stage.now = stage.now + Millis(1);
    stage.hear(&id("a"), crate::message::Body::Ping { number: 1, to: id("b"), gossip });
    assert_eq!(removals(&stage), []);
}

#[test]
fn who_has_not_heard_each_of_its_side_yet_does_not_replace_a_gone_owner_at_once() {
    let (record, settings) = (record(&["a", "b", "c"]), settings("c", 1, &["a"]));
    let view = View {
        members: record.members.iter().map(|m| m.id.clone()).collect(),
        owner: record.owner.clone(),
        unreachable: ids(&["a"]),
        gone: ids(&["a"]),
        reaching: ids(&["c"]),
        ..View::default()
    };
    let due = |heard_each: bool| {
        let situation = Situation {
            me: &id("c"),
            record: &record,
            view: &view,
            since: crate::ids::Moment(0),
            stored_since: crate::ids::Moment(0),
            owner_stored: None,
            heard_each,
            timing: &settings.timing,
            keep_oldest: &settings.keep_oldest,
            broken: settings.broken,
        };
        situation.due().map(|due| due.at.0)
    };
    assert_eq!((due(true), due(false)), (Some(0), Some(1000)));
}

/// All have lost the store, and those who accuse B have not said yet that they reach it again.
#[test]
fn who_is_accused_and_is_the_first_to_reach_the_store_again_waits_for_the_others() {
    let (record, settings) = (record(&["a", "b", "c", "d"]), settings("b", 1, &["a"]));
    let accusing = |by: &str| [(id(by), id("b")), (id("b"), id(by))];
    let view = View {
        members: record.members.iter().map(|m| m.id.clone()).collect(),
        owner: record.owner.clone(),
        unreachable: ids(&["b"]),
        accusations: ["c", "d"].into_iter().flat_map(accusing).collect(),
        reaching: ids(&["b"]),
        ..View::default()
    };
    let situation = Situation {
        me: &id("b"),
        record: &record,
        view: &view,
        since: crate::ids::Moment(0),
        stored_since: crate::ids::Moment(10_000),
        owner_stored: None,
        heard_each: true,
        timing: &settings.timing,
        keep_oldest: &settings.keep_oldest,
        broken: settings.broken,
    };
    assert_eq!(situation.due().map(|due| due.at.0), Some(10_000 + 2000 + 1000));
}
