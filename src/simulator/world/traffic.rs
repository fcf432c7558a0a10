//! Messages from process to process, and what a sender notices when nobody listens.

use doyen_cluster::event::Event;
use doyen_cluster::ids::{Address, Incarnation};
use doyen_cluster::message::{Body, Message};

use crate::plan::HostNo;
use crate::world::World;
use crate::world::network::Open;
use crate::world::queue::{Item, RunNo};

impl World {
    pub(super) fn send(&mut self, run: RunNo, to: &Address, message: Message) {
        let from = run.host;
        if self.watching.sizes {
            self.measures.sent(from, &message);
        }
        let Some(to) = self.at.get(to).copied() else { return };
        if let Some(process) = self.hosts[from].run(run) {
            process.talked |= 1 << to;
        }
        match self.network.open(from, to) {
            Open::Rejecting => {
                let back = self.network.delay(from, to, &mut self.random);
                self.after_us(2 * back, Item::Refused { run, by: to });
            }
            Open::Cut => self.network.hold(from, to, message),
            Open::Yes => self.put_on_wire(from, to, message),
        }
    }

    fn put_on_wire(&mut self, from: HostNo, to: HostNo, message: Message) {
        self.network.remember(&message, &mut self.random);
        let [first, again] = self.network.arrivals(self.now, from, to, &mut self.random);
        if let Some(at) = again {
            self.queue.push(at, Item::Arrive { from, to, message: Box::new(message.clone()) });
        }
        if let Some(at) = first {
            self.queue.push(at, Item::Arrive { from, to, message: Box::new(message) });
        }
    }

    pub(super) fn arrive(&mut self, from: HostNo, to: HostNo, message: Message) {
        if !self.network.passes(from, to) {
            self.network.hold(from, to, message);
            return;
        }
        match &self.hosts[to].process {
            Some(process) => {
                let run = process.run;
                self.trace.mix(kind(&message.body) ^ (from as u64) << 8);
                self.give(run, Event::Heard(message));
            }
            None => self.refuse(from, to),
        }
    }

    /// Nobody listens at `by`: who tried is told, if the host is there and the answer gets through.
    fn refuse(&mut self, told: HostNo, by: HostNo) {
        let Some(run) = self.hosts[told].process.as_ref().map(|process| process.run) else { return };
        if self.hosts[by].powered && self.network.passes(by, told) {
            let back = self.network.delay(by, told, &mut self.random);
            self.after_us(back, Item::Refused { run, by });
        }
    }

    pub(super) fn dial(&mut self, run: RunNo, to: HostNo) {
        if self.hosts[run.host].is_run(run) && self.network.passes(run.host, to) && self.hosts[to].process.is_none() {
            self.refuse(run.host, to);
        }
    }

    pub(super) fn mend(&mut self, from: HostNo, to: HostNo) {
        for message in self.network.mend(from, to) {
            self.put_on_wire(from, to, message);
        }
    }

    /// Messages of the past, at once, to one node; with lies, as if from runs that never were.
    pub(super) fn replay(&mut self, to: HostNo, count: u32, lie: bool) {
        let past = self.network.past().len() as u64;
        if past == 0 {
            return;
        }
        for _ in 0..count {
            let at = self.random.below(past) as usize;
            let mut message = self.network.past()[at].clone();
            let Some(from) = self.at.get(&message.address).copied() else { continue };
            if lie {
                message.from.incarnation = Incarnation(self.random.number() >> 16);
            }
            if from != to {
                let soon = self.random.below(1000);
                self.after_us(soon, Item::Arrive { from, to, message: Box::new(message) });
            }
        }
    }
}

fn kind(body: &Body) -> u64 {
    match body {
        Body::Ping { number, .. } => 1 + (number << 16),
        Body::Pong { number, .. } => 2 + (number << 16),
        Body::Hello(_) => 3,
        Body::Answer { number, .. } => 4 + (number << 16),
        Body::Changed { epoch } => 5 + (epoch.0 << 16),
    }
}
