//! How old the view may be: when ZooKeeper was last known to hold nothing else.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::ports::Freshness;

/// An answer may take so long, and a connection may be lost for so long, before the view counts as behind. Shorter than that are
/// pauses of a ZooKeeper that is well.
const USUAL: Duration = Duration::from_secs(1);

/// Read by all who read the view; written by the engine.
pub(super) struct Contact(Mutex<Heard>);

#[derive(Clone, Copy)]
struct Heard {
    /// The view holds all that was committed before this moment.
    current_at: Instant,
    /// Since when something has been asked that is not answered, or nobody can be asked.
    waiting: Option<Instant>,
}

impl Contact {
    /// The view was read after this moment.
    pub(super) fn since(now: Instant) -> Self {
        Self(Mutex::new(Heard { current_at: now, waiting: Some(now) }))
    }

    /// Something is asked, or nobody can be.
    pub(super) fn waits(&self, now: Instant) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).waiting.get_or_insert(now);
    }

    /// What was asked at this moment shows that the view is the newest.
    pub(super) fn is_current(&self, asked: Instant) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *heard = Heard { current_at: heard.current_at.max(asked), waiting: None };
    }

    /// For how long something has been asked that is not answered, or nobody could be.
    pub(super) fn waited(&self, now: Instant) -> Duration {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner).waiting;
        waiting.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    pub(super) fn freshness(&self, now: Instant) -> Freshness {
        let Heard { current_at, waiting } = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match waiting {
            Some(waiting) if now.saturating_duration_since(waiting) > USUAL => {
                Freshness::Behind(now.saturating_duration_since(current_at))
            }
            _ => Freshness::Current,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock;

    #[test]
    fn the_view_is_behind_once_an_answer_is_late_and_as_old_as_the_last_question_that_was_answered() {
        let (begin, seconds) = (clock::instant(), Duration::from_secs);
        let contact = Contact::since(begin);
        contact.is_current(begin + seconds(10));
        // Nothing was asked since: its connection stands.
        assert_eq!(contact.freshness(begin + seconds(100)), Freshness::Current);
        contact.waits(begin + seconds(100));
        assert_eq!(contact.freshness(begin + seconds(101)), Freshness::Current);
        // Waiting on does not make it younger.
        contact.waits(begin + seconds(102));
        assert_eq!(contact.freshness(begin + seconds(103)), Freshness::Behind(seconds(93)));
        contact.is_current(begin + seconds(104));
        assert_eq!(contact.freshness(begin + seconds(200)), Freshness::Current);
    }

    #[test]
    fn a_view_that_was_read_at_a_start_is_behind_when_no_session_follows() {
        let begin = clock::instant();
        let late = begin + Duration::from_secs(2);
        assert_eq!(Contact::since(begin).freshness(late), Freshness::Behind(Duration::from_secs(2)));
    }
}
