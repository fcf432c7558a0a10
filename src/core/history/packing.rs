//! Which jobs are packed, and how many into a segment: for the packer, and for an import, which packs as that would.

use crate::core::callbacks::CallbackState;
use crate::core::jobs::JobRecord;

/// A segment with so much in it is closed, whatever the number of its jobs; it is in memory while it is made.
pub const MAX_RAW_BYTES: usize = 16 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The newest jobs that stay records, ended or not.
    pub recent: u64,
    /// Jobs of a segment; so many more stay records until there are enough.
    pub segment_jobs: usize,
    /// A job is packed so long after its end at the earliest.
    pub settled_ms: i64,
}

impl Rule {
    /// How many of so many records are old enough.
    pub fn old(&self, records: u64) -> u64 {
        records.saturating_sub(self.recent.max(1))
    }

    /// Whether nothing more is to come of the job, but perhaps its callback.
    pub fn has_settled(&self, job: &JobRecord, now_ms: i64) -> bool {
        let ended = job.ended_ms.filter(|_| job.state.has_ended());
        ended.is_some_and(|ended| now_ms.saturating_sub(ended) >= self.settled_ms)
    }
}

/// Whether a job's callback, if it has one, has come to its end.
pub fn has_called(callback: Option<CallbackState>) -> bool {
    callback != Some(CallbackState::Waiting)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::history::tests::job;
    use crate::core::jobs::JobState;

    const RULE: Rule = Rule { recent: 10, segment_jobs: 5, settled_ms: 60 };

    #[test]
    fn the_newest_jobs_are_never_old() {
        assert_eq!([0, 9, 10, 11, 100].map(|records| RULE.old(records)), [0, 0, 0, 1, 90]);
        assert_eq!(Rule { recent: 0, ..RULE }.old(5), 4);
    }

    #[test]
    fn a_job_has_settled_some_time_after_its_end() {
        let ended = job(1, JobState::Finished);
        assert_eq!([69, 70, 1000].map(|now_ms| RULE.has_settled(&ended, now_ms)), [false, true, true]);
        assert!(!RULE.has_settled(&job(1, JobState::Running), 1000));
        assert!(!RULE.has_settled(&JobRecord { ended_ms: None, ..ended }, 1000));
        let states = [None, Some(CallbackState::Delivered), Some(CallbackState::GivenUp), Some(CallbackState::Waiting)];
        assert_eq!(states.map(has_called), [true, true, true, false]);
    }
}
