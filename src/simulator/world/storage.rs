//! Processes and the store: sessions, requests and answers that may get lost, watches, and the writes of the singleton.

use doyen_cluster::event::Event;
use doyen_cluster::ids::Term;
use doyen_cluster::mutations::Mutation;
use doyen_cluster::record::FenceKey;
use doyen_cluster::store::{StoreAnswer, StoreOp};

use crate::plan::HostNo;
use crate::store::SessionNo;
use crate::trace::{Note, brief};
use crate::world::World;
use crate::world::queue::{Fate, Item, RunNo};

/// Between two writes of the singleton.
const WRITE_EVERY_US: u64 = 50_000;
/// A singleton that has nothing to do writes nothing for so long.
const IDLE_US: u64 = 10_000_000;
/// A client that lost its connection tries again after this, with as much again at random.
const RECONNECT_US: u64 = 100_000;

impl World {
    /// Whether the store hears this host's process.
    pub(super) fn in_contact(&self, host: HostNo) -> bool {
        self.hosts[host].is_active() && !self.hosts[host].link.cut && !self.store.away
    }

    fn live_session(&self, host: HostNo) -> Option<SessionNo> {
        self.hosts[host].session.filter(|session| self.store.session(*session).live)
    }

    fn way(&mut self, host: HostNo) -> u64 {
        let delay = self.hosts[host].link.noise.delay_us;
        delay + self.random.below(delay + 1)
    }

    /// Contact has begun or ended: the end of the session is planned, or the plan is void.
    pub(super) fn contact_changed(&mut self, host: HostNo) {
        let contact = self.in_contact(host);
        let process = self.hosts[host].process.as_ref().map(|process| process.run);
        let session = self.live_session(host);
        if let Some(session) = session {
            let heard = contact && self.is_of_process(host, session);
            if heard == self.store.session(session).silent {
                self.plan_expiry(session, heard);
            }
        }
        let own = session.is_some_and(|session| self.is_of_run(host, session));
        if let Some(run) = process.filter(|_| contact && !own) {
            self.connect_later(run);
        }
    }

    /// A session is heard of every third of its timeout, and servers look at their clocks now and then. Without the store no time passes.
    pub(super) fn plan_expiry(&mut self, session: SessionNo, heard: bool) {
        let turn = self.store.turn(session, !heard);
        if heard || self.store.away {
            return;
        }
        let timeout = self.plan.timing.session_timeout.0 * 1000;
        let unheard = self.random.below(timeout / 3);
        let tick = self.random.below(500_000);
        let linger = self.store.linger_us;
        self.after_us(timeout - unheard + tick + linger, Item::Expire { session, turn });
    }

    pub(super) fn expire(&mut self, session: SessionNo, turn: u32) {
        if self.store.session(session).turn != turn || self.store.away {
            return;
        }
        self.end_session(session);
    }

    pub(super) fn end_session(&mut self, session: SessionNo) {
        if !self.store.end(self.now, session) {
            return;
        }
        let (host, id) = (self.store.session(session).host, self.store.session(session).id.clone());
        self.trace.note(self.now, Some(host), || Note::SessionOver(id));
        if self.hosts[host].session == Some(session) {
            self.contact_changed(host);
        }
    }

    fn connect_later(&mut self, run: RunNo) {
        let wait = RECONNECT_US + self.random.below(RECONNECT_US);
        self.after_us(wait, Item::Connect { run });
    }

    /// Opens a session for this run, and ends that of an earlier run in the same process.
    pub(super) fn connect(&mut self, run: RunNo) {
        let Some(id) = self.hosts[run.host].run(run).map(|process| process.id.clone()) else { return };
        if !self.in_contact(run.host) {
            if !self.hosts[run.host].process.as_ref().is_some_and(|process| process.frozen) {
                self.connect_later(run);
            }
            return;
        }
        if let Some(session) = self.live_session(run.host) {
            if self.store.session(session).id == id {
                return;
            }
            // That of a process that was killed is left to expire.
            if self.is_of_process(run.host, session) {
                self.store.end(self.now, session);
            }
        }
        let session = self.store.open(self.now, id, run.host);
        self.hosts[run.host].session = Some(session);
    }

