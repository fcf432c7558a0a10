//! Nodes and records for tests.

use std::collections::BTreeSet;

use crate::changes::{By, Newcomer};
use crate::ids::{Address, Age, ClaimId, Epoch, NodeId, Term};
use crate::mutations::Broken;
use crate::record::{Fence, FenceKey, Member, MemberState, Reason, Record};
use crate::settings::{KeepOldest, Settings, Timing};
use crate::versions::Versions;

pub const VERSIONS: Versions = Versions { major: 0, minor: 1, protocol: 1, store: 1 };

/// The first run of a node.
pub fn id(name: &str) -> NodeId {
    NodeId::new(name, 1)
}

pub fn ids(names: &[&str]) -> BTreeSet<NodeId> {
    names.iter().map(|name| id(name)).collect()
}

pub fn address(name: &str) -> Address {
    format!("{name}:2552").as_str().into()
}

pub fn newcomer(name: &str, incarnation: u64) -> Newcomer {
    Newcomer { id: NodeId::new(name, incarnation), address: address(name), roles: Vec::new(), versions: VERSIONS }
}

pub fn by(name: &str) -> By {
    By { node: id(name), claim_id: ClaimId::from("claim") }
}

/// A record with these members, oldest first; the first is the owner.
pub fn record(names: &[&str]) -> Record {
    let member = |(age, name): (usize, &&str)| Member {
        id: id(name),
        age: Age(age as u64),
        state: MemberState::Up,
        address: address(name),
        roles: Vec::new(),
        versions: VERSIONS,
    };
    Record {
        cluster_id: "cluster".into(),
        epoch: Epoch(names.len().max(1) as u64),
        next_age: Age(names.len() as u64),
        term: Term(1),
        owner: names.first().map(|name| id(name)),
        members: names.iter().enumerate().map(member).collect(),
        claim_id: ClaimId::from("before"),
        decided_by: id(names.first().unwrap_or(&"nobody")),
        reason: Reason::Join,
    }
}

/// What a node is told at its start; the seeds are named.
pub fn settings(name: &str, incarnation: u64, seeds: &[&str]) -> Settings {
    Settings {
        cluster: "test".into(),
        me: newcomer(name, incarnation),
        seeds: seeds.iter().map(|seed| address(seed)).collect(),
        new_cluster_id: "cluster".into(),
        timing: Timing::default(),
        keep_oldest: KeepOldest::default(),
        exclusive_store: false,
        broken: Broken::default(),
    }
}

pub fn fence(term: u64, epoch: u64) -> Fence {
    Fence { key: FenceKey { cluster_id: "cluster".into(), term: Term(term) }, epoch: Epoch(epoch) }
}
