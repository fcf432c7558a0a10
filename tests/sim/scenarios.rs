//! The fault table: each row a test, whose name draws it. Nodes are `A`, `B`, … by age; the oldest owns the singleton at first.

use crate::fixture::{cluster, play};
use doyen_simulator::faults::Fault;
use doyen_simulator::plan::{StoreNoise, TimedFault};
use doyen_simulator::scenario::Outcome;

/// Nobody was downed, and all serve.
fn untouched(o: &Outcome, all: &str) {
    assert_eq!((o.stopped(), o.members(), o.ready()), (String::new(), all.into(), all.into()));
}

/// These live, and the owner is one of them.
fn live(o: &Outcome, names: &str, owner: &str) {
    assert_eq!(
        (o.living(), o.members(), o.owner(), o.running()),
        (names.into(), names.into(), owner.into(), owner.into())
    );
}

fn gap_below(o: &Outcome, ms: u64) {
    assert!(o.gap_ms() <= ms, "{} ms without an owner that can write", o.gap_ms());
}

#[test]
fn a_b_c_without_faults() {
    play(&cluster(3, "store back"), |o| {
        untouched(o, "ABC");
        live(o, "ABC", "A");
    });
}

#[test]
fn a_cut_b_then_the_oldest_lives() {
    play(&cluster(2, "A|B").survives(), |o| live(o, "A", "A"));
}

#[test]
fn a_cut_b_and_the_oldest_without_the_store_then_the_other_lives() {
    play(&cluster(2, "A|B, store cut A"), |o| {
        assert_eq!((o.members(), o.owner(), o.stopped()), ("B".into(), "B".into(), "".into()));
        gap_below(o, 4500);
    });
}

#[test]
fn a_crashes_of_a_b_then_b_lives() {
    play(&cluster(2, "crash A never").survives(), |o| {
        live(o, "B", "B");
        gap_below(o, 1000);
    });
}

/// Each answer takes longer than B waits between two looks at the record.
#[test]
fn a_crashes_of_a_b_and_b_has_a_slow_store_then_b_lives() {
    let mut scenario = cluster(2, "crash A never");
    let slow = StoreNoise { delay_us: 255_000, ..scenario.plan.store };
    let at_ms = scenario.plan.faults[0].at_ms - 1000;
    scenario.plan.faults.insert(0, TimedFault { at_ms, fault: Fault::StoreNoise { node: 1, noise: slow } });
    play(&scenario, |o| {
        live(o, "B", "B");
        gap_below(o, 5000);
    });
}

#[test]
fn b_crashes_of_a_b_then_a_lives_on() {
    play(&cluster(2, "crash B never").survives(), |o| {
        live(o, "A", "A");
        gap_below(o, 0);
    });
}

#[test]
fn the_host_of_a_of_two_is_lost_then_b_lives() {
    play(&cluster(2, "power A").survives(), |o| {
        live(o, "B", "B");
        gap_below(o, 4000);
    });
}

#[test]
fn a_crashes_and_is_started_again_then_both_live() {
    play(&cluster(2, "crash A").survives(), |o| {
        live(o, "AB", "B");
        gap_below(o, 1000);
    });
}

#[test]
fn a_is_frozen_and_continues_then_it_joins_anew() {
    play(&cluster(3, "freeze A for 8s").survives(), |o| {
        live(o, "ABC", "B");
        assert_eq!(o.stopped(), "A");
        gap_below(o, 4000);
    });
}

#[test]
fn a_is_suspended_with_its_clock_then_it_joins_anew() {
    play(&cluster(3, "suspend A for 8s").survives(), |o| {
        live(o, "ABC", "B");
        gap_below(o, 4000);
    });
}

/// With down-if-alone, the side of two; exactly one side in any case.
#[test]
fn a_cut_bc_then_bc_live() {
    play(&cluster(3, "A|BC").survives(), |o| {
        live(o, "BC", "B");
        gap_below(o, 4000);
    });
}

#[test]
fn ab_cut_c_then_ab_live() {
    play(&cluster(3, "AB|C").survives(), |o| {
        live(o, "AB", "A");
        gap_below(o, 0);
    });
}

#[test]
fn ab_cut_cde_then_ab_live() {
    play(&cluster(5, "AB|CDE").survives(), |o| live(o, "AB", "A"));
}

#[test]
fn a_side_that_was_cut_joins_anew_when_the_link_is_mended() {
    play(&cluster(5, "AB|CDE for 10s").survives(), |o| live(o, "ABCDE", "A"));
}

#[test]
fn a_b_of_a_b_c_crash_together_then_c_lives() {
    play(&cluster(3, "crash AB never"), |o| {
        live(o, "C", "C");
        gap_below(o, 4000);
    });
}

