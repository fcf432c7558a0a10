//! How many jobs each principal has that have not ended, and how many of these wait in a queue.

use std::collections::HashMap;

/// 0 is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Jobs that have not ended, those that wait among them.
    pub active: usize,
    pub queued: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exceeded {
    Active { max: usize },
    Queued { max: usize },
}

#[derive(Debug, Default)]
struct Count {
    active: usize,
    queued: usize,
}

#[derive(Debug, Default)]
pub struct Quotas(HashMap<String, Count>);

impl Quotas {
    /// Whether the principal may have one more.
    pub fn check(&self, principal: &str, queued: bool, limits: Limits) -> Result<(), Exceeded> {
        let Some(count) = self.0.get(principal) else { return Ok(()) };
        if limits.active > 0 && count.active >= limits.active {
            return Err(Exceeded::Active { max: limits.active });
        }
        if queued && limits.queued > 0 && count.queued >= limits.queued {
            return Err(Exceeded::Queued { max: limits.queued });
        }
        Ok(())
    }

    pub fn add(&mut self, principal: &str, queued: bool) {
        if !self.0.contains_key(principal) {
            self.0.insert(principal.to_owned(), Count::default());
        }
        if let Some(count) = self.0.get_mut(principal) {
            count.active += 1;
            count.queued += usize::from(queued);
        }
    }

    /// As it was added.
    pub fn remove(&mut self, principal: &str, queued: bool) {
        let Some(count) = self.0.get_mut(principal) else { return };
        count.active = count.active.saturating_sub(1);
        count.queued = count.queued.saturating_sub(usize::from(queued));
        if count.active == 0 {
            self.0.remove(principal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { active: 2, queued: 1 };

    #[test]
    fn queued_jobs_count_as_active_too() {
        let mut quotas = Quotas::default();
        quotas.add("ann", true);
        assert_eq!(quotas.check("ann", true, LIMITS), Err(Exceeded::Queued { max: 1 }));
        assert_eq!(quotas.check("ann", false, LIMITS), Ok(()));
        quotas.add("ann", false);
        assert_eq!(quotas.check("ann", false, LIMITS), Err(Exceeded::Active { max: 2 }));
        assert_eq!(quotas.check("bob", true, LIMITS), Ok(()));
        assert_eq!(quotas.check("ann", true, Limits::default()), Ok(()));
    }

    #[test]
    fn what_has_ended_counts_no_more_and_is_forgotten() {
        let mut quotas = Quotas::default();
        quotas.add("ann", true);
        quotas.remove("ann", true);
        quotas.remove("ann", true);
        assert_eq!(quotas.check("ann", true, LIMITS), Ok(()));
        assert!(quotas.0.is_empty());
    }
}
