//! How things stand after the faults: one owner that can write, and each living node a member.

use std::collections::BTreeMap;

use doyen_cluster::ids::NodeId;
use doyen_cluster::node::Life;

use crate::invariants::Order;
use crate::world::World;
use crate::world::queue::Item;

const JUDGED_EVERY_US: u64 = 100_000;
/// An owner that can write has written this lately.
const LATELY_US: u64 = 500_000;

impl World {
    pub(super) fn judge(&mut self) {
        let order = self.order();
        self.ledger.judged(self.now, &order);
        self.after_us(JUDGED_EVERY_US, Item::Judge);
    }

    pub fn order(&self) -> Order {
        let waits = |host: &&crate::world::host::Host| host.process.is_some() || host.restart_ms.is_some();
        // Where there is no record, only a seed makes one.
        let founders = if self.store.record().is_some() { self.hosts.len() } else { self.plan.seeds };
        let able = || self.hosts.iter().take(founders);
        let anyone = able().filter(|host| !host.left && host.turn > 0 && !host.never_returns).any(|h| waits(&h));
        let alive = able().any(|host| host.process.is_some());
        Order { anyone: anyone || alive, owner: self.one_owner(), members: self.all_members() }
    }

    fn one_owner(&self) -> Result<(), String> {
        let Some(record) = self.store.record() else { return Err("there is no record".into()) };
        let runs = self.hosts.iter().enumerate().filter_map(|(no, host)| Some((no, host.process.as_ref()?)));
        let runs: Vec<_> = runs.filter_map(|(no, process)| Some((no, process, process.running?))).collect();
        let [(host, process, term)] = runs.as_slice() else {
            return Err(format!("{} nodes run the singleton", runs.len()));
        };
        if !record.is_owner(&process.id) || record.term != *term {
            return Err(format!(
                "{} runs term {term}, the record says {:?} in term {}",
                process.id, record.owner, record.term
            ));
        }
        match self.measures.last_write {
            Some((at, by, in_term)) if by == *host && in_term == *term && at + LATELY_US > self.now => Ok(()),
            last => Err(format!("{} runs term {term} and does not write: {last:?}", process.id)),
        }
    }

    /// Of hosts with one name, only one can be a member.
    fn all_members(&self) -> Result<(), String> {
        let Some(record) = self.store.record() else { return Err("there is no record".into()) };
        let mut by_name: BTreeMap<&str, Vec<NodeId>> = BTreeMap::new();
        for host in &self.hosts {
            if let Some(process) = &host.process {
                let status = process.status.as_ref();
                let good = status.is_some_and(|status| status.life == Life::Member && status.ready);
                let entry = by_name.entry(&host.name).or_default();
                if good && record.contains(&process.id) {
                    entry.push(process.id.clone());
                }
            }
        }
        if let Some((name, _)) = by_name.iter().find(|(_, members)| members.len() != 1) {
            let status = |host: &&crate::world::host::Host| host.name == **name;
            let process = self.hosts.iter().find(status).and_then(|host| host.process.as_ref());
            return Err(format!(
                "{name} is not a ready member: {:?}",
                process.and_then(|process| process.status.as_ref())
            ));
        }
        match record.members.iter().find(|member| !by_name.values().flatten().any(|id| *id == member.id)) {
            Some(dead) => Err(format!("{} is a member and does not live", dead.id)),
            None => Ok(()),
        }
    }
}
