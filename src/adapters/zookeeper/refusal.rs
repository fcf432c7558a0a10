//! Changes that ZooKeeper refuses: because of an ACL, or a quota. Which commits of a transaction are concerned, the others go on; and what
//! people are told.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use zookeeper_client::Error;

use super::engine::Request;
use super::paths::{Paths, split};
use super::plan::Plan;
use crate::ports::{Commit, Precondition, Write};

/// A refusal that is longer ago says nothing of now.
const RECENT: Duration = Duration::from_secs(60);

/// Since when changes are refused, and when one was last.
#[derive(Default)]
pub(super) struct Refusals(Mutex<Option<(Instant, Instant)>>);

impl Refusals {
    pub(super) fn add(&self, now: Instant) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = known.filter(|(_, last)| now.saturating_duration_since(*last) <= RECENT);
        *known = Some((since.map_or(now, |(since, _)| since), now));
    }

    /// For how long; nothing, when none was refused lately.
    pub(super) fn lasting(&self, now: Instant) -> Option<Duration> {
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, last) = known?;
        (now.saturating_duration_since(last) <= RECENT).then(|| now.saturating_duration_since(since))
    }
}

/// Whether it was refused to us, who may be let some other time.
pub(super) fn is_refusal(error: &Error) -> bool {
    matches!(
        error,
        Error::NoAuth | Error::AuthFailed | Error::InvalidAcl | Error::QuotaExceeded | Error::BadArguments(_)
    )
}

/// What may help. `user` is that of `zookeeper.auth-file`.
pub(super) fn remedy(error: &Error, user: Option<&str>) -> String {
    match error {
        Error::QuotaExceeded => {
            "a quota of ZooKeeper on it, or on what is above it, is used up: look at it in ZooKeeper's shell with \
                                 `listquota`, and raise it with `setquota`"
                .into()
        }
        _ => {
            let who = user.map_or_else(
                || "`zookeeper.auth-file` is not set".into(),
                |user| format!("the user in `zookeeper.auth-file` is {user:?}"),
            );
            format!(
                "its ACL, or that of the znode above it, does not let this server ({who}): name the user who may in \
                 `zookeeper.auth-file`, or correct the ACL in ZooKeeper's shell, where `getAcl` shows it and `setAcl` changes it"
            )
        }
    }
}

/// Takes those out of the batch that need the operation that was refused. Nobody, where it is needed by all.
pub(super) fn evict(batch: &mut Vec<Request>, plan: &Plan, at: usize, paths: &Paths) -> Vec<Request> {
    let Some(operation) = plan.operations.get(at).filter(|_| at > plan.makes_entry) else { return Vec::new() };
    let path = operation.path();
    let (evicted, others) = std::mem::take(batch).into_iter().enumerate().partition::<Vec<_>, _>(|(n, it)| {
        matches!(plan.outcomes.get(*n), Some(Ok(_))) && needs(&it.commit, path, paths)
    });
    let requests = |of: Vec<(usize, Request)>| of.into_iter().map(|(_, request)| request).collect();
    *batch = requests(others);
    requests(evicted)
}

/// Whether the commit writes, or asks for, what stands at this path.
fn needs(commit: &Commit, path: &str, paths: &Paths) -> bool {
    let in_cell = |key: &str| {
        let rest = path.strip_prefix(&paths.cell(split(key).1));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    commit.writes.iter().any(|(Write::Put(key, _) | Write::Delete(key))| in_cell(key))
        || commit.preconditions.iter().any(|precondition| match precondition {
            Precondition::Exists(key) | Precondition::At(key, _) => in_cell(key),
            Precondition::Fence(fence) => paths.fence(fence) == path,
            Precondition::Absent(_) | Precondition::NoneUnder(_) => false,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock;

    #[test]
    fn a_commit_needs_the_cells_that_it_writes_or_asks_for_and_what_is_below_them() {
        let paths = Paths::new("/d");
        let commit = Commit {
            preconditions: vec![Precondition::Exists("a/1".into()), Precondition::Absent("a/2".into())],
            writes: vec![Write::Put("b/3".into(), "x".into()), Write::Delete("b/4".into())],
        };
        for (key, is_needed) in [("z/1", true), ("z/2", false), ("z/3", true), ("z/4", true), ("z/33", false)] {
            assert_eq!(needs(&commit, &paths.cell(split(key).1), &paths), is_needed, "{key}");
            assert_eq!(needs(&commit, &paths.apart(key), &paths), is_needed, "{key}");
        }
        assert!(!needs(&commit, &paths.entry(7), &paths));
    }

    #[test]
    fn refusals_last_from_the_first_until_a_minute_after_the_last() {
        let (begin, refusals) = (clock::instant(), Refusals::default());
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(refusals.lasting(begin), None);
        for second in [0, 50, 100] {
            refusals.add(at(second));
        }
        assert_eq!(refusals.lasting(at(120)), Some(Duration::from_secs(120)));
        assert_eq!(refusals.lasting(at(161)), None);
        refusals.add(at(200));
        assert_eq!(refusals.lasting(at(210)), Some(Duration::from_secs(10)));
    }
}
