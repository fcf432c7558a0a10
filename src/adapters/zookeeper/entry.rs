//! What stands in znodes: entries of the log, and values with the revision that wrote them.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::core::cluster::record::FenceKey;
use crate::ports::Revision;

/// First byte of each value. A value that somebody wrote by hand is most likely to begin otherwise.
const MARK: u8 = 0x01;
const HEAD: usize = 9;

/// A batch of commits, which is one transaction of ZooKeeper. Its number is in its path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LogEntry {
    /// By this its writer knows it again, when the answer never came.
    pub(super) id: String,
    /// The revision that the store was at. Between it and `base` lies a gap, when its writer had just read the store (ADR 18).
    pub(super) before: u64,
    pub(super) base: u64,
    /// The revision of the last commit in it.
    pub(super) newest: u64,
    /// How far each change is above the base, and its key.
    pub(super) changes: Vec<(u32, String)>,
    /// Parents of keys that it made, below `data/`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) parents: Vec<String>,
    /// The number of the oldest entry that is kept beside it.
    pub(super) oldest: u64,
    /// Of the latest term that wrote until now, from entry to entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) fence: Option<FenceKey>,
}

impl LogEntry {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and strings are JSON")
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// What it counts for where the number of changes is limited.
    pub(super) fn weight(&self) -> usize {
        self.changes.len().max(1)
    }
}

pub(super) fn to_value(revision: Revision, value: &[u8]) -> Vec<u8> {
    [&[MARK], revision.0.to_be_bytes().as_slice(), value].concat()
}

/// `None` when the znode was not written by us.
pub(super) fn from_value(stored: Vec<u8>) -> Option<(Revision, Bytes)> {
    let head = stored.first_chunk::<HEAD>()?;
    let (mark, revision) = head.split_first()?;
    let revision = u64::from_be_bytes(revision.try_into().ok()?);
    (*mark == MARK).then(|| (Revision(revision), Bytes::from(stored).slice(HEAD..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_with_their_revision() {
        for value in [&b""[..], b"x", &[0xff; 100]] {
            assert_eq!(from_value(to_value(Revision(7), value)), Some((Revision(7), Bytes::copy_from_slice(value))));
        }
        for foreign in [&b""[..], b"hello", b"by hand, and longer than a head"] {
            assert_eq!(from_value(foreign.to_vec()), None);
        }
    }

    #[test]
    fn members_of_entries_that_are_new_are_passed_over() {
        let stored = br#"{"id":"a","before":1,"base":9,"newest":10,"changes":[[1,"k"]],"oldest":0,"later":true}"#;
        let entry = LogEntry::from_bytes(stored).expect("reads");
        assert_eq!(entry.changes, [(1, "k".to_owned())]);
        assert_eq!(LogEntry::from_bytes(&entry.to_bytes()), Some(entry));
    }
}
