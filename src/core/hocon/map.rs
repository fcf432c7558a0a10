//! A map that keeps the order of insertion: a vector of entries, indexed by hash once it is more than a few.

use std::collections::HashMap;
use std::sync::Arc;

/// Up to here a scan of the entries is quicker than hashing.
const UNINDEXED: usize = 8;

#[derive(Debug, Clone)]
pub(super) struct Map<V> {
    entries: Vec<(Arc<str>, V)>,
    index: Option<HashMap<Arc<str>, usize>>,
}

impl<V> Default for Map<V> {
    fn default() -> Self {
        Self { entries: Vec::new(), index: None }
    }
}

impl<V> Map<V> {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn position(&self, key: &str) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(key).copied(),
            None => self.entries.iter().position(|(name, _)| &**name == key),
        }
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
        let at = self.entries.len();
        match &mut self.index {
            Some(index) => {
                index.insert(Arc::clone(&key), at);
                self.entries.push((key, value));
            }
            None => {
                self.entries.push((key, value));
                if self.entries.len() > UNINDEXED {
                    let names = self.entries.iter().enumerate();
                    self.index = Some(names.map(|(at, (name, _))| (Arc::clone(name), at)).collect());
                }
            }
        }
        None
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
