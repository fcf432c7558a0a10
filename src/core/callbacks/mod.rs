//! Callbacks: their record, what follows from an answer, when a delivery is repeated, and what is signed.

mod lanes;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use lanes::{Finished, Lanes, Limits, Step};

/// Attempts that a callback's record keeps: the newest.
pub const LOG_LENGTH: usize = 20;
/// The longest text of an error that is kept, in characters.
const ERROR_CHARS: usize = 300;
/// Due since ever: no step of a clock makes it wait.
pub const AT_ONCE: i64 = 0;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallbackState {
    /// It stands in the outbox.
    Waiting,
    Delivered,
    GivenUp,
}

/// One try to deliver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Attempt {
    pub number: u32,
    /// Wall clock, milliseconds since the epoch.
    pub began_ms: i64,
    pub took_ms: u64,
    /// Of the answer, when there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why there was none, or why nothing was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What stands under `job-callbacks/<job>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CallbackRecord {
    /// `host:port` of the job's callback URL.
    pub target: String,
    pub state: CallbackState,
    /// When the next attempt is due, while it waits. It is a part of the outbox's key.
    pub due_ms: i64,
    /// A round begins with the job's end, and anew with each replay by hand.
    pub round_began_ms: i64,
    pub round_attempts: u32,
    /// Of all rounds.
    pub attempts: u32,
    /// The newest of them, in order.
    #[serde(default)]
    pub log: Vec<Attempt>,
}

impl CallbackRecord {
    pub fn new(target: String, now_ms: i64) -> Self {
        Self {
            target,
            state: CallbackState::Waiting,
            due_ms: AT_ONCE,
            round_began_ms: now_ms,
            round_attempts: 0,
            attempts: 0,
            log: Vec::new(),
        }
    }

    /// After one more attempt; `now_ms` is by the clock that due times go by.
    pub fn attempted(&self, took: Took, answer: &Answer, decision: Decision, now_ms: i64) -> Self {
        let (status, error) = match answer {
            Answer::Status { code, .. } => (Some(*code), None),
            Answer::None(why) | Answer::Refused(why) => (None, Some(why.chars().take(ERROR_CHARS).collect())),
        };
        let mut record = self.clone();
        record.attempts = self.attempts.saturating_add(1);
        record.round_attempts = self.round_attempts.saturating_add(1);
        let Took { began_ms, took_ms } = took;
        record.log.push(Attempt { number: record.attempts, began_ms, took_ms, status, error });
        let surplus = record.log.len().saturating_sub(LOG_LENGTH);
        record.log.drain(..surplus);
        match decision {
            Decision::Delivered => record.state = CallbackState::Delivered,
            Decision::GiveUp => record.state = CallbackState::GivenUp,
            Decision::Retry { after } => record.due_ms = now_ms.saturating_add(milliseconds(after)),
        }
        record
    }

    /// Due at once, with all attempts of a new round, whatever became of it before.
    pub fn replayed(&self, now_ms: i64) -> Self {
        let waiting = CallbackState::Waiting;
        Self { state: waiting, due_ms: AT_ONCE, round_began_ms: now_ms, round_attempts: 0, ..self.clone() }
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// When an attempt began, by the wall clock, and how long it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Took {
    pub began_ms: i64,
    pub took_ms: u64,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Status {
        code: u16,
        retry_after: Option<Duration>,
    },
    /// Nobody answered, or not in time.
    None(String),
    /// It may not be sent at all.
    Refused(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Delivered,
    Retry { after: Duration },
    GiveUp,
}

/// When a delivery is repeated, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Attempts of one round.
    pub attempts: u32,
    /// No attempt is made later than this after the round began.
    pub max_age: Duration,
    /// Before the second attempt; doubles for each further one.
    pub backoff: Duration,
    /// Neither backoff nor `Retry-After` is longer.
    pub max_backoff: Duration,
}

impl Schedule {
    /// The pause after so many failed attempts: between half of the backoff and the whole, so that what failed together
    /// does not come back together. `fraction` is from 0 to below 1.
    pub fn pause(&self, failed: u32, fraction: f64) -> Duration {
        let doubled = self.backoff.saturating_mul(2_u32.saturating_pow(failed.saturating_sub(1).min(31)));
        doubled.min(self.max_backoff).mul_f64(fraction.clamp(0.0, 1.0).midpoint(1.0))
    }

    /// `failed` counts this attempt too, should it have failed; `age` is that of the round.
    pub fn decide(&self, answer: &Answer, failed: u32, age: Duration, fraction: f64) -> Decision {
        let asked = match answer {
            Answer::Status { code: 200..300, .. } => return Decision::Delivered,
            // The receiver says that it will never take it.
            Answer::Status { code: 410, .. } | Answer::Refused(_) => return Decision::GiveUp,
            Answer::Status { code: 429 | 503, retry_after } => retry_after.unwrap_or_default(),
            Answer::Status { .. } | Answer::None(_) => Duration::ZERO,
        };
        let after = self.pause(failed, fraction).max(asked.min(self.max_backoff));
        if failed >= self.attempts || age.saturating_add(after) > self.max_age {
            return Decision::GiveUp;
        }
        Decision::Retry { after }
    }
}

/// A value of `Retry-After`: seconds, or a date of HTTP. A date that is over is no time at all.
pub fn retry_after(value: &str, now_ms: i64) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    let ms = date.as_millisecond().saturating_sub(now_ms);
    Some(Duration::from_millis(u64::try_from(ms).unwrap_or(0)))
}

