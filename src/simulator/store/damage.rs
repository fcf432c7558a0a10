//! What an operator's hand does to the store.

use doyen_cluster::changes::By;
use doyen_cluster::fnv;
use doyen_cluster::ids::{ClaimId, Epoch, NodeId, Term, Version};
use doyen_cluster::record::{Fence, FenceKey, Record};

use crate::faults::Damage;
use crate::store::{State, Store};

impl Store {
    /// Does it, if there is something to do it to; tells whether.
    pub fn damage(&mut self, now: u64, damage: Damage) -> bool {
        let Some(version) = self.state.version().map(Version::next) else { return false };
        let Some(bytes) = self.state.bytes().map(<[u8]>::to_vec) else { return false };
        match damage {
            Damage::Delete => self.change(now, State::delete),
            Damage::DeleteAll => self.change(now, |state| {
                state.delete();
                state.fences.clear();
            }),
            Damage::RollBack(changes) => {
                let Some(older) = self.older(changes) else { return false };
                self.change(now, |state| state.set(older, version));
            }
            Damage::Bytes => {
                let mut bytes = bytes;
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                self.change(now, |state| state.set(bytes, version));
            }
            Damage::NewerFormat => {
                self.change(now, |state| state.set(br#"{"format":2,"elsewhere":[]}"#.to_vec(), version));
            }
            Damage::EqualAges => {
                let Some(twins) = self.record().and_then(twins) else { return false };
                self.change(now, |state| state.set(twins, version));
            }
            Damage::FenceDeleted => self.change(now, |state| state.fences.clear()),
            Damage::FenceBack => {
                let Some(before) = self.record().and_then(fence_before) else { return false };
                self.change(now, |state| state.fences.extend([before]));
            }
        }
        true
    }

    /// The record as it was so many different records ago.
    fn older(&self, changes: u8) -> Option<Vec<u8>> {
        let mut different: Vec<&[u8]> = Vec::new();
        let past = self.history.iter().rev().map(|(_, state)| state.bytes());
        for bytes in std::iter::once(self.state.bytes()).chain(past).flatten() {
            if different.last() != Some(&bytes) {
                different.push(bytes);
            }
        }
        different.get(usize::from(changes)).map(|bytes| bytes.to_vec())
    }

    /// The operator's command: an empty record above the epoch and term that are given.
    pub fn restore(&mut self, now: u64, above: (Epoch, Term), next_age: doyen_cluster::ids::Age) -> Option<Record> {
        let by = By { node: NodeId::new("operator", 0), claim_id: ClaimId::from(format!("restored-{now}").as_str()) };
        // Without a record and fences, the nodes that have read one still know the cluster.
        let there = self.record().map(|record| &record.cluster_id);
        let fenced = self.state.fences.first().map(|fence| &fence.key.cluster_id);
        let cluster = there.or(fenced).or(self.cluster.as_ref())?.clone();
        let record = Record::restored(cluster, above.0, above.1, next_age, by);
        let version = self.state.version().map_or(Version(0), Version::next);
        let bytes = State::encoded(&record).ok()?;
        self.change(now, |state| {
            state.set(bytes, version);
            state.fences.clear();
            state.fences.insert(record.fence());
        });
        Some(record)
    }
}

/// Of the term before, if there was one.
fn fence_before(record: &Record) -> Option<Fence> {
    let Fence { key, epoch } = record.fence();
    let term = Term(key.term.0.checked_sub(1).filter(|term| *term > 0)?);
    Some(Fence { key: FenceKey { term, ..key }, epoch })
}

/// A record whose youngest is as old as the one before, with a sum that is right: only a rule can refuse it.
fn twins(record: &Record) -> Option<Vec<u8>> {
    let mut twins = record.clone();
    let [.., before, youngest] = twins.members.as_mut_slice() else { return None };
    youngest.age = before.age;
    let text = serde_json::to_string(&twins).ok()?;
    let sum = fnv::sum(text.as_bytes());
    Some(format!(r#"{{"format":1,"sum":"{sum:016x}","record":{text}}}"#).into_bytes())
}
