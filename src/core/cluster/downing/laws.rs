//! What holds of decisions whatever the view, a stale one included.

use std::collections::BTreeSet;
use std::fmt::Debug;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::keep_oldest::{keep_oldest, prefers_this_side};
use super::notation::{candidate, node};
use super::{Candidate, Decision, Situation, Status, Verdict};
use crate::ids::NodeId;
use crate::record::{Member, MemberState};
use crate::settings::KeepOldest;

const LETTERS: [char; 7] = ['A', 'B', 'C', 'D', 'E', 'F', 'G'];

fn config() -> ProptestConfig {
    ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() }
}

fn settings() -> impl Strategy<Value = KeepOldest> {
    (select(vec![None, Some("1"), Some("2"), Some("3")]), any::<bool>())
        .prop_map(|(role, down_if_alone)| KeepOldest { role: role.map(Into::into), down_if_alone })
}

fn any_status() -> Vec<Status> {
    vec![Status::Joining, Status::Up, Status::Up, Status::Leaving, Status::Exiting, Status::Down]
}

/// What a member is, and was before the last change that all of the cluster had seen.
fn rounds() -> Vec<(Status, Status)> {
    use Status::{Exiting, Joining, Leaving, Up};
    vec![(Joining, Joining), (Up, Joining), (Up, Up), (Leaving, Leaving), (Exiting, Leaving), (Exiting, Exiting)]
}

/// What a member is, when any side may not have heard yet that it leaves.
fn notices() -> Vec<(Status, Status)> {
    use Status::{Exiting, Joining, Leaving, Up};
    vec![(Joining, Joining), (Up, Up), (Leaving, Up), (Up, Leaving), (Leaving, Leaving), (Exiting, Exiting)]
}

/// Some members, the side of each (of three at most), and their statuses.
fn members<T: Debug + Clone + 'static>(statuses: Vec<T>) -> impl Strategy<Value = Vec<(char, usize, T)>> {
    subsequence(LETTERS.to_vec(), 2..=LETTERS.len())
        .prop_flat_map(move |letters| {
            let details = vec((0..3usize, select(statuses.clone())), letters.len());
            (Just(letters), details)
        })
        .prop_map(|(letters, details)| {
            letters.into_iter().zip(details).map(|(letter, (side, status))| (letter, side, status)).collect()
        })
}

/// What a side sees of a clean partition, each of it accusing each of the others.
fn clean(members: &[(char, usize, Status)], side: usize) -> Situation {
    let of = |mine: bool| members.iter().filter(move |(_, at, _)| (*at == side) == mine).map(|(letter, _, _)| *letter);
    Situation {
        members: members.iter().map(|(letter, _, status)| candidate(*letter, *status)).collect(),
        accusations: of(true).flat_map(|me| of(false).map(move |other| (node(me), node(other)))).collect(),
        seen: of(true).map(node).collect(),
    }
}

/// Whether somebody of the side is left who would go on.
fn lives(situation: &Situation, decision: &Decision) -> bool {
    let would_go_on =
        |m: &Candidate| m.can_go_down() && situation.seen.contains(&m.id) && !decision.down.contains(&m.id);
    situation.members.iter().any(would_go_on)
}

/// How many of two sides live, if the one that is `late` still takes the members for what they were before.
fn living_of_two(members: &[(char, usize, (Status, Status))], late: usize, settings: &KeepOldest) -> usize {
    let lives_on = |side: &usize| {
        let known = |(letter, at, (now, before)): &(char, usize, (Status, Status))| {
            (*letter, at % 2, if *side == late { *before } else { *now })
        };
        let mut situation = clean(&members.iter().map(known).collect::<Vec<_>>(), *side);
        for (member, (_, _, (_, before))) in situation.members.iter_mut().zip(members) {
            // Who comes up is younger than all who are there.
            member.age.0 += if *before == Status::Joining { 10 } else { 0 };
        }
        lives(&situation, &keep_oldest(&situation, settings))
    };
    (0..2).filter(lives_on).count()
}

fn as_recorded(candidates: &[Candidate]) -> Vec<Member> {
    let mut record = crate::fixtures::record(&["any"]);
    let any = record.members.remove(0);
    let member = |c: &Candidate| Member {
        id: c.id.clone(),
        age: c.age,
        roles: c.roles.clone(),
        state: if c.status == Status::Leaving { MemberState::Leaving } else { MemberState::Up },
        ..any.clone()
    };
    candidates.iter().map(member).collect()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn of_the_sides_of_a_clean_partition_one_lives_at_most(
        members in members(any_status()), settings in settings(),
    ) {
        let living = (0..3).filter(|side| {
            let situation = clean(&members, *side);
            lives(&situation, &keep_oldest(&situation, &settings))
        });
        prop_assert!(living.count() <= 1);
    }

    #[test]
    fn of_two_sides_one_of_which_missed_the_last_changes_one_lives_at_most(
        members in members(rounds()), late in 0..2usize, settings in settings(),
    ) {
        prop_assert!(living_of_two(&members, late, &settings) <= 1);
    }

    #[test]
    fn of_two_sides_that_have_not_heard_of_all_who_leave_one_lives_at_most(
        members in members(notices()), settings in settings(),
    ) {
        prop_assert!(living_of_two(&members, 0, &settings) <= 1);
    }

    #[test]
    fn whatever_is_said_only_members_that_can_go_down_do(
        members in members(any_status()),
        accusations in vec((select(LETTERS.to_vec()), select(LETTERS.to_vec())), 0..12),
        seen in subsequence(LETTERS.to_vec(), 0..=LETTERS.len()),
        settings in settings(),
    ) {
        let situation = Situation {
            members: members.iter().map(|(letter, _, status)| candidate(*letter, *status)).collect(),
            accusations: accusations.into_iter().map(|(observer, subject)| (node(observer), node(subject))).collect(),
            seen: seen.into_iter().map(node).collect(),
        };
        let decision = keep_oldest(&situation, &settings);
        prop_assert_eq!(decision.verdict == Verdict::Nothing, situation.unreachable().is_empty());
        for id in &decision.down {
            prop_assert!(situation.members.iter().any(|m| m.id == *id && m.can_go_down()));
        }
        if decision.verdict == Verdict::DownReachable {
            prop_assert!(decision.down.is_disjoint(&situation.unreachable()));
        }
        if decision.verdict == Verdict::DownUnreachable {
            prop_assert!(decision.down.is_subset(&situation.unreachable()));
        }
    }

    #[test]
    fn the_owners_preference_is_one_sides_and_only_nobodys_if_somebody_leaves(
        members in members(vec![Status::Up, Status::Up, Status::Leaving]),
        owner in any::<proptest::sample::Index>(),
        settings in settings(),
    ) {
        let members: Vec<_> = members.into_iter().map(|(letter, at, status)| (letter, at % 2, status)).collect();
        let owner = node(members[owner.index(members.len())].0);
        let record = as_recorded(&clean(&members, 0).members);
        let unreachable = |side| -> BTreeSet<NodeId> {
            members.iter().filter(|(_, at, _)| *at != side).map(|(letter, _, _)| node(*letter)).collect()
        };
        let preferred = (0..2).filter(|side| prefers_this_side(&record, &owner, &unreachable(*side), &settings)).count();
        let leaving = members.iter().any(|(_, _, status)| *status == Status::Leaving);
        prop_assert!(preferred == 1 || leaving && preferred == 0);
    }
}
