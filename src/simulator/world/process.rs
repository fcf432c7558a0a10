//! Processes: they start, take events, have effects, freeze, and die.

use doyen_cluster::changes::Newcomer;
use doyen_cluster::effect::{Effect, Exit, Status};
use doyen_cluster::event::Event;
use doyen_cluster::flight::Recorder;
use doyen_cluster::ids::{ClusterId, Incarnation, NodeId, NodeName};
use doyen_cluster::node::Node;
use doyen_cluster::settings::Settings;
use doyen_cluster::versions::Versions;

use crate::plan::HostNo;
use crate::run::Flight;
use crate::trace::Note;
use crate::world::World;
use crate::world::host::{Pilot, Process};
use crate::world::queue::{Item, RunNo};

/// The watchdog may hang for a while as well.
const WATCHDOG_US: u64 = 30_000_000;

const VERSIONS: Versions = Versions { major: 0, minor: 1, protocol: 1, store: 1 };

impl World {
    pub(super) fn start(&mut self, host: HostNo) {
        if self.hosts[host].process.is_some() {
            return;
        }
        self.hosts[host].powered = true;
        self.hosts[host].clock.stop(self.now, false);
        self.hosts[host].left = false;
        self.begin_run(host, false);
    }

    /// A new run of the node on a host, in a new process or in the same.
    fn begin_run(&mut self, host: HostNo, again: bool) {
        self.runs += 1;
        let run = RunNo { host, run: self.runs };
        let settings = self.settings(run);
        let id = settings.me.id.clone();
        let now = self.hosts[host].clock.read(self.now);
        let node = Node::new(settings, now);
        let pilot = match self.watching.flight {
            None => Pilot::Alone(Box::new(node)),
            Some(capacity) => Pilot::Recorded(Box::new(Recorder::new(node, capacity))),
        };
        let mut process = Process::new(run, id.clone(), pilot);
        self.land(host);
        if let Some(before) = self.hosts[host].process.take() {
            process.talked = before.talked;
            process.earlier = before.earlier;
            process.earlier.push(before.id);
        }
        self.hosts[host].process = Some(process);
        self.hosts[host].turn += 1;
        self.changed = true;
        self.trace.note(self.now, Some(host), || if again { Note::Reincarnated(id) } else { Note::Started(id) });
        self.after_us(0, Item::Connect { run });
        self.plan_wake(run);
    }

    fn settings(&mut self, run: RunNo) -> Settings {
        let name: NodeName = self.hosts[run.host].name.as_str().into();
        let seeds = self.hosts[..self.plan.seeds.min(self.hosts.len())].iter().map(|host| host.address.clone());
        let seeds = seeds.collect();
        Settings {
            cluster: "simulated".into(),
            me: Newcomer {
                id: NodeId { name, incarnation: Incarnation(self.random.number() >> 16) },
                address: self.hosts[run.host].address.clone(),
                roles: Vec::new(),
                versions: VERSIONS,
            },
            seeds,
            new_cluster_id: ClusterId::from(format!("cluster-of-run-{}", run.run).as_str()),
            timing: self.plan.timing.clone(),
            keep_oldest: self.plan.keep_oldest.clone(),
            exclusive_store: false,
            broken: self.plan.broken,
        }
    }

    pub(super) fn wake(&mut self, run: RunNo, local_ms: u64) {
        let planned = |process: &&mut Process| process.wake_ms == local_ms && !process.frozen;
        if let Some(process) = self.hosts[run.host].run(run).filter(planned) {
            // A clock that was moved may show a little less than was planned: then it is planned again.
            process.wake_ms = u64::MAX;
            self.give(run, Event::Wake);
        }
    }

    /// When the node wants to be woken; at least a millisecond from now, as clocks of machines tick.
    pub(super) fn plan_wake(&mut self, run: RunNo) {
        let host = &mut self.hosts[run.host];
        let now = host.clock.read(self.now).0;
        let Some(process) = host.process.as_mut().filter(|process| process.run == run && !process.frozen) else {
            return;
        };
        let wanted = process.pilot.node().next_wake().0.max(now + 1);
        if wanted == process.wake_ms {
            return;
        }
        process.wake_ms = wanted;
        if let Some(at) = host.clock.when(wanted) {
            let at = at.max(self.now + 1);
            self.queue.push(at, Item::Wake { run, local_ms: wanted });
        }
    }

