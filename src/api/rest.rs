//! REST answers in the reference's shapes.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::core::binaries::BinaryRecord;
use crate::core::contexts::ContextRecord;
use crate::core::jobs::{Failure, JobRecord};
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
    /// STARTED, RUNNING, RESTARTING, FINISHED, ERROR or KILLED.
    pub status: String,
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
            result: cause,
        }
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