    pub(super) fn ask(&mut self, run: RunNo, request: u64, op: StoreOp) {
        if let Some(process) = self.hosts[run.host].run(run)
            && process.unlooked == Some(None)
        {
            process.unlooked = Some(Some(request));
        }
        let noise = self.hosts[run.host].link.noise;
        if let StoreOp::Create { record } | StoreOp::Swap { record, .. } = &op
            && let Some(process) = self.hosts[run.host].run(run)
        {
            process.clusters.insert(record.term, record.cluster_id.clone());
        }
        let session = self.live_session(run.host).filter(|session| self.is_of_run(run.host, *session));
        let way = self.way(run.host);
        if self.random.chance(noise.lost_before_per_mille) {
            let op = Box::new(op);
            if self.random.chance(noise.late_per_mille) {
                let late = self.random.below(noise.late_ms * 1000 + 1);
                self.after_us(way + late, Item::Request { run, session, request, op, fate: Fate::Late });
            }
            self.lose(run, request);
            return;
        }
        let lost = self.random.chance(noise.lost_after_per_mille);
        let fate = if lost { Fate::AnswerLost } else { Fate::Answered };
        self.after_us(way, Item::Request { run, session, request, op: Box::new(op), fate });
    }

    /// The node is told, sooner or later, that no answer will come.
    fn lose(&mut self, run: RunNo, request: u64) {
        let notices = if self.random.chance(500) { 20_000 } else { 3_000_000 };
        let after = self.random.below(notices);
        self.after_us(after, Item::Answer { run, request, answer: Box::new(StoreAnswer::Lost) });
    }

    /// It was opened by what runs on the host now, and under its present incarnation.
    fn is_of_run(&self, host: HostNo, session: SessionNo) -> bool {
        self.hosts[host].process.as_ref().is_some_and(|process| process.id == self.store.session(session).id)
    }

    /// It was opened by the process that runs on the host now, perhaps under an earlier incarnation.
    fn is_of_process(&self, host: HostNo, session: SessionNo) -> bool {
        let id = &self.store.session(session).id;
        self.hosts[host].process.as_ref().is_some_and(|process| process.id == *id || process.earlier.contains(id))
    }

    /// A request is at the store.
    pub(super) fn request(&mut self, run: RunNo, session: Option<SessionNo>, request: u64, op: StoreOp, fate: Fate) {
        let live = session.filter(|session| self.store.session(*session).live);
        // What is late is with the store already; all else has to get there.
        let arrived = !self.store.away && (fate == Fate::Late || !self.hosts[run.host].link.cut);
        let Some(session) = live.filter(|_| arrived) else {
            if fate != Fate::Late {
                self.lose(run, request);
            }
            return;
        };
        let before = self.store.record().map(|record| record.epoch);
        let lag_us = self.random.below(self.hosts[run.host].link.noise.lag_ms * 1000 + 1);
        let (answer, changed) = match self.store.execute(self.now, session, &op, lag_us) {
            Ok(done) => done,
            Err(invalid) => return self.ledger.invalid(self.now, invalid),
        };
        if changed {
            self.committed(run, before);
        } else if let (StoreAnswer::Refused(why), StoreOp::Swap { record, .. } | StoreOp::Create { record }) =
            (&answer, &op)
        {
            self.trace.note(self.now, Some(run.host), || Note::Refused(format!("{why:?}: {}", brief(record))));
        }
        match fate {
            Fate::Late => {}
            Fate::AnswerLost => self.lose(run, request),
            Fate::Answered => {
                let way = self.way(run.host);
                self.after_us(way, Item::Answer { run, request, answer: Box::new(answer) });
            }
        }
    }

    /// A change is committed; all that watch are told, if the telling is not lost.
    fn committed(&mut self, run: RunNo, before: Option<doyen_cluster::ids::Epoch>) {
        let Some(record) = self.store.record() else { return };
        if before != Some(record.epoch) {
            self.ledger.committed(self.now, record);
            self.measures.commits += 1;
            self.trace.mix(record.epoch.0 ^ (record.term.0 << 20));
            let record = record.clone();
            self.trace.note(self.now, Some(run.host), || Note::Committed(Box::new(record)));
        }
        self.record_changed();
    }

