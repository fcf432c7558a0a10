//! Layer 2, shim ↔ server: one message a WebSocket text frame.

use serde::{Deserialize, Serialize};

use super::{Failure, OfJob, Progress, Raw, Ready, Spans, Stop, Unable};

/// Why a server closes an attachment (WebSocket close codes).
pub mod close {
    pub const MALFORMED: u16 = 4400;
    pub const WRONG_SECRET: u16 = 4401;
    pub const NO_CONTEXT: u16 = 4404;
    pub const SUPERSEDED: u16 = 4409;
    pub const REPLACED: u16 = 4410;
    pub const NOT_NOW: u16 = 4503;
}

/// Time for `hello` after the WebSocket is open, in ms.
pub const HELLO_WITHIN_MS: u64 = 5_000;
/// The largest message of a peer that did not show the attempt's secret as it opened the connection.
pub const MAX_STRANGER_BYTES: usize = 64 << 10;
/// Time between two pings, in ms.
pub const PING_EVERY_MS: u64 = 5_000;
/// A peer that was silent for so long is dropped, in ms.
pub const SILENT_AFTER_MS: u64 = 15_000;

/// Shim → server.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromShim {
    Hello(Hello),
    Ready(Ready),
    Unable(Unable),
    Accepted(OfJob),
    Progress(Progress),
    Finished(Finished),
    Rejected(Rejected),
    Failed(Failed),
    Cancelled(Cancelled),
    Log(LogPart),
    Exited(Exited),
}

impl FromShim {
    /// The job whose end this tells, and which try of it.
    pub fn end_of(&self) -> Option<(&str, u32)> {
        match self {
            Self::Finished(end) => Some((&end.job, end.retry)),
            Self::Rejected(end) => Some((&end.job, end.retry)),
            Self::Failed(end) => Some((&end.job, end.retry)),
            Self::Cancelled(end) => Some((&end.job, end.retry)),
            _ => None,
        }
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Hello {
    pub protocol: u32,
    pub context: String,
    pub attempt: u32,
    pub secret: String,
    pub product: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<Ready>,
    #[serde(default)]
    pub running: Vec<String>,
    #[serde(default)]
    pub unacknowledged: Vec<String>,
}

pub use crate::core::binaries::BlobRef;

/// `result` or `result_ref`; without either the result is null.
#[derive(Debug, Serialize, Deserialize)]
pub struct Finished {
    pub job: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Raw>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_ref: Option<BlobRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_ref: Option<BlobRef>,
    /// That of the `run`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retry: u32,
    /// Microseconds by name: what was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spans: Option<Spans>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Rejected {
    pub job: String,
    pub problems: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_ref: Option<BlobRef>,
    /// That of the `run`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retry: u32,
    /// Microseconds by name: what was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spans: Option<Spans>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Failed {
    pub job: String,
    pub error: Failure,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_ref: Option<BlobRef>,
    /// That of the `run`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retry: u32,
    /// Microseconds by name: what was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spans: Option<Spans>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Cancelled {
    pub job: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_ref: Option<BlobRef>,
    /// That of the `run`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retry: u32,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct LogPart {
    pub request: u64,
    pub offset: u64,
    /// Where the next part begins.
    #[serde(default)]
    pub next_offset: u64,
    pub size_bytes: u64,
    pub text: String,
    /// The part is no UTF-8: each character of `text`, all below U+0100, stands for a byte.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub latin1: bool,
    pub found: bool,
}

impl LogPart {
    /// The part as it stands in the log.
    pub fn into_bytes(self) -> Vec<u8> {
        if self.latin1 {
            self.text.chars().map(|c| u8::try_from(c).unwrap_or(b'?')).collect()
        } else {
            self.text.into_bytes()
        }
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Exited {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    #[serde(default)]
    pub last_lines: Vec<String>,
}

/// Server → shim.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToShim {
    Welcome(Welcome),
    Run(Run),
    Cancel(OfJob),
    Stop(Stop),
    Ack(OfJob),
    ReadLog(ReadLog),
    AckExited(AckExited),
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct AckExited {}

#[derive(Debug, Serialize, Deserialize)]
pub struct Welcome {
    pub servers: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Run {
    pub job: String,
    pub class: String,
    pub config: Raw,
    pub binaries: Vec<Binary>,
    /// How often the job was tried before; its terminal message says the same.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retry: u32,
}

/// A binary to be fetched by its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binary {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub sha256: String,
    pub size_bytes: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ReadLog {
    pub request: u64,
    pub job: String,
    pub offset: u64,
    pub max_bytes: u64,
}
