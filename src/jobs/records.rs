//! The domain's records over the MetaStore: which keys change together, and what must hold when they do.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::core::binaries::{BinaryRecord, BlobRef};
use crate::core::contexts::{Attachment, ContextRecord, NameRecord};
use crate::core::jobs::{JobRecord, JobState};
use crate::core::keys;
use crate::ports::{Commit, CommitError, MetaStore, Precondition, ReadError, Revision, Write};

/// Records read at once when all of a kind are wanted.
const PAGE: usize = 1000;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Nothing was written: somebody else was faster. The index of the precondition.
    #[error("it was changed at the same time (precondition {0})")]
    Conflict(usize),
    #[error("{0}")]
    Unavailable(String),
    #[error("{0}")]
    TooLarge(String),
    /// A record does not read back: a newer version wrote it, or the disk lies.
    #[error("the record {key} cannot be read: {cause}")]
    Corrupt { key: String, cause: String },
}

impl From<CommitError> for StoreError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict(index) => Self::Conflict(index),
            CommitError::TooLarge { .. } => Self::TooLarge(error.to_string()),
            CommitError::Unavailable(_) | CommitError::Unknown(_) => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<ReadError> for StoreError {
    fn from(error: ReadError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// A record and the revision that wrote it.
#[derive(Debug, Clone)]
pub struct Versioned<T> {
    pub record: T,
    pub version: Revision,
}

#[derive(Clone)]
pub struct Records {
    store: Arc<dyn MetaStore>,
}

fn put<T: Serialize>(key: String, record: &T) -> Write {
    Write::Put(key, serde_json::to_vec(record).expect("records are plain data").into())
}

fn mark(key: String) -> Write {
    Write::Put(key, Bytes::new())
}

fn read<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(value).map_err(|e| StoreError::Corrupt { key: key.into(), cause: e.to_string() })
}

impl Records {
    pub fn new(store: Arc<dyn MetaStore>) -> Self {
        Self { store }
    }

    /// Whether the store answers.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.store.get(keys::STORE_ID).await?;
        Ok(())
    }

    async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<Versioned<T>>, StoreError> {
        match self.store.get(key).await? {
            None => Ok(None),
            Some(entry) => Ok(Some(Versioned { record: read(key, &entry.value)?, version: entry.version })),
        }
    }

    async fn text(&self, key: &str) -> Result<Option<String>, StoreError> {
        let entry = self.store.get(key).await?;
        Ok(entry.map(|e| String::from_utf8_lossy(&e.value).into_owned()))
    }

    async fn leaves(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.store.range(prefix, after.as_deref(), false, PAGE).await?;
            all.extend(page.iter().map(|e| keys::leaf(&e.key).to_owned()));
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(last.key.clone()),
                _ => return Ok(all),
            }
        }
    }

    // ---- jobs

    /// Records a job as given to the attempt whose attachment is at this version. Conflict 0: the driver attached anew;
    /// others: a binary was replaced or deleted.
    pub async fn submit(
        &self,
        job: &JobRecord,
        config: &str,
        attachment: Revision,
        binaries: &[(String, Revision)],
    ) -> Result<(), StoreError> {
        let mut commit = Commit::default();
        commit.preconditions.push(Precondition::At(keys::attachment(&job.context_id), attachment));
        commit.writes.push(put(keys::job(&job.id), job));
        commit.writes.push(mark(keys::job_active(&job.id)));
        commit.writes.push(Write::Put(keys::job_config(&job.id), Bytes::copy_from_slice(config.as_bytes())));
        for (name, version) in binaries {
            commit.preconditions.push(Precondition::At(keys::binary(name), *version));
            commit.writes.push(mark(keys::binary_use(name, &job.id)));
        }
        self.store.commit(commit).await?;
        Ok(())
    }

    /// Records a job's end. A job that has ended already is left as it is, and that is no error.
    pub async fn end(&self, job: &JobRecord, inline_result: Option<&str>) -> Result<(), StoreError> {
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
        match self.store.commit(commit).await {
            Ok(_) | Err(CommitError::Conflict(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives a job that has ended its log. Conflict: it was written in this moment.
    pub async fn add_log(&self, id: &str, log: BlobRef) -> Result<(), StoreError> {
        let Some(found) = self.get::<JobRecord>(&keys::job(id)).await? else { return Ok(()) };
        let preconditions = vec![Precondition::At(keys::job(id), found.version)];
        let record = JobRecord { log: Some(log), ..found.record };
        self.store.commit(Commit { preconditions, writes: vec![put(keys::job(id), &record)] }).await?;
        Ok(())
    }

    pub async fn job(&self, id: &str) -> Result<Option<JobRecord>, StoreError> {
        Ok(self.get(&keys::job(id)).await?.map(|v| v.record))
    }

    pub async fn job_config(&self, id: &str) -> Result<Option<String>, StoreError> {
        self.text(&keys::job_config(id)).await
    }

    pub async fn job_result(&self, id: &str) -> Result<Option<String>, StoreError> {
        self.text(&keys::job_result(id)).await
    }

    /// The newest jobs first, in any state.
    pub async fn newest_jobs(&self, limit: usize) -> Result<Vec<JobRecord>, StoreError> {
        let entries = self.store.range(keys::JOBS, None, true, limit).await?;
        entries.iter().map(|e| read(&e.key, &e.value)).collect()
    }

    /// The newest jobs first that ended in this state.
    pub async fn newest_ended(&self, state: JobState, limit: usize) -> Result<Vec<JobRecord>, StoreError> {
        let entries = self.store.range(&keys::jobs_ended(state.name()), None, true, limit).await?;
        let mut jobs = Vec::with_capacity(entries.len());
        for entry in entries {
            jobs.extend(self.job(keys::leaf(&entry.key)).await?);
        }
        Ok(jobs)
    }

    /// All jobs that have not ended, oldest first.
    pub async fn active_jobs(&self) -> Result<Vec<JobRecord>, StoreError> {
        let mut jobs = Vec::new();
        for id in self.leaves(keys::JOBS_ACTIVE).await? {
            jobs.extend(self.job(&id).await?);
        }
        Ok(jobs)
    }

    // ---- binaries

    pub async fn binary(&self, name: &str) -> Result<Option<Versioned<BinaryRecord>>, StoreError> {
        self.get(&keys::binary(name)).await
    }

    pub async fn binaries(&self) -> Result<Vec<BinaryRecord>, StoreError> {
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.store.range(keys::BINARIES, after.as_deref(), false, PAGE).await?;
            for entry in &page {
                all.push(read(&entry.key, &entry.value)?);
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(last.key.clone()),
                _ => return Ok(all),
            }
        }
    }

    /// Replaces what had the name. Jobs that use the older content go on with it.
    pub async fn put_binary(&self, binary: &BinaryRecord) -> Result<(), StoreError> {
        let writes = vec![put(keys::binary(&binary.name), binary)];
        self.store.commit(Commit { preconditions: Vec::new(), writes }).await?;
        Ok(())
    }

    /// Conflict 0: there is none of that name; 1: jobs use it.
    pub async fn delete_binary(&self, name: &str) -> Result<(), StoreError> {
        let preconditions =
            vec![Precondition::Exists(keys::binary(name)), Precondition::NoneUnder(keys::binary_uses(name))];
        let writes = vec![Write::Delete(keys::binary(name))];
        self.store.commit(Commit { preconditions, writes }).await?;
        Ok(())
    }

    /// Ids of the jobs that have not ended and use the binary.
    pub async fn users_of_binary(&self, name: &str) -> Result<Vec<String>, StoreError> {
        self.leaves(&keys::binary_uses(name)).await
    }

    // ---- contexts

    /// Takes the name. Conflict: a context of that name lives (or took the name in this moment).
    pub async fn create_context(&self, context: &ContextRecord) -> Result<(), StoreError> {
        let name_key = keys::context_name(&context.name);
        let before: Option<Versioned<NameRecord>> = self.get(&name_key).await?;
        let precondition = match before {
            Some(Versioned { record: NameRecord { live: true, .. }, .. }) => return Err(StoreError::Conflict(0)),
            Some(ended) => Precondition::At(name_key.clone(), ended.version),
            None => Precondition::Absent(name_key.clone()),
        };
        let live = !context.state.has_ended();
        let mut writes = vec![
            put(keys::context(&context.id), context),
            put(name_key, &NameRecord { context_id: context.id.clone(), live }),
        ];
        if live {
            writes.push(mark(keys::context_live(&context.id)));
        }
        self.store.commit(Commit { preconditions: vec![precondition], writes }).await?;
        Ok(())
    }

    /// Writes a live context's new state; an end frees its name.
    pub async fn update_context(&self, context: &ContextRecord) -> Result<(), StoreError> {
        let preconditions = vec![Precondition::Exists(keys::context_live(&context.id))];
        let mut writes = vec![put(keys::context(&context.id), context)];
        if context.state.has_ended() {
            writes.push(Write::Delete(keys::context_live(&context.id)));
            writes.push(Write::Delete(keys::attachment(&context.id)));
            let ended = NameRecord { context_id: context.id.clone(), live: false };
            writes.push(put(keys::context_name(&context.name), &ended));
        }
        self.store.commit(Commit { preconditions, writes }).await?;
        Ok(())
    }

    /// Makes this attachment the one that may be given jobs: what was written under an older one no longer commits.
    pub async fn attach(&self, context_id: &str, attachment: &Attachment) -> Result<Revision, StoreError> {
        let preconditions = vec![Precondition::Exists(keys::context_live(context_id))];
        let writes = vec![put(keys::attachment(context_id), attachment)];
        Ok(self.store.commit(Commit { preconditions, writes }).await?)
    }

    /// The newest context of that name, also when it has ended.
    pub async fn context_named(&self, name: &str) -> Result<Option<ContextRecord>, StoreError> {
        let Some(found) = self.get::<NameRecord>(&keys::context_name(name)).await? else { return Ok(None) };
        Ok(self.get(&keys::context(&found.record.context_id)).await?.map(|v| v.record))
    }

    pub async fn live_contexts(&self) -> Result<Vec<ContextRecord>, StoreError> {
        let mut contexts = Vec::new();
        for id in self.leaves(keys::CONTEXTS_LIVE).await? {
            contexts.extend(self.get(&keys::context(&id)).await?.map(|v| v.record));
        }
        Ok(contexts)
    }
}
