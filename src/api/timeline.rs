//! The answer of `/v1/jobs/<id>/timeline`.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Timeline {
    pub job_id: String,
    pub status: String,
    pub start_time: String,
    /// Oldest first; the last is the present one, or the one in which the job ended.
    pub attempts: Vec<Attempt>,
    /// What the server saw, in its order. After a restart, what the former server saw is not there; `taken-up` is.
    pub marks: Vec<Mark>,
    /// Where the time went. What nobody measured is left out.
    pub phases: Vec<Phase>,
}

#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Of the job's attempts, from 1 on: `?attempt=` of its log.
    pub number: u32,
    /// The attempt of the context whose driver had the job.
    pub attempt: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The process id of the driver's shim, on its node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver_pid: Option<u32>,
    pub start_time: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<String>,
    /// Why it ended, when not well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Size of its log, once it is over and when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_bytes: Option<u64>,
    /// Where the time of an attempt went that another followed. Those of the last are the job's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<Phase>,
}

#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Mark {
    /// `received`, `begun`, `recorded`, `taken-up`, `attached`, `sent`, `accepted`, `heard`, `lost` or `ended`.
    pub at: String,
    /// Microseconds since the first; after a restart since `startTime`.
    pub us: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Phase {
    /// `prepare`, `record`, `queue`, `earlier-attempts`, `retry`, `transfer`, `fetch`, `start`, what the driver names, `settle`, `finish`, `store`, `answer`.
    /// Of an earlier attempt also `loss`: from the driver's word to the record that the job runs again.
    pub name: String,
    /// Microseconds.
    pub us: u64,
    /// Who measured it: `server`, `shim` or `driver`.
    pub by: String,
}
