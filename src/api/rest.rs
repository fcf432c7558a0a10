//! REST answers in the reference's shapes.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::driver::Progress;
use crate::core::binaries::BinaryRecord;
use crate::core::contexts::ContextRecord;
use crate::core::jobs::{BinaryUse, Failure, JobAttempt, JobRecord};
use crate::core::timestamp;

/// `{"status","result"}`; `result` is left out when there is nothing to say.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Answer {
    /// `SUCCESS`, `ERROR` or what went wrong.
    pub status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
}

/// A failure with its cause.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FailureAnswer {
    /// `ERROR`, or what went wrong.
    pub status: String,
    pub result: Cause,
}

#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    pub message: String,
    pub error_class: String,
    pub stack: String,
}

impl From<&Failure> for Cause {
    fn from(failure: &Failure) -> Self {
        Self { message: failure.message.clone(), error_class: failure.class.clone(), stack: failure.stack.clone() }
    }
}

/// A job.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    pub job_id: String,
    /// RFC 3339, UTC.
    pub start_time: String,
    pub class_path: String,
    pub context: String,
    pub context_id: String,
    /// `1.3 secs`, or `Job not done yet`.
    pub duration: String,
    /// STARTED, RUNNING, RESTARTING, FINISHED, ERROR or KILLED. One that waits in a queue is STARTED: clients of the
    /// reference know no other word.
    pub status: String,
    /// While it waits for a place in its context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<JobQueue>,
    /// Why it does not begin, although its driver has it: in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// Of a job that failed or was killed: its cause; of one that finished: its result, but not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub result: Option<Box<RawValue>>,
}

impl From<&JobRecord> for Job {
    fn from(record: &JobRecord) -> Self {
        let duration = match record.ended_ms {
            Some(ended) => timestamp::seconds(record.started_ms, ended),
            None => "Job not done yet".into(),
        };
        let cause = record
            .failure
            .as_ref()
            .map(|failure| serde_json::value::to_raw_value(&Cause::from(failure)).expect("plain data"));
        Self {
            job_id: record.id.clone(),
            start_time: timestamp::text(record.started_ms),
            class_path: record.class_path.clone(),
            context: record.context.clone(),
            context_id: record.context_id.clone(),
            duration,
            status: record.state.name().into(),
            queue: None,
            waits_for: None,
            result: cause,
        }
    }
}

/// Where a job stands that waits for a place.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JobQueue {
    /// 1 is the next.
    pub position: usize,
    pub priority: i32,
}

impl Job {
    /// The same at this place in its context's queue.
    #[must_use]
    pub fn at(self, record: &JobRecord, position: Option<usize>) -> Self {
        let queue = position.map(|position| JobQueue { position, priority: record.priority.get() });
        Self { queue, ..self }
    }

    /// The same with what it waits for.
    #[must_use]
    pub fn waiting_for(self, waits_for: Option<String>) -> Self {
        Self { waits_for, ..self }
    }
}

/// `{jobId, status: ERROR, result: {…}}`: a job that failed, in a sync answer or a callback.
pub fn failed_job(id: &str, failure: &Failure) -> String {
    serde_json::json!({"jobId": id, "status": "ERROR", "result": Cause::from(failure)}).to_string()
}

/// A binary in the list, under its name.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct ListedBinary {
    /// `Jar`, `Egg` or `Wheel`.
    pub binary_type: String,
    pub upload_time: String,
}

/// One binary.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Binary {
    pub app_name: String,
    /// `Jar`, `Egg` or `Wheel`.
    pub binary_type: String,
    pub upload_time: String,
}

impl From<&BinaryRecord> for ListedBinary {
    fn from(record: &BinaryRecord) -> Self {
        Self { binary_type: record.kind.name().into(), upload_time: timestamp::text(record.uploaded_ms) }
    }
}

impl From<&BinaryRecord> for Binary {
    fn from(record: &BinaryRecord) -> Self {
        let ListedBinary { binary_type, upload_time } = record.into();
        Self { app_name: record.name.clone(), binary_type, upload_time }
    }
}

/// A context, also after it ended.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Context {
    pub id: String,
    pub name: String,
    pub start_time: String,
    /// `Empty` while it lives.
    pub end_time: String,
    /// STARTED, RUNNING, RESTARTING, STOPPING, FINISHED, ERROR or KILLED.
    pub state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

