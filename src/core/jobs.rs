//! Jobs: their record, their states and which change of state is allowed.

use serde::{Deserialize, Serialize};

use super::binaries::{BinaryType, BlobRef};
use super::queue::Priority;
use super::supervision::Retry;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum JobState {
    /// Recorded and assigned to a driver, or in the queue of its context.
    #[default]
    Started,
    /// The driver has accepted it.
    Running,
    /// Between two attempts.
    Restarting,
    Finished,
    Error,
    Killed,
}

impl JobState {
    pub const ALL: [Self; 6] =
        [Self::Started, Self::Running, Self::Restarting, Self::Finished, Self::Error, Self::Killed];

    pub fn name(self) -> &'static str {
        match self {
            Self::Started => "STARTED",
            Self::Running => "RUNNING",
            Self::Restarting => "RESTARTING",
            Self::Finished => "FINISHED",
            Self::Error => "ERROR",
            Self::Killed => "KILLED",
        }
    }

    /// In any case of letters.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name().eq_ignore_ascii_case(name))
    }

    pub fn has_ended(self) -> bool {
        matches!(self, Self::Finished | Self::Error | Self::Killed)
    }

    /// The one table of a job's life.
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Started => !matches!(next, Self::Started),
            Self::Running => !matches!(next, Self::Started | Self::Running),
            Self::Restarting => matches!(next, Self::Started | Self::Running | Self::Error | Self::Killed),
            Self::Finished | Self::Error | Self::Killed => false,
        }
    }
}

/// Classes of failures. Those of stores are answered with a status of their own.
pub mod failure {
    pub const STORAGE_FULL: &str = "StorageFull";
    /// Of records.
    pub const STORE_UNAVAILABLE: &str = "StoreUnavailable";
    /// It may have been written all the same.
    pub const STORE_UNKNOWN: &str = "StoreUnknown";
    /// Where drivers have their directories.
    pub const DATA_DIR_UNAVAILABLE: &str = "DataDirectoryUnavailable";
    pub const LAUNCH_FAILED: &str = "LaunchFailed";
}

/// A failure as its user sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub message: String,
    #[serde(default)]
    pub class: String,
    /// A driver may leave it out, or say null.
    #[serde(default, deserialize_with = "text_or_null")]
    pub stack: String,
}

fn text_or_null<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(from)?.unwrap_or_default())
}

impl Failure {
    /// A failure of ours, which has no stack of its own: clients want one, so it says the same.
    pub fn new(class: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { stack: String::new(), class: class.into(), message }.with_stack()
    }

    /// The same with something for a stack.
    pub fn with_stack(mut self) -> Self {
        if self.stack.is_empty() {
            self.stack = format!("{}: {}", self.class, self.message);
        }
        self
    }
}

/// Of a failure in a record, as JSON: a driver may say more than a store takes at once.
const MAX_CLASS_BYTES: usize = 1024;
const MAX_MESSAGE_BYTES: usize = 128 * 1024;
const MAX_STACK_BYTES: usize = 256 * 1024;

impl Failure {
    /// As it is kept: what is longer loses its end.
    fn bounded(mut self) -> Self {
        let Self { class, message, stack } = &mut self;
        for (text, max) in [(class, MAX_CLASS_BYTES), (message, MAX_MESSAGE_BYTES), (stack, MAX_STACK_BYTES)] {
            let mut bytes = 0;
            let end = text.char_indices().find(|(_, c)| {
                bytes += match c {
                    '"' | '\\' | '\n' | '\r' | '\t' => 2,
                    c if c.is_ascii_control() => 6,
                    c => c.len_utf8(),
                };
                bytes > max
            });
            if let Some((end, _)) = end {
                text.truncate(end);
                text.push('…');
            }
        }
        self
    }
}

/// A binary as it was when the job was submitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinaryUse {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: BinaryType,
    pub content: BlobRef,
    /// Whether `name` is that of an uploaded binary, not a URI.
    pub uploaded: bool,
}

/// Where a result is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResultPlace {
    /// Under `job-results/<id>`.
    Inline,
    Blob(BlobRef),
}

