//! The reconciler of retention: takes no input, may be woken, and repeating it is harmless. docs/adr/0015.
//!
//! A pass reads binaries, then jobs, then looks at content: a reference that moves from a binary to a job while a pass
//! reads is so seen in one of the two. What it removes is decided in `core/retention.rs`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::history::{self, Kept};
use super::records::{Records, Settled, StoreError, Trimmed, Versioned};
use crate::core::binaries::BinaryRecord;
use crate::core::callbacks::CallbackState;
use crate::core::jobs::JobRecord;
use crate::core::retention::{Fate, Policy, Referenced, Suspects, Uses, contents};
use crate::ports::{BinaryStore, BlobError, BlobInfo, Freshness};
use crate::runtime::clock;

/// Records that are read at once. Reading them takes half a millisecond of a core.
const PAGE: usize = 256;
/// Blobs that are listed at once.
const BLOBS: usize = 1000;
/// Blobs without a reference that are remembered; some 20 MB.
const MAX_SUSPECTS: usize = 100_000;
/// Deleted blobs that a pass names.
const TOLD: usize = 5;
/// A server that has just started has better things to do.
const FIRST_AFTER: Duration = Duration::from_secs(60);
/// In such steps the time is counted in which the process runs.
const TICK: Duration = Duration::from_secs(1);

/// What retention has removed since the server started.
#[derive(Debug, Default)]
pub struct Removed {
    pub jobs: AtomicU64,
    pub results: AtomicU64,
    pub logs: AtomicU64,
    pub contexts: AtomicU64,
    pub binaries: AtomicU64,
    pub blobs: AtomicU64,
    pub blob_bytes: AtomicU64,
    /// Passes that came to their end.
    pub passes: AtomicU64,
}

fn add(counter: &AtomicU64, number: usize) {
    counter.fetch_add(number as u64, Ordering::Relaxed);
}

