//! Commits and reads of retention: pages of records, and their removal.

use std::collections::HashMap;

use super::{PAGE, Records, StoreError, Versioned, put, read};
use crate::core::binaries::BinaryRecord;
use crate::core::contexts::{ContextRecord, NameRecord};
use crate::core::jobs::{JobRecord, ResultPlace};
use crate::core::keys;
use crate::ports::{Commit, CommitError, Precondition, Revision, Write};

impl Records {
    /// Jobs that were submitted before the job `before`, newest first.
    pub async fn jobs_before(
        &self,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Versioned<JobRecord>>, StoreError> {
        let before = before.map(keys::job);
        let entries = self.store.range(keys::JOBS, before.as_deref(), true, limit).await?;
        entries.iter().map(|e| Ok(Versioned { record: read(&e.key, &e.value)?, version: e.version })).collect()
    }

    /// All binaries by name.
    pub async fn versioned_binaries(&self) -> Result<HashMap<String, Versioned<BinaryRecord>>, StoreError> {
        let mut all = HashMap::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.store.range(keys::BINARIES, after.as_deref(), false, PAGE).await?;
            for entry in &page {
                let record: BinaryRecord = read(&entry.key, &entry.value)?;
                all.insert(record.name.clone(), Versioned { record, version: entry.version });
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(last.key.clone()),
                _ => return Ok(all),
            }
        }
    }

    /// Contexts in any state, in the order of their ids.
    pub async fn contexts_after(&self, after: Option<&str>, limit: usize) -> Result<Vec<ContextRecord>, StoreError> {
        let after = after.map(keys::context);
        let entries = self.store.range(keys::CONTEXTS, after.as_deref(), false, limit).await?;
        entries.iter().map(|e| read(&e.key, &e.value)).collect()
    }

    /// Removes ended jobs with everything that is kept under their ids. Answers how many: one that changed since it was read
    /// is left for later, and the others go.
    pub async fn remove_jobs(&self, jobs: Vec<Settled>) -> Result<usize, StoreError> {
        self.remove_unchanged("jobs-remove", jobs).await
    }

    pub(super) async fn remove_unchanged(
        &self,
        name: &'static str,
        mut jobs: Vec<Settled>,
    ) -> Result<usize, StoreError> {
        while !jobs.is_empty() {
            let (preconditions, owners) = unchanged(jobs.iter());
            let mut commit = Commit { preconditions, writes: Vec::new() };
            for Settled { job: Versioned { record, .. }, .. } in &jobs {
                commit.writes.extend(keys::of_ended_job(record.state.name(), &record.id).map(Write::Delete));
            }
            match self.commit(name, commit).await {
                Ok(_) => return Ok(jobs.len()),
                Err(CommitError::Conflict(changed)) => drop(jobs.swap_remove(owners[changed])),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(0)
    }

    /// Takes results and logs from the records of ended jobs, which stay. As `remove_jobs`.
    pub async fn trim_jobs(&self, mut jobs: Vec<Trimmed>) -> Result<usize, StoreError> {
        while !jobs.is_empty() {
            let (preconditions, owners) = unchanged(jobs.iter().map(|trimmed| &trimmed.of));
            let mut commit = Commit { preconditions, writes: Vec::new() };
            for Trimmed { of: Settled { job: Versioned { record, .. }, .. }, result, log } in &jobs {
                let mut kept = record.clone();
                if *result {
                    if record.result == Some(ResultPlace::Inline) {
                        commit.writes.push(Write::Delete(keys::job_result(&record.id)));
                    }
                    kept.result = None;
                }
                if *log {
                    kept = kept.without_logs();
                }
                commit.writes.push(put(keys::job(&record.id), &kept));
            }
            match self.commit("jobs-trim", commit).await {
                Ok(_) => return Ok(jobs.len()),
                Err(CommitError::Conflict(changed)) => drop(jobs.swap_remove(owners[changed])),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(0)
    }

    /// Removes an ended context's record, and its name when no newer context has it.
    pub async fn remove_context(&self, context: &ContextRecord) -> Result<(), StoreError> {
        let mut commit = Commit::default();
        commit.writes.push(Write::Delete(keys::context(&context.id)));
        let name_key = keys::context_name(&context.name);
        let name = self.get::<NameRecord>(&name_key).await?;
        if let Some(name) = name.filter(|name| name.record.context_id == context.id && !name.record.live) {
            commit.preconditions.push(Precondition::At(name_key.clone(), name.version));
            commit.writes.push(Write::Delete(name_key));
        }
        self.commit("context-remove", commit).await?;
        Ok(())
    }

    /// Removes a binary as it was read. Conflict: it was replaced, or a job uses it.
    pub async fn remove_binary(&self, binary: &Versioned<BinaryRecord>) -> Result<(), StoreError> {
        let name = &binary.record.name;
        let preconditions = vec![
            Precondition::At(keys::binary(name), binary.version),
            Precondition::NoneUnder(keys::binary_uses(name)),
        ];
        let writes = vec![Write::Delete(keys::binary(name))];
        self.commit("binary-remove", Commit { preconditions, writes }).await?;
        Ok(())
    }
}

/// That the jobs are as they were read, and for each precondition the index of its job.
fn unchanged<'a>(jobs: impl Iterator<Item = &'a Settled>) -> (Vec<Precondition>, Vec<usize>) {
    let of = |(index, Settled { job, callback }): (usize, &Settled)| {
        let id = &job.record.id;
        let told = callback.map(|version| (Precondition::At(keys::job_callback(id), version), index));
        [(Precondition::At(keys::job(id), job.version), index)].into_iter().chain(told)
    };
    jobs.enumerate().flat_map(of).unzip()
}

/// An ended job as it was read.
#[derive(Debug, Clone)]
pub struct Settled {
    pub job: Versioned<JobRecord>,
    /// The version at which its callback did not wait, where that matters: a replay may follow.
    pub callback: Option<Revision>,
}

/// A job that loses its result or its log.
#[derive(Debug, Clone)]
pub struct Trimmed {
    pub of: Settled,
    pub result: bool,
    pub log: bool,
}
