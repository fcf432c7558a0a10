//! Recorded jobs on their way to their context's actor. A mailbox would lose what comes while its actor stops: the sender
//! takes the job for delivered, and nobody ends it. Here the actor closes the door itself: what is inside by then it
//! ends with the context, and who comes later is told.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use super::Assigned;

/// `None` once it is closed. Each job has a permit of its context, so they are few.
pub struct Inbox(Mutex<Option<VecDeque<Assigned>>>);

impl Default for Inbox {
    fn default() -> Self {
        Self(Mutex::new(Some(VecDeque::new())))
    }
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Option<VecDeque<Assigned>>> {
        self.0.lock().expect("no holder panics")
    }

    /// False when it is closed.
    #[must_use]
    pub(super) fn push(&self, assigned: Assigned) -> bool {
        let mut inside = self.lock();
        inside.as_mut().map(|jobs| jobs.push_back(assigned)).is_some()
    }

    pub(super) fn pop(&self) -> Option<Assigned> {
        self.lock().as_mut()?.pop_front()
    }

    /// Takes all; nothing comes any more.
    pub(super) fn close(&self) -> VecDeque<Assigned> {
        self.lock().take().unwrap_or_default()
    }
}
