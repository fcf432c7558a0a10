//! What a step leads to: what nodes do about what they read and are answered, and what becomes of their writes.

use crate::checker::Violation;
use crate::node::{Ask, Kind, Life, Node, Write, kind};
use crate::records::{Change, Meaning, Rec, Run};
use crate::register::{Content, Flight, Reading, Within};
use crate::rules::{Broken, Grain, Happened};
use crate::world::{State, World};

impl World {
    pub fn commit(&mut self, state: &mut State, flight: Flight) -> Result<u8, Violation> {
        if state.hands > 0 && !matches!(flight, Flight::Touch { .. }) && !state.store.is_lost(&self.records) {
            self.tally.note(Happened::WentOnOnceRight);
        }
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
        *node = Node { run, life, known: None, fresh: false, ask: Ask::Nothing, wrote: node.wrote };
    }

    fn cast_adrift(&mut self, state: &mut State, flight: Flight) {
        if !state.adrift.contains(&flight) {
            state.adrift.push(flight);
            state.adrift.sort_unstable();
        }
    }

    fn is_member(&self, rec: Rec, run: Run) -> bool {
        self.records.facts(rec).members & run.bit() != 0
    }

    /// What a node does about a confirmed reading.
    ///
    /// # Errors
    /// It goes by a record that is lost.
    pub fn learn(&mut self, state: &mut State, at: u8, reading: Reading) -> Result<(), Violation> {
        let node = &mut state.nodes[usize::from(at)];
        let known = node.known.map(|(rec, _)| rec);
        match self.records.meaning(known, reading) {
            Meaning::Good if reading == state.store.now && state.store.is_lost(&self.records) => {
                return Err("a record that was lost is gone by");
            }
            Meaning::Good => self.believe(state, at, reading.content),
            // In larger steps it is not kept what a member knows: that there was a record.
            Meaning::Nothing | Meaning::FenceLeft if node.life == Life::Member => self.strand(state, at),
            Meaning::Nothing => node.fresh = node.life == Life::Seeking && self.bounds.grain != Grain::Coarse,
            Meaning::FenceLeft => node.fresh = false,
            Meaning::Doubtful => self.strand(state, at),
        }
        Ok(())
    }

    fn strand(&mut self, state: &mut State, at: u8) {
        let node = &mut state.nodes[usize::from(at)];
        node.fresh = false;
        if !matches!(node.life, Life::Stranded { .. }) {
            self.tally.note(Happened::Stranded);
            node.life = Life::Stranded { member: node.life == Life::Member };
        }
    }

    /// Goes by a record from now on.
    fn believe(&mut self, state: &mut State, at: u8, content: Content) {
        let node = &mut state.nodes[usize::from(at)];
        let there = content.is_some_and(|(rec, _)| self.is_member(rec, node.run));
        let (life, happened) = match (node.life, there) {
            (Life::Stranded { member: true }, true) => (Some(Life::Member), Some(Happened::FoundAgainAsMember)),
            (Life::Stranded { member: true }, false) => (None, Some(Happened::StoodDownWhenRestored)),
            (Life::Stranded { member: false }, false) => (Some(Life::Seeking), Some(Happened::FoundAgainAsNewcomer)),
            (Life::Stranded { member: false } | Life::Seeking, true) => (None, Some(Happened::FoundItselfUnjoined)),
            (Life::Member, false) if self.is(Broken::RemovedJoinsAgain) => (Some(Life::Seeking), None),
            (Life::Member, false) => (None, Some(Happened::FoundItselfRemoved)),
            (life, _) => (Some(life), None),
        };
        if let Some(happened) = happened {
            self.tally.note(happened);
        }
        match life {
            Some(life) => self.knows(state, at, life, content),
            None => self.restart(state, at),
        }
    }

