//! Old jobs in segments: looked up and listed with the records, packed, and made records again. docs/adr/0022.
//!
//! A record always says what is; a segment only where there is none. So records are read first: a job that leaves them
//! in between is in a segment by then.

use std::sync::Arc;

use bytes::Bytes;

use super::{ImportRecord, PAGE, Records, Settled, StoreError, Versioned, mark, put, read};
use crate::core::callbacks::CallbackRecord;
use crate::core::history::catalog::{Catalog, Head, Manifest, Segment};
use crate::core::history::merge::{Merge, Need};
use crate::core::history::segment::{Packed, block_of};
use crate::core::history::{Bundle, Details, Stored};
use crate::core::jobs::{JobRecord, JobState};
use crate::core::keys;
use crate::core::timeline::Timeline;
use crate::jobs::history::Segments;
use crate::ports::{BinaryStore, Commit, CommitError, Precondition, Revision, Write};

/// Times that the catalog is read when it changes all the while.
const TRIES: usize = 5;

pub(super) fn text(value: Bytes) -> String {
    String::from_utf8_lossy(&value).into_owned()
}

/// See `Records::job_since`.
#[derive(Debug)]
pub enum JobSince {
    Is(Box<Versioned<JobRecord>>),
    /// It has left the records, and is as it was.
    Packed,
    Gone,
}

/// What the record of a packed job says.
fn job_of(packed: &Packed) -> Result<JobRecord, StoreError> {
    read(&keys::job(&packed.id), &packed.record.value)
}

/// What the record in a bundle says.
pub fn job_in(bundle: &Bundle) -> Result<JobRecord, StoreError> {
    read(&keys::job(&bundle.id), &bundle.record.value)
}

impl Records {
    /// The same records, with the old jobs that lie in segments there.
    #[must_use]
    pub fn over_segments(self, blobs: Arc<dyn BinaryStore>, cache_bytes: usize) -> Self {
        Self { segments: Some(Arc::new(Segments::new(blobs, cache_bytes))), ..self }
    }

    pub fn segments(&self) -> Option<&Arc<Segments>> {
        self.segments.as_ref()
    }

    /// All segments that there are.
    pub async fn catalog(&self) -> Result<Arc<Catalog>, StoreError> {
        let Some(segments) = &self.segments else { return Ok(Arc::default()) };
        let mut head = self.head().await?;
        for _ in 0..TRIES {
            let Some(Versioned { version, .. }) = head else { return Ok(Arc::default()) };
            if let Some(known) = segments.catalog_at(version) {
                return Ok(known);
            }
            let read = Arc::new(Catalog::new(self.manifests().await?));
            head = self.head().await?;
            if head.as_ref().is_some_and(|head| head.version == version) {
                segments.keep_catalog(version, Arc::clone(&read));
                return Ok(read);
            }
        }
        Err(StoreError::Unavailable("the catalog of old jobs changes all the time".into()))
    }

    async fn head(&self) -> Result<Option<Versioned<Head>>, StoreError> {
        self.get(keys::HISTORY_HEAD).await
    }

