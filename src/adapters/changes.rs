//! The newest changes of a store, in memory: what `MetaStore::changes` answers from.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::ports::{Change, Changes, Revision};

/// The port promises 4096; the keys of this many take a few MB.
const KEPT: usize = 16_384;

/// Revisions that the first commit of a process passes over are fewer. More would soon be no exact number for readers of
/// JSON who take 2^53 for the largest.
pub(super) const MOST_PASSED_OVER: u64 = 1 << 36;

pub(super) struct ChangeLog {
    state: Mutex<State>,
    news: Notify,
}

struct State {
    /// Ascending revisions, all later than `floor`.
    newest: VecDeque<Change>,
    /// All changes after this revision are in `newest`.
    floor: Revision,
    revision: Revision,
}

impl ChangeLog {
    /// Knows nothing of what led to `revision`.
    pub(super) fn new(revision: Revision) -> Self {
        let state = State { newest: VecDeque::new(), floor: revision, revision };
        Self { state: Mutex::new(state), news: Notify::new() }
    }

    /// `changes` ascend and are later than `base`; `revision` is the newest of them or later. What lies between the newest
    /// revision until now and `base` is passed over: older cursors are not known here any more.
    pub(super) fn publish(&self, base: Revision, revision: Revision, changes: Vec<Change>) {
        let mut state = self.lock();
        if base > state.revision {
            state.newest.clear();
            state.floor = base;
        }
        state.revision = revision;
        for change in changes {
            if state.newest.len() == KEPT
                && let Some(oldest) = state.newest.pop_front()
            {
                state.floor = oldest.revision;
            }
            state.newest.push_back(change);
        }
        drop(state);
        self.news.notify_waiters();
    }

    /// Something unknown happened up to `revision`: every older cursor is lost.
    pub(super) fn lose(&self, revision: Revision) {
        let mut state = self.lock();
        *state = State { newest: VecDeque::new(), floor: revision, revision };
        drop(state);
        self.news.notify_waiters();
    }

    pub(super) fn revision(&self) -> Revision {
        self.lock().revision
    }

    pub(super) async fn after(&self, cursor: Revision) -> Changes {
        loop {
            // Made before the look, so that what is published between the look and the wait is not missed.
            let news = self.news.notified();
            if let Some(changes) = self.lock().after(cursor) {
                return changes;
            }
            news.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn after(&self, cursor: Revision) -> Option<Changes> {
        // A cursor from the future belongs to another store, or to one that was restored from a copy.
        if cursor < self.floor || cursor > self.revision {
            return Some(Changes::Lost { cursor: self.revision });
        }
        let first = self.newest.partition_point(|change| change.revision <= cursor);
        let changes: Vec<Change> = self.newest.range(first..).cloned().collect();
        let cursor = changes.last()?.revision;
        Some(Changes::Since { changes, cursor })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(revision: u64) -> Change {
        Change { revision: Revision(revision), key: format!("k{revision}") }
    }

    #[tokio::test]
    async fn cursor_older_than_the_kept_changes_is_lost_and_the_first_kept_is_not() {
        let log = ChangeLog::new(Revision(0));
        let last = KEPT as u64 + 10;
        for n in 1..=last {
            log.publish(Revision(n - 1), Revision(n), vec![change(n)]);
        }
        assert_eq!(log.after(Revision(9)).await, Changes::Lost { cursor: Revision(last) });
        let Changes::Since { changes, cursor } = log.after(Revision(10)).await else { panic!("lost") };
        assert_eq!((changes.len(), changes[0].clone(), cursor), (KEPT, change(11), Revision(last)));
    }

    #[tokio::test]
    async fn commit_larger_than_the_log_is_not_told_in_part() {
        let log = ChangeLog::new(Revision(0));
        log.publish(Revision(0), Revision(1), vec![change(1); KEPT + 1]);
        assert_eq!(log.after(Revision(0)).await, Changes::Lost { cursor: Revision(1) });
    }

    #[tokio::test]
    async fn what_is_passed_over_is_no_cursor() {
        let log = ChangeLog::new(Revision(5));
        log.publish(Revision(50), Revision(51), vec![change(51)]);
        for cursor in [5, 6, 49, 52] {
            assert_eq!(log.after(Revision(cursor)).await, Changes::Lost { cursor: Revision(51) });
        }
        let expected = Changes::Since { changes: vec![change(51)], cursor: Revision(51) };
        assert_eq!(log.after(Revision(50)).await, expected);
    }

    #[tokio::test]
    async fn waiter_wakes_when_the_log_is_lost() {
        let log = ChangeLog::new(Revision(5));
        let (answer, ()) = tokio::join!(log.after(Revision(5)), async { log.lose(Revision(7)) });
        assert_eq!(answer, Changes::Lost { cursor: Revision(7) });
    }
}
