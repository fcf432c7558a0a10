//! Every change of the record, as a function from one record to the next. Whether a change is due is decided elsewhere.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ids::{Address, Age, ClaimId, ClusterId, Epoch, NodeId, Role, Term};
use crate::record::{MOST_MEMBERS, Member, MemberState, Reason, Record};
use crate::versions::Versions;

/// A node as it writes itself into the record.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Newcomer {
    pub id: NodeId,
    pub address: Address,
    pub roles: Vec<Role>,
    pub versions: Versions,
}

impl Newcomer {
    fn aged(&self, age: Age) -> Member {
        Member {
            id: self.id.clone(),
            age,
            state: MemberState::Up,
            address: self.address.clone(),
            roles: self.roles.clone(),
            versions: self.versions,
        }
    }
}

/// There is no room for another member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cluster has {MOST_MEMBERS} members, which is the most it may have")]
pub struct Full;

/// Who changes the record, under which name of the change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    pub node: NodeId,
    pub claim_id: ClaimId,
}

impl Record {
    /// The first record, of a cluster of one.
    pub fn first(cluster_id: ClusterId, newcomer: &Newcomer, by: By) -> Self {
        Self {
            cluster_id,
            epoch: Epoch(1),
            next_age: Age(1),
            term: Term(1),
            owner: Some(newcomer.id.clone()),
            members: vec![newcomer.aged(Age(0))],
            claim_id: by.claim_id,
            decided_by: by.node,
            reason: Reason::Bootstrap,
        }
    }

    /// The newcomer is the youngest; its earlier run, if there, is gone. If that was the owner, the oldest of those who stay and
    /// are in `reaching` (the store) follows, else the newcomer.
    ///
    /// # Errors
    /// There is no room.
    pub fn joined(&self, newcomer: &Newcomer, reaching: &BTreeSet<NodeId>, by: By) -> Result<Self, Full> {
        let stay = |m: &&Member| m.id.name != newcomer.id.name;
        let mut members: Vec<Member> = self.members.iter().filter(stay).cloned().collect();
        if members.len() >= MOST_MEMBERS {
            return Err(Full);
        }
        let reason = if members.len() < self.members.len() { Reason::Rejoin } else { Reason::Join };
        let kept = self.owner.clone().filter(|owner| members.iter().any(|m| m.id == *owner));
        let owner = kept.or_else(|| heir(&members, reaching)).unwrap_or_else(|| newcomer.id.clone());
        members.push(newcomer.aged(self.next_age));
        let mut next = self.changed(reason, members, Some(owner), by);
        next.next_age = self.next_age.next();
        Ok(next)
    }

    /// All members have gone: the newcomer is the only one.
    pub fn taken_over(&self, newcomer: &Newcomer, by: By) -> Self {
        let alone = vec![newcomer.aged(self.next_age)];
        let mut next = self.changed(Reason::TakeOver, alone, Some(newcomer.id.clone()), by);
        next.next_age = self.next_age.next();
        next
    }

    /// Without those who cannot be reached; `owner` is one of those who stay.
    pub fn without(&self, gone: &BTreeSet<NodeId>, owner: &NodeId, by: By) -> Self {
        let members = self.members.iter().filter(|m| !gone.contains(&m.id)).cloned().collect();
        self.changed(Reason::Unreachable, members, Some(owner.clone()), by)
    }

    /// The same members with another owner, as this one cannot reach the store.
    pub fn owned_by(&self, owner: &NodeId, by: By) -> Self {
        self.changed(Reason::OwnerLostStore, self.members.clone(), Some(owner.clone()), by)
    }

    /// The member is on its way out; if it was the owner, the oldest of the others that is up and in `reaching` (the store) follows, if any.
    pub fn leaving(&self, leaver: &NodeId, reaching: &BTreeSet<NodeId>, by: By) -> Self {
        let mut members = self.members.clone();
        for member in members.iter_mut().filter(|m| m.id == *leaver) {
            member.state = MemberState::Leaving;
        }
        let others: Vec<Member> = members.iter().filter(|m| m.state == MemberState::Up).cloned().collect();
        let owner =
            if self.is_owner(leaver) { heir(&others, reaching).or(self.owner.clone()) } else { self.owner.clone() };
        self.changed(Reason::Leaving, members, owner, by)
    }

    /// Without the member, which has nothing more to hand over. The last one leaves no owner.
    pub fn left(&self, leaver: &NodeId, reaching: &BTreeSet<NodeId>, by: By) -> Self {
        let members: Vec<Member> = self.members.iter().filter(|m| m.id != *leaver).cloned().collect();
        let oldest = members.first().map(|m| m.id.clone());
        let kept = self.owner.clone().filter(|owner| owner != leaver);
        let owner = kept.or_else(|| heir(&members, reaching)).or(oldest);
        self.changed(Reason::Left, members, owner, by)
    }

    /// What an operator writes when the record was lost or rolled back: no members, above every epoch and term that the nodes and the
    /// fences which are left tell of. Nodes that still run find themselves removed, and join anew.
    pub fn restored(cluster_id: ClusterId, epoch: Epoch, term: Term, next_age: Age, by: By) -> Self {
        Self {
            cluster_id,
            epoch: epoch.next(),
            next_age,
            term: term.next(),
            owner: None,
            members: Vec::new(),
            claim_id: by.claim_id,
            decided_by: by.node,
            reason: Reason::Restored,
        }
    }

