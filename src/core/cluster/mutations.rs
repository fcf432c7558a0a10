//! Switches that break one mechanism each. Tests show with them that the simulator would notice if the mechanism were lost.
//! Without the feature `mutations` none can be switched on, and the compiler drops them.

use serde::{Deserialize, Serialize};

macro_rules! mutations {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Mutation {
            $($(#[$doc])* $name),*
        }

        impl Mutation {
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

mutations! {
    /// A single accuser makes a member unreachable.
    OneAccuserIsEnough,
    /// Members are removed as soon as they are unreachable.
    NoStability,
    /// The side that keep-oldest does not prefer waits no longer than the other.
    NoArbiterDelay,
    /// The delay goes on though other members have become unreachable.
    ViewChangeKeepsClock,
    /// A silence is suspicious as soon as it is longer than usual.
    PauseNotAccepted,
    /// A node that the others cannot hear removes them.
    AccusedClaimsToo,
    /// Each of a side claims, not only the oldest.
    AnyoneClaims,
    /// The oldest of a side claims, also if it cannot reach the store.
    ClaimantWithoutStore,
    /// An owner without the store is not relieved.
    OwnerWithoutStoreStays,
    /// An owner without the store is relieved at once.
    NoPatience,
    /// Patience also runs while the claimant itself cannot reach the store.
    PatienceWithoutStore,
    /// A change whose answer is lost is taken for committed.
    LostIsCommitted,
    /// A join that may have been committed is tried again by the same run.
    JoinRetriedAsTheSame,
    /// A claim is made for the record before the last join.
    JoinerForgotten,
    /// A change of owner begins no term.
    TermKept,
    /// Writes of the singleton do not check the fence (the simulated store).
    FenceNotChecked,
    /// A record beside which there is another fence is gone by.
    FenceNotCompared,
    /// A node that was removed goes on.
    RemovedGoesOn,
    /// Who owns no more goes on running the singleton.
    SingletonNotStopped,
    /// A node does not notice that it was stopped.
    PauseNotNoticed,
    /// A node that was stopped goes by what it knew before.
    PauseWithoutLook,
    /// One reading is enough to take the record for lost.
    DoubtNotConfirmed,
    /// A node whose record is gone founds another cluster.
    LostRecordIgnored,
    /// Who has lost the record goes on running the singleton.
    StrandedGoesOn,
    /// Fences that are left do not keep a newcomer from founding.
    FencesLeftIgnored,
    /// Seeds found a cluster without waiting for those before them.
    FoundedWithoutWait,
    /// A member that does not answer a newcomer is taken for gone.
    SilenceIsProof,
    /// A member that is registered is taken for gone after a while.
    RegistrationIgnored,
    /// A newcomer takes the place of a living node of its name.
    NamesakeNotAsked,
    /// A newcomer takes the age of its earlier run.
    RejoinKeepsAge,
    /// A newcomer's earlier run stays a member.
    RejoinKeepsRun,
    /// A newcomer does not answer heartbeats before it knows that it has joined.
    NewcomerIsMute,
    /// A newcomer is accused at once.
    NewcomerNotGraced,
    /// Who says at any time that it is another run proves that the member has ended.
    StaleAnswerIsProof,
    /// A node that answers and does not advance looks healthy.
    WedgedLooksHealthy,
    /// What was last heard of a node counts forever.
    RowsForever,
    /// An accusation is never taken back.
    AccusedForever,
    /// A leaver ends without a word in the record.
    LeavesSilently,
    /// A node without the store is ready while another reaches it.
    ReadyWithoutStore,
    /// No node is ready when none reaches the store.
    UnreadyTogether,
    /// A newcomer joins though members do not hear it who would have it removed again.
    JoinsUnheard,
    /// Of two, the one that hears that it is not heard does not take itself for cut off.
    DeafnessIgnored,
    /// To a node without the store, members that others accuse reach nothing.
    AccusedReachNothing,
    /// A node without the store does not believe a member that it cannot read of.
    UnknownNotBelieved,
    /// One that enough others accuse claims as soon as it reaches the store, before those can have said that they do.
    AccusedDoesNotWait,
    /// An owner that has been silent for a while is relieved as if it had said that it does not reach the store.
    SilenceIsNoStore,
    /// An owner commits nothing before it has something to write (the simulated shell).
    TermNotBegun,
    /// The log does not remember which term was the latest to write (the simulated store).
    LatestTermForgotten,
    /// A newcomer forgets that it was told of a record which it did not go by.
    DoubtfulForgotten,
    /// A claim does not wait until members that have just joined can have said whom they hear.
    NewcomerNotAwaited,
    /// Who has read the record looks again before it claims, however long that takes.
    LooksFirst,
}

/// The one mechanism that is broken in a node; none outside of tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Broken {
    mutation: Option<Mutation>,
}

impl Broken {
    #[cfg(feature = "mutations")]
    pub fn only(mutation: Mutation) -> Self {
        Self { mutation: Some(mutation) }
    }

    /// Whether anything is broken.
    pub fn any(self) -> bool {
        cfg!(feature = "mutations") && self.mutation.is_some()
    }

    #[cfg(feature = "mutations")]
    pub fn is(self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    #[cfg(not(feature = "mutations"))]
    pub fn is(self, _: Mutation) -> bool {
        false
    }
}
