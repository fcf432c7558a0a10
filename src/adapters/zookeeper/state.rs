//! What the store holds, as this node knows it: all keys in memory, and the newest entries of the log.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use super::entry::{Cell, Value};
use super::history::History;
use crate::ports::{Entry, Precondition, Revision};

/// The version that a commit, or a batch of them, gives to keys: `None` is deleted.
pub(super) type Effects = BTreeMap<String, Option<Revision>>;

/// Cells by their leaves, as they are now or will be.
pub(super) type Cells = BTreeMap<String, Cell>;

/// Znodes that are there, but were not written by us, by the leaf of their cell: `None` is the cell's own, another that of a value
/// that stands apart.
pub(super) type Strays = HashMap<String, BTreeSet<Option<String>>>;

#[derive(Debug, Clone)]
pub(super) struct State {
    values: BTreeMap<Arc<str>, Value>,
    /// The keys of each cell, by its leaf.
    cells: HashMap<String, Vec<Arc<str>>>,
    strays: Strays,
    /// How many values stand apart, and how many strays there are: who wants figures does not have all of them counted.
    apart: usize,
    all_strays: usize,
    pub(super) history: History,
}

impl State {
    pub(super) fn new(history: History, cells: Cells, strays: Strays) -> Self {
        let (values, none) = (BTreeMap::new(), HashMap::new());
        let mut state = Self { values, cells: none, strays: Strays::new(), apart: 0, all_strays: 0, history };
        state.set(cells, strays);
        state
    }

    pub(super) fn cell(&self, leaf: &str) -> Cell {
        let keys = self.cells.get(leaf).into_iter().flatten();
        keys.filter_map(|key| Some((key.to_string(), self.values.get(key)?.clone()))).collect()
    }

    pub(super) fn strays(&self, leaf: &str) -> impl Iterator<Item = &Option<String>> {
        self.strays.get(leaf).into_iter().flatten()
    }

    /// Of cells, of values that stand apart, and of the log.
    pub(super) fn znodes(&self) -> usize {
        self.cells.len() + self.apart + self.all_strays + self.history.number_of_entries()
    }

    pub(super) fn get(&self, key: &str) -> Option<Entry> {
        self.values.get_key_value(key).map(entry)
    }

    pub(super) fn range(&self, prefix: &str, after: Option<&str>, descending: bool, limit: usize) -> Vec<Entry> {
        let under = |(key, _): &(&Arc<str>, &Value)| key.starts_with(prefix);
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
            Some(effect) => *effect,
            None => self.values.get(key).map(|value| value.revision),
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
                    && there.map(|(key, _)| key).all(|key| effects.contains_key(&**key))
            }
        }
    }

    /// These cells as they are now, with what is there beside them.
    pub(super) fn set(&mut self, cells: Cells, strays: Strays) {
        for (leaf, cell) in cells {
            self.all_strays -= self.strays.remove(&leaf).map_or(0, |before| before.len());
            for key in self.cells.remove(&leaf).into_iter().flatten() {
                self.apart -= usize::from(self.values.remove(&key).is_some_and(|before| before.is_apart()));
            }
            let mut keys = Vec::with_capacity(cell.len());
            for (key, value) in cell {
                let key: Arc<str> = key.into();
                keys.push(Arc::clone(&key));
                self.apart += usize::from(value.is_apart());
                // Of a key that was there the cell was taken out before.
                self.values.insert(key, value);
            }
            if !keys.is_empty() {
                self.cells.insert(leaf, keys);
            }
        }
        for (leaf, there) in strays {
            self.all_strays += there.len();
            self.all_strays -= self.strays.insert(leaf, there).map_or(0, |before| before.len());
        }
    }
}

fn entry((key, value): (&Arc<str>, &Value)) -> Entry {
    Entry { key: key.to_string(), value: value.bytes.clone(), version: value.revision }
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
    use bytes::Bytes;

    use super::super::entry::LogEntry;
    use super::super::paths::split;
    use super::*;

    pub(in super::super) fn state(keys: &[&str]) -> State {
        let first =
            LogEntry { id: String::new(), before: 0, base: 0, newest: 5, changes: Vec::new(), oldest: 3, fence: None };
        let mut cells = Cells::new();
        for key in keys {
            let value = Value { revision: Revision(1), bytes: Bytes::new() };
            cells.entry(split(key).1.to_owned()).or_default().insert((*key).to_owned(), value);
        }
        State::new(History::new(3, first), cells, Strays::new())
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
        let made = Effects::from([("w/1".into(), Some(Revision(9)))]);
        assert!(!under("w", &made) && under("w/2", &made));
    }

    #[test]
    fn a_cell_takes_the_place_of_what_it_held_before() {
        let mut state = state(&["jobs/1", "active/1", "jobs/2"]);
        let kept = Cell::from([("jobs/1".to_owned(), state.cell("1")["jobs/1"].clone())]);
        state.set(Cells::from([("1".into(), kept.clone()), ("3".into(), Cell::new())]), Strays::new());
        assert_eq!((state.cell("1"), state.get("active/1")), (kept, None));
        let strays = Strays::from([("1".into(), BTreeSet::from([None]))]);
        state.set(Cells::from([("1".into(), Cell::new())]), strays);
        assert_eq!(state.strays("1").count(), 1);
        state.set(Cells::from([("1".into(), Cell::new())]), Strays::new());
        assert_eq!(state.strays("1").count(), 0);
        assert!(state.cell("1").is_empty() && state.get("jobs/1").is_none() && state.get("jobs/2").is_some());
        assert_eq!(state.range("", None, false, 9).len(), 1);
    }

    /// Of cells, of values that stand apart, of strays, and of the log.
    fn counted(state: &State) -> usize {
        let apart = state.values.values().filter(|value| value.is_apart()).count();
        let strays: usize = state.strays.values().map(BTreeSet::len).sum();
        state.cells.len() + apart + strays + state.history.number_of_entries()
    }

    #[test]
    fn the_number_of_znodes_is_kept_as_a_count_of_all_finds_it() {
        let mut state = state(&["jobs/1", "jobs/2"]);
        let mut random = 1_u64;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        let families = ["jobs", "job-results", "job-configs"];
        for _ in 0..2000 {
            let leaf = next(5).to_string();
            let mut cell = Cell::new();
            for family in families.iter().take(usize::try_from(next(4)).unwrap()) {
                let bytes = vec![0_u8; if next(2) == 0 { 10 } else { 5000 }];
                cell.insert(format!("{family}/{leaf}"), Value { revision: Revision(1), bytes: bytes.into() });
            }
            let mut strays = Strays::new();
            if next(3) == 0 {
                let of = next(5).to_string();
                let there = [None, Some("a/1".to_owned()), Some("b/1".to_owned())];
                strays.insert(of, there.into_iter().take(usize::try_from(next(4)).unwrap()).collect());
            }
            state.set(Cells::from([(leaf, cell)]), strays);
            assert_eq!(state.znodes(), counted(&state));
        }
    }
}
