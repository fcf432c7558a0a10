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
    /// Changes of the record do not compare its version.
    VersionNotCompared,
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
