//! Which log of a job is read: each of its attempts has one of its own. An attempt is known by its number, from 1 on.

use super::binaries::BlobRef;
use super::jobs::{JobRecord, JobState};

/// Where the log of an attempt is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place<'a> {
    /// The driver that has the job has it.
    Driver,
    /// The attempt has not begun.
    ToCome,
    /// The attempt is over.
    Kept(&'a BlobRef),
    /// The attempt is over, and wrote nothing or its log is no longer kept.
    Nothing,
}

/// The number of the present attempt, or of the last.
pub fn present(job: &JobRecord) -> u32 {
    u32::try_from(job.attempts.len()).unwrap_or(u32::MAX).saturating_add(1)
}

/// `None` when the job has no such attempt.
pub fn place(job: &JobRecord, number: u32) -> Option<Place<'_>> {
    let index = usize::try_from(number).ok()?.checked_sub(1)?;
    let log = match job.attempts.get(index) {
        Some(attempt) => &attempt.log,
        None if number != present(job) => return None,
        None if job.state.has_ended() => &job.log,
        None if job.state == JobState::Restarting || job.queued.is_some() => return Some(Place::ToCome),
        None => return Some(Place::Driver),
    };
    Some(log.as_ref().map_or(Place::Nothing, Place::Kept))
}

/// The attempt whose log is meant when none is named: the last that has one. `driver_has` says whether the driver has
/// something of the present attempt.
pub fn newest(job: &JobRecord, driver_has: bool) -> u32 {
    let present = present(job);
    let has = |number: &u32| match place(job, *number) {
        Some(Place::Driver) => driver_has,
        Some(Place::Kept(_)) => true,
        Some(Place::ToCome | Place::Nothing) | None => false,
    };
    (1..=present).rev().find(has).unwrap_or(present)
}

/// Whether another attempt followed, or is to follow.
pub fn is_followed(job: &JobRecord, number: u32) -> bool {
    number < present(job)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::jobs::Outcome;

    fn job() -> JobRecord {
        serde_json::from_value(serde_json::json!({
            "id": "1", "class-path": "a.B", "context": "c", "context-id": "2", "attempt": 1, "state": "STARTED",
            "started-ms": 10, "binaries": [], "principal": "anonymous",
        }))
        .unwrap()
    }

    fn log(name: &str) -> BlobRef {
        BlobRef { sha256: name.into(), size_bytes: 1 }
    }

    #[test]
    fn a_job_that_runs_for_the_first_time_has_its_log_in_the_driver() {
        let job = job();
        assert_eq!((place(&job, 1), place(&job, 0), place(&job, 2)), (Some(Place::Driver), None, None));
        assert_eq!((newest(&job, false), newest(&job, true)), (1, 1));
    }

    #[test]
    fn a_job_that_waits_for_its_retry_shows_what_it_wrote_before() {
        let waits = job().lost("n", "gone", Some(log("a")), 20);
        assert_eq!((place(&waits, 1), place(&waits, 2)), (Some(Place::Kept(&log("a"))), Some(Place::ToCome)));
        assert_eq!(newest(&waits, false), 1);
        assert!(is_followed(&waits, 1) && !is_followed(&waits, 2));
    }

    #[test]
    fn in_its_second_attempt_a_job_shows_the_first_log_until_it_writes_another() {
        let again = job().lost("n", "gone", Some(log("a")), 20).again(2, 30);
        assert_eq!(place(&again, 2), Some(Place::Driver));
        assert_eq!((newest(&again, false), newest(&again, true)), (1, 2));
    }

    #[test]
    fn an_ended_job_shows_the_last_log_that_there_is() {
        let lost = job().lost("n", "gone", Some(log("a")), 20).lost("n", "gone", None, 25).again(3, 30);
        let (silent, _) = lost.ended(Outcome::Finished("1".into()), None, 40);
        assert_eq!(
            (newest(&silent, false), place(&silent, 2), place(&silent, 3)),
            (1, Some(Place::Nothing), Some(Place::Nothing))
        );
        let (told, _) = lost.ended(Outcome::Finished("1".into()), Some(log("c")), 40);
        assert_eq!((newest(&told, false), told.logs().count()), (3, 2));
        assert_eq!(newest(&told.without_logs(), false), 3);
    }
}
