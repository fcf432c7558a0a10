//! Draws situations for tests: `AjE|B(CD)` is a partition of five members.
//!
//! `|` separates the sides, s1 to the left. A letter is a member, by age E D C B, then A and F, then G; a small letter after it is its
//! status: j joining, l leaving, x exiting, d down; else it is up. Members in brackets are indirectly connected: they accuse each other
//! in a ring. Role 1 have B and D; role 2 C and D; role 3 A, B and D.
//!
//! What is expected is drawn as well, side by side: `s1 DU C, s2 sees El DA`. A verdict (DU, DR, DA: down unreachable, down reachable,
//! down all), or the nodes that go down, or `none`, or both; first the side, if not for all; `sees El` if that side knows E as leaving;
//! `first` if it has heard who is indirectly connected on the other side before the partition.

use std::collections::{BTreeMap, BTreeSet};

use super::{Candidate, Decision, Situation, Status, Verdict};
use crate::ids::{Age, NodeId};

/// A drawing, taken apart.
#[derive(Clone)]
pub struct Drawing {
    pub sides: Vec<Vec<char>>,
    statuses: BTreeMap<char, Status>,
    /// Side and members of each pair of brackets.
    groups: Vec<(usize, Vec<char>)>,
}

/// Which of a side say that they do not reach the other side.
#[derive(Debug, Clone, Copy)]
pub enum Observers {
    First,
    Last,
    All,
}

pub fn node(letter: char) -> NodeId {
    NodeId::new(&letter.to_string(), 1)
}

pub fn nodes(letters: &str) -> BTreeSet<NodeId> {
    letters.chars().map(node).collect()
}

pub fn candidate(letter: char, status: Status) -> Candidate {
    let (age, roles): (u64, &[&str]) = match letter {
        'E' => (1, &[]),
        'D' => (2, &["1", "2", "3"]),
        'C' => (3, &["2"]),
        'B' => (4, &["1", "3"]),
        'A' => (5, &["3"]),
        'F' => (5, &[]),
        'G' => (6, &[]),
        _ => panic!("{letter} is no member"),
    };
    Candidate { id: node(letter), age: Age(age), status, roles: roles.iter().map(|role| (*role).into()).collect() }
}

fn status(letter: char) -> Option<Status> {
    match letter {
        'j' => Some(Status::Joining),
        'l' => Some(Status::Leaving),
        'x' => Some(Status::Exiting),
        'd' => Some(Status::Down),
        _ => None,
    }
}

impl Drawing {
    pub fn parse(drawing: &str) -> Self {
        let mut parsed = Self { sides: vec![Vec::new()], statuses: BTreeMap::new(), groups: Vec::new() };
        let (mut open, mut last) = (false, None);
        for letter in drawing.chars() {
            let at = parsed.sides.len() - 1;
            match letter {
                '|' => parsed.sides.push(Vec::new()),
                '(' => {
                    parsed.groups.push((at, Vec::new()));
                    open = true;
                }
                ')' => open = false,
                'A'..='G' => {
                    assert!(!parsed.statuses.contains_key(&letter), "{drawing}: {letter} is there twice");
                    parsed.sides[at].push(letter);
                    parsed.statuses.insert(letter, Status::Up);
                    last = Some(letter);
                    if let (true, Some((_, group))) = (open, parsed.groups.last_mut()) {
                        group.push(letter);
                    }
                }
                _ => parsed.set(
                    last.unwrap_or_else(|| panic!("{drawing}: {letter:?} follows no member")),
                    status(letter).unwrap_or_else(|| panic!("{drawing}: {letter:?} means nothing")),
                ),
            }
        }
        parsed
    }

    fn set(&mut self, member: char, status: Status) {
        assert!(self.statuses.insert(member, status).is_some(), "{member} is not drawn");
    }

    /// What the side sees of it; if it has heard `first` who is indirectly connected on the others, these accusations as well.
    pub fn seen_by(&self, side: usize, first: bool, observers: Observers) -> Situation {
        let mine = &self.sides[side];
        let observing = match observers {
            Observers::First => &mine[..1],
            Observers::Last => &mine[mine.len() - 1..],
            Observers::All => mine,
        };
        let others = self.statuses.keys().filter(|letter| !mine.contains(letter));
        let mut accusations: BTreeSet<_> =
            others.flat_map(|other| observing.iter().map(|me| (node(*me), node(*other)))).collect();
        for (_, group) in self.groups.iter().filter(|(at, _)| first || *at == side) {
            let next = group.iter().cycle().skip(1);
            accusations.extend(group.iter().zip(next).map(|(observer, subject)| (node(*observer), node(*subject))));
        }
        let members = self.statuses.iter().map(|(letter, status)| candidate(*letter, *status)).collect();
        Situation { members, accusations, seen: mine.iter().map(|letter| node(*letter)).collect() }
    }
}

/// What is expected of one side, or of all.
#[derive(Default)]
struct Expected {
    side: Option<usize>,
    sees: Option<(char, Status)>,
    first: bool,
    verdict: Option<Verdict>,
    down: Option<BTreeSet<NodeId>>,
}

impl Expected {
    fn parse(clause: &str) -> Self {
        let mut expected = Self::default();
        let mut words = clause.split_whitespace();
        while let Some(word) = words.next() {
            match word {
                "s1" | "s2" | "s3" => expected.side = Some(usize::from(word.as_bytes()[1] - b'1')),
                "sees" => {
                    let letters: Vec<char> = words.next().unwrap_or_default().chars().collect();
                    let [member, letter] = letters[..] else { panic!("{clause}: sees whom as what?") };
                    expected.sees = Some((member, status(letter).expect("a status")));
                }
                "first" => expected.first = true,
                "DU" => expected.verdict = Some(Verdict::DownUnreachable),
                "DR" => expected.verdict = Some(Verdict::DownReachable),
                "DA" => expected.verdict = Some(Verdict::DownAll),
                "none" => expected.down = Some(BTreeSet::new()),
                letters => expected.down = Some(nodes(letters)),
            }
        }
        assert!(expected.verdict.is_some() || expected.down.is_some(), "{clause:?} expects nothing");
        expected
    }
}

/// Holds a decision to what is drawn, whoever of the side observes the other sides.
pub fn check(drawing: &str, expected: &str, decide: impl Fn(&Situation) -> Decision) {
    for clause in expected.split(',') {
        let expected = Expected::parse(clause);
        let mut drawn = Drawing::parse(drawing);
        if let Some((member, status)) = expected.sees {
            drawn.set(member, status);
        }
        let sides = expected.side.map_or(0..drawn.sides.len(), |side| side..side + 1);
        for (side, observers) in sides
            .flat_map(|side| [Observers::First, Observers::Last, Observers::All].map(|observers| (side, observers)))
        {
            let decision = decide(&drawn.seen_by(side, expected.first, observers));
            let told = format!("{drawing}: {clause:?}, on s{} with {observers:?} observing: {decision:?}", side + 1);
            assert!(expected.verdict.is_none_or(|verdict| verdict == decision.verdict), "{told}");
            assert!(expected.down.as_ref().is_none_or(|down| *down == decision.down), "{told}");
        }
    }
}
