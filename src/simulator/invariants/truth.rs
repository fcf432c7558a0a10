//! What is true, as only the world knows it: who lives, which links and ways to the store are good, and since when. Promises are judged by it.

use std::collections::BTreeMap;

use doyen_cluster::detector::longest_silence;
use doyen_cluster::ids::{Epoch, NodeId};
use doyen_cluster::record::Record;
use doyen_cluster::settings::{KeepOldest, Timing};

use crate::plan::{HostNo, Plan};

/// Something that is the case or is not, and changes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spell {
    pub on: bool,
    ever: bool,
    /// When it began, with interruptions that are shorter than the window left out.
    pub began: u64,
    pub changed: u64,
    /// How long the last one lasted that is over.
    pub lasted: u64,
}

impl Spell {
    /// Whether it has changed.
    pub fn set(&mut self, now: u64, on: bool, window: u64) -> bool {
        if self.on == on {
            return false;
        }
        if on && !(self.ever && now - self.changed <= window) {
            self.began = now;
        }
        if !on {
            self.lasted = now - self.changed;
        }
        (self.on, self.ever, self.changed) = (on, true, now);
        true
    }

    /// It is the case, or was within the window.
    pub fn recent(&self, now: u64, window: u64) -> bool {
        self.on || (self.ever && now - self.changed <= window)
    }

    pub fn on_for(&self, now: u64) -> u64 {
        if self.on { now - self.changed } else { 0 }
    }
}

#[derive(Debug, Clone, Default)]
pub struct HostTruth {
    /// The run that lives there.
    pub id: Option<NodeId>,
    pub since: u64,
    /// It stands still, or its clock does, or leaps.
    pub ill: Spell,
    /// Its clock runs too fast or too slow.
    pub drifts: bool,
    /// What it asks of the store may get no answer, a late or an old one.
    pub store_bad: Spell,
    /// If so, only as answers take long, and they come before it gives them up.
    pub store_slow: bool,
    /// It does not reach the store at all.
    pub store_cut: Spell,
}

pub struct Truth {
    pub timing: Timing,
    pub keep_oldest: KeepOldest,
    pub seeds: usize,
    pub hosts: Vec<HostTruth>,
    /// From, to: messages are lost or late.
    links: Vec<Spell>,
    /// No message passes.
    cuts: Vec<Spell>,
    /// Somebody lies: a firewall says that nobody listens where somebody does, or messages come from runs that never were.
    pub lies: Spell,
    /// When, and where.
    pub ended: BTreeMap<NodeId, (u64, HostNo)>,
    /// When it ceased to be a member.
    pub removed: BTreeMap<NodeId, u64>,
    pub records: BTreeMap<Epoch, Record>,
    pub record: Option<Record>,
    pub record_since: u64,
    /// Since when nothing of all this has changed.
    pub still_since: u64,
    /// Somebody has changed the store by hand.
    pub tampered: bool,
}

impl Truth {
    pub fn new(plan: &Plan) -> Self {
        let hosts = plan.hosts.len();
        Self {
            timing: plan.timing.clone(),
            keep_oldest: plan.keep_oldest.clone(),
            seeds: plan.seeds.min(hosts),
            hosts: vec![HostTruth::default(); hosts],
            links: vec![Spell::default(); hosts * hosts],
            cuts: vec![Spell::default(); hosts * hosts],
            lies: Spell::default(),
            ended: BTreeMap::new(),
            removed: BTreeMap::new(),
            records: BTreeMap::new(),
            record: None,
            record_since: 0,
            still_since: 0,
            tampered: plan.tampers(),
        }
    }

    /// How long a disturbance may have effects on who is thought unreachable.
    pub fn window(&self) -> u64 {
        let t = &self.timing;
        let sum = longest_silence(t) + t.stable_after + t.arbiter_delay + t.heartbeat.times(6);
        (sum.0 + 1000) * 1250
    }

    /// How long it may take until all who reach the store have read what is committed.
    pub fn read_within(&self) -> u64 {
        let t = &self.timing;
        (t.store_poll.times(2) + t.store_deadline.times(2) + t.heartbeat.times(4)).0 * 1250 + 1_000_000
    }

    pub fn link(&self, from: HostNo, to: HostNo) -> &Spell {
        &self.links[from * self.hosts.len() + to]
    }

    pub fn cut(&self, from: HostNo, to: HostNo) -> &Spell {
        &self.cuts[from * self.hosts.len() + to]
    }

    pub fn set_link(&mut self, now: u64, from: HostNo, to: HostNo, bad: bool, cut: bool) {
        let (hosts, window) = (self.hosts.len(), self.window());
        let at = from * hosts + to;
        let changed = self.links[at].set(now, bad, window) | self.cuts[at].set(now, cut, window);
        self.moved(now, changed);
    }

    pub fn set_ill(&mut self, now: u64, host: HostNo, ill: bool) {
        let window = self.window();
        let changed = self.hosts[host].ill.set(now, ill, window);
        self.moved(now, changed);
    }

    pub fn set_store(&mut self, now: u64, host: HostNo, bad: bool, cut: bool) {
        let window = self.window();
        let host = &mut self.hosts[host];
        let changed = host.store_bad.set(now, bad, window) | host.store_cut.set(now, cut, window);
        self.moved(now, changed);
    }

    pub fn set_run(&mut self, now: u64, host: HostNo, id: Option<&NodeId>) {
        if self.hosts[host].id.as_ref() == id {
            return;
        }
        if let Some(before) = std::mem::replace(&mut self.hosts[host].id, id.cloned()) {
            self.ended.insert(before, (now, host));
        }
        self.hosts[host].since = now;
        self.moved(now, true);
    }

    pub fn set_lies(&mut self, now: u64, lies: bool) {
        let window = self.window();
        let changed = self.lies.set(now, lies, window);
        self.moved(now, changed);
    }

    fn moved(&mut self, now: u64, changed: bool) {
        if changed {
            self.still_since = now;
        }
    }

    pub fn committed(&mut self, now: u64, record: &Record) {
        for member in self.record.iter().flat_map(|before| &before.members) {
            if !record.contains(&member.id) {
                self.removed.insert(member.id.clone(), now);
            }
        }
        self.records.insert(record.epoch, record.clone());
        self.record = Some(record.clone());
        (self.record_since, self.still_since) = (now, now);
    }

    /// The host where this run lives; none if it has ended.
    pub fn host_of(&self, id: &NodeId) -> Option<HostNo> {
        self.hosts.iter().position(|host| host.id.as_ref() == Some(id))
    }

    /// Both ways are good, and were for the window, and neither end stood still.
    pub fn good_between(&self, now: u64, a: HostNo, b: HostNo, window: u64) -> bool {
        let bad = [self.link(a, b), self.link(b, a), &self.hosts[a].ill, &self.hosts[b].ill];
        bad.iter().all(|spell| !spell.recent(now, window))
    }

    /// These members live, and where.
    pub fn living(&self, record: &Record) -> Vec<(NodeId, HostNo)> {
        record.members.iter().filter_map(|m| Some((m.id.clone(), self.host_of(&m.id)?))).collect()
    }
}
