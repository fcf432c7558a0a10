//! The nodes, the store and what is on its way between them: everything that may happen next, and what it leads to.

use crate::checker::{Model, Violation};
use crate::moves::settling;
use crate::node::{Ask, Life, Node};
use crate::records::{Change, Meaning, Rec, Records};
use crate::register::{Content, Flight, Register};
use crate::rules::{Bounds, Broken, Grain, Happened, Tally};

#[derive(Clone, Hash)]
pub struct State {
    pub store: Register,
    pub nodes: Vec<Node>,
    /// Writes that nobody waits for any more, and that may yet commit.
    pub adrift: Vec<Flight>,
    pub restarts: u8,
    pub losses: u8,
    pub hands: u8,
}

/// How far a write goes in the step that sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It is under way.
    Open,
    Answered,
    /// Its answer will never come. It is still under way if it is a claim; if it settles one, it has arrived.
    Lost,
    /// Its sender crashes, and it is still under way.
    Crashed,
}

/// A number is the place of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Read(u8),
    /// A follower that lags tells what the record was that many changes ago.
    ReadOld(u8, u8),
    Claim(u8, Change, End),
    /// The claim arrives at the store, and commits.
    Arrive(u8),
    Answer(u8),
    /// The answer never comes, be it to a claim or to what settles one: that is sent next, or again.
    Lose(u8),
    /// The write that settles a claim arrives at the store.
    Settle(u8, End),
    /// The process ends and another begins. What it has sent may yet arrive.
    Restart(u8),
    /// A write that nobody waits for arrives, and commits.
    Drift(u8),
    /// Somebody deletes the record, and perhaps the fence.
    Delete {
        fence: bool,
    },
    /// Somebody puts a record back that was, under this version.
    Put(Rec, u8),
    /// The operator restores the record that was lost.
    Restore(u8),
}

pub struct World {
    pub bounds: Bounds,
    pub broken: Option<Broken>,
    pub records: Records,
    pub tally: Tally,
}

impl World {
    pub fn new(bounds: Bounds, broken: Option<Broken>) -> Self {
        Self { bounds, broken, records: Records::new(bounds.twins, broken), tally: Tally::default() }
    }

    pub fn is(&self, broken: Broken) -> bool {
        self.broken == Some(broken)
    }

    pub fn takes(&self, state: &State, flight: Flight) -> bool {
        state.store.takes(flight, &self.records, self.broken)
    }

    /// Upon what a node claims, if it may: what it has read, or, in the larger steps, what it reads in the same step.
    pub fn base(&mut self, state: &State, node: &Node) -> Option<Content> {
        if self.bounds.grain != Grain::Coarse {
            return (node.fresh || node.life == Life::Member).then_some(node.known);
        }
        match self.records.meaning(None, state.store.now) {
            Meaning::Nothing if node.life == Life::Seeking => Some(None),
            Meaning::Good => Some(state.store.now.content),
            _ => None,
        }
    }

    /// Whether it is a step of its own to read what has come of a change: what was put back by hand may be put right between.
    pub fn judges_apart(&self) -> bool {
        self.bounds.hands > 0 && self.bounds.grain != Grain::Coarse
    }

    fn claimable(&mut self, state: &State, node: &Node) -> Vec<(Change, Rec)> {
        // Nodes differ by name alone: the first that writes is called the first, and so on.
        let in_turn = self.bounds.twins || state.nodes[..node.place()].iter().all(|other| other.wrote);
        let Some(content) = self.base(state, node).filter(|_| in_turn) else { return Vec::new() };
        let rec = content.map(|(rec, _)| rec);
        if rec.is_some_and(|rec| self.records.facts(rec).epoch >= self.bounds.epochs) {
            return Vec::new();
        }
        node.claims(rec, &mut self.records)
    }

    /// What a node may do that waits for nothing.
    fn free_steps(&mut self, state: &State, node: &Node, at: u8, steps: &mut Vec<Step>) {
        steps.push(Step::Read(at));
        let ends = match self.bounds.grain {
            Grain::Fine { lag } => {
                let kept = state.store.before.len().min(lag);
                steps.extend((0..kept).map(|ago| Step::ReadOld(at, ago as u8)));
                vec![End::Open]
            }
            Grain::Coarse => {
                let lost = (state.losses < self.bounds.losses).then_some(End::Lost);
                let crashed = (state.restarts < self.bounds.restarts).then_some(End::Crashed);
                [Some(End::Answered), lost, crashed].into_iter().flatten().collect()
            }
        };
        for (change, _) in self.claimable(state, node) {
            steps.extend(ends.iter().map(|end| Step::Claim(at, change, *end)));
        }
    }

