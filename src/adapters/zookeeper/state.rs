//! What the store holds, as this node knows it: all keys in memory, and the newest entries of the log.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;

use bytes::Bytes;

use super::entry::LogEntry;
use super::history::History;
use super::paths::Place;
use crate::ports::{Entry, Precondition, Revision};

type Value = (Revision, Bytes);

/// What a commit, or a batch of them, makes of keys: `None` is deleted.
pub(super) type Effects = BTreeMap<String, Option<Value>>;

#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) values: BTreeMap<String, Value>,
    /// Keys whose znodes are there, but were not written by us.
    pub(super) strays: HashSet<String>,
    /// Parents that are there, below `data/`.
    pub(super) parents: HashSet<String>,
    pub(super) history: History,
}

impl State {
    pub(super) fn has_znode(&self, key: &str) -> bool {
        self.values.contains_key(key) || self.strays.contains(key)
    }

    pub(super) fn znodes(&self) -> usize {
        self.values.len() + self.strays.len() + self.parents.len() + self.history.number_of_entries()
    }

    pub(super) fn get(&self, key: &str) -> Option<Entry> {
        self.values.get_key_value(key).map(entry)
    }

    pub(super) fn range(&self, prefix: &str, after: Option<&str>, descending: bool, limit: usize) -> Vec<Entry> {
        let under = |(key, _): &(&String, &Value)| key.starts_with(prefix);
        if descending {
            let end = end_of(prefix);
            let end = match (after, end.as_deref()) {
                (Some(after), Some(end)) => Bound::Excluded(after.min(end)),
                (Some(end), None) | (None, Some(end)) => Bound::Excluded(end),
                (None, None) => Bound::Unbounded,
            };
            if matches!(end, Bound::Excluded(end) if end <= prefix) {
                return Vec::new();
            }
            let span = self.values.range::<str, _>((Bound::Included(prefix), end));
            span.rev().take_while(under).take(limit).map(entry).collect()
        } else {
            let begin = match after {
                Some(after) if after >= prefix => Bound::Excluded(after),
                _ => Bound::Included(prefix),
            };
            let span = self.values.range::<str, _>((begin, Bound::Unbounded));
            span.take_while(under).take(limit).map(entry).collect()
        }
    }

    /// Whether it holds once `effects` have happened.
    pub(super) fn holds(&self, precondition: &Precondition, effects: &Effects) -> bool {
        let version = |key: &str| match effects.get(key) {
            Some(effect) => effect.as_ref().map(|(revision, _)| *revision),
            None => self.values.get(key).map(|(revision, _)| *revision),
        };
        match precondition {
            Precondition::Absent(key) => version(key).is_none(),
            Precondition::Exists(key) => version(key).is_some(),
            Precondition::At(key, revision) => version(key) == Some(*revision),
            // Decided by ZooKeeper, and by the plan that asks it.
            Precondition::Fence(_) => true,
            Precondition::NoneUnder(prefix) => {
                let from = (Bound::Included(prefix.as_str()), Bound::Unbounded);
                let made = effects.range::<str, _>(from).take_while(|(key, _)| key.starts_with(prefix.as_str()));
                let there = self.values.range::<str, _>(from).take_while(|(key, _)| key.starts_with(prefix.as_str()));
                made.clone().all(|(_, effect)| effect.is_none())
                    && there.map(|(key, _)| key).all(|key| effects.contains_key(key))
            }
        }
    }

    /// The entry that stands behind the head now, and what it made of the keys that it names.
    pub(super) fn apply(&mut self, entry: LogEntry, effects: Effects) {
        self.parents.extend(entry.parents.iter().cloned());
        self.history.push(entry);
        self.set(effects);
    }

    pub(super) fn set(&mut self, effects: Effects) {
        for (key, effect) in effects {
            self.strays.remove(&key);
            match effect {
                Some(value) => self.values.insert(key, value),
                None => self.values.remove(&key),
            };
        }
    }

    /// The parents of a key that are not there, the upper first.
    pub(super) fn missing_parents(&self, place: &Place) -> impl Iterator<Item = String> {
        let shard = format!("{}/{}", place.family, place.shard);
        [place.family.clone(), shard].into_iter().filter(|parent| !self.parents.contains(parent))
    }
}

fn entry((key, (version, value)): (&String, &Value)) -> Entry {
    Entry { key: key.clone(), value: value.clone(), version: *version }
}

/// The first string behind all that begin with the prefix; `None` when there is none.
fn end_of(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // Surrogates are no characters.
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn state(keys: &[&str]) -> State {
        let first = LogEntry {
            id: String::new(),
            before: 0,
            base: 0,
            newest: 5,
            changes: Vec::new(),
            parents: Vec::new(),
            oldest: 3,
            fence: None,
        };
        let values = keys.iter().map(|key| ((*key).to_owned(), (Revision(1), Bytes::new()))).collect();
        State { values, strays: HashSet::new(), parents: HashSet::new(), history: History::new(3, first) }
    }

    #[test]
    fn the_end_of_a_prefix_lies_behind_all_that_begin_with_it() {
        assert_eq!(end_of("j/").as_deref(), Some("j0"));
        assert_eq!(end_of("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(end_of("\u{d7ff}").as_deref(), Some("\u{e000}"));
        assert_eq!((end_of(""), end_of("\u{10ffff}")), (None, None));
    }

    #[test]
    fn none_under_sees_what_the_batch_has_made_and_deleted() {
        let state = state(&["u/1", "u/2", "v"]);
        let under = |prefix: &str, effects: &Effects| state.holds(&Precondition::NoneUnder(prefix.into()), effects);
        assert!(!under("u/", &Effects::new()) && under("w", &Effects::new()));
        let deleted = Effects::from([("u/1".into(), None), ("u/2".into(), None)]);
        assert!(under("u/", &deleted) && !under("", &deleted));
        let made = Effects::from([("w/1".into(), Some((Revision(9), Bytes::new())))]);
        assert!(!under("w", &made) && under("w/2", &made));
    }
}
