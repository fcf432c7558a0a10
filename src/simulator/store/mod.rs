//! A model of the metadata store: one register with fences and registrations, linearizable for writes, with followers that lag.

mod damage;
mod sessions;
mod state;

use std::collections::VecDeque;
use std::rc::Rc;

use doyen_cluster::ids::{ClusterId, NodeId, Version};
use doyen_cluster::record::{Fence, FenceKey, Record};
use doyen_cluster::store::{Reading, Refusal, StoreAnswer, StoreOp};

use crate::plan::StoreNoise;
pub use sessions::{Session, SessionNo};
pub use state::State;

/// How far back followers can be.
const HISTORY_US: u64 = 10_000_000;

/// A node's way to the store.
#[derive(Debug, Clone)]
pub struct StoreLink {
    pub cut: bool,
    pub noise: StoreNoise,
}

pub struct Store {
    state: Rc<State>,
    /// What was before, with the moment it ceased to be; oldest first.
    history: VecDeque<(u64, Rc<State>)>,
    pub away: bool,
    /// How much longer than its timeout a session lives.
    pub linger_us: u64,
    sessions: Vec<Session>,
    /// The cluster that was founded here.
    cluster: Option<ClusterId>,
    /// The latest term that has written, which the log of writes remembers.
    latest: Option<FenceKey>,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            state: Rc::new(State::default()),
            history: VecDeque::new(),
            away: false,
            linger_us: 0,
            sessions: Vec::new(),
            cluster: None,
            latest: None,
        }
    }
}

impl Store {
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The record, if there is one that can be read.
    pub fn record(&self) -> Option<&Record> {
        self.state.record()
    }

    fn change(&mut self, now: u64, change: impl FnOnce(&mut State)) {
        self.history.push_back((now, Rc::clone(&self.state)));
        while self.history.front().is_some_and(|(until, _)| until + HISTORY_US < now) {
            self.history.pop_front();
        }
        let next = Rc::make_mut(&mut self.state);
        next.number += 1;
        change(next);
    }

    /// The state as it was then, but not before `at_least`.
    fn as_of(&self, then: u64, at_least: u64) -> Rc<State> {
        let before = self.history.iter().find(|(until, _)| *until > then).map(|(_, state)| state);
        let found = before.filter(|state| state.number >= at_least);
        match found {
            Some(state) => Rc::clone(state),
            // Followers never go back for the same session: it has at least what the session has seen.
            None => {
                let seen = self.history.iter().map(|(_, state)| state).find(|state| state.number >= at_least);
                Rc::clone(if before.is_some() { seen.unwrap_or(&self.state) } else { &self.state })
            }
        }
    }

    /// Carries out what a session asks, now. `lag_us` is how far the follower lags that answers an unconfirmed read.
    ///
    /// # Errors
    /// A record that breaks the rules of records: the node that wrote it is wrong.
    pub fn execute(
        &mut self,
        now: u64,
        session: SessionNo,
        op: &StoreOp,
        lag_us: u64,
    ) -> Result<(StoreAnswer, bool), String> {
        let answer = match op {
            StoreOp::Read { confirm } => {
                let seen = self.sessions[session].seen;
                let state = if *confirm { Rc::clone(&self.state) } else { self.as_of(now - lag_us.min(now), seen) };
                self.sessions[session].seen = seen.max(state.number);
                return Ok((StoreAnswer::Read(Box::new(reading(&state))), false));
            }
            StoreOp::Create { record } => self.create(now, record)?,
            StoreOp::Swap { base, fence, record } => self.swap(now, *base, fence, record)?,
            StoreOp::Touch { base, fence } => self.touch(now, *base, fence),
        };
        self.sessions[session].seen = self.state.number;
        let changed = matches!(answer, StoreAnswer::Done { .. });
        Ok((answer, changed))
    }

    fn create(&mut self, now: u64, record: &Record) -> Result<StoreAnswer, String> {
        if self.state.exists() {
            return Ok(StoreAnswer::Refused(Refusal::Conflict));
        }
        if self.state.founded || !self.state.fences.is_empty() {
            return Ok(StoreAnswer::Refused(Refusal::Fence));
        }
        let version = Version(0);
        let bytes = State::encoded(record)?;
        self.cluster = Some(record.cluster_id.clone());
        self.change(now, |state| {
            state.set(bytes, version);
            state.fences.insert(record.fence());
            state.founded = true;
        });
        Ok(StoreAnswer::Done { version })
    }

    fn swap(&mut self, now: u64, base: Version, fence: &Fence, record: &Record) -> Result<StoreAnswer, String> {
        if let Some(refusal) = self.refusal(base, fence) {
            return Ok(StoreAnswer::Refused(refusal));
        }
        let next = record.fence().key;
        if next != fence.key && self.state.fences.iter().any(|there| there.key == next) {
            return Ok(StoreAnswer::Refused(Refusal::Fence));
        }
        let version = base.next();
        let bytes = State::encoded(record)?;
        self.change(now, |state| {
            state.set(bytes, version);
            state.fences.remove(fence);
            state.fences.insert(record.fence());
        });
        Ok(StoreAnswer::Done { version })
    }

    fn touch(&mut self, now: u64, base: Version, fence: &Fence) -> StoreAnswer {
        if let Some(refusal) = self.refusal(base, fence) {
            return StoreAnswer::Refused(refusal);
        }
        let version = base.next();
        self.change(now, |state| state.touch(version));
        StoreAnswer::Done { version }
    }

    fn refusal(&self, base: Version, fence: &Fence) -> Option<Refusal> {
        if self.state.version() != Some(base) {
            return Some(Refusal::Conflict);
        }
        (!self.state.fences.contains(fence)).then_some(Refusal::Fence)
    }

    /// Whether a write of the singleton that checks this fence is accepted now.
    pub fn accepts(&self, session: SessionNo, fence: &FenceKey) -> bool {
        self.sessions[session].live && self.state.fences.iter().any(|there| there.key == *fence)
    }

    /// Whether a later term of the same cluster has written: also with its fence in the store, an earlier one does not any more.
    pub fn is_superseded(&self, fence: &FenceKey) -> bool {
        self.latest.as_ref().is_some_and(|latest| latest.cluster_id == fence.cluster_id && latest.term > fence.term)
    }

    /// A write of the singleton is committed.
    pub fn wrote(&mut self, fence: &FenceKey) {
        if !self.is_superseded(fence) {
            self.latest = Some(fence.clone());
        }
    }

    fn register(&mut self, now: u64, id: &NodeId, there: bool) {
        if self.state.registered.contains(id) != there {
            self.change(now, |state| {
                if there {
                    state.registered.insert(id.clone());
                } else {
                    state.registered.remove(id);
                }
            });
        }
    }
}

fn reading(state: &State) -> Reading {
    Reading {
        record: state.reads_as(),
        fences: state.fences.iter().cloned().collect(),
        registered: state.registered.iter().cloned().collect(),
    }
}

#[cfg(test)]
mod tests;
