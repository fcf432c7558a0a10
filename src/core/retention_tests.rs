//! Scenarios of retention.

use super::*;
use crate::core::binaries::{BinaryType, BlobRef};
use crate::core::jobs::{BinaryUse, JobState};

const DAY: i64 = 86_400_000;

fn blob(letter: char) -> BlobRef {
    BlobRef { sha256: letter.to_string().repeat(64), size_bytes: 1 }
}

fn job(ended_ms: Option<i64>) -> JobRecord {
    let code = BinaryUse { name: "b".into(), kind: BinaryType::Wheel, content: blob('c'), uploaded: true };
    let state = if ended_ms.is_some() { "FINISHED" } else { "STARTED" };
    let record = serde_json::json!({
        "id": "1", "class-path": "a.B", "context": "c", "context-id": "2", "attempt": 1, "state": state,
        "started-ms": 0, "ended-ms": ended_ms, "binaries": [], "principal": "p",
    });
    let record: JobRecord = serde_json::from_value(record).unwrap();
    let result = Some(ResultPlace::Blob(blob('a'))).filter(|_| ended_ms.is_some());
    JobRecord { binaries: vec![code], result, log: Some(blob('b')), ..record }
}

fn by_age(days: i64) -> Policy {
    Policy { jobs_age_ms: Some(days * DAY), ..Policy::default() }
}

#[test]
fn without_limits_everything_stays() {
    assert_eq!(Policy::default().job(&job(Some(0)), u64::MAX, i64::MAX), Fate::Keep);
}

#[test]
fn a_job_goes_by_the_time_since_its_end() {
    assert_eq!(by_age(2).job(&job(Some(DAY)), 0, 3 * DAY), Fate::Keep);
    assert_eq!(by_age(2).job(&job(Some(DAY)), 0, 3 * DAY + 1), Fate::Remove);
}

#[test]
fn a_job_goes_when_enough_newer_ones_are_kept() {
    let policy = Policy { jobs_count: Some(3), ..Policy::default() };
    assert_eq!(policy.job(&job(Some(0)), 2, 0), Fate::Keep);
    assert_eq!(policy.job(&job(Some(0)), 3, 0), Fate::Remove);
}

#[test]
fn a_job_that_has_not_ended_stays_whatever_its_age() {
    let policy = Policy { jobs_count: Some(0), ..by_age(0) };
    assert_eq!(policy.job(&job(None), 10, 1000 * DAY), Fate::Keep);
}

#[test]
fn result_and_log_go_before_the_record_each_by_its_own_age() {
    let policy = Policy { results_age_ms: Some(DAY), logs_age_ms: Some(2 * DAY), ..by_age(3) };
    let fate = |days| policy.job(&job(Some(0)), 0, days * DAY + 1);
    assert_eq!(fate(0), Fate::Keep);
    assert_eq!(fate(1), Fate::Trim { result: true, log: false });
    assert_eq!(fate(2), Fate::Trim { result: true, log: true });
    assert_eq!(fate(3), Fate::Remove);
    let trimmed = JobRecord { result: None, log: None, ..job(Some(0)) };
    assert_eq!(policy.job(&trimmed, 0, 2 * DAY + 1), Fate::Keep);
}

#[test]
fn a_callback_that_waits_keeps_record_and_result_but_no_log() {
    let trim = |result, log| Fate::Trim { result, log };
    for (fate, takes_result, kept) in [
        (Fate::Keep, false, Fate::Keep),
        (Fate::Remove, true, Fate::Keep),
        (trim(true, false), true, Fate::Keep),
        (trim(true, true), true, trim(false, true)),
        (trim(false, true), false, trim(false, true)),
    ] {
        assert_eq!((fate.takes_result(), fate.while_callback_waits()), (takes_result, kept), "{fate:?}");
    }
}

#[test]
fn a_clock_that_was_set_back_removes_nothing() {
    assert_eq!(by_age(1).job(&job(Some(10 * DAY)), 0, 0), Fate::Keep);
}

