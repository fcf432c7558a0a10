//! A machine with its clock, and the process that runs on it.

use std::collections::{BTreeMap, VecDeque};

use doyen_cluster::effect::{Effect, Exit, Status};
use doyen_cluster::event::Event;
use doyen_cluster::flight::Recorder;
use doyen_cluster::ids::{Address, ClusterId, Epoch, Moment, NodeId, Term};
use doyen_cluster::node::{Life, Node};

use crate::store::{SessionNo, StoreLink};
use crate::world::clock::Clock;
use crate::world::queue::RunNo;

/// What waits for a frozen process at most.
const MOST_WAITING: usize = 20_000;

pub struct Host {
    pub name: String,
    pub address: Address,
    pub clock: Clock,
    pub powered: bool,
    /// Its process takes messages, but its timers stand still.
    pub wedged: bool,
    pub link: StoreLink,
    pub process: Option<Process>,
    /// The session of its newest process, perhaps over.
    pub session: Option<SessionNo>,
    /// How long the supervisor takes; none if it never starts the process again.
    pub restart_ms: Option<u64>,
    pub never_returns: bool,
    /// It left in good order, and is not started again.
    pub left: bool,
    /// Changes with each start and each death: a start that was planned before is void.
    pub turn: u32,
    pub exits: Vec<Exit>,
    pub crashes: u32,
}

/// The node, with a flight recorder or without.
pub enum Pilot {
    Alone(Box<Node>),
    Recorded(Box<Recorder>),
}

impl Pilot {
    pub fn node(&self) -> &Node {
        match self {
            Self::Alone(node) => node,
            Self::Recorded(recorder) => recorder.node(),
        }
    }

    pub fn step(&mut self, now: Moment, event: Event) -> Vec<Effect> {
        match self {
            Self::Alone(node) => node.step(now, event),
            Self::Recorded(recorder) => recorder.step(now, event),
        }
    }
}

pub struct Process {
    pub run: RunNo,
    pub id: NodeId,
    pub pilot: Pilot,
    /// Who it was before it began anew.
    pub earlier: Vec<NodeId>,
    pub frozen: bool,
    inbox: VecDeque<Event>,
    /// The moment of its clock that it is to be woken at.
    pub wake_ms: u64,
    pub running: Option<Term>,
    pub running_since: u64,
    pub status: Option<Status>,
    /// Which cluster a term is of, as far as it has read: the fence's key holds both.
    pub clusters: BTreeMap<Term, ClusterId>,
    /// To whom it has sent anything, as bits.
    pub talked: u128,
    /// It has written in the term that it runs.
    pub wrote: bool,
    /// It has read a record.
    pub has_read: bool,
    /// It stood still, and has not looked since: the first request that counts, once it is sent.
    pub unlooked: Option<Option<u64>>,
    pub frozen_at: u64,
    /// What was last seen of the node.
    pub life: Life,
    pub epoch: Option<Epoch>,
    /// Whom it accuses, if that is traced.
    pub accuses: Vec<NodeId>,
}

impl Process {
    pub fn new(run: RunNo, id: NodeId, pilot: Pilot) -> Self {
        Self {
            run,
            id,
            pilot,
            earlier: Vec::new(),
            frozen: false,
            inbox: VecDeque::new(),
            wake_ms: u64::MAX,
            running: None,
            running_since: 0,
            status: None,
            clusters: BTreeMap::new(),
            talked: 0,
            wrote: false,
            has_read: false,
            unlooked: None,
            frozen_at: 0,
            life: Life::Seeking,
            epoch: None,
            accuses: Vec::new(),
        }
    }

    /// It is frozen: what comes waits.
    pub fn put(&mut self, event: Event) {
        if self.inbox.len() < MOST_WAITING {
            self.inbox.push_back(event);
        }
    }

    pub fn take_inbox(&mut self) -> VecDeque<Event> {
        std::mem::take(&mut self.inbox)
    }
}

impl Host {
    pub fn is_run(&self, run: RunNo) -> bool {
        self.process.as_ref().is_some_and(|process| process.run == run)
    }

    /// The process, unless another runs by now, or none.
    pub fn run(&mut self, run: RunNo) -> Option<&mut Process> {
        self.process.as_mut().filter(|process| process.run == run)
    }

    /// Whether its process does anything.
    pub fn is_active(&self) -> bool {
        self.process.as_ref().is_some_and(|process| !process.frozen)
    }
}
