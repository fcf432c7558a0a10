//! What a change of the record is as a transaction, and what its refusal means. Pure.

use crate::adapters::zookeeper::paths::{self, Paths};
use crate::adapters::zookeeper::plan::Operation;
use crate::core::cluster::encoding;
use crate::core::cluster::ids::{Epoch, Version};
use crate::core::cluster::record::{Fence, Invalid, Record};
use crate::core::cluster::store::Refusal;

/// The first operation is that on the record; the others are on fences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) operations: Vec<Operation>,
    /// Of the record, afterwards.
    pub(super) version: Version,
}

/// # Errors
/// The record breaks the rules of records.
pub(super) fn create(paths: &Paths, record: &Record) -> Result<Change, Invalid> {
    let fence = record.fence();
    let operations = vec![
        Operation::Create(paths.cluster(), encoding::encode(record)?),
        Operation::Create(paths.fences(), Vec::new()),
        Operation::Create(paths.fence(&fence.key), Vec::new()),
        Operation::Create(paths.epoch(&fence), Vec::new()),
    ];
    Ok(Change { operations, version: Version(0) })
}

/// `base` is the version as ZooKeeper counts it.
///
/// # Errors
/// The record breaks the rules of records.
pub(super) fn swap(paths: &Paths, base: i32, old: &Fence, record: &Record) -> Result<Change, Invalid> {
    let new = record.fence();
    let mut operations =
        vec![Operation::SetAt(paths.cluster(), encoding::encode(record)?, base), Operation::Delete(paths.epoch(old))];
    if new.key != old.key {
        operations.push(Operation::Delete(paths.fence(&old.key)));
        operations.push(Operation::Create(paths.fence(&new.key), Vec::new()));
    }
    operations.push(Operation::Create(paths.epoch(&new), Vec::new()));
    Ok(Change { operations, version: version(base).next() })
}

/// `stored` is what the record has at `base`.
pub(super) fn touch(paths: &Paths, base: i32, fence: &Fence, stored: Vec<u8>) -> Change {
    let operations = vec![Operation::SetAt(paths.cluster(), stored, base), Operation::Check(paths.epoch(fence))];
    Change { operations, version: version(base).next() }
}

/// What it means that this operation was the first to fail.
pub(super) fn refusal(operation: usize) -> Refusal {
    if operation == 0 { Refusal::Conflict } else { Refusal::Fence }
}

/// ZooKeeper's versions are never below 0 but after two billion changes.
pub(super) fn version(counted: i32) -> Version {
    Version(u64::try_from(counted).unwrap_or_default())
}

/// The fences that these names tell of, each with the names below it. One without an epoch was made by hand: it has an epoch that no
/// record has, so that it is seen and is the fence of none.
pub(super) fn fences<'a>(found: impl Iterator<Item = (&'a String, &'a Vec<String>)>) -> Vec<Fence> {
    let mut fences = Vec::new();
    for (name, below) in found {
        let Some(key) = paths::fence_key(name) else { continue };
        let mut epochs: Vec<Epoch> = below.iter().filter_map(|name| paths::epoch(name)).collect();
        if epochs.is_empty() {
            epochs.push(Epoch(0));
        }
        fences.extend(epochs.into_iter().map(|epoch| Fence { key: key.clone(), epoch }));
    }
    fences.sort();
    fences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_without_an_epoch_is_seen_and_fits_no_record() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let found = [
            ("7#c".to_owned(), names(&["12"])),
            ("6#c".to_owned(), names(&[])),
            ("5#c".to_owned(), names(&["4", "3", "04"])),
            ("by hand".to_owned(), names(&["1"])),
        ];
        let fences = fences(found.iter().map(|(name, below)| (name, below)));
        let told: Vec<_> = fences.iter().map(|fence| (fence.key.term.0, fence.epoch.0)).collect();
        assert_eq!(told, [(5, 3), (5, 4), (6, 0), (7, 12)]);
    }
}
