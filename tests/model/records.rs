//! All records that a model meets, each under a number, made by the functions that the product uses.

use std::collections::{BTreeSet, HashMap};

use doyen_cluster::changes::{By, Newcomer};
use doyen_cluster::ids::{Address, Age, ClaimId, NodeId, Version};
use doyen_cluster::membership::standing::{Standing, standing};
use doyen_cluster::record::{Fence, MemberState, Reason, Record};
use doyen_cluster::store::{self, Stored};
use doyen_cluster::succession;
use doyen_cluster::versions::Versions;

use crate::checker::{Mixed, Violation};
use crate::register::Reading;
use crate::rules::Broken;

/// A set of runs: a bit each.
pub type Set = u64;

/// A run of a node: the eighths of the number are the places, the rest counts the runs at each.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Run(pub u8);

impl Run {
    pub const MOST: u8 = 7;

    pub fn new(place: usize, number: u8) -> Self {
        assert!(place < 4 && number <= Self::MOST, "four places, seven runs each");
        Self(place as u8 * 8 + number)
    }

    pub fn place(self) -> usize {
        usize::from(self.0 / 8)
    }

    pub fn bit(self) -> Set {
        1 << self.0
    }
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}#{}", char::from(b'a' + self.0 / 8), self.0 % 8)
    }
}

/// The number of a record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Rec(u16);

/// What a claimant wants; `reaching` is the one other member, if any, that it believes to reach the store: since the oldest of those is
/// chosen, each outcome of a larger set is that of one with a single member.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Change {
    Found,
    Join { reaching: Option<Run> },
    TakeOver,
    Remove { gone: Set, own: bool },
    MoveOwner,
    BeginToLeave { reaching: Option<Run> },
    Leave { reaching: Option<Run> },
}

/// The number of a fence, with the epoch that lies under its key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FenceNo(u16);

/// What the model asks of a record again and again.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    pub members: Set,
    pub leaving: Set,
    pub owner: Option<Run>,
    pub fence: FenceNo,
    pub epoch: u64,
}

/// What a reading says to a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Meaning {
    /// There is no record, and nothing of an earlier one.
    Nothing,
    /// There is no record, but a fence.
    FenceLeft,
    Good,
    Doubtful,
}

/// What was known, and the record and the fence that are read.
type Read = (Option<Rec>, Option<Rec>, Option<FenceNo>);

pub struct Records {
    /// Whether the second place has the name of the first.
    twins: bool,
    broken: Option<Broken>,
    all: Vec<(Record, Facts)>,
    numbers: HashMap<Record, Rec>,
    made: HashMap<(Option<Rec>, Run, Change), Option<Rec>, Mixed>,
    follow: HashMap<(Rec, Rec), Option<Violation>, Mixed>,
    meanings: HashMap<Read, Meaning, Mixed>,
    fences: Vec<Fence>,
}

impl Records {
    pub fn new(twins: bool, broken: Option<Broken>) -> Self {
        Self {
            twins,
            broken,
            all: Vec::new(),
            numbers: HashMap::new(),
            made: HashMap::default(),
            follow: HashMap::default(),
            meanings: HashMap::default(),
            fences: Vec::new(),
        }
    }

    pub fn facts(&self, rec: Rec) -> Facts {
        self.all[usize::from(rec.0)].1
    }

    pub fn record(&self, rec: Rec) -> &Record {
        &self.all[usize::from(rec.0)].0
    }

    /// The places that have the same name as this.
    pub fn namesakes(&self, place: usize) -> Set {
        let runs = |place: usize| 0xff << (place * 8);
        if self.twins && place < 2 { runs(0) | runs(1) } else { runs(place) }
    }

    fn id(&self, run: Run) -> NodeId {
        let name = if self.twins && run.place() == 1 { "a" } else { ["a", "b", "c", "d"][run.place()] };
        NodeId::new(name, u64::from(run.0))
    }

    fn ids(&self, runs: impl IntoIterator<Item = Run>) -> BTreeSet<NodeId> {
        runs.into_iter().map(|run| self.id(run)).collect()
    }

    /// The record after the change; none if the change is none.
    pub fn changed(&mut self, from: Option<Rec>, run: Run, change: Change) -> Option<Rec> {
        let key = (from, run, change);
        if let Some(known) = self.made.get(&key) {
            return *known;
        }
        let made = self.make(from, run, change).map(|record| self.number(record));
        self.made.insert(key, made);
        made
    }

    fn make(&self, from: Option<Rec>, run: Run, change: Change) -> Option<Record> {
        let id = self.id(run);
        let by = By { node: id.clone(), claim_id: ClaimId::from("-") };
        let versions = Versions { major: 0, minor: 1, protocol: 1, store: 1 };
        let newcomer = Newcomer { id: id.clone(), address: Address::from("-"), roles: Vec::new(), versions };
        let Some(before) = from.map(|rec| self.record(rec)) else {
            let cluster = format!("of {run:?}");
            return (change == Change::Found).then(|| Record::first(cluster.as_str().into(), &newcomer, by));
        };
        let mut after = match change {
            Change::Found => return None,
            Change::Join { reaching } => before.joined(&newcomer, &self.ids(reaching), by).ok()?,
            Change::TakeOver => before.taken_over(&newcomer, by),
            Change::Remove { gone, own } => {
                let gone = self.ids(runs(gone));
                let owner = before.owner.clone().filter(|owner| !own && !gone.contains(owner)).unwrap_or(id);
                before.without(&gone, &owner, by)
            }
            Change::MoveOwner => before.owned_by(&id, by),
            Change::BeginToLeave { reaching } => before.leaving(&id, &self.ids(reaching), by),
            Change::Leave { reaching } => before.left(&id, &self.ids(reaching), by),
        };
        let stays = match self.broken {
            Some(Broken::TermStays) => true,
            Some(Broken::TermStaysForNobody) => after.owner.is_none(),
            _ => false,
        };
        if stays {
            after.term = before.term;
        }
        Some(after)
    }

