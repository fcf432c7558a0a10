//! A map that keeps the order of insertion: a vector of entries, indexed by hash when a key is looked up among many.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

/// Up to here a scan of the entries is quicker than hashing.
const UNINDEXED: usize = 8;

#[derive(Debug, Clone)]
pub(super) struct Map<V> {
    entries: Vec<(Arc<str>, V)>,
    /// Made by the first lookup that needs it: most objects are only walked through.
    index: OnceLock<HashMap<Arc<str>, usize>>,
}

impl<V> Default for Map<V> {
    fn default() -> Self {
        Self { entries: Vec::new(), index: OnceLock::new() }
    }
}

impl<V> Map<V> {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn position(&self, key: &str) -> Option<usize> {
        if self.entries.len() <= UNINDEXED {
            return self.entries.iter().position(|(name, _)| &**name == key);
        }
        let names = || self.entries.iter().enumerate().map(|(at, (name, _))| (Arc::clone(name), at));
        self.index.get_or_init(|| names().collect()).get(key).copied()
    }

    pub(super) fn get(&self, key: &str) -> Option<&V> {
        self.position(key).map(|at| &self.entries[at].1)
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut V> {
        self.position(key).map(|at| &mut self.entries[at].1)
    }

    /// The value before, if the key was there; it keeps its place.
    pub(super) fn insert(&mut self, key: Arc<str>, value: V) -> Option<V> {
        if let Some(old) = self.get_mut(&key) {
            return Some(std::mem::replace(old, value));
        }
        self.push(key, value);
        None
    }

    /// Adds a key that is known to be new.
    pub(super) fn push(&mut self, key: Arc<str>, value: V) {
        if let Some(index) = self.index.get_mut() {
            index.insert(Arc::clone(&key), self.entries.len());
        }
        self.entries.push((key, value));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &V)> {
        self.entries.iter().map(|(key, value)| (key, value))
    }

    /// The same keys with other values.
    pub(super) fn map<W>(self, mut change: impl FnMut(V) -> W) -> Map<W> {
        let entries = self.entries.into_iter().map(|(key, value)| (key, change(value))).collect();
        Map { entries, index: self.index }
    }
}

impl<V> IntoIterator for Map<V> {
    type Item = (Arc<str>, V);
    type IntoIter = std::vec::IntoIter<(Arc<str>, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}
