//! When to signal what runs below the shim: SIGTERM at a deadline, SIGKILL a second later, again until none is left.

use std::time::{Duration, Instant};

use rustix::process::Signal;

const KILL_AFTER: Duration = Duration::from_secs(1);
const KILL_AGAIN: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
pub struct Ending {
    terminate_at: Option<Instant>,
    kill_at: Option<Instant>,
}

impl Ending {
    /// Sets the deadline, or brings it forward.
    pub fn no_later_than(&mut self, at: Instant) {
        if self.kill_at.is_none() {
            self.terminate_at = Some(self.terminate_at.map_or(at, |before| before.min(at)));
        }
    }

    /// When `due` wants to be asked again.
    pub fn deadline(&self) -> Option<Instant> {
        self.kill_at.or(self.terminate_at)
    }

    /// The signal that all are to get now.
    pub fn due(&mut self, now: Instant) -> Option<Signal> {
        let (signal, next) = match (self.kill_at, self.terminate_at) {
            (Some(at), _) if now >= at => (Signal::KILL, now + KILL_AGAIN),
            (None, Some(at)) if now >= at => (Signal::TERM, now + KILL_AFTER),
            _ => return None,
        };
        self.kill_at = Some(next);
        Some(signal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn term_then_kill_after_a_second_then_kill_again() {
        let start = clock::instant();
        let mut ending = Ending::default();
        assert_eq!(ending.due(start), None);
        ending.no_later_than(start + ms(100));
        let signals: Vec<_> = [0, 100, 500, 1099, 1100, 1120, 1150].map(|at| ending.due(start + ms(at))).into();
        assert_eq!(signals, [None, Some(Signal::TERM), None, None, Some(Signal::KILL), None, Some(Signal::KILL)]);
    }

    #[test]
    fn a_deadline_only_comes_forward() {
        let start = clock::instant();
        let mut ending = Ending::default();
        ending.no_later_than(start + ms(100));
        ending.no_later_than(start + ms(900));
        assert_eq!(ending.deadline(), Some(start + ms(100)));
        assert_eq!(ending.due(start + ms(100)), Some(Signal::TERM));
        ending.no_later_than(start);
        assert_eq!(ending.due(start + ms(200)), None);
    }
}