impl From<&ContextRecord> for Context {
    fn from(record: &ContextRecord) -> Self {
        Self {
            id: record.id.clone(),
            name: record.name.clone(),
            start_time: timestamp::text(record.started_ms),
            end_time: record.ended_ms.map_or_else(|| "Empty".into(), timestamp::text),
            state: record.state.name().into(),
            application_id: record.application_id.clone(),
            url: record.ui_url.clone(),
        }
    }
}

/// A context with what the reference's shape has no place for.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContextDetails {
    #[serde(flatten)]
    pub context: Context,
    /// Kind of driver.
    pub kind: String,
    pub max_jobs: u32,
    /// Ends with its job.
    pub ad_hoc: bool,
    pub principal: String,
    pub attempt: u32,
    #[schema(value_type = Object)]
    pub settings: Box<RawValue>,
    /// Why it ended, when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Cause>,
    /// Restarts in a row, of a context that is supervised.
    pub restarts: u32,
    /// Why the attempt before this one was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<Cause>,
    /// Why the server itself stopped it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_because: Option<String>,
}

impl From<&ContextRecord> for ContextDetails {
    fn from(record: &ContextRecord) -> Self {
        Self {
            context: record.into(),
            kind: record.kind.clone(),
            max_jobs: record.max_jobs,
            ad_hoc: record.ad_hoc,
            principal: record.principal.clone(),
            attempt: record.attempt,
            settings: RawValue::from_string(record.settings.clone()).expect("settings are stored as JSON"),
            failure: record.failure.as_ref().map(Cause::from),
            restarts: record.restarts,
            lost: record.lost.as_ref().map(Cause::from),
            stopped_because: record.stopped_because.clone(),
        }
    }
}

/// A job with what the reference's shape has no place for; its result is at `/v1/jobs/<id>/result`.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobDetails {
    #[serde(flatten)]
    pub job: Job,
    pub principal: String,
    /// The attempt of the context that it was given to.
    pub attempt: u32,
    pub binaries: Vec<UsedBinary>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<JobProgress>,
    /// Size of its log, once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_bytes: Option<u64>,
    /// How often it may run again when it is lost.
    pub retries: u32,
    /// The attempts before this one that came to nothing, oldest first.
    pub attempts: Vec<LostAttempt>,
}

/// An attempt of a job that was lost.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LostAttempt {
    /// Of the job's attempts, from 1 on: `?attempt=` of its log.
    pub number: u32,
    /// The attempt of the context that ran it.
    pub attempt: u32,
    pub node: String,
    pub start_time: String,
    pub end_time: String,
    pub why: String,
    /// Size of its log, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_bytes: Option<u64>,
}

impl LostAttempt {
    fn new(number: u32, attempt: &JobAttempt) -> Self {
        Self {
            number,
            attempt: attempt.attempt,
            node: attempt.node.clone(),
            start_time: timestamp::text(attempt.started_ms),
            end_time: timestamp::text(attempt.ended_ms),
            why: attempt.why.clone(),
            log_bytes: attempt.log.as_ref().map(|log| log.size_bytes),
        }
    }
}

/// A binary as it was when the job was submitted.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct UsedBinary {
    pub name: String,
    /// `Jar`, `Egg` or `Wheel`.
    pub binary_type: String,
    pub sha256: String,
    pub size_bytes: u64,
}

/// What a running job last said of its progress.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JobProgress {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl JobDetails {
    pub fn new(record: &JobRecord, progress: Option<Progress>) -> Self {
        let binary = |used: &BinaryUse| UsedBinary {
            name: used.name.clone(),
            binary_type: used.kind.name().into(),
            sha256: used.content.sha256.clone(),
            size_bytes: used.content.size_bytes,
        };
        Self {
            job: record.into(),
            principal: record.principal.clone(),
            attempt: record.attempt,
            binaries: record.binaries.iter().map(binary).collect(),
            progress: progress.map(|Progress { done, total, text, .. }| JobProgress { done, total, text }),
            log_bytes: record.log.as_ref().map(|log| log.size_bytes),
            retries: record.retry.retries,
            attempts: (1..).zip(&record.attempts).map(|(number, lost)| LostAttempt::new(number, lost)).collect(),
        }
    }
}