/// What is signed begins with this; the body follows.
pub fn signed_prefix(unix_seconds: i64) -> String {
    format!("{unix_seconds}.")
}

/// `t=1795256199,v1=<hex>`, with one `v1` for each secret.
pub fn signature(unix_seconds: i64, codes: &[String]) -> String {
    codes.iter().fold(format!("t={unix_seconds}"), |header, code| format!("{header},v1={code}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: Schedule = Schedule {
        attempts: 4,
        max_age: Duration::from_secs(1000),
        backoff: Duration::from_secs(10),
        max_backoff: Duration::from_secs(60),
    };

    fn status(code: u16) -> Answer {
        Answer::Status { code, retry_after: None }
    }

    fn decide(answer: &Answer, failed: u32) -> Decision {
        SCHEDULE.decide(answer, failed, Duration::ZERO, 0.0)
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_lie_between_half_and_whole() {
        let pauses = |fraction| [1, 2, 3, 4, 40].map(|failed| SCHEDULE.pause(failed, fraction).as_secs());
        assert_eq!(pauses(0.0), [5, 10, 20, 30, 30]);
        assert_eq!(pauses(1.0), [10, 20, 40, 60, 60]);
    }

    #[test]
    fn any_2xx_is_delivered_410_is_given_up_the_rest_is_tried_again() {
        for code in [200, 202, 204, 299] {
            assert_eq!(decide(&status(code), 1), Decision::Delivered);
        }
        assert_eq!(decide(&status(410), 1), Decision::GiveUp);
        assert_eq!(decide(&Answer::Refused("not allowed".into()), 1), Decision::GiveUp);
        let again = Decision::Retry { after: Duration::from_secs(5) };
        for code in [100, 302, 400, 404, 500, 503] {
            assert_eq!(decide(&status(code), 1), again, "{code}");
        }
        assert_eq!(decide(&Answer::None("timed out".into()), 1), again);
    }

    #[test]
    fn the_last_attempt_and_an_age_over_the_longest_give_up() {
        assert!(matches!(decide(&status(500), 3), Decision::Retry { .. }));
        assert_eq!(decide(&status(500), 4), Decision::GiveUp);
        let aged = |seconds| SCHEDULE.decide(&status(500), 1, Duration::from_secs(seconds), 0.0);
        assert!(matches!(aged(995), Decision::Retry { .. }));
        assert_eq!(aged(996), Decision::GiveUp);
        assert_eq!(SCHEDULE.decide(&status(200), 9, Duration::MAX, 0.0), Decision::Delivered);
    }

    #[test]
    fn retry_after_is_obeyed_within_bounds_and_only_when_it_means_it() {
        let asked =
            |code, seconds| decide(&Answer::Status { code, retry_after: Some(Duration::from_secs(seconds)) }, 1);
        assert_eq!(asked(503, 30), Decision::Retry { after: Duration::from_secs(30) });
        assert_eq!(asked(429, 100_000), Decision::Retry { after: Duration::from_secs(60) });
        // Shorter than our own pause: the receiver's word is a least.
        assert_eq!(asked(503, 1), Decision::Retry { after: Duration::from_secs(5) });
        assert_eq!(asked(500, 30), Decision::Retry { after: Duration::from_secs(5) });
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = 784_111_777_000;
        assert_eq!(retry_after(" 120 ", now), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:47 GMT", now), Some(Duration::from_secs(10)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:27 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("99999999999999999999999", now), None);
        assert_eq!(retry_after("soon", now), None);
    }

    #[test]
    fn the_record_keeps_the_newest_attempts_and_counts_all() {
        let mut record = CallbackRecord::new("h:1".into(), 0);
        let retry = Decision::Retry { after: Duration::from_millis(7) };
        for number in 0..30 {
            let took = Took { began_ms: number, took_ms: 1 };
            record = record.attempted(took, &Answer::None("x".repeat(1000)), retry, 100);
        }
        assert_eq!((record.attempts, record.round_attempts, record.due_ms), (30, 30, 107));
        assert_eq!((record.log.len(), record.log[0].number, record.log[19].number), (LOG_LENGTH, 11, 30));
        assert_eq!(record.log[0].error.as_ref().map(String::len), Some(ERROR_CHARS));
    }

    #[test]
    fn a_replay_begins_a_new_round_and_keeps_the_log() {
        let took = Took { began_ms: 1, took_ms: 1 };
        let record = CallbackRecord::new("h:1".into(), 0).attempted(took, &status(410), Decision::GiveUp, 5);
        assert_eq!(record.state, CallbackState::GivenUp);
        let again = record.replayed(50);
        assert_eq!((again.state, again.due_ms, again.round_began_ms), (CallbackState::Waiting, AT_ONCE, 50));
        assert_eq!((again.round_attempts, again.attempts, again.log.len()), (0, 1, 1));
    }

    #[test]
    fn a_signature_has_the_time_and_a_code_for_each_secret() {
        assert_eq!(signed_prefix(17), "17.");
        assert_eq!(signature(17, &["ab".into(), "cd".into()]), "t=17,v1=ab,v1=cd");
    }
}
