//! The store changed by hand, nodes that lie, floods, twins, clocks apart.

use doyen_simulator::faults::Fault;
use doyen_simulator::plan::{StoreNoise, TimedFault};
use doyen_simulator::scenario::{Outcome, Scenario};

use crate::fixture::{cluster, play};

fn all_is_as_before(o: &Outcome) {
    assert_eq!((o.stopped(), o.ready(), o.owner(), o.running()), ("".into(), "ABC".into(), "A".into(), "A".into()));
}

/// Nobody makes it worse: not ready, and the record is what the hand left.
fn all_wait_for_the_operator(o: &Outcome) {
    assert_eq!((o.ready(), o.report.measures.commits), (String::new(), 3));
}

fn all_are_back(o: &Outcome) {
    assert_eq!((o.living(), o.members(), o.ready()), ("ABC".into(), "ABC".into(), "ABC".into()));
    assert_eq!(o.running(), o.owner());
}

/// By hand, then the operator's command.
#[track_caller]
fn damaged_and_restored(damage: &str) {
    play(&cluster(3, damage), all_wait_for_the_operator);
    play(&cluster(3, &format!("{damage}, crash B at 2s")), all_wait_for_the_operator);
    play(&cluster(3, &format!("{damage} for 8s")).lasting(30_000), all_are_back);
}

#[test]
fn the_record_is_deleted_with_fences_left_over() {
    damaged_and_restored("delete record");
}

#[test]
fn the_record_is_deleted_with_its_fences() {
    damaged_and_restored("delete all");
}

/// A is started again, and its way to the store is so long. Until all is deleted it has asked once.
#[track_caller]
fn deleted_while_a_newcomer_reads(way_ms: u64, fault: &str) {
    let slow = |fault: &str| {
        let mut scenario = cluster(3, fault);
        let at_ms = scenario.plan.faults[0].at_ms;
        let noise = StoreNoise { delay_us: way_ms * 1000, ..StoreNoise::default() };
        scenario.plan.faults.push(TimedFault { at_ms, fault: Fault::StoreNoise { node: 0, noise } });
        scenario
    };
    play(&slow(fault), |o| assert_eq!((o.ready(), o.report.record.is_none()), (String::new(), true)));
    play(&slow(&format!("{fault}, restore at 8s, mend at 9s")).lasting(30_000), all_are_back);
}

/// It has read a record without its fence, and when it makes sure of that there is none.
#[test]
fn the_record_is_deleted_with_its_fences_while_a_newcomer_doubts_it_then_nobody_founds() {
    deleted_while_a_newcomer_reads(200, "crash A, delete fence at 500ms, delete all at 1500ms");
}

/// Most answers come after the deadline: it does not go by the record that they tell.
#[test]
fn the_record_is_deleted_with_its_fences_after_a_newcomer_was_told_of_it_too_late_then_nobody_founds() {
    deleted_while_a_newcomer_reads(400, "crash A, delete all at 1850ms");
}

#[test]
fn the_record_is_damaged() {
    damaged_and_restored("damage record");
}

#[test]
fn the_record_has_a_newer_format() {
    damaged_and_restored("newer record");
}

#[test]
fn two_members_have_the_same_age() {
    damaged_and_restored("equal ages");
}

#[test]
fn the_record_is_rolled_back() {
    damaged_and_restored("roll back 1");
}

#[test]
fn a_fence_is_deleted_then_no_write_of_the_singleton_is_accepted_until_the_record_is_restored() {
    play(&cluster(3, "delete fence"), |o| assert!(o.gap_ms() > 19_000, "{}", o.gap_ms()));
    play(&cluster(3, "delete fence for 8s").lasting(30_000), all_are_back);
}

/// B owns by then, and has begun its term by a write: from then on the log refuses what A writes.
#[test]
fn the_fence_of_the_former_owner_is_put_back_then_it_writes_nothing() {
    play(&cluster(2, "store cut A for 3800ms, fence back at 3500ms"), |o| assert_eq!(o.ready(), ""));
    play(&cluster(2, "store cut A for 3800ms, fence back at 3500ms for 5s").lasting(30_000), |o| {
        assert_eq!((o.living(), o.ready(), o.running()), ("AB".into(), "AB".into(), o.owner()));
    });
}

#[test]
fn ten_thousand_messages_of_the_past_at_once() {
    play(&cluster(3, "replay A 10000, replay B 10000 at 1s"), all_is_as_before);
}

#[test]
fn ten_thousand_messages_that_lie_about_incarnations() {
    play(&cluster(3, "lies A 10000, lies B 10000 at 1s"), all_is_as_before);
}

#[test]
fn clocks_an_hour_apart() {
    let mut scenario = Scenario::new(3);
    for (host, hours) in [(0, 0), (1, 1), (2, 24)] {
        scenario.plan.hosts[host].clock_ms = hours * 3_600_000;
    }
    play(&scenario, all_is_as_before);
}

#[test]
fn clocks_that_leap_an_hour() {
    play(&cluster(3, "clock B 60m"), |o| assert_eq!((o.stopped(), o.ready()), ("".into(), "ABC".into())));
}

#[test]
fn two_nodes_with_one_name_start_in_the_same_millisecond_then_one_is_refused() {
    let mut scenario = Scenario::new(3).lasting(10_000);
    scenario.plan.hosts[2].name = "B".into();
    scenario.plan.hosts[2].start_ms = scenario.plan.hosts[1].start_ms;
    play(&scenario, |o| {
        assert_eq!((o.members(), o.owner()), ("AB".into(), "A".into()));
        assert_eq!(o.report.ends.iter().filter(|end| !end.exits.is_empty()).count(), 1);
    });
}
