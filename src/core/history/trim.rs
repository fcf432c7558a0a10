//! Retention over segments: which one goes, which is written anew, and what stays of it.

use super::Bundle;
use super::catalog::Manifest;
use crate::core::jobs::{JobRecord, ResultPlace};
use crate::core::retention::{Fate, Policy, is_over};

/// What becomes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    Keep,
    /// Some of its jobs, or some of their results or logs, have had their time.
    Rewrite,
    Drop,
}

/// `too_old` is the newest job that goes because there are newer ones enough.
pub fn due(policy: &Policy, manifest: &Manifest, too_old: Option<&str>, now_ms: i64) -> Due {
    if manifest.clearing {
        // Its jobs may be records, and are judged as such.
        return Due::Keep;
    }
    let goes = |id: &str| too_old.is_some_and(|newest| id <= newest);
    if goes(&manifest.last) || is_over(manifest.newest_end_ms, policy.jobs_age_ms, now_ms) {
        return Due::Drop;
    }
    let over = |since: Option<i64>, age: Option<i64>| since.is_some_and(|since| is_over(since, age, now_ms));
    let some = goes(&manifest.first)
        || is_over(manifest.oldest_end_ms, policy.jobs_age_ms, now_ms)
        || over(manifest.results_ms, policy.results_age_ms)
        || over(manifest.logs_ms, policy.logs_age_ms);
    if some { Due::Rewrite } else { Due::Keep }
}

/// What stays of one job, with its record; `None`: nothing.
pub fn kept(mut bundle: Bundle, job: JobRecord, fate: Fate) -> Option<(Bundle, JobRecord)> {
    let (result, log) = match fate {
        Fate::Remove => return None,
        Fate::Keep => return Some((bundle, job)),
        Fate::Trim { result, log } => (result, log),
    };
    let mut job = job;
    if result {
        if job.result == Some(ResultPlace::Inline) {
            bundle.details.result = None;
        }
        job.result = None;
    }
    if log {
        job = job.without_logs();
    }
    bundle.record.value = serde_json::to_vec(&job).expect("records are plain data").into();
    Some((bundle, job))
}
