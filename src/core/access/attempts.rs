//! Failed attempts to log in, and how long the next must wait.
//!
//! Counted for a name from an address, and for the address alone, which tries many names. After some that are free, each
//! further failure doubles the wait. Whoever has logged in before is not held up: what was verified is looked up first.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Failures of a name from an address before it must wait.
const FREE_BY_NAME: u32 = 5;
/// Failures of an address: several people may stand behind it.
const FREE_BY_ADDRESS: u32 = 50;
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// What failed so long ago counts no more.
const FORGET: Duration = Duration::from_secs(600);
/// Names and addresses that are remembered; beyond, the oldest are forgotten.
const MOST: usize = 10_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Who {
    Name(String, String),
    Address(String),
}

#[derive(Debug)]
struct Failures {
    number: u32,
    last: Instant,
}

#[derive(Debug, Default)]
pub struct Attempts {
    failures: HashMap<Who, Failures>,
}

impl Attempts {
    /// How long this attempt comes too early. `None`: it may be tried.
    pub fn wait(&self, address: &str, user: &str, now: Instant) -> Option<Duration> {
        let ends = keys(address, user).into_iter().filter_map(|(who, free)| {
            let found = self.failures.get(&who)?;
            Some(found.last + wait_after(found.number, free)?)
        });
        ends.max().map(|end| end.saturating_duration_since(now)).filter(|wait| !wait.is_zero())
    }

    pub fn failed(&mut self, address: &str, user: &str, now: Instant) {
        for (who, _) in keys(address, user) {
            let is_new = !self.failures.contains_key(&who);
            if is_new && self.failures.len() >= MOST {
                self.make_room(now);
            }
            let failures = self.failures.entry(who).or_insert(Failures { number: 0, last: now });
            if now.saturating_duration_since(failures.last) > FORGET {
                failures.number = 0;
            }
            failures.number = failures.number.saturating_add(1);
            failures.last = now;
        }
    }

    /// The name is known to belong to who asks. The address goes on to count: it may have tried others.
    pub fn succeeded(&mut self, address: &str, user: &str) {
        self.failures.remove(&name(address, user));
    }

    /// Forgets what is old, and if nothing is, the oldest tenth.
    fn make_room(&mut self, now: Instant) {
        self.failures.retain(|_, failures| now.saturating_duration_since(failures.last) <= FORGET);
        if self.failures.len() < MOST {
            return;
        }
        let mut times: Vec<Instant> = self.failures.values().map(|failures| failures.last).collect();
        times.sort_unstable();
        let limit = times[MOST / 10];
        self.failures.retain(|_, failures| failures.last > limit);
    }
}

fn keys(address: &str, user: &str) -> [(Who, u32); 2] {
    [(name(address, user), FREE_BY_NAME), (Who::Address(address.into()), FREE_BY_ADDRESS)]
}

/// Nobody has a name longer than these characters, so what else is in it need not be remembered.
const MOST_CHARS: usize = 80;

fn name(address: &str, user: &str) -> Who {
    Who::Name(address.into(), user.chars().take(MOST_CHARS).collect())
}

fn wait_after(failures: u32, free: u32) -> Option<Duration> {
    let over = failures.checked_sub(free)?;
    Some(FIRST_WAIT.saturating_mul(1 << over.min(10)).min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock;

    fn after(failures: u32) -> (Attempts, Instant) {
        let (mut attempts, now) = (Attempts::default(), clock::instant());
        (0..failures).for_each(|_| attempts.failed("here", "ann", now));
        (attempts, now)
    }

    #[test]
    fn the_first_failures_are_free_then_waits_double_up_to_a_minute() {
        let expected = [(4, None), (5, Some(1)), (6, Some(2)), (7, Some(4)), (11, Some(60)), (40, Some(60))];
        for (failures, seconds) in expected {
            let (attempts, now) = after(failures);
            assert_eq!(attempts.wait("here", "ann", now), seconds.map(Duration::from_secs), "{failures}");
        }
    }

    #[test]
    fn when_the_wait_is_over_one_may_try() {
        let (attempts, now) = after(5);
        assert!(attempts.wait("here", "ann", now + Duration::from_millis(999)).is_some());
        assert_eq!(attempts.wait("here", "ann", now + Duration::from_secs(1)), None);
    }

    #[test]
    fn another_name_and_another_address_do_not_wait() {
        let (attempts, now) = after(20);
        assert_eq!(attempts.wait("here", "bob", now), None);
        assert_eq!(attempts.wait("there", "ann", now), None);
    }

    #[test]
    fn an_address_that_tries_many_names_waits_with_all_of_them() {
        let (mut attempts, now) = (Attempts::default(), clock::instant());
        (0..50).for_each(|i| attempts.failed("here", &format!("user{i}"), now));
        assert!(attempts.wait("here", "new", now).is_some());
    }

    #[test]
    fn success_clears_the_name_and_time_clears_all() {
        let (mut attempts, now) = after(20);
        attempts.succeeded("here", "ann");
        assert_eq!(attempts.wait("here", "ann", now), None);
        let (mut attempts, now) = after(40);
        let later = now + FORGET + Duration::from_secs(1);
        attempts.failed("here", "ann", later);
        assert_eq!(attempts.wait("here", "ann", later), None);
    }

    #[test]
    fn the_table_is_bounded_and_forgets_the_oldest() {
        let (mut attempts, now) = (Attempts::default(), clock::instant());
        for i in 0..MOST + 100 {
            attempts.failed("here", &format!("user{i}"), now + Duration::from_millis(i as u64));
        }
        assert!(attempts.failures.len() <= MOST);
        assert!(attempts.failures.contains_key(&Who::Name("here".into(), format!("user{}", MOST + 99))));
    }
}
