//! Retention over segments: removes whole ones, writes others anew, and tells what all of them refer to.

use super::Segments;
use crate::core::history::builder::Builder;
use crate::core::history::catalog::{Manifest, Segment};
use crate::core::history::trim::{Due, due, kept};
use crate::core::jobs::JobRecord;
use crate::core::retention::{Fate, Policy, Referenced, Uses};
use crate::jobs::records::{Records, StoreError};
use crate::jobs::retention::PassError;

/// What a pass of retention knows of the jobs that it has seen.
pub(in crate::jobs) struct Kept<'a> {
    /// How many stay that were submitted later.
    pub(in crate::jobs) newer: u64,
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
    let Kept { mut newer, uses, referenced } = seen;
    let mut gone = Gone::default();
    for segment in records.catalog().await?.newest_first() {
        // Also of those that go now: their content goes later.
        referenced.add(&segment.manifest.segment.sha256);
        match segments.references(&segment).await {
            Ok(found) => {
                referenced.add_all(&found.contents);
                if policy.binaries_unused_age_ms.is_some() {
                    uses.saw_all(segment.manifest.jobs, segment.manifest.oldest_end_ms, found.uses.iter());
                }
            }
            Err(StoreError::Corrupt { .. }) => referenced.add_unknown(),
            Err(error) => return Err(error.into()),
        }
        match due(policy, &segment.manifest, newer, now_ms) {
            Due::Keep => newer += segment.manifest.counted(),
            Due::Drop => {
                if changed(records.trim_segment(&segment, None).await)? {
                    gone.jobs += segment.manifest.counted();
                }
            }
            Due::Rewrite => match rewrite(records, segments, policy, now_ms, newer, &segment, &mut gone).await {
                Ok(stay) => newer += stay,
                Err(PassError::Records(StoreError::Corrupt { .. })) => newer += segment.manifest.counted(),
                Err(error) => return Err(error),
            },
        }
    }
    Ok(gone)
}

/// Whether it was changed as asked; it may have been changed by another in this moment.
fn changed(done: Result<(), StoreError>) -> Result<bool, StoreError> {
    match done {
        Ok(()) => Ok(true),
        Err(StoreError::Conflict(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Answers how many of its jobs stay.
async fn rewrite(
    records: &Records,
    segments: &Segments,
    policy: &Policy,
    now_ms: i64,
    newer: u64,
    segment: &Segment,
    gone: &mut Gone,
) -> Result<u64, PassError> {
    let stale = segment.manifest.stale;
    // Which of them stand elsewhere too is not known: so many at most are kept too long.
    let counted = |stay: usize| (stay as u64).saturating_sub(stale);
    let mut stay = Vec::new();
    let mut here = Gone::default();
    for bundle in segments.bundles(segment).await?.into_iter().rev() {
        let job: JobRecord = super::super::records::history::job_in(&bundle)?;
        let fate = policy.job(&job, newer + counted(stay.len()), now_ms);
        match fate {
            Fate::Remove => here.jobs += 1,
            Fate::Trim { result, log } => {
                here.results += u64::from(result);
                here.logs += u64::from(log);
            }
            Fate::Keep => {}
        }
        stay.extend(kept(bundle, job, fate));
    }
    let mut builder = Builder::default();
    for (bundle, job) in stay.iter().rev() {
        builder.add(bundle, job);
        tokio::task::yield_now().await;
    }
    let done = match builder.finish() {
        None => records.trim_segment(segment, None).await,
        Some(mut finished) => {
            let stored = segments.store(std::mem::take(&mut finished.bytes)).await?;
            let _hold = records.hold([stored.sha256.as_str()]);
            let manifest = finished.manifest(stored.clone(), false);
            let manifest = Manifest { stale: stale.min(manifest.jobs), ..manifest };
            records.trim_segment(segment, Some(&manifest)).await
        }
    };
    if !changed(done)? {
        return Ok(segment.manifest.counted());
    }
    gone.jobs += here.jobs;
    gone.results += here.results;
    gone.logs += here.logs;
    Ok(counted(stay.len()))
}
