//! Versions of the product and of what it speaks, and which work together.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a node runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Versions {
    pub major: u32,
    pub minor: u32,
    /// Of the messages between nodes.
    pub protocol: u32,
    /// Of the layout in the store.
    pub store: u32,
}

impl Versions {
    /// One minor version either side works together, so that an upgrade may roll; protocol and store likewise.
    pub fn fits(self, other: Self) -> bool {
        let near = |a: u32, b: u32| a.abs_diff(b) <= 1;
        self.major == other.major
            && near(self.minor, other.minor)
            && near(self.protocol, other.protocol)
            && near(self.store, other.store)
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} (protocol {}, store {})", self.major, self.minor, self.protocol, self.store)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(other: (u32, u32, u32, u32), fits: bool) {
        let ours = Versions { major: 1, minor: 4, protocol: 2, store: 2 };
        let (major, minor, protocol, store) = other;
        let theirs = Versions { major, minor, protocol, store };
        assert_eq!((ours.fits(theirs), theirs.fits(ours)), (fits, fits), "{theirs}");
    }

    #[test]
    fn one_minor_version_either_side_works_together() {
        check((1, 4, 2, 2), true);
        check((1, 3, 2, 2), true);
        check((1, 5, 3, 3), true);
    }

    #[test]
    fn anything_else_does_not() {
        check((1, 6, 2, 2), false);
        check((1, 2, 2, 2), false);
        check((2, 4, 2, 2), false);
        check((1, 4, 4, 2), false);
        check((1, 4, 2, 4), false);
    }
}
