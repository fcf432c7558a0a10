//! placeholder of the lead; the helper's comes
use std::collections::BTreeSet;

use crate::ids::NodeId;
use crate::record::Member;
use crate::settings::KeepOldest;

pub fn prefers_this_side(members: &[Member], owner: &NodeId, gone: &BTreeSet<NodeId>, settings: &KeepOldest) -> bool {
    let counts = |m: &&Member| settings.role.as_ref().is_none_or(|role| m.roles.contains(role));
    let other = members.iter().filter(counts).filter(|m| gone.contains(&m.id)).count();
    let this = members.iter().filter(counts).filter(|m| !gone.contains(&m.id)).count();
    if gone.contains(owner) {
        settings.down_if_alone && other == 1 && this >= 2
    } else {
        !(settings.down_if_alone && this == 1 && other >= 2)
    }
}