    fn knows(&self, state: &mut State, at: u8, life: Life, content: Content) {
        let node = &mut state.nodes[usize::from(at)];
        node.life = life;
        if self.bounds.grain != Grain::Coarse {
            node.known = content;
            node.fresh = life == Life::Seeking;
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
        state.nodes[usize::from(at)] = Node { ask, wrote: true, fresh: false, ..node };
    }

    /// The claim is known to be committed.
    fn done(&mut self, state: &mut State, at: u8, write: Write, version: u8) {
        state.nodes[usize::from(at)].ask = Ask::Nothing;
        match write.flight {
            _ if write.kind == Kind::Leave => self.restart(state, at),
            Flight::Create(to) | Flight::Swap { to, .. } => self.knows(state, at, Life::Member, Some((to, version))),
            Flight::Touch { .. } => {}
        }
    }

    /// The claim is taken for one that never committed and never will.
    fn never(&mut self, state: &mut State, at: u8, write: Write) -> Result<(), Violation> {
        state.nodes[usize::from(at)].ask = Ask::Nothing;
        if write.committed.is_some() {
            return Err("a claim that was committed is taken for one that was not");
        }
        // Its version may have been brought back by hand since.
        if !self.bounds.rewinds && self.takes(state, write.flight) {
            return Err("a claim that may yet commit is taken for one that never will");
        }
        Ok(())
    }

    /// The write that settles was refused: what the change has become is in the record.
    fn judge(&mut self, state: &mut State, at: u8, write: Write) -> Result<(), Violation> {
        let old_read = self.is(Broken::JudgedByOldRead);
        let reading = state.store.before.first().copied().filter(|_| old_read).unwrap_or(state.store.now);
        let node = &mut state.nodes[usize::from(at)];
        let (run, known) = (node.run, write.flight.base().map(|(rec, _)| rec));
        node.ask = Ask::Nothing;
        let there = reading.content.is_some_and(|(rec, _)| self.is_member(rec, run));
        let good = self.records.meaning(known, reading) == Meaning::Good;
        match (write.kind, there) {
            // A Create is settled by its like, and it is all one which of them made the record.
            (Kind::Enter, true) if write.committed.is_none() && !matches!(write.flight, Flight::Create(_)) => {
                return Err("a join is taken for committed that is not");
            }
            (Kind::Enter, true) if good => {
                self.tally.note(Happened::RecognisedAsMember);
                self.knows(state, at, Life::Member, reading.content);
                return Ok(());
            }
            // The record is lost, or there is none: it goes by nothing for now.
            (Kind::Enter, there) if self.is(Broken::UnknownWaitsAsTheSame) && (there || reading.content.is_none()) => {}
            (Kind::Enter, _) => return self.unknown(state, at, write),
            (Kind::Leave, true) if good => self.never(state, at, write)?,
            (Kind::Claim, true) if good => self.tally.note(Happened::RecognisedAsOver),
            (Kind::Claim, false) if good => self.tally.note(Happened::SettledFoundItselfRemoved),
            _ => {}
        }
        if known.is_some() && !good {
            self.strand(state, at);
            return Ok(());
        }
        self.learn(state, at, reading)
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
        if let Ask::Settling { write, .. } = state.nodes[usize::from(at)].ask
            && self.bounds.rewinds
            && write.committed.is_none()
        {
            self.cast_adrift(state, write.flight);
        }
        match state.nodes[usize::from(at)].ask {
            Ask::Nothing => {}
            Ask::Waiting(write) => match write.committed {
                Some(version) => self.done(state, at, write, version),
                None => {
                    self.tally.note(Happened::RefusedAsTooLate);
                    state.nodes[usize::from(at)].ask = Ask::Nothing;
                }
            },
            Ask::Settling { write, settled: None } if self.judges_apart() => {
                state.nodes[usize::from(at)].ask = Ask::Judging(write);
            }
            Ask::Settling { write, settled: None } | Ask::Judging(write) => self.judge(state, at, write)?,
            Ask::Settling { write, settled: Some(version) } => match write.flight {
                Flight::Create(_) => self.done(state, at, write, version),
                Flight::Swap { from, .. } => {
                    self.tally.note(Happened::FencedOffByTouch);
                    self.never(state, at, write)?;
                    let life = state.nodes[usize::from(at)].life;
                    self.knows(state, at, life, Some((from, version)));
                    // A newcomer looks again first.
                    state.nodes[usize::from(at)].fresh = false;
                }
                Flight::Touch { .. } => {}
            },
        }
        Ok(())
    }

    pub fn lose(&mut self, state: &mut State, at: u8) {
        state.losses += 1;
        match state.nodes[usize::from(at)].ask {
            Ask::Nothing | Ask::Judging(_) => {}
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
            Ask::Waiting(write) | Ask::Judging(write) => (Some(write), None),
            Ask::Settling { write, settled } => (Some(write), settled.is_none().then(|| settling(write))),
        };
        let unarrived = write.filter(|write| write.committed.is_none()).map(|write| write.flight);
        for flight in unarrived.into_iter().chain(settles) {
            self.cast_adrift(state, flight);
        }
        self.restart(state, at);
    }

    /// A follower that lags tells it. What is doubtful is read again, confirmed.
    ///
    /// # Errors
    /// It goes by a record that is lost.
    pub fn read_old(&mut self, state: &mut State, at: u8, reading: Reading) -> Result<(), Violation> {
        let known = state.nodes[usize::from(at)].known.map(|(rec, _)| rec);
        if self.records.meaning(known, reading) == Meaning::Doubtful {
            return Ok(());
        }
        self.tally.note(Happened::ReadOld);
        self.learn(state, at, reading)
    }
}

/// The write after whose commit, or refusal, the write before can no longer commit.
pub fn settling(write: Write) -> Flight {
    match write.flight {
        Flight::Create(to) => Flight::Create(to),
        Flight::Swap { base, from, .. } | Flight::Touch { base, from } => Flight::Touch { base, from },
    }
}
