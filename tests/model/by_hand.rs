//! Somebody changes the store past all nodes: nobody goes by what lies there or writes over it until it is put right, or restored.

use crate::rules::{Bounds, Broken, Grain, Happened};
use crate::teeth::breaks;
use crate::{FINE, TWO, either, holds};

const HAND: Bounds = Bounds { epochs: 3, hands: 1, ..TWO };

/// What is put back may have a version that somebody waits for.
const REWOUND: Bounds = Bounds { rewinds: true, ..HAND };

/// What happens only if a version comes again.
const AGAIN: [Happened; 2] = [Happened::PutRightByLateWrite, Happened::FoundItselfUnjoined];
/// What happens only if an answer is lost.
const LOST: [Happened; 8] = [
    Happened::LostBeforeCommit,
    Happened::CommittedAfterLoss,
    Happened::FencedOffByTouch,
    Happened::RecognisedAsMember,
    Happened::RecognisedAsOver,
    Happened::BeganAnewAsUnknown,
    Happened::SettledFoundItselfRemoved,
    Happened::FoundItselfUnjoined,
];
const TWICE: [Happened; 2] = [Happened::TouchLost, Happened::FoundAgainAsMember];

#[test]
fn by_hand_in_the_finest_steps() {
    let fine = Bounds { grain: Grain::Fine { lag: 1 }, ..HAND };
    holds(either(fine, Bounds { hands: 2, ..fine }), &[&AGAIN[..], &TWICE[..]].concat());
}

#[test]
fn twice_by_hand() {
    let twice = Bounds { hands: 2, losses: 2, ..HAND };
    holds(either(twice, Bounds { epochs: 4, ..twice }), &[&FINE[..], &AGAIN[..]].concat());
}

#[test]
fn by_hand_where_the_last_one_has_left() {
    let last = Bounds { epochs: 5, ..HAND };
    holds(either(last, Bounds { epochs: 6, restarts: 2, ..last }), &[&FINE[..], &AGAIN[..], &TWICE[..]].concat());
}

#[test]
fn by_hand_with_three_nodes() {
    let three = Bounds { nodes: 3, ..HAND };
    holds(either(three, Bounds { epochs: 4, ..three }), &[&FINE[..], &AGAIN[..], &TWICE[..]].concat());
}

#[test]
fn rewound_by_hand_while_no_answer_is_lost() {
    let certain = Bounds { epochs: 5, losses: 0, ..REWOUND };
    let absent = [&FINE[..], &LOST[..], &[Happened::TouchLost]].concat();
    holds(either(certain, Bounds { epochs: 6, ..certain }), &absent);
}

#[test]
fn rewound_by_hand_in_the_finest_steps_while_no_answer_is_lost() {
    let certain = Bounds { losses: 0, grain: Grain::Fine { lag: 1 }, ..REWOUND };
    let absent = [&LOST[..], &TWICE[..], &[Happened::LostAfterCommit]].concat();
    holds(either(certain, Bounds { epochs: 4, ..certain }), &absent);
}

/// That a write which was settled never commits rests on versions that only rise: by hand they can be brought back. Then a joiner begins
/// anew if it finds itself in the record, but not if it was removed again before it looks.
#[test]
fn rewound_by_hand_a_join_that_was_settled_may_yet_commit() {
    holds(Bounds { hands: 2, ..REWOUND }, &[&FINE[..], &[Happened::TouchLost]].concat());
    breaks(Bounds { epochs: 4, ..REWOUND }, None, "a removed run is a member again");
}

#[test]
fn a_create_that_ignores_fences_is_found() {
    breaks(HAND, Some(Broken::CreateIgnoresFences), "a record that was lost is written over");
}

#[test]
fn of_a_record_that_was_deleted_with_its_fence_the_parent_is_left() {
    breaks(HAND, Some(Broken::CreateIgnoresParent), "a record that was lost is written over");
}

#[test]
fn a_fence_that_is_not_checked_is_found() {
    breaks(REWOUND, Some(Broken::FenceNotChecked), "a record that was lost is written over");
}

#[test]
fn the_key_of_the_fence_does_not_tell_what_was_put_back_within_a_term() {
    breaks(REWOUND, Some(Broken::EpochNotCompared), "a record that was lost is written over");
}

#[test]
fn what_settles_looks_at_the_fence_too() {
    breaks(REWOUND, Some(Broken::TouchWithoutFence), "a claim that was committed is taken for one that was not");
}

#[test]
fn who_reads_looks_at_the_fence() {
    breaks(HAND, Some(Broken::FenceNotDoubted), "a record that was lost is gone by");
}

#[test]
fn who_may_have_been_a_member_of_a_record_that_is_lost_begins_anew() {
    breaks(HAND, Some(Broken::UnknownWaitsAsTheSame), "a removed run is a member again");
}
