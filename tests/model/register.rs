//! The store: a register that is compared and set together with the fence beside it, and what must hold of each change of it.

use crate::checker::Violation;
use crate::records::{Facts, FenceNo, Rec, Records, Set, runs};
use crate::rules::{Bounds, Broken, Grain, Happened, Tally};

/// The record, and the store's version of it.
pub type Content = Option<(Rec, u8)>;

/// All that a read tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reading {
    pub content: Content,
    pub fence: Option<FenceNo>,
}

/// A write on its way. `from` is the record that it was made for, whose fence it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flight {
    Create(Rec),
    Swap { base: u8, from: Rec, to: Rec, takes_over: bool },
    Touch { base: u8, from: Rec },
}

impl Flight {
    pub fn base(self) -> Content {
        match self {
            Self::Create(_) => None,
            Self::Swap { base, from, .. } | Self::Touch { base, from } => Some((from, base)),
        }
    }
}

#[derive(Clone, Hash)]
pub struct Register {
    pub now: Reading,
    /// What it was, the newest first, as far as followers lag.
    pub before: Vec<Reading>,
    /// All records that were ever committed, if somebody may put one back.
    pub history: Vec<Rec>,
    /// The record that was committed last; since there was one, the parent of the fences is there.
    pub last: Option<Rec>,
    /// Runs that have been members.
    ever: Set,
    /// The highest version that ever was.
    pub highest: u8,
}

impl Register {
    pub fn empty() -> Self {
        let now = Reading { content: None, fence: None };
        Self { now, before: Vec::new(), history: Vec::new(), last: None, ever: 0, highest: 0 }
    }

    pub fn version(&self) -> Option<u8> {
        self.now.content.map(|(_, version)| version)
    }

    /// Somebody has changed it by hand: nothing may be claimed until the record is put right, or an operator restores it.
    pub fn is_lost(&self, records: &Records) -> bool {
        self.last.is_some() && self.now.content.is_none_or(|(rec, _)| Some(records.facts(rec).fence) != self.now.fence)
    }

    /// Whether the fence is as the write needs it. Once it is not it never is again, as fences are never put back.
    pub fn fenced(&self, flight: Flight, records: &Records, broken: Option<Broken>) -> bool {
        let exactly = |from: Rec| self.now.fence == Some(records.facts(from).fence);
        let key = |from: Rec| self.now.fence.is_some_and(|fence| records.same_key(fence, records.facts(from).fence));
        match (flight, broken) {
            (Flight::Create(_), Some(Broken::CreateIgnoresFences)) => true,
            (Flight::Create(_), Some(Broken::CreateIgnoresParent)) => self.now.fence.is_none(),
            (Flight::Create(_), _) => self.now.fence.is_none() && self.last.is_none(),
            (Flight::Swap { takes_over: true, .. }, Some(Broken::TakeOverWithoutCompare)) => true,
            (Flight::Swap { .. }, Some(Broken::FenceNotChecked)) => true,
            (Flight::Swap { from, .. }, Some(Broken::EpochNotCompared)) => key(from),
            (Flight::Touch { .. }, Some(Broken::TouchWithoutFence)) => true,
            (Flight::Swap { from, .. } | Flight::Touch { from, .. }, _) => exactly(from),
        }
    }

    /// Whether the write would commit if it arrived now.
    pub fn takes(&self, flight: Flight, records: &Records, broken: Option<Broken>) -> bool {
        let compared = match (flight, broken) {
            (Flight::Create(_), _) => self.version().is_none(),
            (Flight::Swap { .. }, Some(Broken::VersionNotCompared)) => self.version().is_some(),
            (Flight::Swap { takes_over: true, .. }, Some(Broken::TakeOverWithoutCompare)) => true,
            (Flight::Swap { base, .. } | Flight::Touch { base, .. }, _) => self.version() == Some(base),
        };
        compared && self.fenced(flight, records, broken)
    }

