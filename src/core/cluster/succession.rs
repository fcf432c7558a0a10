//! Which record may follow which: the one table of a member's life, and what every change keeps.

use crate::record::{Invalid, MemberState, Record};

/// One run of a node, as records tell of it one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// It has not joined yet.
    Outside,
    Up,
    Leaving,
    /// It was a member. It never is again: what comes back under its name is another run.
    Removed,
}

impl Membership {
    pub const ALL: [Self; 4] = [Self::Outside, Self::Up, Self::Leaving, Self::Removed];

    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Outside => next == Self::Up,
            Self::Up => matches!(next, Self::Leaving | Self::Removed),
            Self::Leaving => next == Self::Removed,
            Self::Removed => false,
        }
    }
}

impl From<MemberState> for Membership {
    fn from(state: MemberState) -> Self {
        match state {
            MemberState::Up => Self::Up,
            MemberState::Leaving => Self::Leaving,
        }
    }
}

/// Whether one change can have led from one record to the other; the first thing that cannot be is told. That nobody who was removed earlier
/// comes back cannot be seen in two records, but that ages are given once can.
///
/// # Errors
/// What cannot be.
pub fn follows(before: &Record, after: &Record) -> Result<(), Invalid> {
    after.validate()?;
    if after.cluster_id != before.cluster_id {
        return Err(Invalid("another cluster"));
    }
    if after.epoch != before.epoch.next() {
        return Err(Invalid("an epoch is one more than the one before"));
    }
    let moved = after.owner != before.owner;
    if after.term != if moved { before.term.next() } else { before.term } {
        return Err(Invalid("a term is one more for each change of owner, and else the same"));
    }
    for member in &after.members {
        let was = before.member(&member.id).map_or(Membership::Outside, |m| m.state.into());
        let is = Membership::from(member.state);
        if was != is && !was.may_become(is) {
            return Err(Invalid("a member's state goes from up to leaving, and not back"));
        }
        match before.member(&member.id) {
            Some(same) if same.age != member.age => return Err(Invalid("a member's age does not change")),
            None if member.age < before.next_age => return Err(Invalid("an age is given once")),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{by, id, ids, newcomer, record};
    use crate::ids::{Age, Epoch, Term};

    #[test]
    fn every_pair_in_a_members_life_is_decided() {
        let pairs = Membership::ALL.iter().flat_map(|from| Membership::ALL.iter().map(move |to| (*from, *to)));
        let allowed: Vec<String> =
            pairs.filter(|(from, to)| from.may_become(*to)).map(|(from, to)| format!("{from:?} > {to:?}")).collect();
        assert_eq!(allowed, ["Outside > Up", "Up > Leaving", "Up > Removed", "Leaving > Removed"]);
    }

    #[test]
    fn every_change_leads_to_a_record_that_may_follow() {
        let before = record(&["a", "b", "c"]);
        let reaching = ids(&["b", "c"]);
        let leaving = before.leaving(&id("a"), &reaching, by("a"));
        for after in [
            before.joined(&newcomer("d", 1), &reaching, by("d")).unwrap(),
            before.joined(&newcomer("a", 2), &reaching, by("a")).unwrap(),
            before.taken_over(&newcomer("a", 2), by("a")),
            before.without(&ids(&["a"]), &id("b"), by("b")),
            before.owned_by(&id("c"), by("c")),
            leaving.clone(),
        ] {
            assert_eq!(follows(&before, &after), Ok(()), "{after:?}");
        }
        assert_eq!(follows(&leaving, &leaving.left(&id("a"), &reaching, by("a"))), Ok(()));
    }

    #[test]
    fn what_no_change_makes_may_not_follow() {
        let before = record(&["a", "b"]);
        let good = before.owned_by(&id("b"), by("b"));
        let broken: [fn(&mut Record); 6] = [
            |r| r.epoch = Epoch(9),
            |r| r.term = Term(1),
            |r| r.cluster_id = "other".into(),
            |r| r.members[1].age = Age(1_000),
            |r| r.members[0].age = Age(1),
            |r| r.owner = None,
        ];
        for breaks in broken {
            let mut after = good.clone();
            breaks(&mut after);
            assert!(follows(&before, &after).is_err(), "{after:?}");
        }
        let leaving = before.leaving(&id("b"), &ids(&["a"]), by("b"));
        let mut back = leaving.owned_by(&id("b"), by("b"));
        back.members[1].state = MemberState::Up;
        assert!(follows(&leaving, &back).is_err());
    }
}
