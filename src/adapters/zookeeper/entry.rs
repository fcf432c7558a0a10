//! What stands in znodes: entries of the log, and cells, whose values have the revision that wrote them.

use std::collections::BTreeMap;

use bytes::{Buf, Bytes};
use serde::{Deserialize, Serialize};

use super::paths::split;
use crate::core::cluster::record::FenceKey;
use crate::ports::Revision;

/// First byte of each cell, and of each value that stands apart. What somebody wrote by hand is most likely to begin otherwise.
const MARK: u8 = 0x01;
/// Longer values stand apart, so that they are not written again with each change of their cell. Part of the format.
const INLINE_BYTES: usize = 1024;
const INLINE: u8 = 0;
const APART: u8 = 1;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    /// Of the commit that wrote it.
    pub(super) revision: Revision,
    pub(super) bytes: Bytes,
}

/// What one znode holds: the values of all keys that end alike. Without any, the znode is not there.
pub(super) type Cell = BTreeMap<String, Value>;

/// What is read of a cell's key: `None`, when its value stands apart.
pub(super) type Read = (String, Revision, Option<Bytes>);

impl Value {
    pub(super) fn is_apart(&self) -> bool {
        self.bytes.len() > INLINE_BYTES
    }
}

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

/// Of each key the part before the leaf, which names the cell.
pub(super) fn to_cell(cell: &Cell) -> Vec<u8> {
    let mut stored = vec![MARK];
    let put = |stored: &mut Vec<u8>, bytes: &[u8]| {
        let length = u32::try_from(bytes.len()).expect("a transaction has less than a megabyte");
        stored.extend_from_slice(&length.to_be_bytes());
        stored.extend_from_slice(bytes);
    };
    for (key, value) in cell {
        stored.push(if value.is_apart() { APART } else { INLINE });
        stored.extend_from_slice(&value.revision.0.to_be_bytes());
        put(&mut stored, split(key).0.as_bytes());
        if !value.is_apart() {
            put(&mut stored, &value.bytes);
        }
    }
    stored
}

/// `None` when the znode was not written by us.
pub(super) fn from_cell(leaf: &str, stored: Vec<u8>) -> Option<Vec<Read>> {
    let mut rest = Bytes::from(stored);
    let take = |rest: &mut Bytes| {
        let length = rest.try_get_u32().ok()? as usize;
        (length <= rest.len()).then(|| rest.split_to(length))
    };
    let mut cell = Vec::new();
    (rest.try_get_u8().ok()? == MARK).then_some(())?;
    while rest.has_remaining() {
        let kind = rest.try_get_u8().ok()?;
        let revision = Revision(rest.try_get_u64().ok()?);
        let prefix = take(&mut rest)?;
        let value = match kind {
            INLINE => Some(take(&mut rest)?),
            APART => None,
            _ => return None,
        };
        cell.push((format!("{}{leaf}", str::from_utf8(&prefix).ok()?), revision, value));
    }
    Some(cell)
}

pub(super) fn to_apart(value: &Value) -> Vec<u8> {
    [&[MARK], value.revision.0.to_be_bytes().as_slice(), &value.bytes].concat()
}

/// `None` when the znode was not written by us.
pub(super) fn from_apart(stored: Vec<u8>) -> Option<Value> {
    let mut bytes = Bytes::from(stored);
    let mark = bytes.try_get_u8().ok()?;
    let revision = Revision(bytes.try_get_u64().ok()?);
    (mark == MARK).then_some(Value { revision, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_comes_back_with_its_revisions_and_says_what_stands_apart() {
        let value =
            |revision, bytes: &[u8]| Value { revision: Revision(revision), bytes: Bytes::copy_from_slice(bytes) };
        let long = [b'x'; INLINE_BYTES + 1];
        for keys in [["a/1", "b/é/1", "1"], ["", "/", "//"]] {
            let cell = Cell::from(keys.map(|key| (key.to_owned(), value(key.len() as u64, &[0xff, 0, b'/']))));
            let stored = to_cell(&cell);
            let read = from_cell(split(keys[0]).1, stored.clone()).expect("ours");
            let read = read.into_iter().map(|(key, revision, bytes)| (key, value(revision.0, &bytes.unwrap())));
            assert_eq!(read.collect::<Cell>(), cell);
            for cut in 1..stored.len() {
                let part = from_cell("1", stored[..cut].to_vec());
                assert!(part.is_none_or(|part| part.len() < cell.len()), "{cut}");
            }
        }
        let cell = Cell::from([("a/1".to_owned(), value(7, &long)), ("b/1".to_owned(), value(8, &long[1..]))]);
        let read = from_cell("1", to_cell(&cell)).expect("ours");
        assert_eq!(read[0], ("a/1".into(), Revision(7), None));
        assert_eq!(read[1].2.as_deref(), Some(&long[1..]));
        assert_eq!(from_apart(to_apart(&cell["a/1"])), Some(value(7, &long)));
    }

    #[test]
    fn what_somebody_wrote_by_hand_is_known() {
        for foreign in [&b""[..], b"hello", b"by hand, and longer than a head"] {
            assert_eq!((from_cell("k", foreign.to_vec()), from_apart(foreign.to_vec())), (None, None));
        }
        let mut stored = to_cell(&Cell::from([("k".into(), Value { revision: Revision(1), bytes: Bytes::new() })]));
        stored.push(b'x');
        assert_eq!(from_cell("k", stored), None);
    }

    #[test]
    fn members_of_entries_that_are_new_are_passed_over() {
        let stored = br#"{"id":"a","before":1,"base":9,"newest":10,"changes":[[1,"k"]],"oldest":0,"later":true}"#;
        let entry = LogEntry::from_bytes(stored).expect("reads");
        assert_eq!(entry.changes, [(1, "k".to_owned())]);
        assert_eq!(LogEntry::from_bytes(&entry.to_bytes()), Some(entry));
    }
}
