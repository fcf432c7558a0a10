//! Faults strike, and are healed.

use doyen_cluster::event::Event;

use crate::faults::{Damage, Fault, Link};
use crate::plan::{HostNo, Noise};
use crate::trace::Note;
use crate::world::World;
use crate::world::queue::Item;

impl World {
    pub(super) fn strike(&mut self, number: usize) {
        let fault = self.plan.faults[number].fault.clone();
        self.trace.note(self.now, None, || Note::Struck(fault.to_string()));
        self.measures.struck(self.now);
        match fault {
            Fault::Crash { node, never } => {
                self.hosts[node].never_returns |= never;
                self.crash(node, true, !never);
            }
            Fault::PowerLoss { node } => self.crash(node, false, false),
            Fault::Start { node } => self.start(node),
            Fault::Freeze { node, clock_too } => self.freeze(node, clock_too),
            Fault::Continue { node } => self.unfreeze(node),
            Fault::Wedge { node } => self.wedge(node),
            Fault::Leave { node } => {
                if let Some(run) = self.hosts[node].process.as_ref().map(|process| process.run) {
                    self.give(run, Event::Leave);
                }
            }
            Fault::Cut { links, rejecting } => self.cut(&links, rejecting),
            Fault::Mend { links } => self.mend_links(&links),
            Fault::Flap { .. } => self.flap(number, 0),
            Fault::Noise { links, noise } => self.noise(links.as_deref(), noise),
            Fault::ClockJump { node, ms } => self.clock(node, |clock, now| clock.leap(now, ms)),
            Fault::ClockDrift { node, ppm } => self.clock(node, |clock, now| clock.drift(now, ppm)),
            Fault::MendAll => {
                self.mended = number;
                self.mend_all();
            }
            _ => self.strike_store(fault),
        }
    }

    fn strike_store(&mut self, fault: Fault) {
        match fault {
            Fault::StoreCut { node } => self.store_link(node, true),
            Fault::StoreMend { node } => self.store_link(node, false),
            Fault::StoreNoise { node, noise } => self.hosts[node].link.noise = noise,
            Fault::StoreAway => self.store_away(true),
            Fault::StoreBack => self.store_away(false),
            Fault::SessionExpires { node } => {
                if let Some(session) = self.hosts[node].session {
                    self.end_session(session);
                }
            }
            Fault::SessionsLinger { ms } => self.store.linger_us = ms * 1000,
            Fault::Damage(damage) => self.damage(damage),
            Fault::Restore => self.restore(),
            Fault::Replay { to, count, lie } => {
                if lie {
                    self.ledger.truth.set_lies(self.now, true);
                }
                self.replay(to, count, lie);
            }
            _ => {}
        }
    }

    fn damage(&mut self, damage: Damage) {
        if self.store.damage(self.now, damage) {
            self.lost_since = Some(self.now);
            self.ledger.tampered();
            if damage == Damage::FenceBack {
                self.ledger.fence_put_back();
            }
            self.record_changed();
        }
    }

    fn restore(&mut self) {
        let (above, next_age) = self.ledger.highest();
        if let Some(record) = self.store.restore(self.now, above, next_age) {
            self.ledger.restored(self.now, &record);
            self.trace.note(self.now, None, || Note::Committed(Box::new(record)));
            self.record_changed();
        }
    }

    pub(super) fn clock(&mut self, host: HostNo, change: impl FnOnce(&mut crate::world::clock::Clock, u64)) {
        change(&mut self.hosts[host].clock, self.now);
        self.clock_moved(host);
        if let Some(process) = &mut self.hosts[host].process {
            // What was planned by its old course is void.
            process.wake_ms = u64::MAX;
            let run = process.run;
            self.plan_wake(run);
        }
    }

    fn cut(&mut self, links: &[Link], rejecting: bool) {
        for (from, to) in links {
            self.network.cut(*from, *to, rejecting);
        }
    }

    fn mend_links(&mut self, links: &[Link]) {
        for (from, to) in links {
            self.mend(*from, *to);
        }
    }

    /// None: all links.
    fn noise(&mut self, links: Option<&[Link]>, noise: Noise) {
        let hosts = self.hosts.len();
        let all = || (0..hosts).flat_map(|from| (0..hosts).map(move |to| (from, to))).collect();
        for (from, to) in links.map_or_else(all, <[Link]>::to_vec) {
            self.network.set_noise(from, to, noise);
        }
    }

    /// The links of a flapping fault change for the `turn`th time: cut, mended, cut, …
    pub(super) fn flap(&mut self, number: usize, turn: u32) {
        let Fault::Flap { links, every_ms, times } = self.plan.faults[number].fault.clone() else { return };
        if self.healed || number < self.mended {
            return;
        }
        if turn.is_multiple_of(2) && turn < 2 * times {
            self.cut(&links, false);
        } else {
            self.mend_links(&links);
        }
        if turn < 2 * times {
            self.after_us(every_ms * 1000, Item::Flap { fault: number, turn: turn + 1 });
        }
    }

    fn store_link(&mut self, host: HostNo, cut: bool) {
        self.hosts[host].link.cut = cut;
        self.contact_changed(host);
    }

    fn store_away(&mut self, away: bool) {
        if self.store.away == away {
            return;
        }
        self.store.away = away;
        for host in 0..self.hosts.len() {
            self.contact_changed(host);
        }
        if !away {
            // The new leader of the store gives each session its whole timeout anew.
            self.plan_expiries();
        }
    }

    fn plan_expiries(&mut self) {
        for session in self.store.live_sessions() {
            if self.store.session(session).silent {
                self.plan_expiry(session, false);
            }
        }
    }

    /// Those that linger already expire by their timeout as well.
    fn sessions_linger_no_more(&mut self) {
        if std::mem::take(&mut self.store.linger_us) > 0 {
            self.plan_expiries();
        }
    }

    /// The faults are over: from now on it is judged whether all is well.
    pub(super) fn heal(&mut self) {
        self.trace.note(self.now, None, || Note::Healed);
        self.healed = true;
        self.mend_all();
        self.ledger.healed(self.now);
        self.after_us(0, Item::Judge);
    }

    /// All is mended, and what may return returns.
    fn mend_all(&mut self) {
        let hosts = self.hosts.len();
        let usual = self.network.usual().healed();
        for (from, to) in (0..hosts).flat_map(|from| (0..hosts).map(move |to| (from, to))) {
            self.network.set_noise(from, to, usual);
            self.mend(from, to);
        }
        self.sessions_linger_no_more();
        self.store_away(false);
        for host in 0..hosts {
            self.hosts[host].link.noise = self.plan.store.healed();
            self.store_link(host, false);
            self.unfreeze(host);
            if let Some(run) = self.hosts[host].process.as_ref().map(|process| process.run) {
                self.watchdog(run);
            }
            let returns = !self.hosts[host].never_returns && !self.hosts[host].left && self.hosts[host].turn > 0;
            if self.hosts[host].process.is_none() && returns {
                let item = Item::Start { host, turn: self.hosts[host].turn };
                self.after_us(0, item);
            }
        }
    }
}
