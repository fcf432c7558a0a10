//! Connections at rest: who has asked nothing yet, or nothing more. When all places are taken, the one that has rested longest makes
//! room, so that silent connections, however many, keep nobody out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio_util::sync::CancellationToken;

/// All connections of a listener that are at rest, the one that has rested longest first.
#[derive(Clone, Default)]
pub struct Resting(Arc<Inner>);

#[derive(Default)]
struct Inner {
    queue: Mutex<Queue>,
    rested: Notify,
}

#[derive(Default)]
struct Queue {
    next: u64,
    waiting: BTreeMap<u64, CancellationToken>,
}

impl Resting {
    /// A new connection, at rest.
    pub fn enter(&self) -> Seat {
        let place = Arc::new(Mutex::new(Place::AtWork));
        let seat = Seat { resting: self.clone(), cut: CancellationToken::new(), place };
        seat.rest();
        seat
    }

    /// Cuts the connection that has rested longest. Whether there was one is told.
    pub fn make_room(&self) -> bool {
        let oldest = self.queue().waiting.pop_first();
        oldest.is_some_and(|(_, cut)| {
            cut.cancel();
            true
        })
    }

    /// Completes when a connection has come to rest since this was called.
    pub fn rested(&self) -> Notified<'_> {
        self.0.rested.notified()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a connection is.
#[derive(Clone, Copy)]
enum Place {
    AtWork,
    /// Under this number.
    AtRest(u64),
    Left,
}

/// One connection's place among them.
#[derive(Clone)]
pub struct Seat {
    resting: Resting,
    cut: CancellationToken,
    place: Arc<Mutex<Place>>,
}

impl Seat {
    /// A request has come: the connection is not at rest until this is dropped.
    pub fn rise(&self) -> Risen {
        self.become_(Place::AtWork);
        Risen(self.clone())
    }

    /// Completes when the connection has to make room.
    pub async fn cut(&self) {
        self.cut.cancelled().await;
    }

    /// The connection has ended.
    pub fn leave(&self) {
        self.become_(Place::Left);
    }

    fn rest(&self) {
        let number = {
            let mut queue = self.resting.queue();
            queue.next += 1;
            queue.next
        };
        self.become_(Place::AtRest(number));
        self.resting.0.rested.notify_waiters();
    }

    fn become_(&self, next: Place) {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let mut queue = self.resting.queue();
        match (*place, next) {
            (Place::Left, _) => return,
            (Place::AtRest(number), _) => drop(queue.waiting.remove(&number)),
            (Place::AtWork, _) => {}
        }
        if let Place::AtRest(number) = next {
            queue.waiting.insert(number, self.cut.clone());
        }
        *place = next;
    }
}

/// A request is at work.
pub struct Risen(Seat);

impl Drop for Risen {
    fn drop(&mut self) {
        self.0.rest();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn who_has_rested_longest_makes_room() {
        let resting = Resting::default();
        let (first, second) = (resting.enter(), resting.enter());
        drop(first.rise());
        assert!(resting.make_room());
        assert!(second.cut().now_or_never().is_some());
        assert!(first.cut().now_or_never().is_none());
    }

    #[test]
    fn who_comes_to_rest_is_noticed_by_those_who_wait() {
        let resting = Resting::default();
        let risen = resting.enter().rise();
        let mut rested = std::pin::pin!(resting.rested());
        assert!(rested.as_mut().now_or_never().is_none());
        drop(risen);
        assert!(rested.now_or_never().is_some());
    }

    #[test]
    fn who_is_at_work_or_has_left_does_not() {
        let resting = Resting::default();
        let (busy, gone) = (resting.enter(), resting.enter());
        let risen = busy.rise();
        gone.leave();
        assert!(!resting.make_room());
        drop(risen);
        assert!(resting.make_room());
    }
}
