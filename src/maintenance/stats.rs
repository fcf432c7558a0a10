//! How much a store holds, by kind.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::TryStreamExt;
use serde::Serialize;

use super::{Stores, ToolError, segment_of};
use crate::core::consistency::{self, Around, Contents, Step, judge};
use crate::core::history::catalog::Segment;
use crate::core::history::{Bundle, Stored};
use crate::core::jobs::JobRecord;
use crate::core::keys;
use crate::jobs::{Records, StoreError};

/// Of what is looked up in segments.
const CACHE_BYTES: usize = 8 << 20;

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FamilyStats {
    pub number: u64,
    /// Of keys and values.
    pub bytes: u64,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Stats {
    /// By what stands before the first `/` of their keys.
    pub records: BTreeMap<String, FamilyStats>,
    /// By state, wherever they are.
    pub jobs: BTreeMap<String, u64>,
    /// Of these, old ones in segments.
    pub packed_jobs: u64,
    /// When the oldest and the newest of the jobs were submitted, milliseconds since the epoch.
    pub oldest_job_ms: Option<i64>,
    pub newest_job_ms: Option<i64>,
    pub blobs: FamilyStats,
    /// Of these, what nothing is seen to refer to.
    pub unreferenced_blobs: FamilyStats,
    pub znodes: Option<usize>,
}

impl Stats {
    fn job(&mut self, record: &[u8]) {
        let Ok(job) = serde_json::from_slice::<JobRecord>(record) else { return };
        *self.jobs.entry(job.state.name().to_owned()).or_default() += 1;
        self.oldest_job_ms = Some(self.oldest_job_ms.map_or(job.started_ms, |ms| ms.min(job.started_ms)));
        self.newest_job_ms = Some(self.newest_job_ms.map_or(job.started_ms, |ms| ms.max(job.started_ms)));
    }
}

/// Reads all records, and of content only segments of old jobs.
///
/// # Errors
/// When a store cannot be read.
pub async fn stats(stores: &Stores) -> Result<Stats, ToolError> {
    let mut stats = Stats { znodes: stores.znodes, ..Stats::default() };
    let mut contents = Contents::default();
    let mut blobs = stores.all_blobs();
    while let Some(blob) = blobs.try_next().await? {
        contents.add(&blob.sha256, blob.size_bytes);
    }
    let records = stores.records().over_segments(Arc::clone(&stores.blobs), CACHE_BYTES);
    let mut entries = stores.entries();
    while let Some(entry) = entries.try_next().await? {
        let family = stats.records.entry(keys::family(&entry.key).to_owned()).or_default();
        family.number += 1;
        family.bytes += (entry.key.len() + entry.value.len()) as u64;
        if entry.key.starts_with(keys::JOBS) {
            stats.job(&entry.value);
        }
        if let Some(segment) = segment_of(&entry) {
            // One that cannot be read is for `check` to tell.
            for bundle in stores.segments().bundles(&segment).await.unwrap_or_default() {
                if is_told_by(&segment, stores, &records, &bundle).await? {
                    stats.packed_jobs += 1;
                    stats.job(&bundle.record.value);
                }
                let Stored { version, value } = bundle.record;
                refer(&keys::job(&bundle.id), consistency::Stored { version, value }, &mut contents);
            }
        }
        refer(&entry.key, consistency::Stored { version: entry.version.0, value: entry.value }, &mut contents);
    }
    let of = |(number, bytes)| FamilyStats { number, bytes };
    (stats.blobs, stats.unreferenced_blobs) = (of(contents.total()), of(contents.unreferenced()));
    Ok(stats)
}

/// Whether this segment tells of the job: no record, and none with a larger number.
async fn is_told_by(segment: &Segment, stores: &Stores, records: &Records, bundle: &Bundle) -> Result<bool, ToolError> {
    if !segment.manifest.clearing && segment.manifest.stale == 0 {
        return Ok(true);
    }
    if stores.meta.get(&keys::job(&bundle.id)).await?.is_some() {
        return Ok(false);
    }
    match records.versioned_job(&bundle.id).await {
        Ok(told) => Ok(told.is_none_or(|told| told.version.0 == bundle.record.version)),
        Err(StoreError::Corrupt { .. }) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Notes the content that an entry refers to. What stands around it does not matter for that.
fn refer(key: &str, stored: consistency::Stored, contents: &mut Contents) {
    let mut around = Around::default();
    while let Step::Read(asked) = judge(key, &stored, &around, contents) {
        asked.into_iter().for_each(|key| around.add(key, None));
    }
}
