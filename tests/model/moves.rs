//! What a step leads to: what nodes do about what they read and are answered, and what becomes of their writes.

use crate::checker::Violation;
use crate::node::{Ask, Kind, Life, Node, Write, kind};
use crate::records::{Change, Rec, Records, Run};
use crate::register::{Content, Flight, Hand, Within};
use crate::rules::{Broken, Grain, Happened};
use crate::world::{State, World};

impl World {
    pub fn commit(&mut self, state: &mut State, flight: Flight) -> Result<u8, Violation> {
        let Self { records, tally, bounds, broken } = self;
        state.store.commit(flight, &mut Within { records, tally, bounds: *bounds, broken: *broken })?;
        Ok(state.store.version().expect("something was written"))
    }

    /// The process ends; another begins at its place if there may be one.
    fn restart(&self, state: &mut State, at: u8) {
        let node = &mut state.nodes[usize::from(at)];
        let again = state.restarts < self.bounds.restarts;
        state.restarts += u8::from(again);
        let run = if again { Run(node.run.0 + 1) } else { node.run };
        let life = if again { Life::Seeking } else { Life::Over };
        *node = Node { run, life, seen: None, ask: Ask::Nothing, wrote: node.wrote };
    }

    fn cast_adrift(&mut self, state: &mut State, flight: Flight) {
        if !state.adrift.contains(&flight) {
            state.adrift.push(flight);
            state.adrift.sort_unstable();
        }
    }

    /// What a node does about a record that it has read.
    pub fn learn(&mut self, state: &mut State, at: u8, content: Content) {
        let node = &mut state.nodes[usize::from(at)];
        let lost = match (node.seen.flatten(), content) {
            (Some(_), None) => true,
            (Some((old, _)), Some((new, _))) => older(&self.records, new, old),
            (None, _) => false,
        };
        if lost {
            self.tally.note(Happened::Stranded);
            *node = Node { life: Life::Stranded, seen: None, ..*node };
            return;
        }
        if self.bounds.grain != Grain::Coarse {
            node.seen = Some(content);
        }
        let there = content.is_some_and(|(rec, _)| self.records.facts(rec).members & node.run.bit() != 0);
        if there {
            node.life = Life::Member;
        } else if node.life == Life::Member {
            self.tally.note(Happened::FoundItselfRemoved);
            if self.is(Broken::RemovedJoinsAgain) {
                node.life = Life::Seeking;
            } else {
                self.restart(state, at);
            }
        }
    }

    pub fn claim(&mut self, state: &mut State, at: u8, change: Change) {
        let node = state.nodes[usize::from(at)];
        let base = self.base(state, &node).expect("it has read");
        let to = self.records.changed(base.map(|(rec, _)| rec), node.run, change).expect("it may claim this");
        let (kind, takes_over) = kind(change);
        let flight = match base {
            None => Flight::Create(to),
            Some((from, base)) => Flight::Swap { base, from, to, takes_over },
        };
        let ask = Ask::Waiting(Write { kind, flight, committed: None });
        state.nodes[usize::from(at)] = Node { ask, wrote: true, ..node };
    }

    /// The claim is known to be committed.
    fn done(&mut self, state: &mut State, at: u8, write: Write, version: u8) {
        state.nodes[usize::from(at)].ask = Ask::Nothing;
        match write.flight {
            _ if write.kind == Kind::Leave => self.restart(state, at),
            Flight::Create(to) | Flight::Swap { to, .. } => self.learn(state, at, Some((to, version))),
            Flight::Touch { .. } => {}
        }
    }

    /// The claim is taken for one that never committed and never will.
    fn never(&mut self, state: &mut State, at: u8, write: Write) -> Result<(), Violation> {
        state.nodes[usize::from(at)].ask = Ask::Nothing;
        if state.store.hand != Hand::Off {
            return Ok(());
        }
        if write.committed.is_some() {
            return Err("a claim that was committed is taken for one that was not");
        }
        if self.takes(state, write.flight) {
            return Err("a claim that may yet commit is taken for one that never will");
        }
        Ok(())
    }

    /// The write that settles was refused: what the claim has become is in the record.
    fn judge(&mut self, state: &mut State, at: u8, write: Write) -> Result<(), Violation> {
        let old_read = self.is(Broken::JudgedByOldRead);
        let content = if old_read { state.store.before.first().copied().flatten() } else { state.store.now };
        let node = &mut state.nodes[usize::from(at)];
        node.ask = Ask::Nothing;
        let strange = match (write.flight, content) {
            (_, None) => true,
            (Flight::Swap { from, .. }, Some((rec, _))) => older(&self.records, rec, from),
            _ => false,
        };
        if strange {
            self.tally.note(Happened::Stranded);
            *node = Node { life: Life::Stranded, seen: None, ..*node };
            return Ok(());
        }
        let there = content.is_some_and(|(rec, _)| self.records.facts(rec).members & node.run.bit() != 0);
        match (write.kind, there) {
            // A Create is settled by its like, and it is all one which of them made the record.
            (Kind::Enter, true) if write.committed.is_none() && !matches!(write.flight, Flight::Create(_)) => {
                return Err("a join is taken for committed that is not");
            }
            (Kind::Enter, true) => self.tally.note(Happened::RecognisedAsMember),
            (Kind::Enter, false) => return self.unknown(state, at, write),
            (Kind::Leave, true) => self.never(state, at, write)?,
            (Kind::Leave, false) => {
                self.restart(state, at);
                return Ok(());
            }
            (Kind::Claim, true) => self.tally.note(Happened::RecognisedAsOver),
            (Kind::Claim, false) => self.tally.note(Happened::SettledFoundItselfRemoved),
        }
        self.learn(state, at, content);
        Ok(())
    }

