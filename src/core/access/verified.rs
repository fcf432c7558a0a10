//! Passwords that were verified a moment ago, so that not each request costs what a password hash must cost.
//!
//! Kept are hashes under a key that dies with the process, for a minute, and for one content of the users file.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

const LIFE: Duration = Duration::from_secs(60);
const MOST: usize = 10_000;

pub struct Verified {
    /// Random, known to this process alone.
    key: String,
    /// Of the users file.
    generation: u64,
    until: HashMap<[u8; 32], Instant>,
}

impl Verified {
    pub fn new(key: String) -> Self {
        Self { key, generation: 0, until: HashMap::new() }
    }

    pub fn contains(&self, user: &str, password: &str, generation: u64, now: Instant) -> bool {
        let known = || self.until.get(&self.digest(user, password)).is_some_and(|until| now < *until);
        generation == self.generation && known()
    }

    pub fn insert(&mut self, user: &str, password: &str, generation: u64, now: Instant) {
        if generation < self.generation {
            // Verified against what has been replaced meanwhile.
            return;
        }
        if generation > self.generation {
            self.until.clear();
            self.generation = generation;
        }
        if self.until.len() >= MOST {
            self.until.retain(|_, until| now < *until);
        }
        if self.until.len() < MOST {
            let digest = self.digest(user, password);
            self.until.insert(digest, now + LIFE);
        }
    }

    fn digest(&self, user: &str, password: &str) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(&self.key);
        // So that no other pair has the same bytes.
        hasher.update((user.len() as u64).to_be_bytes());
        hasher.update(user);
        hasher.update(password);
        hasher.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock;

    fn with_ann() -> (Verified, Instant) {
        let (mut verified, now) = (Verified::new("key".into()), clock::instant());
        verified.insert("ann", "hush", 1, now);
        (verified, now)
    }

    #[test]
    fn only_the_same_name_and_password_are_known() {
        let (verified, now) = with_ann();
        assert!(verified.contains("ann", "hush", 1, now));
        for (user, password) in [("ann", "hus"), ("annh", "ush"), ("bob", "hush"), ("ann", "")] {
            assert!(!verified.contains(user, password, 1, now), "{user} {password}");
        }
    }

    #[test]
    fn after_a_minute_or_a_change_of_the_file_it_is_forgotten() {
        let (mut verified, now) = with_ann();
        assert!(!verified.contains("ann", "hush", 1, now + LIFE));
        assert!(!verified.contains("ann", "hush", 2, now));
        verified.insert("bob", "x", 2, now);
        verified.insert("ann", "hush", 1, now);
        assert!(!verified.contains("ann", "hush", 2, now) && !verified.contains("ann", "hush", 1, now));
    }

    #[test]
    fn it_is_bounded_and_makes_room_by_age() {
        let (mut verified, now) = with_ann();
        (0..MOST + 5).for_each(|i| verified.insert(&i.to_string(), "x", 1, now));
        assert_eq!(verified.until.len(), MOST);
        verified.insert("late", "x", 1, now + LIFE);
        assert_eq!(verified.until.len(), 1);
    }
}