    pub(super) fn record_changed(&mut self) {
        for host in 0..self.hosts.len() {
            let Some(run) = self.hosts[host].process.as_ref().map(|process| process.run) else { continue };
            let lost = self.random.chance(self.hosts[host].link.noise.watch_lost_per_mille);
            if self.hosts[host].link.cut || self.store.away || self.live_session(host).is_none() || lost {
                continue;
            }
            let way = self.way(host);
            self.after_us(way, Item::Watch { run });
        }
    }

    pub(super) fn answer(&mut self, run: RunNo, request: u64, answer: StoreAnswer) {
        let cut = self.hosts[run.host].link.cut || self.store.away;
        if cut && answer != StoreAnswer::Lost {
            return self.lose(run, request);
        }
        let Some(process) = self.hosts[run.host].run(run) else { return };
        if let StoreAnswer::Read(reading) = &answer
            && let Ok(Some(stored)) = &reading.record
        {
            process.clusters.insert(stored.record.term, stored.record.cluster_id.clone());
            process.has_read = true;
        }
        if answer != StoreAnswer::Lost && process.unlooked.flatten().is_some_and(|first| request >= first) {
            process.unlooked = None;
        }
        self.give(run, Event::Answered { request, answer });
    }

    pub(super) fn runs_singleton(&mut self, run: RunNo, term: Term) {
        let Some(process) = self.hosts[run.host].run(run) else { return };
        process.running = Some(term);
        process.running_since = self.now;
        process.wrote = false;
        self.ledger.ran(self.now, &process.id, term);
        self.trace.note(self.now, Some(run.host), || Note::Runs(term));
        // The first is its beginning, and made also if there is nothing to write.
        let begins = if self.plan.broken.is(Mutation::TermNotBegun) { IDLE_US } else { 1000 };
        self.after_us(begins, Item::Write { run, term });
    }

    /// The singleton sends a write that checks its fence, and plans the next.
    pub(super) fn singleton_writes(&mut self, run: RunNo, term: Term) {
        let Some(process) = self.hosts[run.host].run(run) else { return };
        if process.running != Some(term) || process.frozen {
            return;
        }
        let cluster_id = process.clusters.get(&term).cloned();
        self.ledger.writes(self.now, &process.id, term, process.unlooked.is_none());
        self.after_us(WRITE_EVERY_US, Item::Write { run, term });
        let session = self.live_session(run.host).filter(|session| self.is_of_run(run.host, *session));
        let (Some(session), Some(cluster_id)) = (session, cluster_id) else { return };
        let noise = self.hosts[run.host].link.noise;
        let way = self.way(run.host);
        let fence = FenceKey { cluster_id, term };
        if !self.random.chance(noise.lost_before_per_mille) {
            self.after_us(way, Item::Commit { run, session, fence, late: false });
        } else if self.random.chance(noise.late_per_mille) {
            let late = self.random.below(noise.late_ms * 1000 + 1);
            self.after_us(way + late, Item::Commit { run, session, fence, late: true });
        }
    }

    pub(super) fn singleton_commits(&mut self, run: RunNo, session: SessionNo, fence: &FenceKey, late: bool) {
        let arrived = !self.store.away && (late || !self.hosts[run.host].link.cut);
        let broken = self.plan.broken;
        let fenced = broken.is(Mutation::FenceNotChecked) || self.store.accepts(session, fence);
        let latest = broken.is(Mutation::LatestTermForgotten) || !self.store.is_superseded(fence);
        if !arrived || !fenced || !latest {
            return;
        }
        self.store.wrote(fence);
        self.ledger.wrote(self.now, &self.store.session(session).id, fence.term);
        self.measures.wrote(self.now, run.host, fence.term);
        if let Some(process) = self.hosts[run.host].run(run).filter(|process| !process.wrote) {
            process.wrote = true;
            self.trace.note(self.now, Some(run.host), || Note::Writes(fence.term));
        }
    }
}