    /// It was never a member, or has been one and is no longer.
    fn unknown(&mut self, state: &mut State, at: u8, write: Write) -> Result<(), Violation> {
        self.tally.note(Happened::BeganAnewAsUnknown);
        match self.broken {
            Some(Broken::ReadInsteadOfTouch) => return self.never(state, at, write),
            Some(Broken::SameIncarnation) => {}
            _ => self.restart(state, at),
        }
        Ok(())
    }

    pub fn answer(&mut self, state: &mut State, at: u8) -> Result<(), Violation> {
        match state.nodes[usize::from(at)].ask {
            Ask::Nothing => {}
            Ask::Waiting(write) => match write.committed {
                Some(version) => self.done(state, at, write, version),
                None => {
                    self.tally.note(Happened::RefusedAsTooLate);
                    state.nodes[usize::from(at)].ask = Ask::Nothing;
                }
            },
            Ask::Settling { write, settled: None } => self.judge(state, at, write)?,
            Ask::Settling { write, settled: Some(version) } => match write.flight {
                Flight::Create(_) => self.done(state, at, write, version),
                Flight::Swap { from, .. } => {
                    self.tally.note(Happened::FencedOffByTouch);
                    self.never(state, at, write)?;
                    self.learn(state, at, Some((from, version)));
                }
                Flight::Touch { .. } => {}
            },
        }
        Ok(())
    }

    pub fn lose(&mut self, state: &mut State, at: u8) {
        state.losses += 1;
        match state.nodes[usize::from(at)].ask {
            Ask::Nothing => {}
            Ask::Waiting(write) => {
                let committed = write.committed.is_some();
                self.tally.note(if committed { Happened::LostAfterCommit } else { Happened::LostBeforeCommit });
                let blind = self.is(Broken::BlindRetry);
                state.nodes[usize::from(at)].ask =
                    if blind { Ask::Nothing } else { Ask::Settling { write, settled: None } };
                if blind && !committed {
                    self.cast_adrift(state, write.flight);
                }
            }
            Ask::Settling { write, settled } => {
                self.tally.note(Happened::TouchLost);
                if settled.is_none() {
                    self.cast_adrift(state, settling(write));
                }
                state.nodes[usize::from(at)].ask = Ask::Settling { write, settled: None };
            }
        }
    }

    /// The claim arrives. What is too late is refused when it is answered.
    pub fn arrive(&mut self, state: &mut State, at: u8) -> Result<(), Violation> {
        match state.nodes[usize::from(at)].ask {
            Ask::Waiting(write) if self.takes(state, write.flight) => {
                let committed = Some(self.commit(state, write.flight)?);
                state.nodes[usize::from(at)].ask = Ask::Waiting(Write { committed, ..write });
            }
            Ask::Settling { write, settled } => {
                self.tally.note(Happened::CommittedAfterLoss);
                let committed = Some(self.commit(state, write.flight)?);
                state.nodes[usize::from(at)].ask = Ask::Settling { write: Write { committed, ..write }, settled };
            }
            _ => {}
        }
        Ok(())
    }

    /// The write that settles arrives, if it can commit.
    pub fn settle(&mut self, state: &mut State, at: u8) -> Result<(), Violation> {
        if let Ask::Settling { write, settled: None } = state.nodes[usize::from(at)].ask
            && self.takes(state, settling(write))
        {
            let settled = Some(self.commit(state, settling(write))?);
            state.nodes[usize::from(at)].ask = Ask::Settling { write, settled };
        }
        Ok(())
    }

    pub fn crash(&mut self, state: &mut State, at: u8) {
        let (write, settles) = match state.nodes[usize::from(at)].ask {
            Ask::Nothing => (None, None),
            Ask::Waiting(write) => (Some(write), None),
            Ask::Settling { write, settled } => (Some(write), settled.is_none().then(|| settling(write))),
        };
        let unarrived = write.filter(|write| write.committed.is_none()).map(|write| write.flight);
        for flight in unarrived.into_iter().chain(settles) {
            self.cast_adrift(state, flight);
        }
        self.restart(state, at);
    }

    /// What is older than what was read says nothing.
    pub fn read_old(&mut self, state: &mut State, at: u8, content: Content) {
        let node = &state.nodes[usize::from(at)];
        let version = |content: Content| content.map(|(_, version)| version);
        if node.life == Life::Stranded || node.seen.is_some_and(|seen| version(content) <= version(seen)) {
            return;
        }
        self.tally.note(Happened::ReadOld);
        self.learn(state, at, content);
    }

    pub fn hand(&mut self, state: &mut State, content: Content) {
        let Self { records, tally, bounds, broken } = self;
        state.store.by_hand(content, &mut Within { records, tally, bounds: *bounds, broken: *broken });
    }
}

/// The write after whose commit, or refusal, the write before can no longer commit.
pub fn settling(write: Write) -> Flight {
    match write.flight {
        Flight::Create(to) => Flight::Create(to),
        Flight::Swap { base, .. } | Flight::Touch { base } => Flight::Touch { base },
    }
}

/// Whether one record cannot follow the other: it is of an earlier epoch, or of another cluster.
fn older(records: &Records, record: Rec, than: Rec) -> bool {
    records.record(record).cluster_id != records.record(than).cluster_id
        || records.facts(record).epoch < records.facts(than).epoch
}