    /// # Errors
    /// The write makes of the record what must never be.
    pub fn commit(&mut self, flight: Flight, world: &mut Within<'_>) -> Result<(), Violation> {
        let to = match flight {
            Flight::Create(to) | Flight::Swap { to, .. } => to,
            Flight::Touch { .. } => {
                if world.broken != Some(Broken::TouchIsNoWrite) {
                    let touched = self.now.content.map(|(rec, version)| (rec, version + 1));
                    self.replace(Reading { content: touched, ..self.now }, world.bounds);
                }
                return Ok(());
            }
        };
        if self.is_lost(world.records) {
            // Made for the newest record before it was lost, a write may find the version by chance: it puts all right.
            if flight.base().map(|(from, _)| from) != self.last {
                return Err("a record that was lost is written over");
            }
            world.tally.note(Happened::PutRightByLateWrite);
        }
        let after = world.records.facts(to);
        world.records.record(to).validate().map_err(|invalid| invalid.0)?;
        let mut fence = Some(after.fence);
        if let Some(from) = self.last {
            let before = world.records.facts(from);
            self.changed(before, after, world.records)?;
            world.records.follows(from, to)?;
            if world.broken == Some(Broken::FenceNotSwapped) {
                fence = self.now.fence;
            }
        }
        // From each owner that ever was a write of its singleton may be on its way, which checks the key of its term when it arrives.
        if !fence.is_some_and(|fence| world.records.same_key(fence, after.fence)) {
            return Err("a singleton's write of an earlier term is let in");
        }
        self.ever |= after.members;
        self.put(to, fence, self.version().map_or(0, |version| version + 1), world.bounds);
        note(world, flight, to);
        Ok(())
    }

    fn changed(&self, before: Facts, after: Facts, records: &Records) -> Result<(), Violation> {
        if after.members & self.ever & !before.members != 0 {
            return Err("a removed run is a member again");
        }
        if before.owner != after.owner && records.same_key(before.fence, after.fence) {
            return Err("a singleton's write of an earlier owner is let in");
        }
        Ok(())
    }

    pub fn put(&mut self, rec: Rec, fence: Option<FenceNo>, version: u8, bounds: Bounds) {
        self.last = Some(rec);
        self.replace(Reading { content: Some((rec, version)), fence }, bounds);
        if bounds.hands > 0 {
            self.history.push(rec);
        }
    }

    pub fn replace(&mut self, now: Reading, bounds: Bounds) {
        let kept = match bounds.grain {
            Grain::Fine { lag } => lag,
            Grain::Coarse => 0,
        };
        self.before.insert(0, self.now);
        self.before.truncate(kept);
        self.now = now;
        self.highest = self.highest.max(self.version().unwrap_or(0));
    }
}

/// What a step changes besides the state.
pub struct Within<'a> {
    pub records: &'a mut Records,
    pub tally: &'a mut Tally,
    pub bounds: Bounds,
    pub broken: Option<Broken>,
}

fn note(world: &mut Within<'_>, flight: Flight, to: Rec) {
    let Flight::Swap { from, takes_over, .. } = flight else {
        return world.tally.note(Happened::Founded);
    };
    let (before, after) = (world.records.facts(from), world.records.facts(to));
    let came = runs(after.members & !before.members).next();
    let went = before.members & !after.members;
    let happened = match came {
        Some(_) if takes_over => Happened::TookOver,
        Some(_) if before.members == 0 => Happened::CameToNobody,
        Some(_) if went == 0 => Happened::Joined,
        Some(_) if before.owner.is_some_and(|owner| owner.bit() & went != 0) => Happened::OwnerRejoined,
        Some(_) => Happened::Rejoined,
        None if after.members == 0 => Happened::LastOneLeft,
        None if after.leaving & !before.leaving != 0 && after.owner != before.owner => Happened::HandedOver,
        None if went != 0 => Happened::RemovedOthers,
        None if after.leaving == before.leaving && after.owner != before.owner => Happened::MovedOwner,
        None => return,
    };
    world.tally.note(happened);
}
