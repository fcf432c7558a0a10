//! Commits and reads of jobs.

use bytes::Bytes;

use super::{Claim, Records, StoreError, Versioned, mark, put, read};
use crate::core::binaries::BlobRef;
use crate::core::idempotency::Effect;
use crate::core::jobs::{JobRecord, JobState, ResultPlace};
use crate::core::keys;
use crate::core::timeline::Moment;
use crate::jobs::active::Ended;
use crate::ports::{Commit, CommitError, Precondition, Revision, Write};
use crate::runtime::clock;

/// What every new job is written with, if `first` holds and its binaries are what they were.
pub(super) fn submission(
    first: Precondition,
    job: &JobRecord,
    config: &str,
    binaries: &[(String, Revision)],
) -> Commit {
    let mut commit = Commit { preconditions: vec![first], writes: Vec::new() };
    commit.writes.push(put(keys::job(&job.id), job));
    commit.writes.push(mark(keys::job_active(&job.id)));
    commit.writes.push(Write::Put(keys::job_config(&job.id), Bytes::copy_from_slice(config.as_bytes())));
    for (name, version) in binaries {
        commit.preconditions.push(Precondition::At(keys::binary(name), *version));
        commit.writes.push(mark(keys::binary_use(name, &job.id)));
    }
    commit
}

impl Records {
    /// Records a job as given to the attempt whose attachment is at this version. Conflict 0: the driver attached anew;
    /// others: a binary was replaced or deleted.
    pub async fn submit(
        &self,
        job: &JobRecord,
        config: &str,
        attachment: Revision,
        binaries: &[(String, Revision)],
        claim: Option<&Claim>,
    ) -> Result<(), StoreError> {
        let attached = Precondition::At(keys::attachment(&job.context_id), attachment);
        let commit = submission(attached, job, config, binaries);
        let effect = || Effect::JobSubmitted { job: job.id.clone() };
        self.commit_claimed("job-submit", commit, claim, effect).await?;
        self.timelines.mark(&job.id, Moment::Recorded);
        Ok(())
    }

