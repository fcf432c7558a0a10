//! A stage for one node: a store that answers at once, a clock that is set, and all that the node wanted done.

use std::collections::BTreeMap;

use super::{Life, Node};
use crate::decision::Action;
use crate::effect::{Effect, Exit, Status, Warning};
use crate::event::Event;
use crate::fixtures::{address, id};
use crate::ids::{ClusterId, Epoch, Millis, Moment, NodeId, Version};
use crate::message::{Body, Gossip, Message, Row, Said};
use crate::record::{Fence, Record};
use crate::settings::Settings;
use crate::store::{Reading, Refusal, StoreAnswer, StoreOp, Stored};

/// What the store does with the next changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    None,
    /// Nothing reaches it, nothing comes from it.
    Away,
    /// Changes are committed, and their answers lost.
    AnswersLost,
    /// Changes are lost before they are committed.
    ChangesLost,
}

pub struct Stage {
    pub node: Node,
    pub now: Moment,
    pub record: Option<Stored>,
    pub unreadable: Option<crate::encoding::Unreadable>,
    pub fences: Vec<Fence>,
    pub registered: Vec<NodeId>,
    pub trouble: Trouble,
    pub effects: Vec<Effect>,
    /// Members that answer heartbeats, with how long ago they reached the store.
    pub alive: BTreeMap<NodeId, Option<Millis>>,
    /// What those accuse.
    pub accuse: Vec<NodeId>,
    progress: u64,
}

impl Stage {
    pub fn new(settings: Settings) -> Self {
        Self {
            node: Node::new(settings, Moment(0)),
            now: Moment(0),
            record: None,
            unreadable: None,
            fences: Vec::new(),
            registered: Vec::new(),
            trouble: Trouble::None,
            effects: Vec::new(),
            alive: BTreeMap::new(),
            accuse: Vec::new(),
            progress: 0,
        }
    }

    /// With this record in the store, and its fence.
    pub fn with(mut self, record: &Record) -> Self {
        self.put(record);
        self
    }

    pub fn put(&mut self, record: &Record) {
        let version = self.record.as_ref().map_or(Version(0), |stored| stored.version.next());
        self.fences = vec![record.fence()];
        self.record = Some(Stored { record: record.clone(), version });
    }

    pub fn alive(mut self, names: &[&str]) -> Self {
        self.alive.extend(names.iter().map(|name| (id(name), Some(Millis(10)))));
        self
    }

    pub fn step(&mut self, event: Event) {
        let effects = self.node.step(self.now, event);
        self.effects.extend(effects.clone());
        for effect in effects {
            match effect {
                Effect::Store { request, op } => self.answer(request, &op),
                Effect::Send { to, message } => self.reply(&to, message),
                _ => {}
            }
        }
    }

    /// Lets time pass, waking the node when it wants to be woken.
    pub fn pass(&mut self, span: Millis) {
        let end = self.now + span;
        while self.node.next_wake() <= end {
            self.now = self.now.max(self.node.next_wake());
            self.step(Event::Wake);
        }
        self.now = end;
    }

    /// Time passes, and the node does not run.
    pub fn freeze(&mut self, span: Millis) {
        self.now = self.now + span;
    }

    pub fn hear(&mut self, from: &NodeId, body: Body) {
        let cluster_id: Option<ClusterId> = self.record.as_ref().map(|stored| stored.record.cluster_id.clone());
        let address = address(from.name.as_str());
        self.step(Event::Heard(Message { from: from.clone(), address, cluster_id, body }));
    }

    pub fn is(&self, life: Life) -> bool {
        self.node.life() == life
    }

    pub fn exit(&self) -> Option<&Exit> {
        self.effects.iter().find_map(|e| if let Effect::Exit(exit) = e { Some(exit) } else { None })
    }

    pub fn actions(&self) -> Vec<Action> {
        let action = |e: &Effect| if let Effect::Decided(d) = e { Some(d.action.clone()) } else { None };
        self.effects.iter().filter_map(action).collect()
    }