/// How a job stands in the queue of its context.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Queued {
    /// Unix time before which it is not given to a driver; 0 is at once.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub not_before_ms: i64,
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// What stands under `jobs/<id>`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct JobRecord {
    pub id: String,
    pub class_path: String,
    pub context: String,
    pub context_id: String,
    /// The attempt of the context that the job was given to; 0 for one that no driver was given.
    pub attempt: u32,
    /// Its rank among those that wait; kept after it was given to a driver, for the next time that it waits.
    #[serde(default, skip_serializing_if = "Priority::is_default")]
    pub priority: Priority,
    /// It waits in its context's queue; `None` once it was given to a driver. One that ended there keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<Queued>,
    pub state: JobState,
    pub started_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<i64>,
    pub binaries: Vec<BinaryUse>,
    pub principal: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<ResultPlace>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<BlobRef>,
    /// Whether it runs again when it is lost.
    #[serde(default, skip_serializing_if = "Retry::is_none")]
    pub retry: Retry,
    /// When it was given to the attempt that it is in, when that is not its first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned_ms: Option<i64>,
    /// The attempts before this one, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<JobAttempt>,
}

/// An attempt of a job that came to nothing, so that another followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct JobAttempt {
    /// The attempt of the context that ran it.
    pub attempt: u32,
    pub node: String,
    pub started_ms: i64,
    pub ended_ms: i64,
    pub why: String,
    /// What it wrote until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<BlobRef>,
}

/// The longest `why`, in bytes: a driver's last lines may be long.
const MAX_WHY_BYTES: usize = 2000;

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The JSON text of a short result.
    Finished(String),
    FinishedLarge(BlobRef),
    Failed(Failure),
    Killed(Failure),
}

impl Outcome {
    pub fn state(&self) -> JobState {
        match self {
            Self::Finished(_) | Self::FinishedLarge(_) => JobState::Finished,
            Self::Failed(_) => JobState::Error,
            Self::Killed(_) => JobState::Killed,
        }
    }
}

impl JobRecord {
    /// The record of the job at its end, and the inline result.
    pub fn ended(&self, outcome: Outcome, log: Option<BlobRef>, now_ms: i64) -> (Self, Option<String>) {
        let mut record =
            Self { state: outcome.state(), ended_ms: Some(now_ms.max(self.started_ms)), log, ..self.clone() };
        let inline = match outcome {
            Outcome::Finished(json) => {
                record.result = Some(ResultPlace::Inline);
                Some(json)
            }
            Outcome::FinishedLarge(blob) => {
                record.result = Some(ResultPlace::Blob(blob));
                None
            }
            Outcome::Failed(failure) | Outcome::Killed(failure) => {
                record.failure = Some(failure.bounded());
                None
            }
        };
        (record, inline)
    }

    /// The logs of its attempts that are kept, oldest first.
    pub fn logs(&self) -> impl Iterator<Item = &BlobRef> {
        self.attempts.iter().filter_map(|attempt| attempt.log.as_ref()).chain(&self.log)
    }

    /// The record without its logs.
    pub fn without_logs(mut self) -> Self {
        self.log = None;
        for attempt in &mut self.attempts {
            attempt.log = None;
        }
        self
    }

    /// Whether it had a result that is no longer kept.
    pub fn has_lost_result(&self) -> bool {
        self.state == JobState::Finished && self.result.is_none()
    }

    /// The record of a job that is to run again: its attempt has become one of the past.
    pub fn lost(&self, node: &str, why: &str, log: Option<BlobRef>, now_ms: i64) -> Self {
        let started_ms = self.assigned_ms.unwrap_or(self.started_ms);
        let end = (0..=MAX_WHY_BYTES.min(why.len())).rev().find(|end| why.is_char_boundary(*end)).unwrap_or(0);
        let attempt = JobAttempt {
            attempt: self.attempt,
            node: node.into(),
            started_ms,
            ended_ms: now_ms.max(started_ms),
            why: why[..end].into(),
            log,
        };
        let mut record = Self { state: JobState::Restarting, ..self.clone() };
        record.attempts.push(attempt);
        record
    }

    /// The record as stored, or that of memory when all that it knows beyond is that the same attempt runs: memory
    /// follows the store, so what it says otherwise may be over.
    #[must_use]
    pub fn or_running(self, active: Option<Self>) -> Self {
        let runs = |active: &Self| {
            active.state == JobState::Running
                && self.state == JobState::Started
                && active.attempts.len() == self.attempts.len()
        };
        active.filter(runs).unwrap_or(self)
    }

