//! The store: a register that is compared and set together with the fences, and what must hold of each change of it.

use crate::checker::Violation;
use crate::records::{Facts, Rec, Records, Set, runs};
use crate::rules::{Bounds, Broken, ByHand, Grain, Happened, Tally};

/// The record, and the store's version of it.
pub type Content = Option<(Rec, u8)>;

/// A write on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flight {
    Create(Rec),
    Swap { base: u8, from: Rec, to: Rec, takes_over: bool },
    Touch { base: u8 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hand {
    Off,
    /// The record was deleted, or replaced by one of a term before: nothing may be claimed until an operator restores it.
    Lost,
    /// The record was replaced by an earlier one of the same term: the fence cannot tell, and claims go on from there.
    SameTerm,
}

#[derive(Clone, Hash)]
pub struct Register {
    pub now: Content,
    /// What it was, the newest first, as far as followers lag.
    pub before: Vec<Content>,
    pub fences: Set,
    /// The parent of the fences is there since the first record was created.
    created: bool,
    pub hand: Hand,
    /// Runs that have been members and were removed.
    removed: Set,
    /// Fences that ever were.
    used: Set,
}

impl Register {
    pub fn empty() -> Self {
        Self { now: None, before: Vec::new(), fences: 0, created: false, hand: Hand::Off, removed: 0, used: 0 }
    }

    pub fn version(&self) -> Option<u8> {
        self.now.map(|(_, version)| version)
    }

    /// Whether the write would commit if it arrived now.
    pub fn takes(&self, flight: Flight, records: &mut Records, broken: Option<Broken>) -> bool {
        match flight {
            Flight::Create(_) if broken == Some(Broken::CreateIgnoresFences) => self.now.is_none(),
            Flight::Create(_) => {
                let parent = self.created && broken != Some(Broken::CreateIgnoresParent);
                self.now.is_none() && self.fences == 0 && !parent
            }
            Flight::Touch { base } => self.version() == Some(base),
            Flight::Swap { takes_over: true, .. } if broken == Some(Broken::TakeOverWithoutCompare) => true,
            Flight::Swap { base, from, to, .. } => {
                let fencing = records.fencing(from, to);
                let fenced = self.fences & fencing.must_be == fencing.must_be && self.fences & fencing.must_not_be == 0;
                let compared = match broken {
                    Some(Broken::VersionNotCompared) => self.now.is_some(),
                    _ => self.version() == Some(base),
                };
                compared && (fenced || broken == Some(Broken::FenceNotChecked))
            }
        }
    }

    /// # Errors
    /// The write makes of the record what must never be.
    pub fn commit(&mut self, flight: Flight, world: &mut Within<'_>) -> Result<(), Violation> {
        let (to, fencing) = match flight {
            Flight::Touch { .. } => {
                if world.broken != Some(Broken::TouchIsNoWrite) {
                    let (rec, version) = self.now.expect("it takes the write");
                    self.replace(Some((rec, version + 1)), world.bounds);
                }
                return Ok(());
            }
            Flight::Create(to) => (to, None),
            Flight::Swap { from, to, .. } => (to, Some(world.records.fencing(from, to))),
        };
        if self.hand == Hand::Lost {
            return Err("a record that was lost is written over");
        }
        let after = world.records.facts(to);
        world.records.record(to).validate().map_err(|invalid| invalid.0)?;
        match self.now {
            None if self.created => return Err("there is a second cluster"),
            None => {}
            Some((from, _)) => {
                if world.records.record(from).cluster_id != world.records.record(to).cluster_id {
                    return Err("the cluster's id changes");
                }
                let before = world.records.facts(from);
                if self.hand == Hand::Off {
                    follows(before, after)?;
                }
                self.removed |= before.members & !after.members;
            }
        }
        if self.hand == Hand::Off && after.members & self.removed != 0 {
            return Err("a removed run is a member again");
        }
        if after.fence & !self.fences & self.used != 0 {
            return Err("a term is there twice");
        }
        if world.broken != Some(Broken::FenceNotSwapped) || fencing.is_none() {
            self.fences = self.fences & !fencing.map_or(0, |fencing| fencing.must_be) | after.fence;
        }
        self.used |= after.fence;
        self.let_in(world.records)?;
        if self.fences != after.fence {
            return Err("the fences are not exactly the owner's");
        }
        self.created = true;
        let version = self.version().map_or(0, |version| version + 1);
        self.replace(Some((to, version)), world.bounds);
        note(world, flight, to);
        Ok(())
    }

    fn replace(&mut self, now: Content, bounds: Bounds) {
        let kept = match bounds.grain {
            _ if bounds.by_hand != ByHand::Nothing => usize::MAX,
            Grain::Fine { lag } => lag,
            Grain::Coarse => 0,
        };
        self.before.insert(0, self.now);
        self.before.truncate(kept);
        self.now = now;
    }

    /// Somebody deletes the record, and perhaps writes another in its place; the fences are left.
    pub fn by_hand(&mut self, content: Content, world: &mut Within<'_>) {
        let facts = |content: Content| content.map(|(rec, _)| world.records.facts(rec));
        self.hand = match (facts(self.now), facts(content)) {
            (Some(now), Some(then)) if now.fence == then.fence => Hand::SameTerm,
            _ => Hand::Lost,
        };
        // Whoever puts an old record back brings its members back.
        self.removed &= !facts(content).map_or(0, |facts| facts.members);
        let deleted = content.is_none();
        world.tally.note(if deleted { Happened::DeletedByHand } else { Happened::RolledBackByHand });
        self.replace(content, world.bounds);
    }

    /// From each owner that ever was a write of its singleton may be on its way, which checks the fence of that owner's term when it
    /// arrives. None may be let in when another term has begun.
    fn let_in(&self, records: &Records) -> Result<(), Violation> {
        let newest = records.terms(self.used).into_iter().max();
        let late = records.terms(self.fences).into_iter().any(|term| Some(term) < newest);
        if late { Err("a singleton's write of an earlier term is let in") } else { Ok(()) }
    }
}

/// What a step changes besides the state.
pub struct Within<'a> {
    pub records: &'a mut Records,
    pub tally: &'a mut Tally,
    pub bounds: Bounds,
    pub broken: Option<Broken>,
}

fn follows(before: Facts, after: Facts) -> Result<(), Violation> {
    if after.epoch != before.epoch + 1 {
        return Err("epochs do not count up");
    }
    let moved = after.owner.is_some() && after.owner != before.owner;
    if after.term != before.term + u64::from(moved) {
        return Err("terms do not count the changes of owner");
    }
    Ok(())
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
        None if after.owner != before.owner => Happened::MovedOwner,
        None => return,
    };
    world.tally.note(happened);
}
