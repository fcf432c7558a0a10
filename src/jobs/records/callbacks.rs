//! Commits and reads of callbacks: the outbox, and what became of each.

use super::{Records, StoreError, Versioned, mark, put};
use crate::core::callbacks::{CallbackRecord, CallbackState};
use crate::core::jobs::{JobRecord, JobState};
use crate::core::keys;
use crate::ports::{Commit, Precondition, Revision, Write};

/// Keys of the outbox that are counted at most.
pub const MOST_COUNTED: usize = 10_000;
/// Longer names of hosts do not exist; such targets would share a lane.
const TARGET_CHARS: usize = 255;

/// What a job's end writes for its callback. A kill is not called back, as in the reference.
pub(super) fn at_end(job: &JobRecord) -> Vec<Write> {
    let Some(url) = job.callback.as_deref().filter(|_| is_called_back(job.state)) else { return Vec::new() };
    let record = CallbackRecord::new(target(url), job.ended_ms.unwrap_or(job.started_ms));
    vec![mark(key_of(&record, &job.id)), put(keys::job_callback(&job.id), &record)]
}

pub fn is_called_back(state: JobState) -> bool {
    state.has_ended() && state != JobState::Killed
}

/// `host:port` of a URL that was checked when the job was submitted.
pub fn target(url: &str) -> String {
    let parsed = reqwest::Url::parse(url).ok();
    let target = parsed.and_then(|url| Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?)));
    target.unwrap_or_else(|| "-".into()).chars().take(TARGET_CHARS).collect()
}

fn key_of(record: &CallbackRecord, job: &str) -> String {
    keys::outbox(&record.target, record.due_ms, job)
}

/// Where a callback stands in the outbox, when it does.
pub fn outbox_key(record: &CallbackRecord, job: &str) -> Option<String> {
    (record.state == CallbackState::Waiting).then(|| key_of(record, job))
}

impl Records {
    pub async fn callback(&self, job: &str) -> Result<Option<Versioned<CallbackRecord>>, StoreError> {
        match self.get(&keys::job_callback(job)).await? {
            Some(found) => Ok(Some(found)),
            None => self.packed_callback(job).await,
        }
    }

    /// The first keys of the outbox for this target, with when they are due.
    pub async fn outbox_of(&self, target: &str, limit: usize) -> Result<Vec<(String, i64)>, StoreError> {
        let entries = self.store.range(&keys::outbox_of(target), None, false, limit).await?;
        let due = |key: String| {
            let due_ms = keys::outbox_parts(&key).map_or(0, |(_, due, _)| due);
            (key, due_ms)
        };
        Ok(entries.into_iter().map(|entry| due(entry.key)).collect())
    }

    /// The target that follows `after` in the outbox, or the first. One read, however much waits.
    pub async fn outbox_target(&self, after: Option<&str>) -> Result<Option<String>, StoreError> {
        let after = after.map(keys::outbox_behind);
        let first = self.store.range(keys::OUTBOX, after.as_deref(), false, 1).await?;
        Ok(first.first().and_then(|entry| keys::outbox_parts(&entry.key)).map(|(target, _, _)| target))
    }

    /// How many callbacks wait; `MOST_COUNTED` stands for more.
    pub async fn outbox_count(&self) -> Result<usize, StoreError> {
        Ok(self.store.range(keys::OUTBOX, None, false, MOST_COUNTED).await?.len())
    }

    /// Records an attempt: the callback leaves the outbox, or is due later. Conflict: it was replayed meanwhile.
    pub async fn callback_attempted(
        &self,
        job: &str,
        before: &Versioned<CallbackRecord>,
        after: &CallbackRecord,
    ) -> Result<(), StoreError> {
        let name = match after.state {
            CallbackState::Delivered => "callback-delivered",
            CallbackState::Waiting => "callback-retry",
            CallbackState::GivenUp => "callback-given-up",
        };
        self.move_callback(name, job, None, before, after).await
    }

    /// Has it delivered once more, now. Conflict: an attempt was recorded, or the job was removed or lost its result, in
    /// this moment.
    pub async fn callback_replay(
        &self,
        job: &Versioned<JobRecord>,
        before: &Versioned<CallbackRecord>,
        after: &CallbackRecord,
    ) -> Result<(), StoreError> {
        self.move_callback("callback-replay", &job.record.id, Some(job.version), before, after).await
    }