    /// Lets a run of a node have an event, now or once it is no longer frozen.
    pub(super) fn give(&mut self, run: RunNo, event: Event) {
        match self.hosts[run.host].run(run) {
            None => {}
            Some(process) if process.frozen => process.put(event),
            Some(_) => self.step(run, event),
        }
    }

    fn step(&mut self, run: RunNo, event: Event) {
        let now = self.hosts[run.host].clock.read(self.now);
        let Some(process) = self.hosts[run.host].run(run) else { return };
        let effects = process.pilot.step(now, event);
        self.measures.steps += 1;
        self.trace.mix(self.now ^ ((run.run as u64) << 40) ^ ((effects.len() as u64) << 56));
        self.look_at_node(run);
        for effect in effects {
            if !self.hosts[run.host].is_run(run) {
                break;
            }
            self.perform(run, effect);
        }
        self.plan_wake(run);
    }

    /// What a node believes and where it is in its life is checked at each change.
    fn look_at_node(&mut self, run: RunNo) {
        let Some(process) = self.hosts[run.host].run(run) else { return };
        let node = process.pilot.node();
        let (life, epoch) = (node.life(), node.record().map(|record| record.epoch));
        if life != process.life {
            self.ledger.lived(self.now, &process.id, process.life, life);
            process.life = life;
        }
        if epoch != process.epoch {
            process.epoch = epoch;
            if let Some(record) = node.record() {
                self.ledger.adopted(self.now, &process.id, record);
            }
        }
        if self.trace.keeps() {
            let own = node.view().accusations.iter().filter(|(observer, _)| *observer == process.id);
            let accuses: Vec<NodeId> = own.map(|(_, subject)| subject.clone()).collect();
            if accuses != process.accuses {
                process.accuses.clone_from(&accuses);
                self.trace.note(self.now, Some(run.host), || Note::Accuses(accuses));
            }
        }
    }

    fn perform(&mut self, run: RunNo, effect: Effect) {
        let host = run.host;
        match effect {
            Effect::Send { to, message } => self.send(run, &to, message),
            Effect::Store { request, op } => self.ask(run, request, op),
            Effect::Run { term } => self.runs_singleton(run, term),
            Effect::Stop { term } => {
                self.trace.note(self.now, Some(host), || Note::Stops(term));
                if let Some(process) = self.hosts[host].run(run).filter(|process| process.running == Some(term)) {
                    process.running = None;
                }
            }
            Effect::Status(status) => self.status(run, status),
            Effect::Decided(decision) => {
                let seen = self.seen_by(&decision.by);
                self.ledger.decided(self.now, &decision, seen);
                self.measures.decisions += 1;
                self.trace.note(self.now, Some(host), || Note::Decided(decision));
            }
            Effect::Warn(warning) => {
                self.measures.warnings += 1;
                self.trace.note(self.now, Some(host), || Note::Warned(warning));
            }
            Effect::HandOver => {
                let takes = self.random.between(1000, 300_000);
                self.after_us(takes, Item::HandedOver { run });
            }
            Effect::Reincarnate => self.begin_run(host, true),
            Effect::Exit(exit) => self.exit(host, exit),
        }
    }

    fn status(&mut self, run: RunNo, status: Status) {
        let Some(process) = self.hosts[run.host].run(run) else { return };
        self.ledger.said(self.now, &process.id, &status);
        self.trace.mix(status.epoch.0 ^ (u64::from(status.ready) << 32));
        self.trace.note(self.now, Some(run.host), || Note::Status(status.clone()));
        process.status = Some(status);
    }

    fn exit(&mut self, host: HostNo, exit: Exit) {
        self.trace.note(self.now, Some(host), || Note::Exited(exit.clone()));
        if let Some(process) = &self.hosts[host].process {
            self.ledger.exits(self.now, &process.id, &exit);
        }
        self.hosts[host].left = exit == Exit::Left;
        self.hosts[host].exits.push(exit);
        // A process that ends by itself closes its session, if the store hears it.
        if self.in_contact(host)
            && let Some(session) = self.hosts[host].session
        {
            self.store.end(self.now, session);
        }
        self.end_process(host);
        if !self.hosts[host].left {
            self.restart_later(host);
        }
    }