    /// Whether a job was recorded although the answer was lost. A write of its own makes what is there as safe as any other.
    pub async fn was_submitted(&self, job: &JobRecord) -> Result<bool, StoreError> {
        let preconditions = vec![Precondition::Exists(keys::job_active(&job.id))];
        let writes = vec![put(keys::job(&job.id), job)];
        match self.commit("job-submit", Commit { preconditions, writes }).await {
            Ok(_) => {
                self.timelines.mark(&job.id, Moment::Recorded);
                Ok(true)
            }
            Err(CommitError::Conflict(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Records a job's end, and with it the callback that follows. Answers the end that counts: of a job that has ended already
    /// the one that is stored, as when the answer of an earlier try was lost.
    pub async fn end(&self, job: &JobRecord, inline_result: Option<&str>) -> Result<Ended, StoreError> {
        let ours = || Ended { record: job.clone(), inline_result: inline_result.map(Into::into) };
        let mut commit = Commit::default();
        commit.preconditions.push(Precondition::Exists(keys::job_active(&job.id)));
        commit.writes.push(put(keys::job(&job.id), job));
        commit.writes.push(Write::Delete(keys::job_active(&job.id)));
        commit.writes.push(mark(keys::job_ended(job.state.name(), &job.id)));
        if let Some(result) = inline_result {
            commit.writes.push(Write::Put(keys::job_result(&job.id), Bytes::copy_from_slice(result.as_bytes())));
        }
        for used in job.binaries.iter().filter(|b| b.uploaded) {
            commit.writes.push(Write::Delete(keys::binary_use(&used.name, &job.id)));
        }
        let began = clock::instant();
        commit.writes.extend(super::callbacks::at_end(job));
        if job.queued.is_some() {
            commit.writes.push(Write::Delete(keys::job_queue(&job.context_id, job.priority, &job.id)));
        }
        commit.writes.extend(self.timelines.ended(&job.id));
        match self.commit("job-end", commit).await {
            Ok(_) => {
                self.timelines.stored(&job.id, began);
                Ok(ours())
            }
            Err(CommitError::Conflict(_)) => {
                self.timelines.forget(&job.id);
                // One whose record is gone as well was removed by hand.
                Ok(self.stored_end(&job.id).await?.unwrap_or_else(ours))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// `None` for a job that has not ended, or is not there.
    pub async fn stored_end(&self, id: &str) -> Result<Option<Ended>, StoreError> {
        let Some(record) = self.job(id).await?.filter(|job| job.state.has_ended()) else { return Ok(None) };
        let inline_result = match record.result {
            Some(ResultPlace::Inline) => self.job_result(id).await?,
            _ => None,
        };
        Ok(Some(Ended { record, inline_result }))
    }

    /// Records that a job was lost and is to run again. Conflict: it has ended.
    pub async fn retry(&self, job: &JobRecord) -> Result<(), StoreError> {
        let preconditions = vec![Precondition::Exists(keys::job_active(&job.id))];
        self.commit("job-retry", Commit { preconditions, writes: vec![put(keys::job(&job.id), job)] }).await?;
        self.timelines.lost(&job.id);
        Ok(())
    }

    /// Records a job that runs again as given to the attempt whose attachment is at this version. Conflict 0: the driver
    /// attached anew, or is lost; 1: the job has ended.
    pub async fn reassign(&self, job: &JobRecord, attachment: Revision) -> Result<(), StoreError> {
        let preconditions = vec![
            Precondition::At(keys::attachment(&job.context_id), attachment),
            Precondition::Exists(keys::job_active(&job.id)),
        ];
        self.commit("job-reassign", Commit { preconditions, writes: vec![put(keys::job(&job.id), job)] }).await?;
        Ok(())
    }

    /// Gives a job that has ended its log, if it has none. Conflict: it was written in this moment.
    pub async fn add_log(&self, id: &str, log: BlobRef) -> Result<(), StoreError> {
        self.unpack_job(id).await?;
        let Some(found) = self.get::<JobRecord>(&keys::job(id)).await?.filter(|job| job.record.log.is_none()) else {
            return Ok(());
        };
        let preconditions = vec![Precondition::At(keys::job(id), found.version)];
        let record = JobRecord { log: Some(log), ..found.record };
        self.commit("job-log", Commit { preconditions, writes: vec![put(keys::job(id), &record)] }).await?;
        Ok(())
    }

    pub async fn job(&self, id: &str) -> Result<Option<JobRecord>, StoreError> {
        Ok(self.versioned_job(id).await?.map(|v| v.record))
    }

    /// A job in a segment has the version that it had when it was packed.
    pub async fn versioned_job(&self, id: &str) -> Result<Option<Versioned<JobRecord>>, StoreError> {
        match self.get(&keys::job(id)).await? {
            Some(found) => Ok(Some(found)),
            None => self.packed_job(id).await,
        }
    }

    pub async fn job_config(&self, id: &str) -> Result<Option<String>, StoreError> {
        match self.text(&keys::job_config(id)).await? {
            Some(found) => Ok(Some(found)),
            None => Ok(self.packed_details(id).await?.config.map(super::history::text)),
        }
    }

    pub async fn job_result(&self, id: &str) -> Result<Option<String>, StoreError> {
        match self.text(&keys::job_result(id)).await? {
            Some(found) => Ok(Some(found)),
            None => Ok(self.packed_details(id).await?.result.map(super::history::text)),
        }
    }

    /// The newest jobs first, in any state.
    pub async fn newest_jobs(&self, limit: usize) -> Result<Vec<JobRecord>, StoreError> {
        let entries = self.store.range(keys::JOBS, None, true, limit).await?;
        let jobs: Result<Vec<JobRecord>, StoreError> = entries.iter().map(|e| read(&e.key, &e.value)).collect();
        self.with_packed(jobs?, None, limit).await
    }

    /// The newest jobs first that ended in this state.
    pub async fn newest_ended(&self, state: JobState, limit: usize) -> Result<Vec<JobRecord>, StoreError> {
        let entries = self.store.range(&keys::jobs_ended(state.name()), None, true, limit).await?;
        let mut jobs = Vec::with_capacity(entries.len());
        for entry in entries {
            // One that is packed in this moment comes with its segment.
            jobs.extend(self.get(&keys::job(keys::leaf(&entry.key))).await?.map(|found| found.record));
        }
        self.with_packed(jobs, Some(state), limit).await
    }

    /// All jobs that have not ended, oldest first.
    pub async fn active_jobs(&self) -> Result<Vec<JobRecord>, StoreError> {
        let mut jobs = Vec::new();
        for id in self.leaves(keys::JOBS_ACTIVE).await? {
            jobs.extend(self.job(&id).await?);
        }
        Ok(jobs)
    }
}
