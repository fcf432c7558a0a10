//! The table of keep-oldest, fact by fact, in the notation of notation.rs; and the preference that is made of it.

use super::super::notation::{Drawing, Observers, check};
use super::*;
use crate::fixtures::{id, ids, record};

fn fact(drawing: &str, expected: &str) {
    let mut settings = KeepOldest::default();
    let mut drawing = drawing;
    if let Some((setting, rest)) = drawing.split_once(": ") {
        drawing = rest;
        match setting.strip_prefix("role ") {
            Some(role) => settings.role = Some(role.into()),
            None if setting == "down-if-alone off" => settings.down_if_alone = false,
            None => panic!("{setting:?} is no setting"),
        }
    }
    check(drawing, expected, |situation| keep_oldest(situation, &settings));
}

macro_rules! facts {
    ($($name:ident: $drawing:literal => $expected:literal;)*) => {
        $(#[test] fn $name() { fact($drawing, $expected); })*
    };
}

facts! {
    the_side_of_the_oldest_lives: "AE|BCD" => "BCD";
    the_oldest_with_the_role_counts: "role 2: AE|BCD" => "AE";
    an_oldest_that_is_alone_goes_down: "E|ABCD" => "E";
    of_two_the_oldest_lives: "B|A" => "A";
    one_that_is_the_only_member_lives: "A" => "none";
    an_oldest_that_is_alone_may_live: "down-if-alone off: E|ABCD" => "ABCD";
    an_oldest_that_is_exiting_is_not_counted: "ABD|CEx" => "s1 DU C, s2 sees El DA";
    an_oldest_that_is_leaving_may_have_gone: "AEl|BCD" => "s1 DA, s2 DR";
    leaving_members_of_the_other_side_change_nothing: "AE|BlClD" => "BCD";
    an_oldest_may_be_alone_once_another_has_left: "DlE|ABC" => "s1 DA, s2 DR";
    two_remain_when_one_of_three_leaves: "E|ABCl" => "s1 DR, s2 DU";
    one_remains_when_three_of_four_leave: "E|AClBlDl" => "s1 DR, s2 DA";
    both_go_when_the_next_oldest_is_alone: "DEx|ABC" => "s1 DR, s2 sees El DR";
    of_two_one_is_exiting: "A|Bx" => "s1 DU, s2 sees Bl DA";
    a_joining_member_may_keep_the_oldest_company: "AjE|BCD" => "s1 DR, s2 DA";
    a_joining_member_is_nothing_to_an_oldest_that_may_be_alone: "down-if-alone off: AjE|BCD" => "s1 DU, s2 DR";
    two_that_accuse_each_other_before_a_third_go_down: "(AB)C" => "AB";
    two_accuse_each_other_on_the_younger_side: "A(BC)|DEFG" => "ABC, s2 first ABC";
    two_accuse_each_other_on_the_older_side: "ABC|(DE)FG" => "s1 ABC, s1 first ABCDE, s2 ABCDE";
}

// What the table says beyond these facts.
facts! {
    nobody_has_the_role: "role 4: AE|BCD" => "DA ABCDE";
    nobody_has_the_role_and_all_is_well: "role 4: ABE" => "none";
    joining_members_go_down_with_their_side: "AE|BjCD" => "BCD";
    a_joining_member_is_not_the_oldest: "BD|AEj" => "s1 DU AE, s2 DR AE";
    members_that_are_down_or_exiting_are_left_alone: "AE|BxCdD" => "D";
    three_sides_with_an_oldest_that_is_alone: "E|BD|AC" => "s1 DR E, s2 DR BD, s3 DR AC";
    three_sides_with_an_oldest_in_company: "AE|BD|C" => "s1 DU BCD, s2 DR BD, s3 DR C";
    of_two_with_one_age_the_first_by_name_lives: "A|F" => "F";
    two_that_accuse_each_other_are_all_there_is: "(AB)" => "AB";
    all_accuse_each_other: "(ABC)" => "ABC";
    two_accuse_each_other_and_a_third_has_crashed: "(AB)DE|C" => "s1 ABC";
    the_alone_rule_counts_those_with_the_role: "role 3: AD|BE" => "s1 DU BE, s2 DR BE";
    an_oldest_that_is_alone_in_its_role: "role 3: DE|ABC" => "s1 DR DE, s2 DU DE";
    two_pairs_accuse_each_other: "ABC|(DE)(FG)" => "s1 ABC, s1 first ABCDEFG, s2 ABCDEFG";
}

/// What the node sees of a drawing's first side when these accuse each other as well: observer and subject.
fn accused(drawing: &str, accusations: &[(&str, &str)]) -> Decision {
    let mut seen = Drawing::parse(drawing).seen_by(0, false, Observers::First);
    seen.accusations.extend(accusations.iter().map(|(observer, subject)| (id(observer), id(subject))));
    keep_oldest(&seen, &KeepOldest::default())
}

#[test]
fn one_that_is_accused_and_still_heard_goes_down_with_its_observers() {
    let decision = accused("ABC", &[("A", "B")]);
    assert_eq!((decision.verdict, decision.down), (Verdict::DownIndirectlyConnected, ids(&["A", "B"])));
    assert_eq!(accused("ABC", &[("A", "B"), ("A", "C")]).down, ids(&["A", "B", "C"]));
    assert_eq!(accused("ABCDE", &[("B", "C"), ("C", "B"), ("A", "D")]).down, ids(&["A", "B", "C", "D"]));
}

/// The other side has heard that D accuses E, and G accuses F: D and G are indirectly connected. What is left says the same again.
#[test]
fn indirect_again_without_the_accusations_between_them() {
    let decision = accused("ABC|DEFG", &[("D", "E"), ("G", "F")]);
    assert_eq!((decision.verdict, decision.down), (Verdict::DownAll, ids(&["A", "B", "C", "D", "E", "F", "G"])));
}

/// The limit of row 7: s1 has missed nothing, but s2 neither knows that G is up nor that D leaves. A shared store has no such limit.
#[test]
fn two_changes_that_one_side_missed_may_split_the_cluster() {
    fact("FlG|Dl", "s1 DU D");
    fact("FlGj|D", "s2 DU FG");
}

/// Whether the side that reaches all but `unreachable` is preferred. Members are given oldest first.
fn prefers(members: &[&str], owner: &str, unreachable: &[&str]) -> bool {
    prefers_this_side(&record(members).members, &id(owner), &ids(unreachable), &KeepOldest::default())
}

#[test]
fn the_owner_stands_in_the_oldest_place() {
    assert!(prefers(&["a", "b"], "b", &["a"]) && !prefers(&["a", "b"], "b", &["b"]));
    assert!(prefers(&["a", "b", "c", "d"], "d", &["a", "b"]) && !prefers(&["a", "b", "c", "d"], "d", &["c", "d"]));
}

#[test]
fn an_owner_that_is_alone_is_not_preferred() {
    assert!(prefers(&["a", "b", "c"], "a", &["a"]) && !prefers(&["a", "b", "c"], "a", &["b", "c"]));
    let may_be_alone = KeepOldest { down_if_alone: false, ..KeepOldest::default() };
    assert!(prefers_this_side(&record(&["a", "b", "c"]).members, &id("a"), &ids(&["b", "c"]), &may_be_alone));
}

#[test]
fn an_owner_counts_without_the_role() {
    let mut members = record(&["a", "b", "c"]).members;
    let settings = KeepOldest { role: Some("batch".into()), ..KeepOldest::default() };
    assert!(prefers_this_side(&members, &id("a"), &ids(&["b", "c"]), &settings));
    members[1].roles = vec!["batch".into()];
    assert!(prefers_this_side(&members, &id("a"), &ids(&["b", "c"]), &settings));
    members[2].roles = vec!["batch".into()];
    assert!(!prefers_this_side(&members, &id("a"), &ids(&["b", "c"]), &settings));
    assert!(prefers_this_side(&members, &id("a"), &ids(&["a"]), &settings));
}

#[test]
fn no_side_is_preferred_when_the_owner_leaves_and_the_next_is_on_the_other_side() {
    let mut members = record(&["a", "b", "c", "d"]).members;
    members[0].state = MemberState::Leaving;
    let prefers = |unreachable| prefers_this_side(&members, &id("a"), &ids(unreachable), &KeepOldest::default());
    assert!(!prefers(&["b", "c"]) && !prefers(&["a", "d"]));
}