#[test]
fn all_but_a_crash_then_a_lives() {
    play(&cluster(4, "crash BCD never"), |o| {
        live(o, "A", "A");
        gap_below(o, 0);
    });
}

#[test]
fn a_b_c_all_cut_then_exactly_one_lives() {
    play(&cluster(3, "A|B|C").survives(), |o| {
        assert_eq!((o.living().len(), o.living()), (1, o.owner()));
        gap_below(o, 4500);
    });
}

#[test]
fn one_link_cut_both_hear_a_third_then_nobody_is_downed_and_it_is_shown() {
    play(&cluster(3, "A-B"), |o| {
        untouched(o, "ABC");
        let shown =
            o.report.ends.iter().filter_map(|end| end.status.as_ref()).any(|status| !status.indirect.is_empty());
        assert!(shown, "the broken link is shown");
        gap_below(o, 0);
    });
}

#[test]
fn one_link_cut_one_way_both_hear_a_third_then_nobody_is_downed() {
    play(&cluster(3, "A>B"), |o| untouched(o, "ABC"));
    play(&cluster(3, "B>A"), |o| untouched(o, "ABC"));
}

/// Who is heard by one alone would be accused by the rest as soon as it had joined.
#[test]
fn a_is_heard_by_d_alone_of_b_c_d_then_it_is_removed_once_and_stays_outside_until_the_links_are_mended() {
    for (nodes, fault) in [(4, "A-B A-C"), (5, "A-B A-C A-D"), (5, "C-A C-B")] {
        let out = fault.chars().next().expect("a node").to_string();
        play(&cluster(nodes, fault).lasting(60_000).survives(), |o| {
            assert_eq!(o.report.measures.commits, nodes as u64 + 1, "it is removed once");
            assert_eq!((o.stopped(), o.members().contains(&out)), (out.clone(), false));
        });
        play(&cluster(nodes, &format!("{fault} for 20s")).lasting(40_000).survives(), |o| {
            let all = &"ABCDE"[..nodes];
            assert_eq!((o.living().as_str(), o.members().as_str(), o.ready().as_str()), (all, all, all));
        });
    }
}

/// A newcomer that only one of two hears is accused by one, which removes nobody.
#[test]
fn c_joins_though_of_a_b_it_hears_only_one_then_it_stays() {
    for fault in ["C-A, crash C at 500ms", "C-B, crash C at 500ms"] {
        play(&cluster(3, fault).lasting(40_000), |o| {
            assert_eq!((o.members(), o.ready()), ("ABC".into(), "ABC".into()));
        });
    }
}

/// Each hears that it is not heard, or hears nothing: keep-oldest holds as if the link was cut both ways.
#[test]
fn of_two_only_one_hears_the_other_then_the_oldest_lives() {
    for fault in ["A>B", "B>A"] {
        play(&cluster(2, fault).lasting(40_000).survives(), |o| {
            live(o, "A", "A");
            assert_eq!(o.report.measures.commits, 2 + 1, "B is removed once");
        });
        play(&cluster(2, &format!("{fault}, store cut A")).lasting(40_000), |o| {
            assert_eq!((o.members(), o.owner()), ("B".into(), "B".into()));
            gap_below(o, 4500);
        });
    }
}

/// B cannot read that A has joined anew, but hears it.
#[test]
fn b_loses_the_store_and_a_starts_again_then_a_owns_and_b_is_not_ready() {
    play(&cluster(2, "store cut B, crash A at 1400ms"), |o| {
        assert_eq!((o.members(), o.owner(), o.ready()), ("AB".into(), "A".into(), "A".into()));
    });
}

/// A, B and C accuse each other, and D hears each say that it reaches the store.
#[test]
fn d_has_no_store_and_hears_a_b_c_that_do_not_hear_each_other_then_it_is_not_ready() {
    play(&cluster(4, "store cut D, A-B A-C B-C at 12s").lasting(20_000), |o| {
        assert!(!o.ready().contains('D'), "{} are ready", o.ready());
    });
}

/// The store comes back to one that lives and to one that dies at once: the first was right to think that the other reaches it.
#[test]
fn the_store_is_back_for_a_which_then_loses_power_and_b_is_not_blamed() {
    play(&cluster(2, "store away for 8s, store cut B at 4s, power A at 8800ms"), |o| {
        assert_eq!(o.owner(), "A");
    });
}

#[test]
fn a_flaps_from_b_then_at_most_one_is_downed_at_a_time_and_both_live_after() {
    for every in ["100ms", "400ms", "1s", "3s"] {
        play(&cluster(2, &format!("flap A-B every {every} 6 times")).survives().lasting(60_000), |o| {
            assert_eq!(o.living(), "AB", "every {every}");
        });
    }
}