    /// Keeps what the flight recorder of a process that ends has recorded.
    pub(crate) fn land(&mut self, host: HostNo) {
        if let Some(Process { id, pilot: Pilot::Recorded(recorder), .. }) = &self.hosts[host].process {
            self.flights.push(Flight { node: id.to_string(), dump: recorder.dump() });
        }
    }

    fn restart_later(&mut self, host: HostNo) {
        if let Some(restart_ms) = self.hosts[host].restart_ms {
            let item = Item::Start { host, turn: self.hosts[host].turn };
            self.after_us(restart_ms * 1000, item);
        }
    }

    /// The process is no more; its peers notice, if the network lets them.
    fn end_process(&mut self, host: HostNo) {
        self.land(host);
        self.hosts[host].process = None;
        self.changed = true;
        if std::mem::take(&mut self.hosts[host].wedged) {
            self.hosts[host].clock.stop(self.now, false);
        }
        self.hosts[host].turn += 1;
        self.contact_changed(host);
        let alive = self.hosts.iter().filter(|host| host.process.is_some()).count();
        self.ledger.ended(self.now, alive);
        for peer in 0..self.hosts.len() {
            let Some(process) = &self.hosts[peer].process else { continue };
            let (run, talked) = (process.run, process.talked & (1 << host) != 0);
            if talked && self.hosts[host].powered && self.network.passes(host, peer) {
                let reset = self.network.delay(host, peer, &mut self.random);
                let dial = self.network.delay(peer, host, &mut self.random);
                self.after_us(reset + dial, Item::Dial { run, to: host });
            }
        }
    }

    pub(super) fn crash(&mut self, host: HostNo, powered: bool, restarts: bool) {
        if self.hosts[host].process.is_none() {
            return;
        }
        self.hosts[host].powered = powered;
        self.hosts[host].crashes += 1;
        self.trace.note(self.now, Some(host), || Note::Killed);
        self.end_process(host);
        if restarts {
            self.restart_later(host);
        }
    }

    /// Its timers stand still; messages and answers it takes as ever. The watchdog ends it after a session timeout.
    pub(super) fn wedge(&mut self, host: HostNo) {
        let Some(run) = self.hosts[host].process.as_ref().map(|process| process.run) else { return };
        self.hosts[host].wedged = true;
        self.clock(host, |clock, now| clock.stop(now, true));
        self.after_us(WATCHDOG_US, Item::Watchdog { run });
    }

    pub(super) fn watchdog(&mut self, run: RunNo) {
        if self.hosts[run.host].wedged && self.hosts[run.host].is_run(run) {
            self.crash(run.host, true, true);
        }
    }

    pub(super) fn freeze(&mut self, host: HostNo, clock_too: bool) {
        let Some(process) = self.hosts[host].process.as_mut().filter(|process| !process.frozen) else { return };
        process.frozen = true;
        process.frozen_at = self.now;
        process.wake_ms = u64::MAX;
        self.trace.note(self.now, Some(host), || Note::Frozen);
        if clock_too {
            self.hosts[host].clock.stop(self.now, true);
        }
        self.contact_changed(host);
    }

    /// What came while it was frozen comes now, before or after its own late timer.
    pub(super) fn unfreeze(&mut self, host: HostNo) {
        let stopped = self.hosts[host].clock.is_stopped();
        if !self.hosts[host].wedged {
            self.hosts[host].clock.stop(self.now, false);
        }
        let Some(process) = self.hosts[host].process.as_mut().filter(|process| process.frozen) else { return };
        process.frozen = false;
        let run = process.run;
        let waiting = process.take_inbox();
        let running = process.running;
        self.trace.note(self.now, Some(host), || Note::Continued);
        let (timing, stood_ms) = (&self.plan.timing, (self.now - process.frozen_at) / 1000);
        let usual = (timing.detector.acceptable_pause + timing.heartbeat).0 * 5 / 4 + 10;
        // A clock that stood still as well tells nothing.
        process.unlooked = (stood_ms > usual && !stopped).then_some(None);
        self.contact_changed(host);
        let wake_first = self.random.chance(500);
        if let Some(term) = running {
            self.after_us(0, Item::Write { run, term });
        }
        if wake_first {
            self.give(run, Event::Wake);
        }
        for event in waiting {
            self.give(run, event);
        }
        if !wake_first {
            self.give(run, Event::Wake);
        }
    }
}
