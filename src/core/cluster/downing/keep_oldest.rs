//! Keep-oldest: the side of the oldest member lives, unless that is alone.
//!
//! The two sides of a partition decide without hearing each other, so the rules must give opposite answers on both even if one side
//! has seen a member join or leave that the other has not (row 7). Where they cannot, all go down: an outage, but no split brain.

use std::collections::BTreeSet;

use super::{Candidate, Decision, Situation, Status, Verdict, indirect};
use crate::ids::NodeId;
use crate::record::{Member, MemberState};
use crate::settings::KeepOldest;

/// Who goes down, to the letter of the table.
pub fn keep_oldest(situation: &Situation, settings: &KeepOldest) -> Decision {
    indirect::decide(situation, |members, unreachable| {
        Sides { members, unreachable, settings, in_oldest_place: None }.verdict()
    })
}

/// Whether keep-oldest would let this side live if the owner were the oldest: whatever its age, and counted whatever its roles.
/// Nobody else need agree, as the store decides; it only orders the claims.
pub fn prefers_this_side(
    members: &[Member],
    owner: &NodeId,
    unreachable: &BTreeSet<NodeId>,
    settings: &KeepOldest,
) -> bool {
    let candidate = |member: &Member| Candidate {
        id: member.id.clone(),
        age: member.age,
        status: match member.state {
            MemberState::Up => Status::Up,
            MemberState::Leaving => Status::Leaving,
        },
        roles: member.roles.clone(),
    };
    let members: Vec<Candidate> = members.iter().map(candidate).collect();
    let sides = Sides { members: &members, unreachable, settings, in_oldest_place: Some(owner) };
    sides.verdict() == Verdict::DownUnreachable
}

/// The members, and who of them is on the other side.
struct Sides<'a> {
    members: &'a [Candidate],
    unreachable: &'a BTreeSet<NodeId>,
    settings: &'a KeepOldest,
    in_oldest_place: Option<&'a NodeId>,
}

/// Who is counted besides members that are up.
#[derive(Clone, Copy)]
struct Counted {
    joining: bool,
    leaving: bool,
}

impl Sides<'_> {
    /// Rows 2 to 7.
    fn verdict(&self) -> Verdict {
        let as_seen_here = self.evaluate(Counted { joining: false, leaving: true });
        if as_seen_here != Verdict::DownUnreachable {
            return as_seen_here;
        }
        // The other side may know those who leave as gone, and those who join as up; the latter only matters to `down_if_alone`.
        match self.evaluate(Counted { joining: true, leaving: false }) {
            Verdict::DownUnreachable => Verdict::DownUnreachable,
            _ => Verdict::DownAll,
        }
    }

    /// Rows 2 to 6.
    fn evaluate(&self, counted: Counted) -> Verdict {
        // One that joins has no age yet.
        let oldest = self.counted(Counted { joining: false, ..counted });
        let Some(oldest) = oldest.min_by_key(|m| (!self.is_in_oldest_place(m), m.age, &m.id)) else {
            return Verdict::DownAll;
        };
        let other = self.counted(counted).filter(|m| self.is_on_other_side(m)).count();
        let this = self.counted(counted).count() - other;
        let is_alone =
            |side_of_oldest: usize, rest: usize| self.settings.down_if_alone && side_of_oldest == 1 && rest >= 2;
        match self.is_on_other_side(oldest) {
            false if is_alone(this, other) => Verdict::DownReachable,
            false => Verdict::DownUnreachable,
            true if is_alone(other, this) => Verdict::DownUnreachable,
            true => Verdict::DownReachable,
        }
    }

    fn counted(&self, counted: Counted) -> impl Iterator<Item = &Candidate> {
        let has_role = |m: &Candidate| self.settings.role.as_ref().is_none_or(|role| m.roles.contains(role));
        self.members.iter().filter(move |m| {
            let is_counted = match m.status {
                Status::Up => true,
                Status::Joining => counted.joining,
                Status::Leaving => counted.leaving,
                Status::Exiting | Status::Down => false,
            };
            is_counted && (has_role(m) || self.is_in_oldest_place(m))
        })
    }

    fn is_on_other_side(&self, member: &Candidate) -> bool {
        self.unreachable.contains(&member.id)
    }

    fn is_in_oldest_place(&self, member: &Candidate) -> bool {
        self.in_oldest_place == Some(&member.id)
    }
}

#[cfg(test)]
mod tests;
