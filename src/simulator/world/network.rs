//! The network: for each pair of hosts and each direction a wire, which delays, loses, doubles, holds back or rejects.

use doyen_cluster::message::Message;

use crate::plan::{HostNo, Noise};
use crate::random::Random;

/// Messages that a cut wire holds at most.
const MOST_HELD: usize = 256;
/// Messages of the past that are kept for being replayed.
const MOST_PAST: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    Yes,
    Cut,
    /// Nothing passes, and who sends is told that nobody listens.
    Rejecting,
}

struct Wire {
    open: Open,
    noise: Noise,
    /// When the last message that keeps its turn arrives.
    last_us: u64,
    held: Vec<Message>,
}

impl Wire {
    fn arrival(&mut self, now: u64, random: &mut Random) -> u64 {
        let at = now + self.noise.delay_us + random.below(self.noise.jitter_us + 1);
        if random.chance(self.noise.overtaking_per_mille) {
            return at + random.below(20 * self.noise.jitter_us + 50_000);
        }
        self.last_us = at.max(self.last_us + 1);
        self.last_us
    }
}

pub struct Network {
    hosts: usize,
    usual: Noise,
    wires: Vec<Wire>,
    holds: bool,
    past: Vec<Message>,
    keeps_past: bool,
}

impl Network {
    pub fn new(hosts: usize, usual: Noise, holds: bool, keeps_past: bool) -> Self {
        let wire = || Wire { open: Open::Yes, noise: usual, last_us: 0, held: Vec::new() };
        let wires = (0..hosts * hosts).map(|_| wire()).collect();
        Self { hosts, usual, wires, holds, past: Vec::new(), keeps_past }
    }

    fn wire(&mut self, from: HostNo, to: HostNo) -> &mut Wire {
        &mut self.wires[from * self.hosts + to]
    }

    pub fn open(&self, from: HostNo, to: HostNo) -> Open {
        self.wires[from * self.hosts + to].open
    }

    pub fn passes(&self, from: HostNo, to: HostNo) -> bool {
        self.open(from, to) == Open::Yes
    }

    pub fn cut(&mut self, from: HostNo, to: HostNo, rejecting: bool) {
        self.wire(from, to).open = if rejecting { Open::Rejecting } else { Open::Cut };
    }

    /// Opens the wire; what it held goes on its way.
    pub fn mend(&mut self, from: HostNo, to: HostNo) -> Vec<Message> {
        let wire = self.wire(from, to);
        wire.open = Open::Yes;
        std::mem::take(&mut wire.held)
    }

    pub fn set_noise(&mut self, from: HostNo, to: HostNo, noise: Noise) {
        self.wire(from, to).noise = noise;
    }

    /// Whether messages may be lost on it, or be late.
    pub fn is_bad(&self, from: HostNo, to: HostNo, late_us: u64) -> bool {
        let wire = &self.wires[from * self.hosts + to];
        let Noise { delay_us, jitter_us, loss_per_mille, overtaking_per_mille, .. } = wire.noise;
        wire.open != Open::Yes || loss_per_mille > 0 || overtaking_per_mille > 0 || delay_us + jitter_us > late_us
    }

    pub fn usual(&self) -> Noise {
        self.usual
    }

    /// How long one way takes, now and here.
    pub fn delay(&mut self, from: HostNo, to: HostNo, random: &mut Random) -> u64 {
        let noise = self.wire(from, to).noise;
        noise.delay_us + random.below(noise.jitter_us + 1)
    }

    /// A wire is cut when this was to pass it: it is lost, or held until the wire is mended.
    pub fn hold(&mut self, from: HostNo, to: HostNo, message: Message) {
        let holds = self.holds;
        let wire = self.wire(from, to);
        if holds && wire.open == Open::Cut && wire.held.len() < MOST_HELD {
            wire.held.push(message);
        }
    }

    /// When the message arrives, perhaps twice, perhaps never.
    pub fn arrivals(&mut self, now: u64, from: HostNo, to: HostNo, random: &mut Random) -> [Option<u64>; 2] {
        let wire = self.wire(from, to);
        let noise = wire.noise;
        if random.chance(noise.loss_per_mille) {
            return [None, None];
        }
        let first = wire.arrival(now, random);
        let again = random.chance(noise.twice_per_mille).then(|| wire.arrival(now, random));
        [Some(first), again]
    }

    /// Keeps some of what passes.
    pub fn remember(&mut self, message: &Message, random: &mut Random) {
        if !self.keeps_past {
            return;
        }
        if self.past.len() < MOST_PAST {
            self.past.push(message.clone());
        } else if random.chance(50) {
            let at = random.below(MOST_PAST as u64) as usize;
            self.past[at] = message.clone();
        }
    }

    pub fn past(&self) -> &[Message] {
        &self.past
    }
}
