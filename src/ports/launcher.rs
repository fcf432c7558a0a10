//! Launcher: starts a shim somewhere, and knows whether it lives.

use std::collections::HashSet;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::api::driver::spec::{Announced, Spec};
use crate::core::contexts::Process;

/// A started shim. A process is known by id and start time, never by id alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launched {
    pub pid: u32,
    /// Field 22 of `/proc/<pid>/stat`, in clock ticks since boot.
    pub start_ticks: u64,
    /// The shim's directory, absolute.
    pub directory: String,
}

impl From<Launched> for Process {
    fn from(Launched { pid, start_ticks, directory }: Launched) -> Self {
        Self { pid, start_ticks, directory }
    }
}

/// An attempt of a context: the context's id, and the attempt's number.
pub type Attempt = (String, u32);

/// Streams what a job wrote.
pub type LogReader = BoxStream<'static, std::io::Result<Bytes>>;

#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot start the driver: {message}")]
pub struct LaunchError {
    pub message: String,
    /// Of the failure that a client sees.
    pub class: &'static str,
}

#[async_trait]
pub trait Launcher: Send + Sync + 'static {
    async fn launch(&self, spec: &Spec) -> Result<Launched, LaunchError>;

    /// The shim of this attempt, if it runs: a server may have ended before it could record what it had started.
    fn find(&self, context: &str, attempt: u32) -> Option<Launched>;

    /// Whether the shim's process is still there.
    fn alive(&self, launched: &Launched) -> bool;

    /// Tells a shim that another server has launched where servers are reached now, and whom to trust. One that is gone
    /// need not know.
    async fn announce(&self, launched: &Launched, announced: &Announced);

    /// Kills the shim and what it runs, at once. For when it can no longer be reached. Its files stay. Whether nothing runs
    /// of it any more.
    async fn kill(&self, launched: &Launched) -> bool;

    /// How a shim ended that is gone, as far as it or the system has told: completes "the driver's process is gone: ".
    async fn how_it_ended(&self, _launched: &Launched) -> Option<String> {
        None
    }

    /// The newest lines of what the driver wrote, while its files are there.
    async fn last_lines(&self, _launched: &Launched) -> Vec<String> {
        Vec::new()
    }

    /// What a job wrote in an attempt of which nothing runs any more, cut to `limit_bytes` as a shim cuts it. `None` when it
    /// wrote nothing, or when that is not there (any more).
    async fn leftover_log(&self, of: &Attempt, job: &str, limit_bytes: u64) -> Option<LogReader>;

    /// Removes the files of an attempt of which nothing runs any more. It need not have any.
    async fn remove(&self, of: &Attempt);

    /// Kills whatever was launched but `keep`, which are named by their directories: what a server left that ended in the
    /// middle of something. It is removed too, but `leftovers`: their files stay until `remove`.
    async fn sweep(&self, keep: &HashSet<String>, leftovers: &HashSet<Attempt>);
}