    /// When its present attempt began, or its wait for the next.
    pub fn present_attempt_ms(&self) -> i64 {
        let Some(last) = self.attempts.last() else { return self.started_ms };
        // As long as it waits, it has the assignment of the lost attempt.
        self.assigned_ms.filter(|at| *at != last.started_ms).unwrap_or(last.ended_ms)
    }

    /// The record of a job that is given to another attempt.
    pub fn again(&self, attempt: u32, now_ms: i64) -> Self {
        Self { state: JobState::Started, attempt, assigned_ms: Some(now_ms), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_states_is_decided() {
        use JobState::{Error, Finished, Killed, Restarting, Running, Started};
        let allowed = [
            (Started, Running),
            (Started, Restarting),
            (Started, Finished),
            (Started, Error),
            (Started, Killed),
            (Running, Restarting),
            (Running, Finished),
            (Running, Error),
            (Running, Killed),
            (Restarting, Started),
            (Restarting, Running),
            (Restarting, Error),
            (Restarting, Killed),
        ];
        for from in JobState::ALL {
            for to in JobState::ALL {
                assert_eq!(from.may_become(to), allowed.contains(&(from, to)), "{from:?} -> {to:?}");
            }
        }
    }

    #[test]
    fn a_failure_without_a_stack_is_read_and_given_one() {
        let read = |text| serde_json::from_str::<Failure>(text).unwrap().with_stack().stack;
        assert_eq!(read(r#"{"message":"m","class":"C","stack":null}"#), "C: m");
        assert_eq!(read(r#"{"message":"m","class":"C"}"#), "C: m");
        assert_eq!(read(r#"{"message":"m","class":"C","stack":"s"}"#), "s");
    }

    #[test]
    fn what_a_driver_says_of_a_failure_is_kept_as_far_as_a_record_has_room() {
        let failed = |text: String| {
            let failure = Failure { message: text.clone(), class: text.clone(), stack: text };
            started().ended(Outcome::Failed(failure), None, 20).0.failure.unwrap()
        };
        assert_eq!(failed("short".into()).stack, "short");
        for text in ["x", "\"", "\u{1}", "é", "\n"] {
            let kept = failed(text.repeat(1_000_000));
            let bytes = serde_json::to_string(&kept).unwrap().len();
            assert!((350_000..400_000).contains(&bytes) && kept.stack.ends_with('…'), "{text:?}: {bytes}");
        }
    }

    fn started() -> JobRecord {
        serde_json::from_value(serde_json::json!({
            "id": "1", "class-path": "a.B", "context": "c", "context-id": "2", "attempt": 1, "state": "STARTED",
            "started-ms": 10, "binaries": [], "principal": "anonymous",
        }))
        .unwrap()
    }

    #[test]
    fn that_an_attempt_runs_is_known_in_memory_only_and_everything_else_from_the_store() {
        let stored = started();
        let runs = JobRecord { state: JobState::Running, ..stored.clone() };
        let lost = runs.lost("n", "gone", None, 20);
        let again = lost.again(2, 30);
        let runs_again = JobRecord { state: JobState::Running, ..again.clone() };
        for (stored, active, told) in [
            (&stored, None, &stored),
            (&stored, Some(&runs), &runs),
            (&lost, Some(&runs), &lost),
            (&again, Some(&runs), &again),
            (&again, Some(&lost), &again),
            (&again, Some(&runs_again), &runs_again),
        ] {
            assert_eq!(&stored.clone().or_running(active.cloned()), told);
        }
    }

    #[test]
    fn an_attempt_begins_when_it_is_given_to_a_driver_and_until_then_the_last_has_ended() {
        let first = started();
        let waits = first.lost("n", "gone", None, 20);
        let second = waits.again(2, 30);
        let waits_again = second.lost("n", "gone", None, 40);
        let third = waits_again.again(3, 50);
        let began = [first, waits, second, waits_again, third].map(|job| job.present_attempt_ms());
        assert_eq!(began, [10, 20, 30, 40, 50]);
    }

    #[test]
    fn names_are_found_in_any_case() {
        assert_eq!(JobState::of_name("finished"), Some(JobState::Finished));
        assert_eq!(JobState::of_name("nosuch"), None);
    }
}