    async fn move_callback(
        &self,
        name: &'static str,
        job: &str,
        job_version: Option<Revision>,
        before: &Versioned<CallbackRecord>,
        after: &CallbackRecord,
    ) -> Result<(), StoreError> {
        let mut preconditions = vec![Precondition::At(keys::job_callback(job), before.version)];
        preconditions.extend(job_version.map(|version| Precondition::At(keys::job(job), version)));
        // In this order: both may be the same key.
        let gone = outbox_key(&before.record, job).map(Write::Delete);
        let there = outbox_key(after, job).map(mark);
        let writes = gone.into_iter().chain(there).chain([put(keys::job_callback(job), after)]).collect();
        self.commit(name, Commit { preconditions, writes }).await?;
        Ok(())
    }

    /// Deletes a key of the outbox that no callback's record knows: its job was deleted.
    pub async fn drop_from_outbox(&self, key: &str) -> Result<(), StoreError> {
        let writes = vec![Write::Delete(key.to_owned())];
        self.commit("callback-given-up", Commit { preconditions: Vec::new(), writes }).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::adapters::memory::MemoryStore;
    use crate::core::jobs::{Failure, Outcome};
    use crate::jobs::callbacks::tests::job;
    use crate::jobs::records::{Settled, Trimmed};
    use crate::ports::MetaStore;

    async fn ended(outcome: Outcome) -> (Arc<MemoryStore>, Records, JobRecord) {
        let store = Arc::new(MemoryStore::default());
        let records = Records::new(store.clone());
        let active = mark(keys::job_active("j"));
        store.commit(Commit { preconditions: Vec::new(), writes: vec![active] }).await.unwrap();
        let (job, result) = job("j", "http://h/x").ended(outcome, None, 5);
        records.end(&job, result.as_deref()).await.unwrap();
        (store, records, job)
    }

    #[tokio::test]
    async fn an_end_and_its_callback_are_one_commit() {
        for outcome in [Outcome::Finished("1".into()), Outcome::Failed(Failure::default())] {
            let (store, _, _) = ended(outcome).await;
            let version = async |key: &str| store.get(key).await.unwrap().unwrap().version;
            let end = version("jobs/j").await;
            assert_eq!(version("job-callbacks/j").await, end);
            assert_eq!(version("outbox/h:80/000000000000000/j").await, end);
        }
    }

    #[tokio::test]
    async fn a_kill_leaves_nothing_in_the_outbox() {
        let (_, records, _) = ended(Outcome::Killed(Failure::default())).await;
        assert_eq!(records.outbox_count().await, Ok(0));
        assert!(records.callback("j").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_second_end_and_an_attempt_that_a_replay_overtook_change_nothing() {
        let (_, records, job) = ended(Outcome::Finished("1".into())).await;
        let before = records.callback("j").await.unwrap().unwrap();
        let read = records.versioned_job("j").await.unwrap().unwrap();
        records.callback_replay(&read, &before, &before.record.replayed(9)).await.unwrap();
        let delivered = CallbackRecord { state: CallbackState::Delivered, ..before.record.clone() };
        assert_eq!(records.callback_attempted("j", &before, &delivered).await, Err(StoreError::Conflict(0)));
        records.end(&job, None).await.unwrap();
        let found = records.callback("j").await.unwrap().unwrap();
        assert_eq!((found.record.state, found.record.round_began_ms), (CallbackState::Waiting, 9));
        records.callback_attempted("j", &found, &delivered).await.unwrap();
        assert_eq!(records.outbox_count().await, Ok(0));
    }

    #[tokio::test]
    async fn a_replay_that_retention_overtook_changes_nothing() {
        let (_, records, _) = ended(Outcome::Finished("1".into())).await;
        let waiting = records.callback("j").await.unwrap().unwrap();
        let delivered = CallbackRecord { state: CallbackState::Delivered, ..waiting.record.clone() };
        records.callback_attempted("j", &waiting, &delivered).await.unwrap();
        let (job, callback) =
            (records.versioned_job("j").await.unwrap().unwrap(), records.callback("j").await.unwrap());
        let callback = callback.unwrap();
        let of = Settled { job: job.clone(), callback: Some(callback.version) };
        assert_eq!(records.trim_jobs(vec![Trimmed { of, result: true, log: false }]).await, Ok(1));
        let replay = records.callback_replay(&job, &callback, &delivered.replayed(9)).await;
        assert_eq!(replay, Err(StoreError::Conflict(1)));
        assert_eq!(records.outbox_count().await, Ok(0));
    }

    #[test]
    fn a_target_is_host_and_port_however_the_url_is_written() {
        for (url, expected) in [
            ("http://HOST/x", "host:80"),
            ("https://host:8443/x?y", "host:8443"),
            ("https://user:secret@host/", "host:443"),
            ("http://[::1]:5/x", "[::1]:5"),
            ("http://2130706433/", "127.0.0.1:80"),
        ] {
            assert_eq!(target(url), expected, "{url}");
        }
        assert_eq!(target(&format!("http://{}/", "x".repeat(1000))).len(), TARGET_CHARS);
    }
}