#[test]
fn code_is_referred_to_until_the_job_has_ended_result_and_log_as_long_as_the_record() {
    let all = |job: &JobRecord| contents(job).map(|hash| hash[..1].to_owned()).collect::<String>();
    assert_eq!(all(&job(None)), "bc");
    assert_eq!(all(&job(Some(1))), "ab");
    assert_eq!(all(&JobRecord { state: JobState::Restarting, ended_ms: None, ..job(None) }), "bc");
}

#[test]
fn a_binary_is_unused_when_upload_and_last_job_are_long_ago() {
    let policy = Policy { binaries_unused_age_ms: Some(DAY), ..Policy::default() };
    let mut uses = Uses::default();
    uses.saw(&job(Some(DAY)), 5 * DAY);
    assert!(!uses.is_unused("b", 0, &policy, 2 * DAY));
    assert!(uses.is_unused("b", 0, &policy, 2 * DAY + 1));
    assert!(!uses.is_unused("b", 2 * DAY, &policy, 2 * DAY + 1), "just uploaded");
    assert!(uses.is_unused("never", 0, &policy, 2 * DAY + 1));
    assert!(!uses.is_unused("b", 0, &Policy::default(), i64::MAX), "off");
    uses.saw(&job(None), 5 * DAY);
    assert!(!uses.is_unused("b", 0, &policy, 5 * DAY + 1), "an unfinished job");
}

#[test]
fn no_binary_is_unused_when_the_history_is_cut_shorter_than_the_age() {
    let policy = Policy { binaries_unused_age_ms: Some(DAY), jobs_count: Some(1), ..Policy::default() };
    let mut uses = Uses::default();
    uses.saw(&job(Some(10 * DAY)), 10 * DAY);
    assert!(!uses.is_unused("other", 0, &policy, 10 * DAY + 1));
    assert!(uses.is_unused("other", 0, &policy, 11 * DAY + 1));
}

const AGE: Duration = Duration::from_secs(10);

fn suspects() -> (Suspects, Duration) {
    (Suspects::new(AGE, 3), Duration::from_secs(100))
}

#[test]
fn content_goes_when_it_was_without_reference_for_the_whole_age() {
    let (mut suspects, t0) = suspects();
    assert!(!suspects.is_due("a", 1, t0));
    suspects.end_pass();
    assert!(!suspects.is_due("a", 1, t0 + AGE / 2));
    suspects.end_pass();
    assert!(suspects.is_due("a", 1, t0 + AGE));
}

#[test]
fn content_that_is_uploaded_again_begins_anew() {
    let (mut suspects, t0) = suspects();
    suspects.is_due("a", 1, t0);
    suspects.end_pass();
    assert!(!suspects.is_due("a", 2, t0 + AGE));
    assert!(!suspects.is_due("a", 2, t0 + AGE + AGE / 2));
    assert!(suspects.is_due("a", 2, t0 + 2 * AGE));
}

#[test]
fn content_that_had_a_reference_in_between_begins_anew() {
    let (mut suspects, t0) = suspects();
    suspects.is_due("a", 1, t0);
    suspects.end_pass();
    suspects.end_pass();
    assert!(!suspects.is_due("a", 1, t0 + AGE));
}

#[test]
fn a_pass_that_broke_off_does_not_shorten_the_time() {
    let (mut suspects, t0) = suspects();
    suspects.is_due("a", 1, t0);
    // No end of the pass.
    assert!(!suspects.is_due("a", 1, t0 + AGE / 2));
    assert!(suspects.is_due("a", 1, t0 + AGE));
}

#[test]
fn beyond_the_number_that_is_remembered_others_wait() {
    let (mut suspects, t0) = suspects();
    for name in ["a", "b", "c", "d"] {
        suspects.is_due(name, 1, t0);
    }
    assert_eq!(suspects.count(), 3);
    assert!(!suspects.is_due("d", 1, t0 + AGE));
    assert!(suspects.is_due("a", 1, t0 + AGE));
}

#[test]
fn a_hash_is_known_again_and_what_is_no_hash_is_never_free() {
    let mut referenced = Referenced::default();
    referenced.add(&blob('a').sha256);
    assert!(referenced.has(&blob('a').sha256) && !referenced.has(&blob('b').sha256));
    assert!(referenced.has("../etc") && referenced.has(""));
}