#[derive(Debug, thiserror::Error)]
pub enum PassError {
    #[error(transparent)]
    Records(#[from] StoreError),
    #[error(transparent)]
    Blobs(#[from] BlobError),
}

/// What the rest of the server sees of it.
#[derive(Clone, Default)]
pub struct Retention {
    wake: Arc<Notify>,
    pub removed: Arc<Removed>,
}

impl Retention {
    /// Passes in the background as long as the runtime lives.
    pub fn start(records: Records, blobs: Arc<dyn BinaryStore>, settings: &crate::config::Retention) -> Self {
        let this = Self::default();
        let mut sweeper = Sweeper::new(records, blobs, settings, Arc::clone(&this.removed));
        let (wake, interval) = (Arc::clone(&this.wake), settings.interval);
        let tick = TICK.min(interval).min(settings.unreferenced_age / 10);
        tokio::spawn(async move {
            // Counted and not read from a clock: a process that was frozen for an hour has not run for an hour.
            let mut ran = Duration::ZERO;
            let mut due = interval.min(FIRST_AFTER);
            loop {
                tokio::select! {
                    () = tokio::time::sleep(tick) => {
                        ran += tick;
                        if ran < due {
                            continue;
                        }
                    }
                    () = wake.notified() => {}
                }
                let began = clock::instant();
                match sweeper.pass(clock::unix_ms(), ran).await {
                    Ok(()) => tracing::debug!(took = ?clock::since(began), "retention has passed"),
                    Err(error) => tracing::warn!(%error, "retention did not come to its end; it goes on later"),
                }
                due = ran + interval;
            }
        });
        this
    }

    /// Passes soon, for one who needs the room.
    pub fn wake(&self) {
        self.wake.notify_one();
    }
}

pub(in crate::jobs) struct Sweeper {
    records: Records,
    blobs: Arc<dyn BinaryStore>,
    policy: Policy,
    batch: usize,
    suspects: Suspects,
    removed: Arc<Removed>,
}

/// What reading the jobs has found.
#[derive(Default)]
struct Scan {
    kept: u64,
    /// Those that are kept, where there are others in segments.
    ids: Vec<String>,
    has_segments: bool,
    uses: Uses,
    remove: Vec<Settled>,
    trim: Vec<Trimmed>,
}

impl Sweeper {
    pub(super) fn new(
        records: Records,
        blobs: Arc<dyn BinaryStore>,
        settings: &crate::config::Retention,
        removed: Arc<Removed>,
    ) -> Self {
        let ms = |age: Option<Duration>| age.map(|age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        let policy = Policy {
            jobs_age_ms: ms(settings.jobs_age),
            jobs_count: Some(settings.jobs_count).filter(|count| *count > 0),
            results_age_ms: ms(settings.results_age),
            logs_age_ms: ms(settings.logs_age),
            contexts_age_ms: ms(settings.contexts_age),
            binaries_unused_age_ms: ms(settings.binaries_unused_age),
        };
        let suspects = Suspects::new(settings.unreferenced_age, MAX_SUSPECTS);
        Self { records, blobs, policy, batch: settings.batch, suspects, removed }
    }

    /// `ran` is how long the process has run, outside of passes.
    pub(super) async fn pass(&mut self, now_ms: i64, ran: Duration) -> Result<(), PassError> {
        let referenced = self.records_pass(now_ms).await?;
        self.contexts(now_ms).await?;
        self.blobs_pass(&referenced, ran).await?;
        add(&self.removed.passes, 1);
        Ok(())
    }

    /// Removes records, and answers what those refer to that were there: a removed one lets go of its content only in the
    /// next pass.
    pub(super) async fn records_pass(&mut self, now_ms: i64) -> Result<Referenced, PassError> {
        let mut referenced = Referenced::default();
        // First the binaries: a job takes its references from them.
        let binaries = self.records.versioned_binaries().await?;
        for binary in binaries.values() {
            referenced.add(&binary.record.content.sha256);
        }
        // Nothing is packed meanwhile: what goes here would be in a segment then.
        let turn = match self.records.segments() {
            Some(segments) => Some(segments.turn().await),
            None => None,
        };
        let mut scan = self.jobs(now_ms, &mut referenced).await?;
        if let Some(segments) = self.records.segments() {
            let seen =
                Kept { records: std::mem::take(&mut scan.ids), uses: &mut scan.uses, referenced: &mut referenced };
            let gone = history::trim(&self.records, segments, &self.policy, now_ms, seen).await?;
            self.removed.jobs.fetch_add(gone.jobs, Ordering::Relaxed);
            self.removed.results.fetch_add(gone.results, Ordering::Relaxed);
            self.removed.logs.fetch_add(gone.logs, Ordering::Relaxed);
        }
        drop(turn);
        self.binaries(&binaries, &scan.uses, now_ms).await?;
        Ok(referenced)
    }

    async fn jobs(&self, now_ms: i64, referenced: &mut Referenced) -> Result<Scan, PassError> {
        let has_segments = !self.records.catalog().await?.segments().is_empty();
        let mut scan = Scan { has_segments, ..Scan::default() };
        let mut before: Option<String> = None;
        loop {
            let page = self.records.jobs_before(before.as_deref(), PAGE).await?;
            let whole = page.len() == PAGE;
            before = page.last().map(|job| job.record.id.clone());
            for job in page {
                for sha256 in contents(&job.record) {
                    referenced.add(sha256);
                }
                self.decide(job, &mut scan, now_ms).await?;
            }
            let full = scan.remove.len() >= self.batch || scan.trim.len() >= self.batch;
            if full || !whole {
                self.apply(&mut scan).await?;
            }
            if !whole {
                return Ok(scan);
            }
            tokio::task::yield_now().await;
        }
    }

    async fn decide(&self, job: Versioned<JobRecord>, scan: &mut Scan, now_ms: i64) -> Result<(), StoreError> {
        let mut fate = self.policy.job(&job.record, scan.kept, now_ms);
        let mut callback = None;
        if fate.takes_result()
            && job.record.callback.is_some()
            && let Some(found) = self.records.callback(&job.record.id).await?
        {
            if found.record.state == CallbackState::Waiting {
                fate = fate.while_callback_waits();
            } else {
                callback = Some(found.version);
            }
        }
        match fate {
            Fate::Remove => {
                scan.remove.push(Settled { job, callback });
                return Ok(());
            }
            Fate::Trim { result, log } => {
                scan.trim.push(Trimmed { of: Settled { job: job.clone(), callback }, result, log });
            }
            Fate::Keep => {}
        }
        scan.kept += 1;
        if scan.has_segments {
            scan.ids.push(job.record.id.clone());
        }
        if self.policy.binaries_unused_age_ms.is_some() {
            scan.uses.saw(&job.record, now_ms);
        }
        Ok(())
    }

    /// In commits of at most `batch` jobs. Between them the others get as much time as each took.
    async fn apply(&self, scan: &mut Scan) -> Result<(), PassError> {
        while !scan.remove.is_empty() {
            let rest = scan.remove.split_off(self.batch.min(scan.remove.len()));
            let batch = std::mem::replace(&mut scan.remove, rest);
            let began = clock::instant();
            add(&self.removed.jobs, self.records.remove_jobs(batch).await?);
            tokio::time::sleep(clock::since(began)).await;
        }
        while !scan.trim.is_empty() {
            let rest = scan.trim.split_off(self.batch.min(scan.trim.len()));
            let batch = std::mem::replace(&mut scan.trim, rest);
            let (results, logs) =
                (batch.iter().filter(|job| job.result).count(), batch.iter().filter(|job| job.log).count());
            let began = clock::instant();
            if self.records.trim_jobs(batch).await? > 0 {
                add(&self.removed.results, results);
                add(&self.removed.logs, logs);
            }
            tokio::time::sleep(clock::since(began)).await;
        }
        Ok(())
    }

    async fn binaries(
        &self,
        binaries: &HashMap<String, Versioned<BinaryRecord>>,
        uses: &Uses,
        now_ms: i64,
    ) -> Result<(), PassError> {
        for (name, binary) in binaries {
            if !uses.is_unused(name, binary.record.uploaded_ms, &self.policy, now_ms) {
                continue;
            }
            match self.records.remove_binary(binary).await {
                Ok(()) => {
                    tracing::info!(binary = name, "removed: unused for retention.binaries-unused-age");
                    add(&self.removed.binaries, 1);
                }
                // Replaced or used in this moment.
                Err(StoreError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn contexts(&self, now_ms: i64) -> Result<(), PassError> {
        if self.policy.contexts_age_ms.is_none() {
            return Ok(());
        }
        let mut after: Option<String> = None;
        loop {
            let page = self.records.contexts_after(after.as_deref(), PAGE).await?;
            for context in page.iter().filter(|context| self.policy.removes_context(context, now_ms)) {
                match self.records.remove_context(context).await {
                    Ok(()) => add(&self.removed.contexts, 1),
                    // A new context took the name in this moment; the next pass sees it.
                    Err(StoreError::Conflict(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(last.id.clone()),
                _ => return Ok(()),
            }
        }
    }

    /// Deletes content that has been without a reference for long enough.
    pub(super) async fn blobs_pass(&mut self, referenced: &Referenced, ran: Duration) -> Result<(), PassError> {
        let mut gone = Gone::default();
        let passed = self.delete_due(referenced, ran, &mut gone).await;
        gone.tell();
        passed?;
        self.suspects.end_pass();
        Ok(())
    }

    async fn delete_due(&mut self, referenced: &Referenced, ran: Duration, gone: &mut Gone) -> Result<(), PassError> {
        let mut after: Option<String> = None;
        loop {
            // Another server may have taken over meanwhile, whose records refer to more than these.
            if let Freshness::Behind(age) = self.records.freshness() {
                let why = format!("the records are {} s old; no content is deleted by them", age.as_secs());
                return Err(StoreError::Unavailable(why).into());
            }
            let page = self.blobs.list(after.as_deref(), BLOBS).await?;
            for blob in &page {
                let free = !referenced.has(&blob.sha256) && !self.records.is_held(&blob.sha256);
                if free
                    && self.suspects.is_due(&blob.sha256, blob.stamp.0, ran)
                    && self.blobs.delete_unchanged(&blob.sha256, blob.stamp).await?
                {
                    add(&self.removed.blobs, 1);
                    self.removed.blob_bytes.fetch_add(blob.size_bytes, Ordering::Relaxed);
                    gone.add(blob);
                }
            }
            match page.last() {
                Some(last) if page.len() == BLOBS => after = Some(last.sha256.clone()),
                _ => return Ok(()),
            }
        }
    }
}

/// Content that one pass has deleted because nothing refers to it.
#[derive(Default)]
struct Gone {
    blobs: u64,
    bytes: u64,
    first: Vec<String>,
}

impl Gone {
    fn add(&mut self, blob: &BlobInfo) {
        self.blobs += 1;
        self.bytes += blob.size_bytes;
        if self.first.len() < TOLD {
            self.first.push(blob.sha256.clone());
        }
    }

    fn tell(&self) {
        if self.blobs > 0 {
            let (blobs, bytes, first) = (self.blobs, self.bytes, self.first.join(" "));
            tracing::info!(
                blobs,
                bytes,
                first,
                "deleted content to which nothing has referred for retention.unreferenced-age"
            );
        }
    }
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
