//! Permissions: the 19 of Spark Jobserver (`*`, four groups, 14 single ones), and those of what it does not have.

use std::fmt;

/// A single permission; the reference's words where it has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    BinariesRead,
    BinariesUpload,
    BinariesDelete,
    ContextsRead,
    ContextsStart,
    ContextsStop,
    ContextsReset,
    JobsRead,
    JobsStart,
    JobsStop,
    DataRead,
    DataUpload,
    DataDelete,
    DataReset,
    /// Create, list and revoke tokens of one's own.
    TokensOwn,
    /// The same for everybody's.
    TokensAll,
    MetricsRead,
}

impl Permission {
    pub const ALL: [Self; 17] = [
        Self::BinariesRead,
        Self::BinariesUpload,
        Self::BinariesDelete,
        Self::ContextsRead,
        Self::ContextsStart,
        Self::ContextsStop,
        Self::ContextsReset,
        Self::JobsRead,
        Self::JobsStart,
        Self::JobsStop,
        Self::DataRead,
        Self::DataUpload,
        Self::DataDelete,
        Self::DataReset,
        Self::TokensOwn,
        Self::TokensAll,
        Self::MetricsRead,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::BinariesRead => "binaries:read",
            Self::BinariesUpload => "binaries:upload",
            Self::BinariesDelete => "binaries:delete",
            Self::ContextsRead => "contexts:read",
            Self::ContextsStart => "contexts:start",
            Self::ContextsStop => "contexts:delete",
            Self::ContextsReset => "contexts:reset",
            Self::JobsRead => "jobs:read",
            Self::JobsStart => "jobs:start",
            Self::JobsStop => "jobs:delete",
            Self::DataRead => "data:read",
            Self::DataUpload => "data:upload",
            Self::DataDelete => "data:delete",
            Self::DataReset => "data:reset",
            Self::TokensOwn => "tokens:own",
            Self::TokensAll => "tokens:all",
            Self::MetricsRead => "metrics:read",
        }
    }

    /// The word that grants it together with its kin, like `jobs`.
    pub fn group(self) -> &'static str {
        self.name().split(':').next().unwrap_or_default()
    }

    fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// A word that is no permission.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no permission")]
pub struct UnknownPermission(pub String);

/// A set of permissions.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Grants(u32);

impl Grants {
    pub const NONE: Self = Self(0);

    pub fn all() -> Self {
        Permission::ALL.into_iter().fold(Self::NONE, |grants, one| Self(grants.0 | one.bit()))
    }

    /// What a word grants: `*`, a group like `jobs`, or a single one like `jobs:start`.
    ///
    /// # Errors
    /// When there is no such word.
    pub fn of_word(word: &str) -> Result<Self, UnknownPermission> {
        if word == "*" {
            return Ok(Self::all());
        }
        let meant = Permission::ALL.into_iter().filter(|one| word == one.name() || word == one.group());
        match meant.fold(Self::NONE, |grants, one| Self(grants.0 | one.bit())) {
            Self::NONE => Err(UnknownPermission(word.into())),
            grants => Ok(grants),
        }
    }

    /// # Errors
    /// The first word that is no permission.
    pub fn of_words<'a>(words: impl IntoIterator<Item = &'a String>) -> Result<Self, UnknownPermission> {
        words.into_iter().try_fold(Self::NONE, |grants, word| Ok(grants.or(Self::of_word(word)?)))
    }

    /// Every word that `of_word` takes.
    pub fn words() -> Vec<&'static str> {
        let mut words = vec!["*"];
        for one in Permission::ALL {
            if !words.contains(&one.group()) {
                words.push(one.group());
            }
            words.push(one.name());
        }
        words
    }

    pub fn allows(self, what: Permission) -> bool {
        self.0 & what.bit() != 0
    }

    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn is_within(self, other: Self) -> bool {
        self.and(other) == self
    }
}

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(Permission::ALL.iter().filter(|one| self.allows(**one)).map(|one| one.name())).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference's own list.
    const REFERENCE: [&str; 19] = [
        "*",
        "binaries",
        "binaries:read",
        "binaries:upload",
        "binaries:delete",
        "contexts",
        "contexts:read",
        "contexts:start",
        "contexts:delete",
        "contexts:reset",
        "data",
        "data:read",
        "data:upload",
        "data:delete",
        "data:reset",
        "jobs",
        "jobs:read",
        "jobs:start",
        "jobs:delete",
    ];

    #[test]
    fn the_19_permissions_of_the_reference_are_words() {
        for word in REFERENCE {
            assert!(Grants::of_word(word).is_ok() && Grants::words().contains(&word), "{word}");
        }
    }

    #[test]
    fn every_pair_of_word_and_permission_is_decided() {
        for word in Grants::words() {
            let grants = Grants::of_word(word).unwrap();
            for what in Permission::ALL {
                let expected = word == "*" || word == what.name() || what.name().starts_with(&format!("{word}:"));
                assert_eq!(grants.allows(what), expected, "{word} -> {}", what.name());
            }
        }
    }

    #[test]
    fn what_is_no_permission_is_refused() {
        for word in ["", "job", "jobs:", "jobs:*", "JOBS", "**", ":", "jobs:start "] {
            assert_eq!(Grants::of_word(word), Err(UnknownPermission(word.into())));
        }
    }

    #[test]
    fn a_part_is_within_the_whole_and_not_the_reverse() {
        let (part, whole) = (Grants::of_word("jobs:read").unwrap(), Grants::of_word("jobs").unwrap());
        assert!(part.is_within(whole) && !whole.is_within(part));
        assert_eq!(whole.and(part), part);
        assert!(Grants::NONE.is_within(part));
    }
}
