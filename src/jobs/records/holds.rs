//! Content that this process is about to refer to: from the moment that it is told of it until the record is stored,
//! however long the store is away. Retention leaves it alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Records;

/// By hash, how often it is held.
#[derive(Debug, Clone, Default)]
pub(super) struct Held(Arc<Mutex<HashMap<String, usize>>>);

/// Ends when it is dropped.
#[derive(Debug)]
pub struct Hold {
    held: Held,
    contents: Vec<String>,
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Records {
    /// Holds the content with these hashes.
    pub fn hold<'a>(&self, contents: impl IntoIterator<Item = &'a str>) -> Hold {
        let contents: Vec<String> = contents.into_iter().map(str::to_owned).collect();
        if !contents.is_empty() {
            let mut held = self.held.lock();
            for sha256 in &contents {
                *held.entry(sha256.clone()).or_default() += 1;
            }
        }
        Hold { held: self.held.clone(), contents }
    }

    pub fn is_held(&self, sha256: &str) -> bool {
        self.held.lock().contains_key(sha256)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.contents.is_empty() {
            return;
        }
        let mut held = self.held.lock();
        for sha256 in &self.contents {
            if let Some(count) = held.get_mut(sha256) {
                *count -= 1;
                if *count == 0 {
                    held.remove(sha256);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::memory::MemoryStore;

    #[test]
    fn content_is_held_until_the_last_hold_is_dropped() {
        let records = Records::new(Arc::new(MemoryStore::default()));
        let first = records.hold(["a", "b"]);
        let second = records.hold(["a"]);
        drop(first);
        assert!(records.is_held("a") && !records.is_held("b"));
        drop(second);
        assert!(!records.is_held("a"));
    }
}
