//! How far a model goes, which rule is broken in it, and what happened in it.

/// What a model is bounded by. Everything within the bounds is visited.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Places where a node runs: two to four.
    pub nodes: usize,
    /// The second place has the name of the first, as if it was set up twice or its first run was frozen.
    pub twins: bool,
    /// Changes of the record.
    pub epochs: u64,
    /// Runs that follow another run at the same place, all places together.
    pub restarts: u8,
    /// Answers that never come, all together, those of settling included.
    pub losses: u8,
    pub grain: Grain,
    pub by_hand: ByHand,
}

/// How finely the model cuts what happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grain {
    /// To read, to claim, the arrival at the store and the answer are steps of their own. A node claims upon what it has read, whenever
    /// that was; it also reads what the record was up to this many changes ago.
    Fine { lag: usize },
    /// A claim that is answered is one step: while it is under way its node does nothing else, and if another is faster it is refused
    /// and changes nothing. So this misses refusals only. What is lost, late or left behind by a crash has its steps as before.
    Coarse,
}

/// What somebody does to the record once, past all nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByHand {
    Nothing,
    Deletes,
    /// Puts back one of those before, as a change, or as a new entry of the store whose versions begin at 0 again.
    RollsBack,
    /// The same, but only one without members.
    RollsBackToNobody,
}

/// A mechanism without which something that must never be can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// No answer is taken for "no": the claim is tried again.
    BlindRetry,
    /// A claim without answer is settled by a read.
    ReadInsteadOfTouch,
    /// The write that settles does not raise the version.
    TouchIsNoWrite,
    /// What the claim has become is judged by a read of a follower that lags.
    JudgedByOldRead,
    /// A joiner that cannot know whether it has been a member tries again as the same run.
    SameIncarnation,
    /// Who has been removed joins again as the same run.
    RemovedJoinsAgain,
    VersionNotCompared,
    /// Whoever takes over writes without comparing.
    TakeOverWithoutCompare,
    /// The change of the record does nothing to the fences.
    FenceNotSwapped,
    /// A change does not look whether the fences are as it needs them.
    FenceNotChecked,
    /// The first record is created whatever fences were left.
    CreateIgnoresFences,
    /// The first record is created without the parent of the fences, which outlives the fence of an owner.
    CreateIgnoresParent,
    /// Another owner, the same term.
    TermStays,
}

macro_rules! happenings {
    ($($name:ident),* $(,)?) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Happened { $($name),* }

        impl Happened {
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

happenings! {
    Founded,
    Joined,
    Rejoined,
    OwnerRejoined,
    TookOver,
    RemovedOthers,
    MovedOwner,
    HandedOver,
    LastOneLeft,
    CameToNobody,
    RefusedAsTooLate,
    LostAfterCommit,
    LostBeforeCommit,
    CommittedAfterLoss,
    CommittedAfterCrash,
    FencedOffByTouch,
    TouchLost,
    RecognisedAsMember,
    RecognisedAsOver,
    BeganAnewAsUnknown,
    FoundItselfRemoved,
    SettledFoundItselfRemoved,
    ReadOld,
    DeletedByHand,
    RolledBackByHand,
    Stranded,
}

/// How many steps each of them was in.
#[derive(Debug, Clone, Default)]
pub struct Tally([u64; Happened::ALL.len()]);

impl Tally {
    pub fn note(&mut self, happened: Happened) {
        self.0[happened as usize] += 1;
    }

    pub fn of(&self, happened: Happened) -> u64 {
        self.0[happened as usize]
    }
}
