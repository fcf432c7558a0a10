//! The queue of one context: which of its waiting jobs is next. Higher priorities first, then the order of submission,
//! which is that of ids.
//!
//! A lane for each priority, its ids sorted: new ones come at the end and leave at the front, so both cost little, and
//! a place is found by adding up lanes and one binary search. Entries that may not begin yet stand apart: they are
//! few (jobs between two tries), and hold up nobody.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

/// From -100 to 100; the higher goes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i32", into = "i32")]
pub struct Priority(i8);

impl Priority {
    pub const MOST: i32 = 100;

    /// `None` beyond the range.
    pub fn new(number: i32) -> Option<Self> {
        let number = i8::try_from(number).ok()?;
        (i32::from(number).abs() <= Self::MOST).then_some(Self(number))
    }

    pub fn get(self) -> i32 {
        self.0.into()
    }

    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// 0 for the highest, 200 for the lowest: sorts in the order of turns.
    pub fn inverted(self) -> i32 {
        Self::MOST - self.get()
    }
}

impl TryFrom<i32> for Priority {
    type Error = &'static str;

    fn try_from(number: i32) -> Result<Self, Self::Error> {
        Self::new(number).ok_or("a priority is from -100 to 100")
    }
}

impl From<Priority> for i32 {
    fn from(priority: Priority) -> Self {
        priority.get()
    }
}

/// A job that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub id: String,
    pub priority: Priority,
    /// On the clock of `now_ms`; what is past is due at once.
    pub not_before_ms: i64,
}

#[derive(Debug, Default)]
pub struct Queue {
    due: BTreeMap<Reverse<Priority>, VecDeque<String>>,
    due_count: usize,
    /// By time, then by turn.
    later: VecDeque<(i64, Reverse<Priority>, String)>,
}

impl Queue {
    pub fn len(&self) -> usize {
        self.due_count + self.later.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Entries that may begin, as far as `ripen` was told of the time.
    pub fn due_count(&self) -> usize {
        self.due_count
    }

    /// An entry that is there already stays once.
    pub fn push(&mut self, entry: Entry, now_ms: i64) {
        let Entry { id, priority, not_before_ms } = entry;
        if not_before_ms > now_ms {
            let key = (not_before_ms, Reverse(priority), id);
            if let Err(at) = self.later.binary_search(&key) {
                self.later.insert(at, key);
            }
            return;
        }
        let lane = self.due.entry(Reverse(priority)).or_default();
        // Nearly always behind all others.
        let at = if lane.back().is_none_or(|last| *last < id) { Err(lane.len()) } else { lane.binary_search(&id) };
        if let Err(at) = at {
            lane.insert(at, id);
            self.due_count += 1;
        }
    }

    /// Lets those take part in turns whose time has come.
    pub fn ripen(&mut self, now_ms: i64) {
        while self.later.front().is_some_and(|(not_before_ms, ..)| *not_before_ms <= now_ms) {
            if let Some((not_before_ms, Reverse(priority), id)) = self.later.pop_front() {
                self.push(Entry { id, priority, not_before_ms }, now_ms);
            }
        }
    }

    /// Takes the next ones that are due, at most `most`, in the order of their turns.
    pub fn take(&mut self, most: usize, now_ms: i64) -> Vec<Entry> {
        self.ripen(now_ms);
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some(mut lane) = self.due.first_entry()
        {
            let priority = lane.key().0;
            match lane.get_mut().pop_front() {
                Some(id) => {
                    taken.push(Entry { id, priority, not_before_ms: 0 });
                    self.due_count -= 1;
                }
                None => {
                    lane.remove();
                }
            }
        }
        taken
    }

    /// Whether it was there.
    pub fn remove(&mut self, priority: Priority, id: &str) -> bool {
        if let Some(lane) = self.due.get_mut(&Reverse(priority))
            && let Ok(at) = lane.binary_search_by(|waiting| waiting.as_str().cmp(id))
        {
            lane.remove(at);
            self.due_count -= 1;
            return true;
        }
        let at = self.later.iter().position(|(.., waiting)| waiting == id);
        at.is_some_and(|at| self.later.remove(at).is_some())
    }

    /// 1 for the next. Those that may not begin yet stand behind all that may.
    pub fn position(&self, priority: Priority, id: &str) -> Option<usize> {
        let own = Reverse(priority);
        if let Some(lane) = self.due.get(&own)
            && let Ok(at) = lane.binary_search_by(|waiting| waiting.as_str().cmp(id))
        {
            let before: usize = self.due.range(..own).map(|(_, lane)| lane.len()).sum();
            return Some(before + at + 1);
        }
        let at = self.later.iter().position(|(.., waiting)| waiting == id)?;
        Some(self.due_count + at + 1)
    }

    /// All, due or not, in the order of their turns.
    pub fn drain(&mut self) -> Vec<Entry> {
        self.take(usize::MAX, i64::MAX)
    }
}

#[cfg(test)]
mod tests;