    /// Who decided, why and under which claim is for those who read it: nothing depends on it.
    fn number(&mut self, mut record: Record) -> Rec {
        record.decided_by = NodeId::new("-", 0);
        record.reason = Reason::Join;
        record.claim_id = ClaimId::from("-");
        if let Some(known) = self.numbers.get(&record) {
            return *known;
        }
        let rec = Rec(u16::try_from(self.all.len()).expect("fewer than 65,536 records"));
        let facts = self.measure(&record);
        self.numbers.insert(record.clone(), rec);
        self.all.push((record, facts));
        rec
    }

    fn measure(&mut self, record: &Record) -> Facts {
        let run = |id: &NodeId| Run(u8::try_from(id.incarnation.0).expect("incarnations are numbers of runs"));
        let leaving = record.members.iter().filter(|m| m.state == MemberState::Leaving);
        Facts {
            members: record.members.iter().map(|m| run(&m.id).bit()).sum(),
            leaving: leaving.map(|m| run(&m.id).bit()).sum(),
            owner: record.owner.as_ref().map(run),
            fence: self.fence_no(record.fence()),
            epoch: record.epoch.0,
        }
    }

    fn fence_no(&mut self, fence: Fence) -> FenceNo {
        let at = self.fences.iter().position(|known| *known == fence).unwrap_or_else(|| {
            self.fences.push(fence);
            self.fences.len() - 1
        });
        FenceNo(u16::try_from(at).expect("fewer than 65,536 fences"))
    }

    pub fn fence(&self, number: FenceNo) -> &Fence {
        &self.fences[usize::from(number.0)]
    }

    pub fn same_key(&self, one: FenceNo, other: FenceNo) -> bool {
        self.fence(one).key == self.fence(other).key
    }

    /// What an operator writes when the record is lost; the fence tells how far it had come.
    pub fn restored(&mut self, fence: FenceNo, left: Option<Rec>) -> Rec {
        let Fence { key, epoch } = self.fence(fence).clone();
        let by = By { node: NodeId::new("-", 0), claim_id: ClaimId::from("-") };
        let next_age = left.map_or(Age(0), |rec| self.record(rec).next_age);
        self.number(Record::restored(key.cluster_id, epoch, key.term, next_age, by))
    }

    /// # Errors
    /// No change leads from one record to the other.
    pub fn follows(&mut self, before: Rec, after: Rec) -> Result<(), Violation> {
        if let Some(known) = self.follow.get(&(before, after)) {
            return known.map_or(Ok(()), Err);
        }
        let result = succession::follows(self.record(before), self.record(after)).map_err(|invalid| invalid.0);
        self.follow.insert((before, after), result.err());
        result
    }

    pub fn meaning(&mut self, known: Option<Rec>, reading: Reading) -> Meaning {
        let read = reading.content.map(|(rec, _)| rec);
        let key = (known, read, reading.fence);
        if let Some(meaning) = self.meanings.get(&key) {
            return *meaning;
        }
        let stored = |rec: Rec| Stored { record: self.record(rec).clone(), version: Version(0) };
        let mut fences: Vec<Fence> = reading.fence.map(|number| self.fence(number).clone()).into_iter().collect();
        if self.broken == Some(Broken::FenceNotDoubted) {
            fences = read.map(|rec| self.record(rec).fence()).into_iter().collect();
        }
        let reading = store::Reading { record: Ok(read.map(stored)), fences, registered: Vec::new() };
        let meaning = match standing(known.map(stored).as_ref(), false, &reading) {
            Standing::Nothing { fences: None } => Meaning::Nothing,
            Standing::Nothing { fences: Some(_) } => Meaning::FenceLeft,
            Standing::Good(_) => Meaning::Good,
            Standing::Doubtful(_) => Meaning::Doubtful,
        };
        self.meanings.insert(key, meaning);
        meaning
    }

    /// `a#1*l b#2`: the owner has a star, who leaves has an l.
    pub fn tell(&self, rec: Rec) -> String {
        let (record, facts) = &self.all[usize::from(rec.0)];
        let mut told = format!("{} epoch {} term {}:", record.cluster_id, record.epoch, record.term);
        for member in &record.members {
            let run = Run(member.id.incarnation.0 as u8);
            let star = if facts.owner == Some(run) { "*" } else { "" };
            let leaving = if facts.leaving & run.bit() == 0 { "" } else { "l" };
            told.push_str(&format!(" {run:?}{star}{leaving}"));
        }
        told
    }
}

pub fn runs(set: Set) -> impl Iterator<Item = Run> {
    (0..32).filter(move |at| set >> at & 1 == 1).map(Run)
}