    fn steps_of(&mut self, state: &State, at: u8, steps: &mut Vec<Step>) {
        let node = state.nodes[usize::from(at)];
        if node.life == Life::Over {
            return;
        }
        let may_lose = state.losses < self.bounds.losses;
        let may_restart = state.restarts < self.bounds.restarts;
        let coarse = self.bounds.grain == Grain::Coarse;
        match node.ask {
            Ask::Nothing => self.free_steps(state, &node, at, steps),
            Ask::Waiting(write) => {
                let open = write.committed.is_none() && self.takes(state, write.flight);
                steps.push(if open { Step::Arrive(at) } else { Step::Answer(at) });
                if may_lose {
                    steps.push(Step::Lose(at));
                }
            }
            Ask::Settling { write, settled } => {
                if write.committed.is_none() && self.takes(state, write.flight) {
                    steps.push(Step::Arrive(at));
                }
                let open = settled.is_none() && self.takes(state, settling(write));
                let ends = [
                    (End::Open, open && !coarse),
                    (End::Answered, coarse || !open),
                    (End::Lost, coarse && open && may_lose),
                ];
                steps.extend(ends.into_iter().filter(|(_, there)| *there).map(|(end, _)| Step::Settle(at, end)));
                if open && self.is(Broken::ReadInsteadOfTouch) {
                    steps.push(Step::Answer(at));
                }
                if may_lose {
                    steps.push(Step::Lose(at));
                }
            }
            Ask::Judging(_) => steps.push(Step::Answer(at)),
        }
        // Who seeks and has asked for nothing can do what its next run could.
        let idle = node.life == Life::Seeking && node.ask == Ask::Nothing;
        if may_restart && !(idle && self.bounds.hands == 0) {
            steps.push(Step::Restart(at));
        }
    }

    /// Whether the write can ever commit: by hand, or if nothing is compared, a version can come again, but a fence never does.
    fn open(&self, state: &State, flight: Flight) -> bool {
        if self.bounds.hands == 0 && !self.is(Broken::VersionNotCompared) {
            return self.takes(state, flight);
        }
        state.store.fenced(flight, &self.records, self.broken)
    }
}

impl Model for World {
    type State = State;
    type Step = Step;

    fn start(&mut self) -> State {
        let nodes = (0..self.bounds.nodes).map(Node::first).collect();
        State { store: Register::empty(), nodes, adrift: Vec::new(), restarts: 0, losses: 0, hands: 0 }
    }

    fn steps(&mut self, state: &State, steps: &mut Vec<Step>) {
        for at in 0..state.nodes.len() {
            self.steps_of(state, at as u8, steps);
        }
        for (at, flight) in state.adrift.iter().enumerate() {
            if self.takes(state, *flight) {
                steps.push(Step::Drift(at as u8));
            }
        }
        self.by_hand(state, steps);
    }

    fn take(&mut self, before: &State, step: Step) -> Result<State, Violation> {
        let mut state = before.clone();
        match step {
            Step::Read(at) => self.learn(&mut state, at, before.store.now)?,
            Step::ReadOld(at, ago) => self.read_old(&mut state, at, before.store.before[usize::from(ago)])?,
            Step::Claim(at, change, end) => {
                self.claim(&mut state, at, change);
                match end {
                    End::Open => {}
                    End::Answered => {
                        self.arrive(&mut state, at)?;
                        self.answer(&mut state, at)?;
                    }
                    End::Lost => self.lose(&mut state, at),
                    End::Crashed => self.crash(&mut state, at),
                }
            }
            Step::Arrive(at) => self.arrive(&mut state, at)?,
            Step::Answer(at) => self.answer(&mut state, at)?,
            Step::Lose(at) => self.lose(&mut state, at),
            Step::Settle(at, end) => {
                self.settle(&mut state, at)?;
                match end {
                    End::Answered => self.answer(&mut state, at)?,
                    End::Lost => self.lose(&mut state, at),
                    End::Open | End::Crashed => {}
                }
            }
            Step::Restart(at) => self.crash(&mut state, at),
            Step::Drift(at) => {
                let flight = state.adrift.remove(usize::from(at));
                self.tally.note(Happened::CommittedAfterCrash);
                self.commit(&mut state, flight)?;
            }
            Step::Delete { .. } | Step::Put(..) | Step::Restore(_) => self.hand(&mut state, step),
        }
        // What can never commit any more is no part of the state.
        let open: Vec<Flight> = state.adrift.iter().copied().filter(|flight| self.open(&state, *flight)).collect();
        state.adrift = open;
        Ok(state)
    }

    fn tell(&self, state: &State) -> String {
        let content = |content: Content| content.map_or("no record".into(), |(rec, _)| self.records.tell(rec));
        let node = |node: &Node| format!("{:?} {:?} {:?}", node.run, node.life, node.ask);
        let nodes: Vec<String> = state.nodes.iter().map(node).collect();
        let fence = state.store.now.fence.map(|number| self.records.fence(number));
        let fence = fence.map_or("none".into(), |fence| format!("{} epoch {}", fence.key.term, fence.epoch));
        let version = state.store.version();
        let (now, adrift) = (content(state.store.now.content), &state.adrift);
        format!("{now}; version {version:?}, fence of term {fence}; {}; adrift {adrift:?}", nodes.join(", "))
    }
}
