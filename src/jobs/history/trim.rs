//! Retention over segments: removes whole ones, writes others anew, and tells what all of them refer to.

use std::collections::BTreeSet;

use super::Segments;
use crate::core::history::builder::Builder;
use crate::core::history::catalog::{Catalog, Manifest, Segment};
use crate::core::history::trim::{Due, due, kept};
use crate::core::jobs::JobRecord;
use crate::core::retention::{Fate, Policy, Referenced, Uses};
use crate::jobs::records::{Records, StoreError};
use crate::jobs::retention::PassError;

/// What a pass of retention knows of the jobs that it has seen.
pub(in crate::jobs) struct Kept<'a> {
    /// Those that stay records.
    pub(in crate::jobs) records: Vec<String>,
    pub(in crate::jobs) uses: &'a mut Uses,
    pub(in crate::jobs) referenced: &'a mut Referenced,
}

/// What went.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::jobs) struct Gone {
    pub(in crate::jobs) jobs: u64,
    pub(in crate::jobs) results: u64,
    pub(in crate::jobs) logs: u64,
}

/// A segment that cannot be read stays, and then all content does: nobody knows what it refers to.
pub(in crate::jobs) async fn trim(
    records: &Records,
    segments: &Segments,
    policy: &Policy,
    now_ms: i64,
    seen: Kept<'_>,
) -> Result<Gone, PassError> {
    let Kept { records: kept, uses, referenced } = seen;
    let mut gone = Gone::default();
    let catalog = records.catalog().await?;
    let too_old = too_old(segments, &catalog, kept, policy.jobs_count.unwrap_or(u64::MAX)).await?;
    let too_old = too_old.as_deref();
    for segment in catalog.segments() {
        // Also of those that go now: their content goes later.
        referenced.add(&segment.manifest.segment.sha256);
        match segments.references(segment).await {
            Ok(found) => {
                referenced.add_all(&found.contents);
                if policy.binaries_unused_age_ms.is_some() {
                    uses.saw_all(segment.manifest.jobs, segment.manifest.oldest_end_ms, found.uses.iter());
                }
            }
            Err(StoreError::Corrupt { .. }) => referenced.add_unknown(),
            Err(error) => return Err(error.into()),
        }
        match due(policy, &segment.manifest, too_old, now_ms) {
            Due::Keep => {}
            Due::Drop => {
                if changed(records.trim_segment(segment, None).await)? {
                    gone.jobs += segment.manifest.counted();
                }
            }
            Due::Rewrite => match rewrite(records, segments, policy, now_ms, too_old, segment, &mut gone).await {
                Ok(()) | Err(PassError::Records(StoreError::Corrupt { .. })) => {}
                Err(error) => return Err(error),
            },
        }
    }
    Ok(gone)
}

/// The newest of the oldest jobs that are more than `most`. Reads as many of the oldest segments as it needs to.
async fn too_old(
    segments: &Segments,
    catalog: &Catalog,
    records: Vec<String>,
    most: u64,
) -> Result<Option<String>, StoreError> {
    // No more than there are, as each is counted once: rather too many stay.
    let all = records.len() as u64 + catalog.segments().iter().map(|segment| segment.manifest.counted()).sum::<u64>();
    let Some(last) = all.checked_sub(most).and_then(|more| usize::try_from(more).ok()?.checked_sub(1)) else {
        return Ok(None);
    };
    let mut oldest: BTreeSet<String> = records.into_iter().collect();
    let mut by_age: Vec<_> = catalog.segments().iter().collect();
    by_age.sort_by(|a, b| a.manifest.first.cmp(&b.manifest.first));
    for (at, segment) in by_age.iter().enumerate() {
        match ids(segments, segment).await {
            Ok(ids) => oldest.extend(ids),
            // As if all of them were as young as its youngest.
            Err(StoreError::Corrupt { .. }) => {
                let Manifest { last, jobs, .. } = &segment.manifest;
                oldest.extend((0..*jobs).map(|n| format!("{last}\0{n:09}")));
            }
            Err(error) => return Err(error),
        }
        // Later segments have nothing older than this.
        let next = by_age.get(at + 1).map(|next| &next.manifest.first);
        if let Some(found) = oldest.iter().nth(last).filter(|found| next.is_none_or(|next| *found < next)) {
            return Ok(Some(found.clone()));
        }
    }
    Ok(None)
}

async fn ids(segments: &Segments, segment: &Segment) -> Result<Vec<String>, StoreError> {
    let mut ids = Vec::new();
    for block in &segments.index(segment).await?.records {
        let records = segments.records(segment, &block.place).await?;
        ids.extend(records.iter().map(|packed| packed.id.clone()));
    }
    Ok(ids)
}

/// Whether it was changed as asked; it may have been changed by another in this moment.
fn changed(done: Result<(), StoreError>) -> Result<bool, StoreError> {
    match done {
        Ok(()) => Ok(true),
        Err(StoreError::Conflict(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What stands elsewhere too goes with what has had its time.
async fn rewrite(
    records: &Records,
    segments: &Segments,
    policy: &Policy,
    now_ms: i64,
    too_old: Option<&str>,
    segment: &Segment,
    gone: &mut Gone,
) -> Result<(), PassError> {
    let mut builder = Builder::default();
    let mut here = Gone::default();
    for bundle in segments.bundles(segment).await? {
        let job: JobRecord = super::super::records::history::job_in(&bundle)?;
        let told = records.versioned_job(&job.id).await?;
        if told.is_none_or(|told| told.version.0 != bundle.record.version) {
            continue;
        }
        let goes = too_old.is_some_and(|newest| job.id.as_str() <= newest);
        // Its number has been looked at.
        let fate = if goes { Fate::Remove } else { policy.job(&job, 0, now_ms) };
        match fate {
            Fate::Remove => here.jobs += 1,
            Fate::Trim { result, log } => {
                here.results += u64::from(result);
                here.logs += u64::from(log);
            }
            Fate::Keep => {}
        }
        if let Some((bundle, job)) = kept(bundle, job, fate) {
            builder.add(&bundle, &job);
        }
        tokio::task::yield_now().await;
    }
    let done = match builder.finish() {
        None => records.trim_segment(segment, None).await,
        Some(mut finished) => {
            let stored = segments.store(std::mem::take(&mut finished.bytes)).await?;
            let _hold = records.hold([stored.sha256.as_str()]);
            records.trim_segment(segment, Some(&finished.manifest(stored.clone(), false))).await
        }
    };
    if changed(done)? {
        gone.jobs += here.jobs;
        gone.results += here.results;
        gone.logs += here.logs;
    }
    Ok(())
}
