//! The logs of jobs whose driver was lost: what its directory still holds is stored, and the directory goes once the
//! records of these jobs refer to that.
//!
//! A server that ends on the way leaves the directory, and the next one does it again (`supervisor.rs`, `recover`).

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;

use super::Connection;
use super::state::{Held, Left, State};
use crate::api::driver::attach::{AckExited, ToShim};
use crate::core::binaries::BlobRef;
use crate::ports::{Attempt, BinaryStore, BlobError, Launcher};

/// All logs of one attempt together, in bytes. Each has the same share, and no more than `jobs.log-bytes`.
const MOST_BYTES: u64 = 256 << 20;
/// A job's end does not wait longer for the logs of its attempt.
const WITHIN: Duration = Duration::from_secs(20);
const AT_ONCE: usize = 8;
/// While the store does not take a log.
const TRIES: u32 = 3;
const AGAIN: Duration = Duration::from_millis(500);

impl State {
    /// Stores what jobs of attempts up to `attempt` have left; `Held::left_log` has it then. Nothing of these attempts runs any more.
    pub async fn salvage(&mut self, attempt: u32) {
        let wanted = |held: &&mut Held| held.may_have_left_a_log() && held.record.attempt <= attempt;
        let mut jobs = Vec::new();
        for held in self.jobs.values_mut().filter(wanted) {
            held.left = Some(Left::nothing());
            jobs.push(((held.record.context_id.clone(), held.record.attempt), held.record.id.clone()));
        }
        if jobs.is_empty() {
            return;
        }
        let share = MOST_BYTES / jobs.len() as u64;
        let limit = self.shared.config.jobs.log_bytes.min(share);
        let (launcher, blobs) = (&self.shared.launcher, &self.shared.blobs);
        let store = |(of, job): (Attempt, String)| async move {
            let log = store(launcher, blobs, &of, &job, limit).await;
            (job, log)
        };
        let mut logs = futures::stream::iter(jobs).map(store).buffer_unordered(AT_ONCE);
        let late = tokio::time::sleep(WITHIN);
        tokio::pin!(late);
        loop {
            let (job, log) = tokio::select! {
                next = logs.next() => match next {
                    Some(next) => next,
                    None => return,
                },
                () = &mut late => {
                    tracing::warn!(context = %self.record.name, "logs of a lost driver are given up: they took too long");
                    return;
                }
            };
            if let (Some(log), Some(held)) = (log, self.jobs.get_mut(&job)) {
                held.left = Some(Left::of(&self.shared.records, log));
            }
        }
    }

    /// Removes the directories of lost attempts whose jobs are all settled, in records that are stored, and lets shims go that
    /// wait to hear that their end is known.
    pub async fn let_go(&mut self) {
        if self.leftovers.is_empty() && self.leaving.is_empty() {
            return;
        }
        let present = if self.ended { u32::MAX } else { self.record.attempt };
        let unsettled = self.jobs.values().filter(|held| held.waiting.is_none()).map(|held| held.record.attempt);
        let present = unsettled.fold(present, u32::min);
        for attempt in std::mem::take(&mut self.leftovers) {
            if attempt < present {
                self.shared.launcher.remove(&(self.record.id.clone(), attempt)).await;
            } else {
                self.leftovers.insert(attempt);
            }
        }
        let (settled, leaving) = std::mem::take(&mut self.leaving).into_iter().partition(|(of, _)| *of < present);
        self.leaving = leaving;
        let settled: Vec<(u32, Connection)> = settled;
        for (_, shim) in settled {
            // One that does not hear it is refused when it attaches again, and ends too.
            let _ = shim.send(&ToShim::AckExited(AckExited {}));
        }
    }
}

async fn store(
    launcher: &Arc<dyn Launcher>,
    blobs: &Arc<dyn BinaryStore>,
    of: &Attempt,
    job: &str,
    limit: u64,
) -> Option<BlobRef> {
    for _ in 0..TRIES {
        match store_once(launcher, blobs, of, job, limit).await {
            Ok(log) => return log,
            Err(error) => tracing::warn!(%job, %error, "cannot store the log of a lost attempt"),
        }
        tokio::time::sleep(AGAIN).await;
    }
    None
}

async fn store_once(
    launcher: &Arc<dyn Launcher>,
    blobs: &Arc<dyn BinaryStore>,
    of: &Attempt,
    job: &str,
    limit: u64,
) -> Result<Option<BlobRef>, BlobError> {
    let Some(mut log) = launcher.leftover_log(of, job, limit).await else { return Ok(None) };
    let mut writer = blobs.create().await?;
    while let Some(part) = log.next().await {
        writer.write(part.map_err(|error| BlobError::Unavailable(error.to_string()))?).await?;
    }
    let (sha256, size_bytes) = writer.finish(None).await?;
    Ok(Some(BlobRef { sha256, size_bytes }))
}