    async fn manifests(&self) -> Result<Vec<Segment>, StoreError> {
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.store.range(keys::HISTORY, after.as_deref(), false, PAGE).await?;
            for entry in &page {
                let manifest: Manifest = read(&entry.key, &entry.value)?;
                let number = keys::leaf(&entry.key).parse();
                let number = number.map_err(|_| StoreError::Corrupt {
                    key: entry.key.clone(),
                    cause: "it does not end in a number".into(),
                })?;
                all.push(Segment { number, version: entry.version.0, manifest });
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(last.key.clone()),
                _ => return Ok(all),
            }
        }
    }

    async fn packed(&self, id: &str) -> Result<Option<(Arc<Segment>, Packed)>, StoreError> {
        let Some(segments) = &self.segments else { return Ok(None) };
        let catalog = self.catalog().await?;
        for segment in catalog.that_may_have(id) {
            let index = segments.index(segment).await?;
            let Some(block) = block_of(&index.records, id) else { continue };
            let records = segments.records(segment, &block.place).await?;
            if let Ok(at) = records.binary_search_by(|packed| packed.id.as_str().cmp(id)) {
                return Ok(Some((Arc::clone(segment), records[at].clone())));
            }
        }
        Ok(None)
    }

    pub(super) async fn packed_job(&self, id: &str) -> Result<Option<Versioned<JobRecord>>, StoreError> {
        let Some((_, packed)) = self.packed(id).await? else { return Ok(None) };
        Ok(Some(Versioned { record: job_of(&packed)?, version: Revision(packed.record.version) }))
    }

    /// Nothing, when it is not packed.
    pub(super) async fn packed_details(&self, id: &str) -> Result<Details, StoreError> {
        let Some(segments) = &self.segments else { return Ok(Details::default()) };
        let catalog = self.catalog().await?;
        for segment in catalog.that_may_have(id) {
            let index = segments.index(segment).await?;
            let Some(block) = block_of(&index.details, id) else { continue };
            let details = segments.details(segment, &block.place).await?;
            if let Ok(at) = details.binary_search_by(|(found, _)| found.as_str().cmp(id)) {
                return Ok(details[at].1.clone());
            }
        }
        Ok(Details::default())
    }

    pub(super) async fn packed_callback(&self, id: &str) -> Result<Option<Versioned<CallbackRecord>>, StoreError> {
        let Some(Stored { version, value }) = self.packed_details(id).await?.callback else { return Ok(None) };
        Ok(Some(Versioned { record: read(&keys::job_callback(id), &value)?, version: Revision(version) }))
    }

    pub(super) async fn packed_timeline(&self, id: &str) -> Result<Option<Timeline>, StoreError> {
        let value = self.packed_details(id).await?.timeline;
        value.map(|value| read(&keys::job_timeline(id), &value)).transpose()
    }

    /// What has become of a job, for who has heard of all up to that revision.
    pub async fn job_since(&self, id: &str, heard: Revision) -> Result<JobSince, StoreError> {
        if let Some(found) = self.get(&keys::job(id)).await? {
            return Ok(JobSince::Is(found.into()));
        }
        Ok(match self.packed_job(id).await? {
            None => JobSince::Gone,
            Some(packed) if packed.version <= heard => JobSince::Packed,
            Some(packed) => JobSince::Is(packed.into()),
        })
    }

    /// The newest of these records, which are the newest of all, and of the jobs in segments.
    pub(super) async fn with_packed(
        &self,
        jobs: Vec<JobRecord>,
        wanted: Option<JobState>,
        limit: usize,
    ) -> Result<Vec<JobRecord>, StoreError> {
        let Some(segments) = &self.segments else { return Ok(jobs) };
        let catalog = self.catalog().await?;
        let jobs = jobs.into_iter().map(|job| (job.id.clone(), job)).collect();
        let mut merge = Merge::new(jobs, &catalog, wanted, limit);
        while let Some(need) = merge.need() {
            let read = match need {
                Need::Index(segment) => segments.index(&segment).await.map(|index| merge.index(&index.records)),
                Need::Block(segment, block) => match segments.records(&segment, &block.place).await {
                    Ok(packed) => wanted_of(&packed, wanted).map(|jobs| merge.block(jobs)),
                    Err(error) => Err(error),
                },
            };
            match read {
                Ok(()) => {}
                // The others are listed all the same; the log says which are not.
                Err(StoreError::Corrupt { .. }) => merge.skip(),
                Err(error) => return Err(error),
            }
        }
        Ok(merge.found())
    }

    /// The job that is the oldest of the `recent` newest, if there are so many records.
    pub async fn oldest_of_newest(&self, recent: u64) -> Result<Option<String>, StoreError> {
        let mut left = recent;
        let mut before: Option<String> = None;
        while left > 0 {
            let limit = PAGE.min(usize::try_from(left).unwrap_or(PAGE));
            let page = self.store.range(keys::JOBS, before.as_deref(), true, limit).await?;
            if page.len() < limit {
                return Ok(None);
            }
            left -= limit as u64;
            before = page.last().map(|entry| entry.key.clone());
        }
        Ok(before.map(|key| keys::leaf(&key).to_owned()))
    }

    /// Records of jobs after this one, oldest first.
    pub async fn jobs_after(&self, after: Option<&str>, limit: usize) -> Result<Vec<Versioned<JobRecord>>, StoreError> {
        let after = after.map(keys::job);
        let entries = self.store.range(keys::JOBS, after.as_deref(), false, limit).await?;
        entries.iter().map(|e| Ok(Versioned { record: read(&e.key, &e.value)?, version: e.version })).collect()
    }

    /// The job as its own keys have it, with its callback.
    pub async fn settled(&self, id: &str) -> Result<Option<(Settled, Option<Versioned<CallbackRecord>>)>, StoreError> {
        let Some(job) = self.get::<JobRecord>(&keys::job(id)).await? else { return Ok(None) };
        let callback = self.get::<CallbackRecord>(&keys::job_callback(id)).await?;
        Ok(Some((Settled { job, callback: callback.as_ref().map(|found| found.version) }, callback)))
    }

    /// What is stored of a job that has ended. Whatever changes one of its keys changes its record or its callback too.
    pub async fn bundle(&self, job: &Versioned<JobRecord>) -> Result<Option<Bundle>, StoreError> {
        let id = &job.record.id;
        let value = async |key: String| Ok::<_, StoreError>(self.store.get(&key).await?);
        let Some(record) = value(keys::job(id)).await?.filter(|entry| entry.version == job.version) else {
            return Ok(None);
        };
        let stored = |entry: crate::ports::Entry| Stored { version: entry.version.0, value: entry.value };
        let details = Details {
            config: value(keys::job_config(id)).await?.map(|entry| entry.value),
            result: value(keys::job_result(id)).await?.map(|entry| entry.value),
            timeline: value(keys::job_timeline(id)).await?.map(|entry| entry.value),
            callback: value(keys::job_callback(id)).await?.map(stored),
        };
        Ok(Some(Bundle { id: id.clone(), record: stored(record), details }))
    }

    /// Adds a segment to the catalog: from now on its jobs are found there. Conflict: another one did so in this moment.
    pub async fn add_segment(&self, manifest: &Manifest) -> Result<(), StoreError> {
        let head = self.head().await?;
        let number = head.as_ref().map_or(0, |head| head.record.next);
        let mut commit = moved(head, number + 1);
        commit.writes.push(put(keys::history(number), manifest));
        self.commit("history-pack", commit).await?;
        Ok(())
    }

    /// As `add_segment`, of jobs that are being imported: all of them up to this one are there then. Conflict: the import is over.
    pub async fn import_segment(
        &self,
        manifest: &Manifest,
        import: &Versioned<ImportRecord>,
        to: &str,
    ) -> Result<Versioned<ImportRecord>, StoreError> {
        let head = self.head().await?;
        let number = head.as_ref().map_or(0, |head| head.record.next);
        let mut commit = moved(head, number + 1);
        let record = ImportRecord { packed_to: Some(to.to_owned()), ..import.record.clone() };
        commit.preconditions.push(Precondition::At(keys::STORE_IMPORT.to_owned(), import.version));
        commit.writes.push(put(keys::history(number), manifest));
        commit.writes.push(put(keys::STORE_IMPORT.to_owned(), &record));
        let version = self.commit("store-import-pack", commit).await?;
        Ok(Versioned { record, version })
    }

    /// Removes the own keys of packed jobs. One that changed since is left as it is: its record says what is. As `remove_jobs`.
    pub async fn clear_packed(&self, jobs: Vec<Settled>) -> Result<usize, StoreError> {
        self.remove_unchanged("history-clear", jobs).await
    }

    /// Nothing of the segment's jobs is left that has to be cleared; so many of them are records again. Conflict: it was changed.
    pub async fn segment_cleared(&self, segment: &Segment, stale: u64) -> Result<(), StoreError> {
        let manifest = Manifest { clearing: false, stale, ..segment.manifest.clone() };
        self.change_segment("history-cleared", segment, Some(&manifest)).await
    }

    /// Puts another segment into its place, or none. Conflict: it was changed.
    pub async fn trim_segment(&self, segment: &Segment, by: Option<&Manifest>) -> Result<(), StoreError> {
        self.change_segment("history-trim", segment, by).await
    }

    async fn change_segment(
        &self,
        name: &'static str,
        segment: &Segment,
        by: Option<&Manifest>,
    ) -> Result<(), StoreError> {
        let head = self.head().await?;
        let next = head.as_ref().map_or(0, |head| head.record.next);
        let mut commit = moved(head, next);
        let key = keys::history(segment.number);
        commit.preconditions.push(Precondition::At(key.clone(), Revision(segment.version)));
        commit.writes.push(match by {
            Some(manifest) => put(key, manifest),
            None => Write::Delete(key),
        });
        self.commit(name, commit).await?;
        Ok(())
    }

    /// Makes a packed job a record again, with all that is kept of it, as something of it is about to change. Answers
    /// whether it did; one that is a record already, or nowhere, is left as it is.
    pub async fn unpack_job(&self, id: &str) -> Result<bool, StoreError> {
        if self.segments.is_none() || self.store.get(&keys::job(id)).await?.is_some() {
            return Ok(false);
        }
        let Some((segment, packed)) = self.packed(id).await? else { return Ok(false) };
        let details = self.packed_details(id).await?;
        let state = job_of(&packed)?.state;
        let head = self.head().await?;
        let next = head.as_ref().map_or(0, |head| head.record.next);
        let mut commit = moved(head, next);
        let key = keys::history(segment.number);
        commit.preconditions.push(Precondition::Absent(keys::job(id)));
        commit.preconditions.push(Precondition::At(key.clone(), Revision(segment.version)));
        commit.writes.push(put(key, &Manifest { stale: segment.manifest.stale + 1, ..segment.manifest.clone() }));
        let kept = [
            (keys::job(id), Some(packed.record.value)),
            (keys::job_config(id), details.config),
            (keys::job_result(id), details.result),
            (keys::job_timeline(id), details.timeline),
            (keys::job_callback(id), details.callback.map(|callback| callback.value)),
        ];
        let kept = kept.into_iter().filter_map(|(key, value)| Some(Write::Put(key, value?)));
        commit.writes.extend(kept.chain([mark(keys::job_ended(state.name(), id))]));
        match self.commit("job-unpack", commit).await {
            // Somebody else unpacked it, or its segment was changed: who asked looks again.
            Ok(_) | Err(CommitError::Conflict(_)) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}

/// The head is written with each change of the catalog.
fn moved(head: Option<Versioned<Head>>, next: u64) -> Commit {
    let key = keys::HISTORY_HEAD.to_owned();
    let unchanged = match head {
        Some(head) => Precondition::At(key.clone(), head.version),
        None => Precondition::Absent(key.clone()),
    };
    Commit { preconditions: vec![unchanged], writes: vec![put(key, &Head { next })] }
}

fn wanted_of(packed: &[Packed], wanted: Option<JobState>) -> Result<Vec<(String, JobRecord)>, StoreError> {
    let mut jobs = Vec::with_capacity(packed.len());
    for packed in packed {
        let job = job_of(packed)?;
        if wanted.is_none_or(|state| job.state == state) {
            jobs.push((packed.id.clone(), job));
        }
    }
    Ok(jobs)
}
