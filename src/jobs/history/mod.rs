//! The packer: moves the oldest jobs that have ended from records into segments. Takes no input, and repeating it is
//! harmless. docs/adr/0022.

mod cache;
mod reader;
mod trim;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::records::{Records, Settled, StoreError, Versioned};
use super::retention::PassError;
use crate::core::history::Bundle;
use crate::core::history::builder::Builder;
use crate::core::history::catalog::Segment;
use crate::core::history::packing::{MAX_RAW_BYTES, Rule, has_called};
use crate::core::jobs::JobRecord;
use crate::runtime::clock;

pub use reader::{Counts, Segments};
pub(super) use trim::{Kept, trim};

/// Records that are read at once.
const PAGE: usize = 256;
/// Jobs whose keys one commit removes.
const BATCH: usize = 100;

/// Packs in the background as long as the runtime lives.
pub struct History;

impl History {
    pub fn start(records: Records, segments: Arc<Segments>, settings: &crate::config::History) {
        let packer = Packer::new(records, segments, settings);
        let interval = settings.interval;
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(interval).await;
                match packer.pass(clock::unix_ms()).await {
                    Ok(0) => {}
                    Ok(jobs) => tracing::info!(jobs, "packed into segments"),
                    Err(error) => tracing::warn!(%error, "old jobs are not packed now; it goes on later"),
                }
            }
        });
    }
}

/// Packs when it is told to.
pub struct Packer {
    records: Records,
    segments: Arc<Segments>,
    rule: Rule,
}

/// What is packed by these settings.
pub fn rule(settings: &crate::config::History) -> Rule {
    let settled_ms = i64::try_from(settings.settled_after.as_millis()).unwrap_or(i64::MAX);
    Rule { recent: settings.recent, segment_jobs: settings.segment_jobs, settled_ms }
}

impl Packer {
    pub fn new(records: Records, segments: Arc<Segments>, settings: &crate::config::History) -> Self {
        Self { records, segments, rule: rule(settings) }
    }

    /// Packs while there is enough for a segment. Answers how many jobs left the records.
    pub async fn pass(&self, now_ms: i64) -> Result<usize, PassError> {
        let mut all = 0;
        loop {
            let began = clock::instant();
            let turn = self.segments.turn().await;
            all += self.clear().await?;
            let jobs = self.candidates(now_ms).await?;
            if jobs.len() < self.rule.segment_jobs {
                return Ok(all);
            }
            self.pack(jobs).await?;
            let cleared = self.clear().await?;
            drop(turn);
            all += cleared;
            if cleared == 0 {
                // All of them changed in this moment: a next segment would find the same.
                return Ok(all);
            }
            tokio::time::sleep(clock::since(began).min(Duration::from_secs(1))).await;
        }
    }

    /// The oldest jobs beyond the recent ones of which nothing more is to come, as many as fit into a segment.
    async fn candidates(&self, now_ms: i64) -> Result<Vec<Versioned<JobRecord>>, StoreError> {
        let mut found = Vec::new();
        let Some(end) = self.records.oldest_of_newest(self.rule.recent.max(1)).await? else { return Ok(found) };
        let mut after: Option<String> = None;
        loop {
            let page = self.records.jobs_after(after.as_deref(), PAGE).await?;
            let whole = page.len() == PAGE;
            after = page.last().map(|job| job.record.id.clone());
            for job in page {
                if job.record.id >= end || found.len() >= self.rule.segment_jobs {
                    return Ok(found);
                }
                if self.is_settled(&job.record, now_ms).await? {
                    found.push(job);
                }
            }
            if !whole {
                return Ok(found);
            }
            tokio::task::yield_now().await;
        }
    }

    async fn is_settled(&self, job: &JobRecord, now_ms: i64) -> Result<bool, StoreError> {
        if !self.rule.has_settled(job, now_ms) {
            return Ok(false);
        }
        if job.callback.is_none() {
            return Ok(true);
        }
        let found = self.records.settled(&job.id).await?;
        Ok(found.is_some_and(|(_, callback)| has_called(callback.map(|it| it.record.state))))
    }

    async fn pack(&self, jobs: Vec<Versioned<JobRecord>>) -> Result<(), PassError> {
        let mut builder = Builder::default();
        for job in jobs {
            if let Some(bundle) = self.records.bundle(&job).await? {
                builder.add(&bundle, &job.record);
            }
            if builder.raw_bytes() >= MAX_RAW_BYTES {
                break;
            }
            tokio::task::yield_now().await;
        }
        let Some(mut finished) = builder.finish() else { return Ok(()) };
        let stored = self.segments.store(std::mem::take(&mut finished.bytes)).await?;
        let _hold = self.records.hold([stored.sha256.as_str()]);
        self.records.add_segment(&finished.manifest(stored.clone(), true)).await?;
        Ok(())
    }

    /// Removes the keys of jobs that are packed, also where a server before this one did not come to it. What a segment is
    /// to have is read from it first.
    async fn clear(&self) -> Result<usize, PassError> {
        let catalog = self.records.catalog().await?;
        let mut cleared = 0;
        for segment in catalog.segments().iter().filter(|segment| segment.manifest.clearing) {
            match self.clear_segment(segment).await {
                Ok(jobs) => cleared += jobs,
                // What of its jobs stands under own keys yet is packed anew.
                Err(PassError::Records(StoreError::Corrupt { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(cleared)
    }

    async fn clear_segment(&self, segment: &Segment) -> Result<usize, PassError> {
        let bundles = self.segments.bundles(segment).await?;
        let (mut cleared, mut stale) = (0, 0);
        for batch in bundles.chunks(BATCH) {
            let began = clock::instant();
            let mut unchanged = Vec::with_capacity(batch.len());
            for bundle in batch {
                match self.records.settled(&bundle.id).await? {
                    Some((settled, _)) if is_as_packed(&settled, bundle) => unchanged.push(settled),
                    Some(_) => stale += 1,
                    None => {}
                }
            }
            if !unchanged.is_empty() {
                let wanted = unchanged.len();
                let gone = self.records.clear_packed(unchanged).await?;
                self.segments.counts.packed.fetch_add(gone as u64, Ordering::Relaxed);
                cleared += gone;
                stale += wanted - gone;
                tokio::time::sleep(clock::since(began)).await;
            }
        }
        self.records.segment_cleared(segment, stale as u64).await?;
        Ok(cleared)
    }
}

/// Whether the job's own keys say what the segment says.
fn is_as_packed(settled: &Settled, bundle: &Bundle) -> bool {
    let callback = bundle.details.callback.as_ref().map(|packed| packed.version);
    settled.job.version.0 == bundle.record.version && settled.callback.map(|version| version.0) == callback
}

#[cfg(test)]
mod tests;