    /// Each change of owner is another term, also from somebody to nobody: so a term tells one record without members from another.
    fn changed(&self, reason: Reason, members: Vec<Member>, owner: Option<NodeId>, by: By) -> Self {
        let term = if owner == self.owner { self.term } else { self.term.next() };
        Self {
            cluster_id: self.cluster_id.clone(),
            epoch: self.epoch.next(),
            next_age: self.next_age,
            term,
            owner,
            members,
            claim_id: by.claim_id,
            decided_by: by.node,
            reason,
        }
    }
}

/// Who owns next: the oldest that reaches the store, those who are leaving only if there is no other.
fn heir(members: &[Member], reaching: &BTreeSet<NodeId>) -> Option<NodeId> {
    let able = || members.iter().filter(|m| reaching.contains(&m.id));
    able().find(|m| m.state == MemberState::Up).or_else(|| able().next()).map(|m| m.id.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{by, id, ids, newcomer, record};

    fn names(record: &Record) -> String {
        let owner = |m: &Member| if record.is_owner(&m.id) { "*" } else { "" };
        let leaving = |m: &Member| if m.state == MemberState::Leaving { "l" } else { "" };
        record
            .members
            .iter()
            .map(|m| format!("{}{}{} ", m.id, leaving(m), owner(m)))
            .collect::<String>()
            .trim()
            .to_owned()
    }

    /// What holds of every change.
    #[track_caller]
    fn check(before: &Record, after: &Record, expected: &str) {
        assert_eq!(names(after), expected);
        assert_eq!(after.validate(), Ok(()));
        assert_eq!(after.epoch, before.epoch.next());
        assert_eq!(crate::succession::follows(before, after), Ok(()));
    }

    #[test]
    fn a_newcomer_is_the_youngest() {
        let before = record(&["a", "b"]);
        check(&before, &before.joined(&newcomer("c", 9), &ids(&["a", "b"]), by("c")).unwrap(), "a#1* b#1 c#9");
    }

    #[test]
    fn a_restarted_member_replaces_itself_as_the_youngest() {
        let before = record(&["a", "b"]);
        check(&before, &before.joined(&newcomer("b", 9), &ids(&["a"]), by("b")).unwrap(), "a#1* b#9");
    }

    #[test]
    fn a_restarted_owner_is_followed_by_the_oldest_that_reaches_the_store() {
        let before = record(&["a", "b", "c"]);
        check(&before, &before.joined(&newcomer("a", 9), &ids(&["c"]), by("a")).unwrap(), "b#1 c#1* a#9");
    }

    #[test]
    fn a_restarted_owner_owns_again_if_nobody_else_reaches_the_store() {
        let before = record(&["a", "b"]);
        check(&before, &before.joined(&newcomer("a", 9), &ids(&[]), by("a")).unwrap(), "b#1 a#9*");
    }

    #[test]
    fn all_gone_and_one_takes_over() {
        let before = record(&["a", "b"]);
        check(&before, &before.taken_over(&newcomer("b", 9), by("b")), "b#9*");
    }

    #[test]
    fn the_unreachable_are_removed() {
        let before = record(&["a", "b", "c"]);
        check(&before, &before.without(&ids(&["a", "c"]), &id("b"), by("b")), "b#1*");
        check(&before, &before.without(&ids(&["c"]), &id("a"), by("a")), "a#1* b#1");
    }

    #[test]
    fn an_owner_that_leaves_hands_over_first() {
        let before = record(&["a", "b", "c"]);
        let leaving = before.leaving(&id("a"), &ids(&["b", "c"]), by("a"));
        check(&before, &leaving, "a#1l b#1* c#1");
        check(&leaving, &leaving.left(&id("a"), &ids(&["b"]), by("a")), "b#1* c#1");
    }

    #[test]
    fn two_leave_at_once_and_the_third_owns() {
        let before = record(&["a", "b", "c"]);
        let one = before.leaving(&id("b"), &ids(&["a", "c"]), by("b"));
        check(&one, &one.leaving(&id("a"), &ids(&["b", "c"]), by("a")), "a#1l b#1l c#1*");
    }

    #[test]
    fn the_last_to_leave_leaves_no_owner_and_the_next_counts_on() {
        let before = record(&["a"]);
        let empty = before.leaving(&id("a"), &ids(&[]), by("a")).left(&id("a"), &ids(&[]), by("a"));
        assert_eq!((names(&empty), empty.owner.clone(), empty.term), (String::new(), None, Term(2)));
        assert_eq!(empty.validate(), Ok(()));
        check(&empty, &empty.joined(&newcomer("b", 9), &ids(&[]), by("b")).unwrap(), "b#9*");
    }

    #[test]
    fn ages_are_never_used_twice() {
        let before = record(&["a", "b"]);
        let after = before.without(&ids(&["b"]), &id("a"), by("a"));
        let again = after.joined(&newcomer("c", 3), &ids(&["a"]), by("c")).unwrap();
        assert_eq!(again.members[1].age, Age(2));
    }

    #[test]
    fn a_full_cluster_takes_no_newcomer_but_takes_a_restarted_member() {
        let names: Vec<String> = (0..MOST_MEMBERS).map(|n| format!("n{n}")).collect();
        let full = record(&names.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(full.joined(&newcomer("more", 1), &ids(&[]), by("more")), Err(Full));
        assert!(full.joined(&newcomer("n7", 2), &ids(&["n0"]), by("n7")).is_ok());
    }
}
