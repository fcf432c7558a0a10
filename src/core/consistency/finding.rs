//! What may be wrong in a store, and how it is repaired.

/// Kinds of what may be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A record or a key that does not parse.
    Unreadable,
    /// A record that stands under the key of another.
    Misplaced,
    /// An index lacks a record.
    MissingEntry,
    /// An index names what is not there, or is not so.
    DanglingEntry,
    /// A record, or a part of one, that another needs.
    MissingRecord,
    /// Something that belongs to a record that is not there.
    Orphan,
    /// Content that a record refers to.
    MissingContent,
    /// Content that is not what was uploaded.
    DamagedContent,
    /// Content that could not be read, though other content could.
    UnreadableContent,
    /// An import that did not come to its end.
    HalfImported,
}

impl Kind {
    pub const ALL: [Self; 10] = [
        Self::Unreadable,
        Self::Misplaced,
        Self::MissingEntry,
        Self::DanglingEntry,
        Self::MissingRecord,
        Self::Orphan,
        Self::MissingContent,
        Self::DamagedContent,
        Self::UnreadableContent,
        Self::HalfImported,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Misplaced => "misplaced",
            Self::MissingEntry => "missing-entry",
            Self::DanglingEntry => "dangling-entry",
            Self::MissingRecord => "missing-record",
            Self::Orphan => "orphan",
            Self::MissingContent => "missing-content",
            Self::DamagedContent => "damaged-content",
            Self::UnreadableContent => "unreadable-content",
            Self::HalfImported => "half-imported",
        }
    }

    /// Why a repair leaves some of this kind as they are, and who could do more: for people.
    pub fn why_left(self) -> &'static str {
        match self {
            Self::Unreadable => "what cannot be read may be wanted, and a newer version may read it",
            Self::Misplaced => "which of the two is right is not known here",
            Self::MissingEntry | Self::DanglingEntry => "they changed in that moment; say it again",
            Self::MissingRecord => "what is gone cannot be made up; a backup may have it",
            Self::Orphan => "it may be all that is left of its job, and takes little room",
            Self::MissingContent => {
                "what is gone cannot be made up; upload binaries again, or bring back the file of the blob"
            }
            Self::DamagedContent => {
                "it cannot be made whole; upload binaries again, or bring back the file of the blob"
            }
            Self::UnreadableContent => "it may be readable once all machines of the store of binaries are there",
            Self::HalfImported => "`doyen store import` of the same file goes on",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub kind: Kind,
    /// Of the entry, or `blob <hash>`.
    pub key: String,
    pub wrong: String,
    /// For users.
    pub means: &'static str,
    /// `None` when nothing that is safe would help.
    pub repair: Option<Repair>,
}

/// One commit: all of it happens, or nothing, and only if the entries that were looked at are as they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    pub does: &'static str,
    /// At which version each entry was seen; `None` is one that was not there.
    pub seen: Vec<(String, Option<u64>)>,
    /// Values to put; `None` is one to delete.
    pub writes: Vec<(String, Option<Vec<u8>>)>,
}

impl Repair {
    pub(super) fn new(does: &'static str) -> Self {
        Self { does, seen: Vec::new(), writes: Vec::new() }
    }

    pub(super) fn seen(mut self, key: &str, version: Option<u64>) -> Self {
        self.seen.push((key.to_owned(), version));
        self
    }

    pub(super) fn put(mut self, key: &str, value: Vec<u8>) -> Self {
        self.writes.push((key.to_owned(), Some(value)));
        self
    }

    pub(super) fn delete(mut self, key: &str) -> Self {
        self.writes.push((key.to_owned(), None));
        self
    }
}
