//! Content that drivers ask for in vain: their jobs wait for it, and say so.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::Service;
use crate::core::jobs::{JobRecord, JobState};
use crate::ports::BlobError;
use crate::runtime::clock;

/// More is found again, as drivers ask again.
const MOST: usize = 1000;

/// What the store of binaries did not give, by context and hash, as long as it does not.
#[derive(Clone, Default)]
pub(super) struct Withheld(Arc<Mutex<HashMap<(String, String), Vain>>>);

#[derive(Debug, Clone, Copy)]
struct Vain {
    since: Instant,
    /// The store is there, and has other content.
    only_this: bool,
}

impl Withheld {
    fn all(&self) -> MutexGuard<'_, HashMap<(String, String), Vain>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this is new: the driver asks again and again. What never will be given is told to the driver, whose job fails.
    pub(super) fn note(&self, context: &str, sha256: &str, error: &BlobError) -> bool {
        let only_this = match error {
            BlobError::Unavailable(_) => false,
            BlobError::Unreadable { .. } => true,
            _ => return true,
        };
        let mut all = self.all();
        if let Some(vain) = all.get_mut(&(context.to_owned(), sha256.to_owned())) {
            vain.only_this = only_this;
            return false;
        }
        if all.len() >= MOST {
            all.clear();
        }
        all.insert((context.to_owned(), sha256.to_owned()), Vain { since: clock::instant(), only_this });
        true
    }

    pub(super) fn given(&self, context: &str, sha256: &str) {
        let mut all = self.all();
        if !all.is_empty()
            && let Some(vain) = all.remove(&(context.to_owned(), sha256.to_owned()))
        {
            tracing::info!(context, blob = sha256, after = ?clock::since(vain.since), "a driver is given what it waited for");
        }
    }

    fn find(&self, context: &str, sha256: &str) -> Option<Vain> {
        let all = self.all();
        if all.is_empty() { None } else { all.get(&(context.to_owned(), sha256.to_owned())).copied() }
    }
}

impl Service {
    /// What a job, which its driver has, waits for before it can begin, in words; nothing as a rule.
    pub fn waits_for(&self, job: &JobRecord) -> Option<String> {
        if job.queued.is_some() || job.state.has_ended() || job.state == JobState::Running {
            return None;
        }
        let found = |sha256: &str| self.withheld.find(&job.context_id, sha256);
        let (binary, vain) = job.binaries.iter().find_map(|binary| Some((binary, found(&binary.content.sha256)?)))?;
        let (name, seconds) = (&binary.name, clock::since(vain.since).as_secs());
        let why = match (vain.only_this, self.binaries_are_away()) {
            (true, false) => {
                "no machine of the store of binaries that has it gives it; if it is lost there, upload the binary again"
            }
            _ => "the store of binaries (`store.binaries`) is away",
        };
        Some(format!("the content of binary {name}, for {seconds} s: {why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_withheld_is_new_once_until_it_is_given() {
        let withheld = Withheld::default();
        let away = BlobError::Unavailable("away".into());
        let unread = BlobError::Unreadable { sha256: "a".into(), why: "dead".into() };
        assert!(withheld.note("c", "a", &away));
        assert!(!withheld.note("c", "a", &unread));
        assert!(withheld.find("c", "a").unwrap().only_this && withheld.find("d", "a").is_none());
        withheld.given("c", "a");
        assert!(withheld.find("c", "a").is_none() && withheld.note("c", "a", &away));
    }

    #[test]
    fn what_is_gone_for_good_is_not_waited_for() {
        let withheld = Withheld::default();
        assert!(withheld.note("c", "a", &BlobError::Damaged { sha256: "a".into(), why: "bits".into() }));
        assert!(withheld.find("c", "a").is_none());
    }

    #[test]
    fn it_is_bounded() {
        let withheld = Withheld::default();
        for number in 0..3 * MOST {
            withheld.note("c", &number.to_string(), &BlobError::Unavailable(String::new()));
        }
        assert!(withheld.all().len() <= MOST);
    }
}