#[test]
fn a_of_two_loses_only_the_store_then_the_owner_moves_and_nobody_is_downed() {
    play(&cluster(2, "store cut A").survives(), |o| {
        assert_eq!((o.stopped(), o.members(), o.owner(), o.ready()), ("".into(), "AB".into(), "B".into(), "B".into()));
        gap_below(o, 4500);
    });
}

#[test]
fn each_single_node_loses_the_store_then_it_is_not_ready_and_nobody_is_downed() {
    for (lost, ready) in [("A", "BC"), ("B", "AC"), ("C", "AB")] {
        play(&cluster(3, &format!("store cut {lost}")).survives(), |o| {
            assert_eq!((o.stopped(), o.members(), o.ready()), ("".into(), "ABC".into(), ready.into()));
        });
    }
}

#[test]
fn a_node_that_has_the_store_again_is_ready_again() {
    play(&cluster(3, "store cut A for 10s").survives(), |o| untouched(o, "ABC"));
}

#[test]
fn the_store_is_away_then_nobody_is_downed_and_all_stay_ready() {
    play(&cluster(3, "store away").survives(), |o| {
        untouched(o, "ABC");
        let degraded = o.report.ends.iter().filter_map(|end| end.status.as_ref()).all(|status| status.degraded);
        assert!(degraded, "they say that they are degraded");
    });
}

#[test]
fn the_store_is_away_and_back_then_all_goes_on() {
    play(&cluster(3, "store away for 15s").lasting(30_000).survives(), |o| {
        untouched(o, "ABC");
        live(o, "ABC", "A");
    });
}

#[test]
fn the_store_is_away_and_a_is_cut_from_bc_then_nobody_is_downed_until_it_answers_and_then_one_side_lives() {
    play(&cluster(3, "A|BC, store away"), |o| assert_eq!((o.stopped(), o.members()), ("".into(), "ABC".into())));
    play(&cluster(3, "A|BC, store away for 8s"), |o| {
        assert!(["A", "BC"].contains(&&*o.living()), "{} live", o.living());
        assert_eq!((o.members(), o.running()), (o.living(), o.owner()));
    });
}

#[test]
fn all_lose_power_and_the_host_of_a_never_returns_then_the_rest_form_again() {
    play(&cluster(3, "power A, power BC for 5s").lasting(30_000), |o| {
        assert_eq!((o.living(), o.members()), ("BC".into(), "BC".into()))
    });
}

#[test]
fn all_lose_power_at_once_and_return_then_all_form_again() {
    play(&cluster(3, "power ABC for 2s").lasting(30_000), |o| {
        assert_eq!((o.living(), o.members()), ("ABC".into(), "ABC".into()))
    });
}

#[test]
fn the_winner_dies_while_the_loser_restarts_then_the_loser_forms_again() {
    play(&cluster(2, "A|B, power A at 4s").lasting(30_000), |o| {
        live(o, "B", "B");
    });
}

#[test]
fn a_leaves_then_the_owner_moves_at_once() {
    play(&cluster(3, "leave A").survives(), |o| {
        live(o, "BC", "B");
        gap_below(o, 500);
    });
}

#[test]
fn all_leave_one_after_another_and_the_first_comes_back() {
    play(&cluster(2, "leave A, leave B at 3s, start A at 6s"), |o| live(o, "A", "A"));
}

#[test]
fn a_restarted_first_seed_that_sees_nobody_takes_nothing_over() {
    play(&cluster(3, "A|BC, crash A at 200ms").lasting(40_000), |o| live(o, "BC", "B"));
}

#[test]
fn all_leave_at_once_then_nobody_hands_over_to_one_that_leaves() {
    play(&cluster(3, "leave ABC"), |o| {
        assert_eq!((o.living(), o.members()), (String::new(), String::new()));
        assert!(o.report.measures.commits <= 3 + 6 + 1, "{} changes of the record", o.report.measures.commits);
    });
}

/// To a newcomer a refusal alone proves nothing: who is registered lives.
#[test]
fn a_firewall_rejects_a_from_all_then_it_is_removed_once_and_takes_nothing_over() {
    for (nodes, fault) in [(2, "reject A-B"), (3, "reject A-B, reject A-C")] {
        play(&cluster(nodes, fault).lasting(60_000), |o| {
            assert!(
                o.report.measures.commits <= nodes as u64 + 1,
                "{} changes of the record",
                o.report.measures.commits
            );
            assert_eq!(o.report.ends.iter().map(|end| end.exits.len()).sum::<usize>(), 1);
        });
    }
}
