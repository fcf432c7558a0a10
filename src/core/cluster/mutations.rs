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
    /// A node that the others cannot hear removes them.
    AccusedClaimsToo,
    /// An owner without the store is not relieved.
    OwnerWithoutStoreStays,
    /// A change whose answer is lost is tried again without settling it.
    ClaimRetriedBlindly,
    /// A join that may have been committed is tried again by the same run.
    JoinRetriedAsTheSame,
    /// A node does not notice that it was stopped.
    PauseNotNoticed,
    /// One reading is enough to take the record for lost.
    DoubtNotConfirmed,
    /// A node whose record is gone founds another cluster.
    LostRecordIgnored,
    /// Seeds found a cluster without waiting for those before them.
    FoundedWithoutWait,
    /// A member that does not answer a newcomer is taken for gone.
    SilenceIsProof,
    /// A newcomer does not answer heartbeats before it knows that it has joined.
    NewcomerIsMute,
    /// What nodes say that are no members is listened to.
    StrangersHeard,
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

    #[cfg(feature = "mutations")]
    pub fn is(self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    #[cfg(not(feature = "mutations"))]
    pub fn is(self, _: Mutation) -> bool {
        false
    }
}
