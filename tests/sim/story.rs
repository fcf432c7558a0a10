//! Runs as people read them.

use doyen_simulator::run::run;
use doyen_simulator::scenario::Scenario;
use doyen_simulator::schedule;
use doyen_simulator::story::{Kind, State, Story, picture, text};
use doyen_simulator::world::Watching;

fn story(nodes: usize, fault: &str) -> Story {
    let (plan, from_ms) = Scenario::new(nodes).fault(fault).expect("it is in the notation").seed(1).into_plan();
    Story::new(fault, &plan, &run(&plan, Watching::ALL), from_ms).since(-500)
}

#[track_caller]
fn told_in_order(story: &Story, parts: &[&str]) {
    let told = text::told(story);
    let mut rest = told.as_str();
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { panic!("no {part:?}, in this order, in\n{told}") };
        rest = after;
    }
}

#[test]
fn a_cut_bc_who_accuses_claims_stops_and_owns() {
    told_in_order(
        &story(3, "A|BC"),
        &[
            "*** cut: A-B A-C",
            "B does not hear A, and accuses",
            "B holds A to be unreachable",
            "B CLAIMS the cluster without A, owner B: keep-oldest prefers this",
            "the store takes B's change: epoch 4, term 2: B C; owner B",
            "A STOPS: epoch 4 is without it",
            "A starts again, as A(2)",
            "At the end: owner B; member C; seeking A. Ended by itself: A.",
            "Invariants 1, 2, 5, 6 held in",
        ],
    );
}

#[test]
fn an_owner_that_lost_the_store_runs_fenced_and_nobody_stops() {
    let story = story(3, "store cut A");
    assert_eq!(story.lanes[0].at_the_end, State::Fenced);
    assert!(story.moments.iter().all(|moment| moment.kind != Kind::Stop), "{story:?}");
    told_in_order(&story, &["NOBODY", "B CLAIMS the singleton for B", "B writes; nobody could for"]);
}

#[test]
fn a_frozen_owner_stands_still_and_joins_anew() {
    let story = story(3, "freeze A for 6s");
    let states: Vec<State> = story.lanes[0].spans.iter().map(|span| span.state).collect();
    assert_eq!(
        states,
        [State::Owner, State::Frozen, State::NotReady, State::Off, State::Seeking, State::Member],
        "{:?}",
        story.lanes[0].spans
    );
}

#[test]
fn a_newcomer_accuses_nobody_for_the_silence_before_it_joined() {
    let story = story(3, "A|BC for 6s");
    let late = story.moments.iter().filter(|moment| moment.at_ms > 6000 && moment.kind == Kind::Accusation);
    assert_eq!(late.count(), 0, "{}", text::told(&story));
}

#[test]
fn any_seed_can_be_told_within_the_width_and_drawn() {
    for seed in 1..150 {
        let plan = schedule::plan(seed);
        let report = run(&plan, Watching::ALL);
        let story = Story::new("a seed", &plan, &report, 0);
        for line in text::told(&story).lines() {
            assert!(line.chars().count() <= 120, "seed {seed}: {line}");
        }
        assert!(picture::drawn(&story).ends_with("</svg>\n"), "seed {seed}");
        for lane in &story.lanes {
            assert!(lane.spans.windows(2).all(|two| two[0].to_ms == two[1].from_ms), "seed {seed}: {:?}", lane.spans);
        }
    }
}

#[test]
fn what_is_mended_in_between_is_judged_by_nobody_and_flaps_no_more() {
    let story = story(3, "flap A-B every 300ms, delete record at 1s, mend at 2s, A|BC at 3s");
    assert_eq!((story.violations.len(), story.checked), (0, vec![1, 2, 5, 6]));
}
