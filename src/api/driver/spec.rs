//! `spec.json`: what a server tells a shim that it starts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Raw;

/// Name of the file in the shim's directory.
pub const FILE: &str = "spec.json";
/// Name of the file beside it, which a server writes when it takes up a driver that an older one has started.
pub const ANNOUNCED_FILE: &str = "servers.json";
/// Name of the file there in which a shim that ends without having reached a server says why, for one that comes back.
pub const LAST_WORD_FILE: &str = "last-word";
/// Name of the file there with the driver's output.
pub const DRIVER_LOG: &str = "driver.log";
/// Name of the file with the part before that.
pub const ROTATED_DRIVER_LOG: &str = "driver.log.1";

#[derive(Debug, Serialize, Deserialize)]
pub struct Spec {
    pub context: String,
    pub context_name: String,
    pub attempt: u32,
    /// Scoped to the attempt; never logged.
    pub secret: String,
    /// Base URLs, `http://host:port` or `https://host:port`.
    pub servers: Vec<String>,
    /// A PEM file with the certificates or authorities to trust, for `https:`. Read at each handshake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<String>,
    /// The kind's name, for instance `pyspark`.
    pub kind: String,
    /// Program and arguments of driver main. A name without `/` is looked up in `PATH`.
    pub executable: String,
    pub arguments: Vec<String>,
    /// Added to the shim's own environment.
    pub environment: BTreeMap<String, String>,
    /// Unpack the Python driver that the binary carries into `package/` and put it first on `PYTHONPATH`.
    pub python_package: bool,
    pub settings: Raw,
    pub max_jobs: u32,
    pub limits: Limits,
}

/// Where servers are reached now, whatever `spec.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    /// Base URLs.
    pub servers: Vec<String>,
    /// In place of what `spec.json` says, if it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Limits {
    /// A longer result goes into a file and from there to the BinaryStore.
    pub inline_result_bytes: u64,
    /// A longer result fails the job.
    pub max_result_bytes: u64,
    /// A job's log keeps its beginning and its newest part within this size.
    pub job_log_bytes: u64,
    /// The driver's log, with one rotated part.
    pub driver_log_bytes: u64,
    /// Unused binaries beyond this are removed, oldest first.
    pub binary_cache_bytes: u64,
    pub orphan_timeout_ms: u64,
}
