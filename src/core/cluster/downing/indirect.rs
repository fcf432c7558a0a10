//! Nodes that somebody cannot reach and that are nevertheless connected, over a third (row 1). Neither side of such a link can be
//! told from the other, so both go down; the rules then decide on what is left of the accusations.

use std::collections::BTreeSet;

use super::{Candidate, Decision, Situation, Verdict};
use crate::ids::NodeId;

type Links = BTreeSet<(NodeId, NodeId)>;

/// Who is accused and still heard: it accuses somebody itself, or it has seen the gossip that holds the accusation. In the latter case
/// its observer as well.
fn indirectly_connected(links: &Links, seen: &BTreeSet<NodeId>) -> BTreeSet<NodeId> {
    let observers: BTreeSet<&NodeId> = links.iter().map(|(observer, _)| observer).collect();
    let mut found = BTreeSet::new();
    for (observer, subject) in links {
        if observers.contains(subject) {
            found.insert(subject.clone());
        }
        if seen.contains(subject) {
            found.extend([observer.clone(), subject.clone()]);
        }
    }
    found
}

/// Row 1 around the rules of a strategy, which judge the members and who of them cannot be reached.
pub fn decide(situation: &Situation, rules: impl Fn(&[Candidate], &BTreeSet<NodeId>) -> Verdict) -> Decision {
    let members = &situation.members;
    let ordinary = |links: &Links| {
        let unreachable: BTreeSet<NodeId> = links.iter().map(|(_, subject)| subject.clone()).collect();
        let verdict = if unreachable.is_empty() { Verdict::Nothing } else { rules(members, &unreachable) };
        Decision::new(verdict, members, &unreachable)
    };
    let links = situation.links();
    let indirect = indirectly_connected(&links, &situation.seen);
    if indirect.is_empty() {
        return ordinary(&links);
    }
    let is_between = |(observer, subject): &(NodeId, NodeId)| indirect.contains(observer) && indirect.contains(subject);
    let rest: Links = links.into_iter().filter(|link| !is_between(link)).collect();
    if !indirectly_connected(&rest, &situation.seen).is_empty() {
        return Decision::new(Verdict::DownAll, members, &BTreeSet::new());
    }
    let mut down = ordinary(&rest).down;
    down.extend(members.iter().filter(|m| m.can_go_down() && indirect.contains(&m.id)).map(|m| m.id.clone()));
    Decision { verdict: Verdict::DownIndirectlyConnected, down }
}
