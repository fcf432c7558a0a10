//! What will happen, by time; what was queued first at a moment happens first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use doyen_cluster::ids::Term;
use doyen_cluster::message::Message;
use doyen_cluster::record::FenceKey;
use doyen_cluster::store::{StoreAnswer, StoreOp};

use crate::plan::HostNo;
use crate::store::SessionNo;

/// One run of a node on a host: what is meant for it does not reach a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunNo {
    pub host: HostNo,
    pub run: u32,
}

#[derive(Debug)]
pub enum Item {
    /// The host's supervisor starts its process; void if the turn has changed.
    Start {
        host: HostNo,
        turn: u32,
    },
    Wake {
        run: RunNo,
        local_ms: u64,
    },
    Arrive {
        from: HostNo,
        to: HostNo,
        message: Box<Message>,
    },
    /// A process tries to connect again, as its connection was reset.
    Dial {
        run: RunNo,
        to: HostNo,
    },
    Refused {
        run: RunNo,
        by: HostNo,
    },
    /// The node's client of the store opens its session.
    Connect {
        run: RunNo,
    },
    Expire {
        session: SessionNo,
        turn: u32,
    },
    Request {
        run: RunNo,
        session: Option<SessionNo>,
        request: u64,
        op: Box<StoreOp>,
        fate: Fate,
    },
    Answer {
        run: RunNo,
        request: u64,
        answer: Box<StoreAnswer>,
    },
    Watch {
        run: RunNo,
    },
    /// A process whose loop hangs is ended.
    Watchdog {
        run: RunNo,
    },
    /// It is judged how things stand.
    LookAround,
    /// The singleton sends its next write.
    Write {
        run: RunNo,
        term: Term,
    },
    /// A write of the singleton is at the store.
    Commit {
        run: RunNo,
        session: SessionNo,
        fence: FenceKey,
        late: bool,
    },
    HandedOver {
        run: RunNo,
    },
    Fault(usize),
    /// A flapping link changes, for the so manieth time.
    Flap {
        fault: usize,
        turn: u32,
    },
    Heal,
    Judge,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Answered,
    /// Carried out, but the answer is lost.
    AnswerLost,
    /// The node was told that it is lost; carried out all the same.
    Late,
}

#[derive(Default)]
pub struct Queue {
    order: BinaryHeap<Reverse<(u64, u64, u32)>>,
    slots: Vec<Option<Item>>,
    free: Vec<u32>,
    pushed: u64,
}

impl Queue {
    pub fn push(&mut self, at_us: u64, item: Item) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as u32
        });
        self.slots[slot as usize] = Some(item);
        self.order.push(Reverse((at_us, self.pushed, slot)));
        self.pushed += 1;
    }

    pub fn pop(&mut self) -> Option<(u64, Item)> {
        let Reverse((at_us, _, slot)) = self.order.pop()?;
        self.free.push(slot);
        let item = self.slots[slot as usize].take().expect("a slot is filled until its item is popped");
        Some((at_us, item))
    }

    pub fn next_at(&self) -> Option<u64> {
        self.order.peek().map(|Reverse((at_us, ..))| *at_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_of_a_moment_come_in_the_order_in_which_they_were_queued() {
        let mut queue = Queue::default();
        for (at, fault) in [(5, 0), (3, 1), (5, 2), (3, 3)] {
            queue.push(at, Item::Fault(fault));
        }
        let mut order = Vec::new();
        while let Some((at, Item::Fault(fault))) = queue.pop() {
            order.push((at, fault));
        }
        assert_eq!(order, [(3, 1), (3, 3), (5, 0), (5, 2)]);
    }
}
