//! Tells the truth to those who judge: who lives, and which ways are good.

use doyen_cluster::ids::NodeId;

use crate::invariants::{ProcessSeen, Seen};
use crate::plan::{HostNo, StoreNoise};
use crate::world::World;
use crate::world::network::Open;
use crate::world::queue::Item;

/// How often it is judged how things stand.
const LOOKS_EVERY_US: u64 = 250_000;
/// Clocks that run this much faster or slower make delays others than they should be.
const USUAL_DRIFT_PPM: i64 = 1000;
/// A way that takes longer is a bad one.
const LONG_WAY_US: u64 = 50_000;
/// Fences without a record are seen by all after this.
const SEEN_BY_ALL_US: u64 = 5_000_000;

impl World {
    /// After whatever may have changed it.
    pub(super) fn observe(&mut self) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        let hosts = self.hosts.len();
        let mut rejecting = false;
        for host in 0..hosts {
            let there = &self.hosts[host];
            let id = there.process.as_ref().map(|process| process.id.clone());
            let frozen = there.process.as_ref().is_some_and(|process| process.frozen);
            let drifts = there.clock.drift_ppm().abs() > USUAL_DRIFT_PPM;
            let ill = frozen || there.wedged || drifts;
            let session = there.session.map(|session| self.store.session(session));
            let connected = session.is_some_and(|session| session.live && Some(&session.id) == id.as_ref());
            let cut = there.link.cut || self.store.away || (!connected && id.is_some());
            let noise = there.link.noise;
            let bad = cut || is_bad(noise);
            self.ledger.truth.set_run(self.now, host, id.as_ref());
            self.ledger.truth.hosts[host].drifts = drifts;
            self.ledger.truth.hosts[host].store_slow = !cut && is_slow(noise, self.plan.timing.store_deadline.0);
            self.ledger.truth.set_ill(self.now, host, ill);
            self.ledger.truth.set_store(self.now, host, bad, cut);
            for to in (0..hosts).filter(|to| *to != host) {
                rejecting |= self.network.open(host, to) == Open::Rejecting;
                let bad = self.network.is_bad(host, to, LONG_WAY_US.min(self.plan.timing.heartbeat.0 * 250));
                let cut = !self.network.passes(host, to);
                self.ledger.truth.set_link(self.now, host, to, bad, cut);
            }
        }
        self.ledger.truth.set_lies(self.now, rejecting);
    }

    /// The clock of a host was moved: as if it had stood still for a moment.
    pub(super) fn clock_moved(&mut self, host: HostNo) {
        self.ledger.truth.set_ill(self.now, host, true);
        self.changed = true;
    }

    /// Looks at all processes from outside.
    pub(super) fn look_around(&mut self) {
        let processes = self.hosts.iter().enumerate().filter_map(|(host, there)| {
            let process = there.process.as_ref()?;
            let ready = process.status.as_ref().is_some_and(|status| status.ready);
            let unbegun = process.running.filter(|_| !process.wrote).map(|_| process.running_since);
            let (life, running, frozen) = (process.life, process.running, process.frozen);
            Some(ProcessSeen { host, life, ready, running, unbegun, frozen })
        });
        let processes: Vec<ProcessSeen> = processes.collect();
        self.ledger.stand(self.now, &processes);
        self.after_us(LOOKS_EVERY_US, Item::LookAround);
    }

    pub(super) fn seen_by(&self, id: &NodeId) -> Seen {
        let process = self.hosts.iter().filter_map(|host| host.process.as_ref()).find(|process| process.id == *id);
        let lost = self.lost_since.is_some_and(|since| since + SEEN_BY_ALL_US < self.now);
        let state = self.store.state();
        Seen {
            record: process.is_some_and(|process| process.has_read),
            fences: lost && !state.exists() && !state.fences.is_empty(),
            fence_differs: lost && state.record().is_some_and(|record| !state.fences.contains(&record.fence())),
        }
    }
}

fn is_bad(noise: StoreNoise) -> bool {
    is_unsure(noise) || noise.delay_us > LONG_WAY_US
}

/// Answers may be lost or old.
fn is_unsure(noise: StoreNoise) -> bool {
    noise.lost_before_per_mille + noise.lost_after_per_mille > 0 || noise.lag_ms > 0
}

/// Each of two ways takes twice the delay at most.
fn is_slow(noise: StoreNoise, deadline_ms: u64) -> bool {
    !is_unsure(noise) && noise.delay_us * 4 < deadline_ms * 1000
}
