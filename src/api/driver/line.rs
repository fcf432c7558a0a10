//! Layer 1, driver ↔ shim: one message a line.

use serde::{Deserialize, Serialize};

use super::{Failure, OfJob, Progress, Raw, Ready, Spans, Stop, Unable};

/// Shim → driver.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToDriver {
    Start(Start),
    Run(Run),
    Cancel(OfJob),
    Stop(Stop),
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Start {
    pub protocol: u32,
    pub context: ContextName,
    pub kind: String,
    pub settings: Raw,
    pub max_jobs: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ContextName {
    pub id: String,
    pub name: String,
    pub attempt: u32,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Run {
    pub job: String,
    pub class: String,
    pub config: Raw,
    pub binaries: Vec<LocalBinary>,
    pub log: String,
    pub result_file: String,
    pub inline_result_bytes: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LocalBinary {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub sha256: String,
    pub path: String,
}

/// Driver → shim.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromDriver {
    Ready(Ready),
    Unable(Unable),
    Accepted(OfJob),
    Progress(Progress),
    Finished(Finished),
    Rejected(Rejected),
    Failed(Failed),
    Cancelled(OfJob),
    Bye(Bye),
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Bye {}

#[derive(Debug, Serialize, Deserialize)]
pub struct Finished {
    pub job: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Raw>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_file: Option<String>,
    /// Microseconds by name: what was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spans: Option<Spans>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Rejected {
    pub job: String,
    pub problems: Vec<String>,
    /// Microseconds by name: what was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spans: Option<Spans>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Failed {
    pub job: String,
    pub error: Failure,
    /// Microseconds by name: what was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spans: Option<Spans>,
}

impl FromDriver {
    /// The job that a terminal message is about, and what the driver measured of it.
    pub fn take_spans(&mut self) -> Option<(&str, Spans)> {
        let (job, spans) = match self {
            Self::Finished(Finished { job, spans, .. }) => (job, spans),
            Self::Rejected(Rejected { job, spans, .. }) => (job, spans),
            Self::Failed(Failed { job, spans, .. }) => (job, spans),
            _ => return None,
        };
        Some((job, spans.take()?))
    }
}
