//! The decision clock: when a side decides, when it does not, and when it has waited too long.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::notation::{Drawing, Observers, node, nodes};
use super::*;

/// A clock of one node, in a cluster of two seconds' `stable-after`: six seconds' patience.
struct Watch {
    me: NodeId,
    clock: Clock,
}

impl Watch {
    fn new(me: char) -> Self {
        Self { me: node(me), clock: Clock::new(Millis(2000)) }
    }

    fn at(&mut self, now: u64, drawing: &str) -> Option<Decision> {
        let drawn = Drawing::parse(drawing);
        let mine = drawn.sides.iter().position(|side| side.iter().any(|letter| node(*letter) == self.me));
        let situation = drawn.seen_by(mine.unwrap_or(0), false, Observers::All);
        self.clock.look(Moment(now), &self.me, &situation, &KeepOldest::default())
    }

    /// Looks at `now`, and sees that there is nothing to be done.
    fn waits(&mut self, now: u64, drawing: &str) -> &mut Self {
        assert_eq!(self.at(now, drawing), None, "{drawing} at {now} ms");
        self
    }

    fn downs(&mut self, now: u64, drawing: &str, verdict: Verdict, down: &str) -> &mut Self {
        let decision = self.at(now, drawing).unwrap_or_else(|| panic!("no decision on {drawing} at {now} ms"));
        assert_eq!((decision.verdict, decision.down), (verdict, nodes(down)), "{drawing} at {now} ms");
        self
    }

    fn wakes(&mut self, at: Option<u64>) -> &mut Self {
        assert_eq!(self.clock.next_wake(), at.map(Moment));
        self
    }
}

use Verdict::{DownAll, DownReachable, DownUnreachable};

#[test]
fn a_stable_view_is_decided_on_after_stable_after() {
    let mut watch = Watch::new('A');
    watch.waits(0, "ABE").wakes(None).waits(100, "AE|B").wakes(Some(2100)).waits(2099, "AE|B");
    watch.downs(2100, "AE|B", DownUnreachable, "B");
}

#[test]
fn each_change_of_reachability_restarts_the_clock() {
    let mut watch = Watch::new('A');
    watch.waits(0, "ABDE|C").waits(1900, "ADE|BC").wakes(Some(3900)).waits(3800, "AE|BCD").wakes(Some(5800));
    watch.waits(5799, "AE|BCD").downs(5800, "AE|BCD", DownUnreachable, "BCD");
}

#[test]
fn who_accuses_them_and_who_joins_does_not_restart_the_clock() {
    let mut watch = Watch::new('B');
    watch.waits(0, "BE|C").waits(1000, "BFjE|C").waits(1500, "BFjE|C").downs(2000, "BFjE|C", DownUnreachable, "C");
    let mut watch = Watch::new('A');
    let drawn = Drawing::parse("ABE|C");
    for (now, observers, decided) in
        [(0, Observers::First, false), (1500, Observers::All, false), (2000, Observers::Last, true)]
    {
        let seen = drawn.seen_by(0, false, observers);
        let decision = watch.clock.look(Moment(now), &watch.me, &seen, &KeepOldest::default());
        assert_eq!(decision.is_some(), decided);
    }
}

#[test]
fn one_that_comes_up_restarts_the_clock() {
    Watch::new('B').waits(0, "BFjE|C").waits(1000, "BFE|C").waits(2000, "BFE|C").downs(
        3000,
        "BFE|C",
        DownUnreachable,
        "C",
    );
}

#[test]
fn only_the_leader_of_a_side_decides() {
    Watch::new('E').waits(0, "AE|BCD").wakes(None).waits(2000, "AE|BCD").waits(60_000, "AE|BCD").wakes(None);
    Watch::new('B').waits(0, "AE|BCD").downs(2000, "AE|BCD", DownReachable, "BCD");
}

#[test]
fn one_that_is_down_or_removed_decides_nothing() {
    Watch::new('B').waits(0, "AE|BdCD").waits(2000, "AE|BdCD").waits(9000, "AE|BdCD").wakes(None);
    Watch::new('B').waits(0, "AE|Bd").wakes(None).waits(9000, "AE|Bd").wakes(None);
    Watch::new('G').waits(0, "AE|BCD").waits(2000, "AE|BCD").waits(9000, "AE|BCD").wakes(None);
}

#[test]
fn one_that_becomes_leader_in_between_decides() {
    let mut watch = Watch::new('C');
    watch.waits(0, "BCE|DA").wakes(None).waits(1000, "BlCE|DA").waits(1500, "BdCE|DA").wakes(Some(3500));
    watch.downs(3500, "BdCE|DA", DownUnreachable, "AD");
}

#[test]
fn a_leader_of_those_who_join_decides_if_there_is_no_other() {
    Watch::new('A').waits(0, "Aj|BCD").downs(2000, "Aj|BCD", DownReachable, "A");
    Watch::new('A').waits(0, "AjE|BCD").waits(9000, "AjE|BCD");
}

/// Nobody takes itself for unreachable, so each of the two leads, and the first of the others: they decide alike.
#[test]
fn all_who_lead_where_two_accuse_each_other_decide_alike() {
    for me in ['A', 'B', 'C'] {
        Watch::new(me).waits(0, "(AB)CD").downs(2000, "(AB)CD", Verdict::DownIndirectlyConnected, "AB");
    }
    Watch::new('D').waits(0, "(AB)CD").waits(9000, "(AB)CD");
}

