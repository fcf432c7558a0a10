//! Jobs of an import: old ones go into segments at once, as a server's packer would put them there, and the others become records.
//! So the store never holds more records than it does under a server. docs/adr/0022.

use std::collections::HashSet;

use bytes::Bytes;

use super::ToolError;
use super::import::Import;
use super::parts::Parts;
use crate::core::callbacks::CallbackRecord;
use crate::core::history::builder::Builder;
use crate::core::history::catalog::Segment;
use crate::core::history::packing::{MAX_RAW_BYTES, Rule, has_called};
use crate::core::history::{Bundle, Details, Stored};
use crate::core::jobs::JobRecord;
use crate::core::keys;
use crate::jobs::StoreError;
use crate::jobs::history::Segments;
use crate::jobs::records::{ImportRecord, Versioned};
use crate::runtime::clock;

/// A job that waits for its segment to be full.
struct Candidate {
    bundle: Bundle,
    job: JobRecord,
    entries: Vec<(String, Bytes)>,
}

pub(super) struct Packing<'a, 'i> {
    import: &'i mut Import<'a>,
    /// `None`: nothing more is packed.
    rule: Option<Rule>,
    segments: Segments,
    mark: Versioned<ImportRecord>,
    /// Records that are still to come of those that are old enough.
    old: u64,
    /// Jobs of segments that a server had not cleared when the store was exported: as it would, the next one counts what of them stands
    /// under own keys.
    uncleared: HashSet<String>,
    candidates: Vec<Candidate>,
    bytes: usize,
    now_ms: i64,
}

impl<'a, 'i> Packing<'a, 'i> {
    /// Of so many records.
    pub(super) async fn new(
        import: &'i mut Import<'a>,
        rule: Option<Rule>,
        mark: Versioned<ImportRecord>,
        records: u64,
    ) -> Result<Self, ToolError> {
        let segments = import.stores.segments();
        let mut uncleared = HashSet::new();
        for segment in &import.uncleared {
            match segments.bundles(segment).await {
                Ok(bundles) => uncleared.extend(bundles.into_iter().map(|bundle| bundle.id)),
                // None clears it.
                Err(StoreError::Corrupt { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let old = rule.map_or(0, |rule| rule.old(records));
        let (candidates, bytes, now_ms) = (Vec::new(), 0, clock::unix_ms());
        Ok(Self { import, rule, segments, mark, old, uncleared, candidates, bytes, now_ms })
    }

    /// Takes the next job.
    pub(super) async fn job(&mut self, parts: Parts) -> Result<(), ToolError> {
        let is_old = self.old > 0;
        if parts.entries.first().is_some_and(|(key, _)| key.starts_with(keys::JOBS)) {
            self.old = self.old.saturating_sub(1);
        }
        if self.mark.record.packed_to.as_ref().is_some_and(|to| parts.id <= *to) {
            self.import.was_there(parts.entries.len());
            return Ok(());
        }
        let candidate = match self.rule.filter(|_| is_old) {
            Some(rule) => candidate(&parts, rule, self.mark.record.revision, self.now_ms),
            None => None,
        };
        match candidate {
            Some((bundle, job)) if self.may_pack(&parts).await? => {
                self.bytes += parts.entries.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
                self.candidates.push(Candidate { bundle, job, entries: parts.entries });
                let most = self.rule.map_or(0, |rule| rule.segment_jobs);
                if self.candidates.len() >= most || self.bytes >= MAX_RAW_BYTES { self.pack().await } else { Ok(()) }
            }
            _ => self.records(parts.entries).await,
        }
    }

    /// What has no segment becomes records.
    pub(super) async fn end(mut self) -> Result<(), ToolError> {
        for candidate in std::mem::take(&mut self.candidates) {
            self.records(candidate.entries).await?;
        }
        self.import.flush().await
    }

    async fn records(&mut self, entries: Vec<(String, Bytes)>) -> Result<(), ToolError> {
        for (key, value) in entries {
            self.import.entry(key, value).await?;
        }
        Ok(())
    }

    /// Whether nothing of it stands under own keys, where it would count twice.
    async fn may_pack(&self, parts: &Parts) -> Result<bool, ToolError> {
        if self.uncleared.contains(&parts.id) {
            return Ok(false);
        }
        if self.import.imported.resumed {
            for (key, _) in &parts.entries {
                if self.import.stores.meta.get(key).await?.is_some() {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    async fn pack(&mut self) -> Result<(), ToolError> {
        self.bytes = 0;
        let candidates = std::mem::take(&mut self.candidates);
        let mut builder = Builder::default();
        for Candidate { bundle, job, .. } in &candidates {
            builder.add(bundle, job);
        }
        let (Some(mut finished), Some(last)) = (builder.finish(), candidates.last()) else { return Ok(()) };
        let stored = self.segments.store(std::mem::take(&mut finished.bytes)).await?;
        let manifest = finished.manifest(stored, false);
        // As before a server removes the records: what shall be there is read.
        let (number, version) = (u64::MAX, 0);
        self.segments.bundles(&Segment { number, version, manifest: manifest.clone() }).await?;
        self.import.flush().await?;
        self.mark = self.import.records.import_segment(&manifest, &self.mark, &last.job.id).await?;
        self.import.packed(candidates.len(), candidates.iter().map(|candidate| candidate.entries.len()).sum());
        Ok(())
    }
}

/// The job as it is packed, if nothing more is to come of it and all that stands there of it is packed.
fn candidate(parts: &Parts, rule: Rule, version: u64, now_ms: i64) -> Option<(Bundle, JobRecord)> {
    let id = &parts.id;
    let mut left = parts.entries.clone();
    let mut take = |key: String| {
        let at = left.iter().position(|(found, _)| *found == key)?;
        Some(left.swap_remove(at).1)
    };
    let value = take(keys::job(id))?;
    let job: JobRecord = serde_json::from_slice(&value).ok()?;
    let config = take(keys::job_config(id));
    let (result, timeline) = (take(keys::job_result(id)), take(keys::job_timeline(id)));
    let callback = take(keys::job_callback(id));
    take(keys::job_ended(job.state.name(), id));
    let called = match &callback {
        Some(value) => has_called(Some(serde_json::from_slice::<CallbackRecord>(value).ok()?.state)),
        None => true,
    };
    if job.id != *id || !rule.has_settled(&job, now_ms) || !called || !left.is_empty() {
        return None;
    }
    let callback = callback.map(|value| Stored { version, value });
    let details = Details { config, result, timeline, callback };
    Some((Bundle { id: id.clone(), record: Stored { version, value }, details }, job))
}
