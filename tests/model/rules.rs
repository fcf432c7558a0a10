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
    /// Times that somebody changes the store past all nodes: deletes the record, or puts back one that was, be it the newest. After each
    /// the operator may restore the record.
    pub hands: u8,
    /// What is put back by hand may have any version that somebody waits for, as when it is deleted, made anew, and written so often; if
    /// not, it has one that never was. If answers are lost too, in the larger steps only.
    pub rewinds: bool,
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
    /// A joiner that cannot know whether it has been a member, as the record is lost, waits for it as the same run.
    UnknownWaitsAsTheSame,
    /// Who has been removed joins again as the same run.
    RemovedJoinsAgain,
    VersionNotCompared,
    /// Whoever takes over writes without comparing.
    TakeOverWithoutCompare,
    /// The change of the record does nothing to the fence.
    FenceNotSwapped,
    /// A change does not look whether the fence is as it needs it.
    FenceNotChecked,
    /// A change compares the key of the fence, and not the epoch under it.
    EpochNotCompared,
    /// The write that settles compares the version alone.
    TouchWithoutFence,
    /// The first record is created whatever was left of another.
    CreateIgnoresFences,
    /// The first record is created if no fence is left, though their parent is.
    CreateIgnoresParent,
    /// Another owner, the same term.
    TermStays,
    /// Nobody owns any more, and the term is the same.
    TermStaysForNobody,
    /// Who reads a record does not look at the fence beside it.
    FenceNotDoubted,
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
    DeletedWithFence,
    PutBackByHand,
    PutRightByHand,
    PutRightByLateWrite,
    Restored,
    WentOnOnceRight,
    Stranded,
    FoundAgainAsMember,
    FoundAgainAsNewcomer,
    StoodDownWhenRestored,
    FoundItselfUnjoined,
}

/// How many steps each of them was in.
pub struct Tally([u64; Happened::ALL.len()]);

impl Default for Tally {
    fn default() -> Self {
        Self([0; Happened::ALL.len()])
    }
}

impl Tally {
    pub fn note(&mut self, happened: Happened) {
        self.0[happened as usize] += 1;
    }

    pub fn of(&self, happened: Happened) -> u64 {
        self.0[happened as usize]
    }
}
