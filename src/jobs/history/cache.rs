//! What was read of segments lately, within a number of bytes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Hash of the segment, and where in it.
type Key = (String, u64);

#[derive(Debug)]
struct Entry<T> {
    value: T,
    bytes: usize,
    /// When it was used last.
    turn: u64,
}

#[derive(Debug)]
struct Inner<T> {
    entries: HashMap<Key, Entry<T>>,
    by_turn: BTreeMap<u64, Key>,
    turn: u64,
    bytes: usize,
}

/// Forgets what has not been used for the longest.
#[derive(Debug)]
pub(super) struct Cache<T> {
    most_bytes: usize,
    inner: Mutex<Inner<T>>,
}

impl<T: Clone> Cache<T> {
    pub(super) fn new(most_bytes: usize) -> Self {
        let inner = Inner { entries: HashMap::new(), by_turn: BTreeMap::new(), turn: 0, bytes: 0 };
        Self { most_bytes, inner: Mutex::new(inner) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, segment: &str, at: u64) -> Option<T> {
        let mut inner = self.lock();
        inner.turn += 1;
        let turn = inner.turn;
        let key = (segment.to_owned(), at);
        let entry = inner.entries.get_mut(&key)?;
        let before = std::mem::replace(&mut entry.turn, turn);
        let value = entry.value.clone();
        inner.by_turn.remove(&before);
        inner.by_turn.insert(turn, key);
        Some(value)
    }

    /// What is larger than the whole is not kept.
    pub(super) fn put(&self, segment: &str, at: u64, value: T, bytes: usize) {
        if bytes > self.most_bytes {
            return;
        }
        let mut inner = self.lock();
        inner.turn += 1;
        let (turn, key) = (inner.turn, (segment.to_owned(), at));
        if let Some(before) = inner.entries.insert(key.clone(), Entry { value, bytes, turn }) {
            inner.bytes -= before.bytes;
            inner.by_turn.remove(&before.turn);
        }
        inner.by_turn.insert(turn, key);
        inner.bytes += bytes;
        while inner.bytes > self.most_bytes {
            let Some((_, oldest)) = inner.by_turn.pop_first() else { return };
            if let Some(gone) = inner.entries.remove(&oldest) {
                inner.bytes -= gone.bytes;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_last_stays_within_the_bytes() {
        let cache = Cache::new(100);
        for at in 0..4 {
            cache.put("a", at, at, 25);
        }
        assert_eq!(cache.get("a", 0), Some(0));
        cache.put("b", 0, 9, 25);
        assert_eq!([cache.get("a", 0), cache.get("a", 1), cache.get("b", 0)], [Some(0), None, Some(9)]);
        cache.put("b", 0, 10, 60);
        assert_eq!([cache.get("b", 0), cache.get("a", 0)], [Some(10), Some(0)]);
        assert_eq!([cache.get("a", 2), cache.get("a", 3)], [None, None]);
        cache.put("c", 0, 11, 101);
        assert_eq!(cache.get("c", 0), None);
        let inner = cache.lock();
        assert_eq!((inner.bytes, inner.entries.len(), inner.by_turn.len()), (85, 2, 2));
    }
}
