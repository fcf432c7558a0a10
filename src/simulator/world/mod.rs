//! The simulated world: hosts, network and store, moved from event to event.

pub mod clock;
pub mod host;
pub mod network;
pub mod queue;

mod judge;
mod observe;
mod process;
mod storage;
mod strike;
mod traffic;

use std::collections::BTreeMap;

use doyen_cluster::event::Event;
use doyen_cluster::ids::Address;

use crate::invariants::Ledger;
use crate::measures::Measures;
use crate::plan::{HostNo, Plan};
use crate::random::Random;
use crate::store::{Store, StoreLink};
use crate::trace::{Keep, Note, Trace};
use crate::world::clock::Clock;
use crate::world::host::Host;
use crate::world::network::Network;
use crate::world::queue::{Item, Queue};

/// What a run is asked for beside its judgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watching {
    pub keep: Keep,
    /// Sizes of messages are counted, which takes time.
    pub sizes: bool,
    /// Each node has a flight recorder that keeps so many events, for `doyen replay`.
    pub flight: Option<usize>,
}

impl Watching {
    pub const NOTHING: Self = Self { keep: Keep::Nothing, sizes: false, flight: None };
    pub const ALL: Self = Self { keep: Keep::All, sizes: false, flight: None };
}

pub struct World {
    pub plan: Plan,
    pub now: u64,
    pub hosts: Vec<Host>,
    pub network: Network,
    pub store: Store,
    pub ledger: Ledger,
    pub measures: Measures,
    pub trace: Trace,
    pub flights: Vec<crate::run::Flight>,
    watching: Watching,
    queue: Queue,
    random: Random,
    at: BTreeMap<Address, HostNo>,
    runs: u32,
    healed: bool,
    /// Faults before this one flap no more.
    mended: usize,
    /// Something has changed that is to be observed.
    changed: bool,
    /// When the store was last changed by hand.
    lost_since: Option<u64>,
}

impl World {
    pub fn new(plan: Plan, watching: Watching) -> Self {
        let hosts: Vec<Host> = plan.hosts.iter().enumerate().map(|(no, host)| machine(&plan, no, host)).collect();
        let keeps_past = plan.faults.iter().any(|timed| matches!(timed.fault, crate::faults::Fault::Replay { .. }));
        let mut world = Self {
            now: 0,
            network: Network::new(hosts.len(), plan.noise, plan.links_hold, keeps_past),
            store: Store::default(),
            ledger: Ledger::new(&plan),
            measures: Measures::new(hosts.len()),
            trace: Trace::new(watching.keep),
            flights: Vec::new(),
            watching,
            queue: Queue::default(),
            random: Random::new(plan.seed ^ 0x5eed),
            at: hosts.iter().enumerate().map(|(no, host)| (host.address.clone(), no)).collect(),
            runs: 0,
            healed: false,
            mended: 0,
            changed: true,
            lost_since: None,
            hosts,
            plan,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        self.observe();
        self.after_us(0, Item::LookAround);
        for host in 0..self.hosts.len() {
            if let Some(start_ms) = self.plan.hosts[host].start_ms {
                self.queue.push(start_ms * 1000, Item::Start { host, turn: 0 });
            }
        }
        for (number, timed) in self.plan.faults.iter().enumerate() {
            self.queue.push(timed.at_ms * 1000, Item::Fault(number));
        }
        if let Some(heal_ms) = self.plan.heal_ms {
            self.queue.push(heal_ms * 1000, Item::Heal);
        }
    }

    /// Until this moment, or the first violation.
    pub fn run_until(&mut self, end_us: u64) {
        while self.queue.next_at().is_some_and(|at| at <= end_us) && self.ledger.violations.is_empty() {
            let Some((at, item)) = self.queue.pop() else { break };
            self.now = at;
            self.changed |= matches!(
                item,
                Item::Fault(_) | Item::Flap { .. } | Item::Heal | Item::Connect { .. } | Item::Expire { .. }
            );
            self.dispatch(item);
            self.observe();
        }
        if self.ledger.violations.is_empty() {
            self.now = end_us;
        } else {
            let what = self.ledger.violations[0].to_string();
            self.trace.note(self.now, None, || Note::Violated(what));
        }
    }

    fn dispatch(&mut self, item: Item) {
        match item {
            Item::Start { host, turn } if self.hosts[host].turn == turn => self.start(host),
            Item::Start { .. } => {}
            Item::Wake { run, local_ms } => self.wake(run, local_ms),
            Item::Arrive { from, to, message } => self.arrive(from, to, *message),
            Item::Dial { run, to } => self.dial(run, to),
            Item::Refused { run, by } => {
                let address = self.hosts[by].address.clone();
                self.give(run, Event::Refused { address });
            }
            Item::Connect { run } => self.connect(run),
            Item::Expire { session, turn } => self.expire(session, turn),
            Item::Request { run, session, request, op, fate } => self.request(run, session, request, *op, fate),
            Item::Answer { run, request, answer } => self.answer(run, request, *answer),
            Item::Watch { run } => self.give(run, Event::RecordChanged),
            Item::Write { run, term } => self.singleton_writes(run, term),
            Item::Commit { run, session, fence, late } => self.singleton_commits(run, session, &fence, late),
            Item::HandedOver { run } => self.give(run, Event::HandedOver),
            Item::Fault(number) => self.strike(number),
            Item::Flap { fault, turn } => self.flap(fault, turn),
            Item::Heal => self.heal(),
            Item::Judge => self.judge(),
            Item::LookAround => self.look_around(),
            Item::Watchdog { run } => self.watchdog(run),
        }
    }

    fn after_us(&mut self, us: u64, item: Item) {
        self.queue.push(self.now + us, item);
    }
}

fn machine(plan: &Plan, no: HostNo, host: &crate::plan::HostPlan) -> Host {
    Host {
        name: host.name.clone(),
        address: format!("{}:2552", crate::plan::name(no)).as_str().into(),
        clock: Clock::new(host.clock_ms, host.drift_ppm),
        powered: true,
        wedged: false,
        link: StoreLink { cut: false, noise: plan.store },
        process: None,
        session: None,
        restart_ms: host.restart_ms,
        never_returns: host.never_returns,
        left: false,
        turn: 0,
        exits: Vec::new(),
        crashes: 0,
    }
}
