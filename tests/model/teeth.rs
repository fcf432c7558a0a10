//! Each rule of the protocol is needed: the model without it finds what must never be. So the model would find if it were lost.

use crate::rules::{Bounds, Broken, Grain};
use crate::{TWO, run, say};

/// No answer is lost: a claim comes late only if its sender has crashed.
const CERTAIN: Bounds = Bounds { losses: 0, ..TWO };

#[track_caller]
pub fn breaks(bounds: Bounds, broken: Option<Broken>, violation: &str) {
    let found = run(bounds, broken).1.expect_err("without this rule it cannot be safe");
    let way = found.way.join("\n  ");
    say(&format!("{broken:?}: \"{}\" in {} steps, after {} states", found.violation, found.way.len(), found.states));
    assert_eq!(found.violation, violation, "{way}");
}

#[track_caller]
fn needed(broken: Broken, violation: &str) {
    breaks(TWO, Some(broken), violation);
}

#[test]
fn a_lost_claim_is_not_tried_again_blindly() {
    needed(Broken::BlindRetry, "a removed run is a member again");
}

#[test]
fn a_read_does_not_settle_what_may_yet_commit() {
    needed(Broken::ReadInsteadOfTouch, "a claim that may yet commit is taken for one that never will");
}

#[test]
fn what_settles_must_be_a_write() {
    needed(Broken::TouchIsNoWrite, "a claim that may yet commit is taken for one that never will");
}

#[test]
fn what_a_lagging_follower_tells_does_not_judge() {
    let fine = Bounds { grain: Grain::Fine { lag: 1 }, ..TWO };
    breaks(fine, Some(Broken::JudgedByOldRead), "a claim that was committed is taken for one that was not");
}

#[test]
fn who_may_have_been_a_member_begins_anew() {
    needed(Broken::SameIncarnation, "a removed run is a member again");
}

#[test]
fn who_was_removed_begins_anew() {
    needed(Broken::RemovedJoinsAgain, "a removed run is a member again");
}

#[test]
fn the_version_is_compared() {
    needed(Broken::VersionNotCompared, "a claim that may yet commit is taken for one that never will");
}

#[test]
fn who_takes_over_compares_too() {
    breaks(CERTAIN, Some(Broken::TakeOverWithoutCompare), "an epoch is one more than the one before");
}

#[test]
fn the_fence_is_swapped_with_the_owner() {
    needed(Broken::FenceNotSwapped, "a singleton's write of an earlier term is let in");
}

#[test]
fn another_owner_has_another_term() {
    needed(Broken::TermStays, "a singleton's write of an earlier owner is let in");
}

#[test]
fn nobody_as_owner_has_another_term() {
    needed(Broken::TermStaysForNobody, "a singleton's write of an earlier owner is let in");
}