    pub fn warned(&self, which: impl Fn(&Warning) -> bool) -> bool {
        self.effects.iter().any(|e| matches!(e, Effect::Warn(warning) if which(warning)))
    }

    pub fn status(&self) -> Status {
        let status = |e: &Effect| if let Effect::Status(status) = e { Some(status.clone()) } else { None };
        self.effects.iter().rev().find_map(status).expect("a status is told at the first step")
    }

    pub fn epoch(&self) -> Epoch {
        self.record.as_ref().map_or(Epoch(0), |stored| stored.record.epoch)
    }

    fn answer(&mut self, request: u64, op: &StoreOp) {
        if self.trouble == Trouble::Away {
            return;
        }
        let read = matches!(op, StoreOp::Read { .. });
        if self.trouble == Trouble::ChangesLost && !read {
            return self.step(Event::Answered { request, answer: StoreAnswer::Lost });
        }
        let answer = self.commit(op);
        let lost = self.trouble == Trouble::AnswersLost && !read;
        self.step(Event::Answered { request, answer: if lost { StoreAnswer::Lost } else { answer } });
    }

    fn commit(&mut self, op: &StoreOp) -> StoreAnswer {
        match op {
            StoreOp::Read { .. } => {
                let record = self.unreadable.clone().map_or_else(|| Ok(self.record.clone()), Err);
                let (fences, registered) = (self.fences.clone(), self.registered.clone());
                StoreAnswer::Read(Box::new(Reading { record, fences, registered }))
            }
            StoreOp::Create { record } => {
                if self.record.is_some() {
                    return StoreAnswer::Refused(Refusal::Conflict);
                }
                if !self.fences.is_empty() {
                    return StoreAnswer::Refused(Refusal::Fence);
                }
                self.put(record);
                StoreAnswer::Done { version: Version(0) }
            }
            StoreOp::Swap { base, fence, record } => {
                let Some(stored) = self.record.as_ref().filter(|stored| stored.version == *base) else {
                    return StoreAnswer::Refused(Refusal::Conflict);
                };
                let version = stored.version.next();
                if !self.fences.contains(fence) {
                    return StoreAnswer::Refused(Refusal::Fence);
                }
                self.put(record);
                StoreAnswer::Done { version }
            }
            StoreOp::Touch { base, fence } => {
                let fenced = self.fences.contains(fence);
                match self.record.as_mut().filter(|stored| stored.version == *base) {
                    Some(stored) if fenced => {
                        stored.version = stored.version.next();
                        StoreAnswer::Done { version: stored.version }
                    }
                    _ => StoreAnswer::Refused(Refusal::Conflict),
                }
            }
        }
    }

    /// Those who are alive answer at once.
    fn reply(&mut self, to: &crate::ids::Address, message: Message) {
        let Some((from, store)) = self.alive.iter().find(|(id, _)| address(id.name.as_str()) == *to) else { return };
        let (from, store) = (from.clone(), *store);
        let is_member = self.record.as_ref().is_some_and(|stored| stored.record.contains(&from));
        self.progress += 1;
        let row = Row { progress: self.progress, accused: self.accuse.clone(), deaf_to: Vec::new(), store };
        let gossip = Gossip { epoch: Epoch(0), row, relayed: Vec::new() };
        let body = match message.body {
            Body::Ping { number, .. } => Body::Pong { number, gossip },
            Body::Hello(hello) => {
                let said = if message.from.name == from.name {
                    Said::Rejected(crate::message::Rejection::NameTaken)
                } else if is_member {
                    Said::Welcome { epoch: self.epoch(), reaching: self.alive.keys().cloned().collect() }
                } else {
                    Said::NotMember
                };
                Body::Answer { number: hello.number, seeds: hello.seeds, said }
            }
            _ => return,
        };
        self.hear(&from, body);
    }
}