#[test]
fn a_healed_member_is_not_acted_on() {
    Watch::new('A').waits(0, "AE|B").waits(1900, "ABE").wakes(None).waits(9000, "ABE");
}

#[test]
fn a_removed_member_is_not_acted_on() {
    Watch::new('A').waits(0, "AE|B").waits(1900, "AE").wakes(None).waits(9000, "AE");
}

#[test]
fn a_member_that_is_down_or_exiting_is_not_acted_on() {
    Watch::new('A').waits(0, "AE|Bd").wakes(None).waits(9000, "AE|Bd");
    Watch::new('A').waits(0, "AE|B").waits(1900, "AE|Bx").wakes(None).waits(9000, "AE|Bx");
    Watch::new('A').waits(0, "AE|BdC").waits(1000, "AE|BdC").downs(2000, "AE|BdC", DownUnreachable, "C");
}

/// C stays away, while D comes back and goes.
#[test]
fn all_go_down_when_one_is_unstable_twice() {
    let mut watch = Watch::new('A');
    watch.waits(0, "ABE|CD").waits(1500, "ABDE|C").waits(3000, "ABE|CD").waits(4500, "ABDE|C").wakes(Some(6000));
    watch.waits(5999, "ABDE|C").downs(6000, "ABDE|C", DownAll, "ABCDE");
}

#[test]
fn all_go_down_when_the_next_change_comes_after_the_patience_has_ended() {
    let mut watch = Watch::new('A');
    watch.waits(0, "ABE|CD").waits(1900, "ABDE|C").waits(3800, "ABE|CD").waits(5700, "ABDE|C");
    watch.downs(6100, "ABE|CD", DownAll, "ABCDE");
}

#[test]
fn a_view_that_comes_to_rest_in_time_is_decided_on() {
    let mut watch = Watch::new('A');
    watch.waits(0, "ABE|CD").waits(1900, "ABDE|C").waits(3900, "ABE|CD").wakes(Some(5900));
    watch.downs(5900, "ABE|CD", DownUnreachable, "CD");
}

#[test]
fn a_view_that_is_stable_just_as_the_patience_ends_is_decided_on() {
    let mut watch = Watch::new('A');
    watch.waits(0, "ABE|CD").waits(2000 - 1, "ABDE|C").waits(4000 - 2, "ABE|CD").waits(4000, "ABDE|C");
    watch.downs(6000, "ABDE|C", DownUnreachable, "C");
}

#[test]
fn a_cluster_that_is_whole_again_forgets() {
    let mut watch = Watch::new('A');
    watch.waits(0, "ABE|CD").waits(1900, "ABDE|C").waits(3800, "ABCDE").waits(9000, "ABCDE").wakes(None);
    watch.waits(9500, "ABDE|C").wakes(Some(11_500)).downs(11_500, "ABDE|C", DownUnreachable, "C");
}

#[test]
fn a_decision_that_was_not_carried_out_is_made_again() {
    let mut watch = Watch::new('A');
    watch.waits(0, "AE|B").downs(2000, "AE|B", DownUnreachable, "B").wakes(Some(4000)).waits(3999, "AE|B");
    watch.downs(4000, "AE|B", DownUnreachable, "B").waits(4100, "AE|Bd").wakes(None);
}

#[test]
fn one_that_slept_through_its_patience_has_all_go_down() {
    Watch::new('A').waits(0, "AE|B").downs(6001, "AE|B", DownAll, "ABE");
}

#[test]
fn the_patience_is_four_seconds_or_three_quarters_more() {
    let patience = |stable_after| Clock::new(Millis(stable_after)).patience();
    assert_eq!((patience(1000), patience(5333), patience(20_000)), (Millis(5000), Millis(9333), Millis(35_000)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens when: it never decides on a view that has not been stable, nor waits longer than it may, nor without need.
    #[test]
    fn no_decision_comes_early_or_late(
        steps in vec((1..3000u64, select(vec!["ABCDE", "ABDE|C", "AE|BCD", "ABE|CdDx", "ABE|CD", "(AB)CDE"])), 1..24),
    ) {
        let mut watch = Watch::new('A');
        let (mut now, mut view) = (0, "ABCDE");
        let (mut since, mut changed) = (None, 0);
        for (gap, next) in steps {
            let until = now + gap;
            while let Some(wake) = watch.clock.next_wake().filter(|wake| wake.0 < until) {
                prop_assert!(wake.0 > now, "it wants to be woken at {wake:?}, and it is {now}");
                now = wake.0;
                let began: u64 = since.expect("it wants to be woken, so there is something to decide");
                let decision = watch.at(now, view).expect("it has waited for nothing else");
                let is_stable = now == changed + 2000 && now <= began + 6000;
                prop_assert!(is_stable || decision.verdict == DownAll && now == began + 6000);
                (since, changed) = (Some(now), now);
            }
            now = until;
            let is_undecided = !matches!(next, "ABCDE" | "ABE|CdDx");
            if next != view || since.is_some() != is_undecided {
                changed = now;
            }
            view = next;
            since = is_undecided.then(|| since.unwrap_or(now));
            if let (Some(decision), Some(began)) = (watch.at(now, view), since) {
                let is_stable = now >= changed + 2000 && now <= began + 6000;
                prop_assert!(is_stable || decision.verdict == DownAll && now >= began + 6000);
                (since, changed) = (Some(now), now);
            }
            let due = since.map(|began| (changed + 2000).min(began + 6000));
            prop_assert_eq!(watch.clock.next_wake().map(|wake| wake.0), due);
        }
    }
}
