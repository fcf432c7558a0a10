//! The newest entries of the log in memory: what `MetaStore::changes` answers from. The log of the store holds the same.

use std::collections::VecDeque;

use super::entry::LogEntry;
use crate::core::cluster::record::FenceKey;
use crate::ports::{Change, Changes, Revision};

/// Entries are removed once so many newer changes are kept. The port promises 4096.
const KEPT_CHANGES: usize = 16_384;
/// So many at once, so that each transaction has few operations of others.
const REMOVED_AT_ONCE: usize = 16;
/// Changes told at once, but for those of the last commit.
const TOLD_AT_ONCE: usize = 1000;

/// Never empty.
#[derive(Debug, Clone)]
pub(super) struct History {
    entries: VecDeque<LogEntry>,
    /// The number of the first.
    oldest: u64,
    weight: usize,
}

impl History {
    /// `oldest` is the number of the first entry; each other one follows the one before it.
    pub(super) fn new(oldest: u64, first: LogEntry) -> Self {
        let weight = first.weight();
        Self { entries: VecDeque::from([first]), oldest, weight }
    }

    /// The number of the newest entry.
    pub(super) fn head(&self) -> u64 {
        self.oldest + self.entries.len() as u64 - 1
    }

    pub(super) fn number_of_entries(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn revision(&self) -> Revision {
        Revision(self.entries.back().expect("never empty").newest)
    }

    /// Of the latest term that has written.
    pub(super) fn fence(&self) -> Option<&FenceKey> {
        self.entries.back().expect("never empty").fence.as_ref()
    }

    pub(super) fn has(&self, id: &str) -> bool {
        self.entries.iter().rev().any(|entry| entry.id == id)
    }

    /// Whether it is known which entry has this number.
    pub(super) fn tells_of(&self, number: u64) -> bool {
        (self.oldest..=self.head()).contains(&number)
    }

    /// The numbers of those that the next entry removes.
    pub(super) fn removable(&self) -> std::ops::Range<u64> {
        let (mut end, mut weight) = (self.oldest, self.weight);
        for entry in self.entries.iter().take(REMOVED_AT_ONCE.min(self.entries.len() - 1)) {
            weight -= entry.weight();
            if weight < KEPT_CHANGES {
                break;
            }
            end += 1;
        }
        self.oldest..end
    }

    /// The entry behind the head.
    pub(super) fn push(&mut self, entry: LogEntry) {
        let oldest = entry.oldest;
        self.weight += entry.weight();
        self.entries.push_back(entry);
        while self.oldest < oldest && self.entries.len() > 1 {
            self.weight -= self.entries.pop_front().expect("has two").weight();
            self.oldest += 1;
        }
    }

    /// `None` when nothing happened after the cursor yet.
    pub(super) fn after(&self, cursor: Revision) -> Option<Changes> {
        let newest = self.revision();
        let lost = Changes::Lost { cursor: newest };
        let first = self.entries.partition_point(|entry| entry.newest < cursor.0);
        // The cursor of a revision may be the `before` of the entry behind, too: that of the entry itself is as good.
        let known = |entry: &LogEntry| cursor.0 == entry.before || (entry.base..=entry.newest).contains(&cursor.0);
        if !self.entries.get(first).is_some_and(known) {
            return Some(lost);
        }
        let mut changes: Vec<Change> = Vec::new();
        let mut reached = cursor;
        for (at, entry) in self.entries.range(first..).enumerate() {
            // Something is missing between the two: a place to begin anew.
            if at > 0 && entry.before != reached.0 {
                return Some(if changes.is_empty() { lost } else { Changes::Since { changes, cursor: reached } });
            }
            for (above, key) in &entry.changes {
                let revision = Revision(entry.base + u64::from(*above));
                if let Some(last) = changes.last().map(|change| change.revision)
                    && changes.len() >= TOLD_AT_ONCE
                    && last < revision
                {
                    return Some(Changes::Since { changes, cursor: last });
                }
                if revision > cursor {
                    changes.push(Change { revision, key: key.clone() });
                }
            }
            reached = Revision(entry.newest).max(reached);
        }
        (!changes.is_empty()).then_some(Changes::Since { changes, cursor: reached })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(before: u64, base: u64, keys: &[&str]) -> LogEntry {
        let changes: Vec<_> = (1..).zip(keys).map(|(above, key)| (above, (*key).to_owned())).collect();
        let newest = base + changes.len() as u64;
        LogEntry { id: String::new(), before, base, newest, changes, oldest: 0, fence: None }
    }

    fn told(history: &History, cursor: u64) -> String {
        match history.after(Revision(cursor)) {
            None => "waits".into(),
            Some(Changes::Lost { cursor }) => format!("lost {}", cursor.0),
            Some(Changes::Since { changes, cursor }) => {
                let keys: Vec<_> =
                    changes.iter().map(|change| format!("{}@{}", change.key, change.revision.0)).collect();
                format!("{} until {}", keys.join(" "), cursor.0)
            }
        }
    }

    #[test]
    fn cursors_within_before_and_behind_a_gap() {
        let mut history = History::new(0, entry(0, 0, &[]));
        assert_eq!(told(&history, 0), "waits");
        history.push(entry(0, 100, &["a", "b"]));
        history.push(entry(102, 102, &["c"]));
        assert_eq!(told(&history, 0), "a@101 b@102 c@103 until 103");
        assert_eq!(told(&history, 100), "a@101 b@102 c@103 until 103");
        assert_eq!(told(&history, 101), "b@102 c@103 until 103");
        assert_eq!(told(&history, 102), "c@103 until 103");
        assert_eq!(told(&history, 103), "waits");
        for foreign in [1, 50, 99, 104] {
            assert_eq!(told(&history, foreign), "lost 103", "{foreign}");
        }
    }

    #[test]
    fn an_entry_that_does_not_follow_is_where_all_begin_anew() {
        let mut history = History::new(0, entry(0, 0, &["a"]));
        history.push(entry(50, 50, &["b"]));
        assert_eq!(told(&history, 1), "lost 51");
        assert_eq!(told(&history, 0), "a@1 until 1");
        assert_eq!(told(&history, 50), "b@51 until 51");
    }

    #[test]
    fn old_entries_go_a_few_at_a_time_and_the_newest_4096_stay() {
        let mut history = History::new(7, entry(0, 0, &["k"; 100]));
        for n in 1..400 {
            let removed = history.removable();
            assert!(removed.clone().count() <= REMOVED_AT_ONCE);
            history.push(LogEntry { oldest: removed.end, ..entry(n * 100, n * 100, &["k"; 100]) });
            assert_eq!(history.head(), 7 + n);
        }
        assert!((KEPT_CHANGES..KEPT_CHANGES + 300).contains(&history.weight), "{}", history.weight);
        assert_eq!(told(&history, 0), "lost 40000");
        assert!(matches!(history.after(Revision(40_000 - 4096)), Some(Changes::Since { .. })));
    }

    #[test]
    fn a_commit_is_told_whole() {
        let mut large = entry(0, 0, &["k"; TOLD_AT_ONCE + 10]);
        large.changes.iter_mut().for_each(|change| change.0 = 1);
        large.newest = 1;
        let mut history = History::new(0, large);
        history.push(entry(1, 1, &["later"]));
        let Some(Changes::Since { changes, cursor }) = history.after(Revision(0)) else { panic!("lost") };
        assert_eq!((changes.len(), cursor), (TOLD_AT_ONCE + 10, Revision(1)));
    }
}
