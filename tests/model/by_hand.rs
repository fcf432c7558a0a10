//! Somebody changes the record past all nodes: what the fences that are left can tell, and what they cannot.

use crate::rules::{Bounds, Broken, ByHand, Grain};
use crate::teeth::breaks;
use crate::{TWO, run, say};

const FINE: Bounds = Bounds { epochs: 3, grain: Grain::Fine { lag: 2 }, ..TWO };

#[track_caller]
fn safe(bounds: Bounds) {
    match run(bounds, None).1 {
        Ok(explored) => say(&format!("{} states, {} steps: {bounds:?}", explored.states, explored.steps)),
        Err(found) => panic!("{} ({bounds:?})\n  {}", found.violation, found.way.join("\n  ")),
    }
}

#[test]
fn nobody_creates_or_claims_when_the_record_was_deleted() {
    safe(Bounds { by_hand: ByHand::Deletes, ..FINE });
}

#[test]
fn nobody_claims_upon_a_record_of_an_earlier_term_and_terms_count_on_upon_one_of_the_same() {
    safe(Bounds { losses: 0, by_hand: ByHand::RollsBack, ..FINE });
    safe(Bounds { epochs: 4, losses: 0, by_hand: ByHand::RollsBack, ..TWO });
    safe(Bounds { nodes: 3, epochs: 4, losses: 0, by_hand: ByHand::RollsBack, ..TWO });
}

#[test]
fn of_a_record_without_members_the_fences_cannot_tell_that_it_was_put_back() {
    let nobody = Bounds { epochs: 6, losses: 0, by_hand: ByHand::RollsBackToNobody, ..TWO };
    breaks(nobody, None, "a term is there twice");
}

#[test]
fn a_create_that_ignores_fences_is_found() {
    breaks(
        Bounds { by_hand: ByHand::Deletes, ..TWO },
        Some(Broken::CreateIgnoresFences),
        "a record that was lost is written over",
    );
}

#[test]
fn of_a_record_without_members_only_the_parent_of_the_fences_is_left() {
    let deletes = Bounds { by_hand: ByHand::Deletes, ..TWO };
    breaks(deletes, Some(Broken::CreateIgnoresParent), "a record that was lost is written over");
}

#[test]
fn a_fence_that_is_not_checked_is_found() {
    breaks(
        Bounds { by_hand: ByHand::RollsBack, ..TWO },
        Some(Broken::FenceNotChecked),
        "a record that was lost is written over",
    );
}
