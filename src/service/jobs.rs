//! Reading, waiting for and killing jobs; their results and logs.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::oneshot;

use super::{Permission, Principal, Service, ServiceError};
use crate::api::driver::Progress;
use crate::api::driver::attach::LogPart;
use crate::core::binaries::BlobRef;
use crate::core::job_logs::{self, Place};
use crate::core::jobs::{JobRecord, JobState, ResultPlace};
use crate::jobs::Ended;
use crate::jobs::context::{ContextMessage, KillAnswer};
use crate::ports::{BlobError, BlobReader};

/// How long a kill waits for the driver's word that the job's processes are gone.
const KILL_PATIENCE: Duration = Duration::from_secs(5);
/// How long a log waits for the driver that holds it.
const LOG_PATIENCE: Duration = Duration::from_secs(5);

/// A job, with its result when it has one.
#[derive(Debug, Clone)]
pub struct JobView {
    pub record: JobRecord,
    pub result: ResultContent,
}

#[derive(Debug, Clone)]
pub enum ResultContent {
    None,
    /// JSON text.
    Inline(String),
    Blob(BlobRef),
}

/// A part of a job's log.
#[derive(Debug, Clone)]
pub struct LogChunk {
    /// As the job wrote it.
    pub bytes: Vec<u8>,
    /// Where the next part begins.
    pub next_offset: u64,
    /// Size of the whole at this moment.
    pub size_bytes: u64,
    /// The attempt is over: nothing will follow once `next_offset` is at the end.
    pub over: bool,
    /// Another attempt follows.
    pub followed: bool,
}

impl JobView {
    pub(super) fn of(ended: &Ended) -> Self {
        let result = match (&ended.record.result, &ended.inline_result) {
            (Some(ResultPlace::Blob(blob)), _) => ResultContent::Blob(blob.clone()),
            (Some(ResultPlace::Inline), Some(json)) => ResultContent::Inline(json.clone()),
            _ => ResultContent::None,
        };
        Self { record: ended.record.clone(), result }
    }
}

impl Service {
    /// Newest first. `None` for a limit is no limit but the configured one.
    pub async fn list_jobs(
        &self,
        who: &Principal,
        status: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Vec<JobRecord>, ServiceError> {
        self.permit(who, Permission::JobsRead)?;
        let most = self.config.jobs.max_list_limit;
        let limit = limit.unwrap_or(most).min(most);
        let Some(status) = status else {
            let mut jobs = self.records.newest_jobs(limit).await?;
            for job in jobs.iter_mut().filter(|job| !job.state.has_ended()) {
                if let Some(active) = self.active.get(&job.id) {
                    *job = active;
                }
            }
            return Ok(jobs);
        };
        match JobState::of_name(status) {
            None => Ok(Vec::new()),
            Some(state) if state.has_ended() => Ok(self.records.newest_ended(state, limit).await?),
            Some(state) => Ok(self.active.in_state(state, limit)),
        }
    }

    pub(super) async fn record(&self, id: &str) -> Result<JobRecord, ServiceError> {
        if let Some(active) = self.active.get(id) {
            return Ok(active);
        }
        self.records.job(id).await?.ok_or_else(|| ServiceError::JobNotFound(id.into()))
    }

    pub(super) async fn view(&self, record: JobRecord) -> Result<JobView, ServiceError> {
        let result = match &record.result {
            None => ResultContent::None,
            Some(ResultPlace::Blob(blob)) => ResultContent::Blob(blob.clone()),
            Some(ResultPlace::Inline) => {
                let json = self.records.job_result(&record.id).await?;
                ResultContent::Inline(json.unwrap_or_else(|| "null".into()))
            }
        };
        Ok(JobView { record, result })
    }

    /// With `wait`, answers at the job's end, or as it is when the time is over.
    pub async fn job(&self, who: &Principal, id: &str, wait: Option<Duration>) -> Result<JobView, ServiceError> {
        self.permit(who, Permission::JobsRead)?;
        if let (Some(wait), Some(end)) = (wait, self.active.wait(id)) {
            tokio::select! {
                ended = tokio::time::timeout(wait, end) => {
                    if let Ok(Ok(ended)) = ended {
                        return Ok(JobView::of(&ended));
                    }
                }
                // So that a stop is not held up; the client asks again, elsewhere.
                () = self.stopping() => {}
            }
        }
        let record = self.record(id).await?;
        self.view(record).await
    }

    pub async fn job_config(&self, who: &Principal, id: &str) -> Result<String, ServiceError> {
        self.permit(who, Permission::JobsRead)?;
        let config = self.records.job_config(id).await?;
        config.ok_or_else(|| ServiceError::JobNotFound(id.into()))
    }

    /// The record, and what the driver last said of the job's progress.
    pub async fn job_details(&self, who: &Principal, id: &str) -> Result<(JobRecord, Option<Progress>), ServiceError> {
        self.permit(who, Permission::JobsRead)?;
        Ok((self.record(id).await?, self.active.progress_of(id)))
    }

    /// Kills a job that has not ended. Answers the record of one that failed before.
    pub async fn kill_job(&self, who: &Principal, id: &str) -> Result<Option<JobRecord>, ServiceError> {
        self.permit(who, Permission::JobsStop)?;
        let record = self.record(id).await?;
        if record.state == JobState::Error {
            return Ok(Some(record));
        }
        if record.state.has_ended() {
            return Err(ServiceError::JobNotRunning(id.into()));
        }
        let handle = self.contexts.registry().with_id(&record.context_id);
        let handle = handle.ok_or_else(|| ServiceError::JobNotRunning(id.into()))?;
        let (reply, answer) = oneshot::channel();
        let asked = handle.actor.cast(ContextMessage::Kill { job: id.into(), reply });
        asked.map_err(|_| ServiceError::JobNotRunning(id.into()))?;
        match answer.await {
            Ok(KillAnswer::Killed { gone }) => {
                // Late is no failure: the kill is recorded, and the driver is told.
                let _ = tokio::time::timeout(KILL_PATIENCE, gone).await;
                Ok(None)
            }
            Ok(KillAnswer::Unavailable(why)) => Err(ServiceError::StoreUnavailable(why)),
            Ok(KillAnswer::Unknown(why)) => Err(ServiceError::StoreUnknown(why)),
            Ok(KillAnswer::TooLate) | Err(_) => Err(ServiceError::JobNotRunning(id.into())),
        }
    }

    /// The attempt of the job whose log is to be read: the one that was asked for, or the last that has written something.
    pub async fn log_attempt(&self, who: &Principal, id: &str, asked: Option<u32>) -> Result<u32, ServiceError> {
        self.permit(who, Permission::JobsRead)?;
        let record = self.record(id).await?;
        if let Some(number) = asked {
            let place = job_logs::place(&record, number);
            return place.map(|_| number).ok_or_else(|| ServiceError::NoAttempt { job: id.into(), attempt: number });
        }
        let present = job_logs::present(&record);
        let is_in_driver = job_logs::place(&record, present) == Some(Place::Driver);
        let driver_has =
            present > 1 && is_in_driver && self.live_log(&record, 0, 0).await.is_some_and(|part| part.size_bytes > 0);
        Ok(job_logs::newest(&record, driver_has))
    }

    /// A part of the log of an attempt of the job, from the driver while it runs, else from the store.
    pub async fn job_log(
        &self,
        who: &Principal,
        id: &str,
        attempt: u32,
        offset: u64,
        max_bytes: u64,
    ) -> Result<LogChunk, ServiceError> {
        self.permit(who, Permission::JobsRead)?;
        let record = self.record(id).await?;
        let none =
            LogChunk { bytes: Vec::new(), next_offset: offset, size_bytes: offset, over: false, followed: false };
        let followed = job_logs::is_followed(&record, attempt);
        let log = match job_logs::place(&record, attempt) {
            None => return Err(ServiceError::NoAttempt { job: id.into(), attempt }),
            Some(Place::ToCome) => return Ok(none),
            Some(Place::Driver) => {
                let part = self.live_log(&record, offset, max_bytes).await;
                // Another attempt may have begun meanwhile, whose log this is.
                let is_same = self.record(id).await.is_ok_and(|now| job_logs::present(&now) == attempt);
                let Some(part) = part.filter(|_| is_same) else { return Ok(none) };
                let (next_offset, size_bytes) = (part.next_offset, part.size_bytes);
                return Ok(LogChunk { bytes: part.into_bytes(), next_offset, size_bytes, ..none });
            }
            Some(Place::Nothing) => return Ok(LogChunk { size_bytes: 0, over: true, followed, ..none }),
            Some(Place::Kept(log)) => log,
        };
        let read = async {
            let (reader, size_bytes) =
                self.blobs.read(&log.sha256, offset.min(log.size_bytes), Some(max_bytes)).await?;
            Ok((collect(reader).await?, size_bytes))
        };
        let (bytes, size_bytes) = match read.await {
            Ok(read) => read,
            Err(error) => return Err(self.unread(id, &log.sha256, error).await),
        };
        let next_offset = offset + bytes.len() as u64;
        Ok(LogChunk { bytes, next_offset, size_bytes, over: true, followed })
    }

    async fn live_log(&self, record: &JobRecord, offset: u64, max_bytes: u64) -> Option<LogPart> {
        let handle = self.contexts.registry().with_id(&record.context_id)?;
        let (reply, answer) = oneshot::channel();
        let message = ContextMessage::ReadLog { job: record.id.clone(), offset, max_bytes, reply };
        handle.actor.cast(message).ok()?;
        tokio::time::timeout(LOG_PATIENCE, answer).await.ok()?.ok().filter(|part| part.found)
    }

    /// Streams content that the result of this job refers to. Its beginning is read before, so that what cannot be read is
    /// told instead of it.
    pub async fn read_blob(
        &self,
        job: &str,
        blob: &BlobRef,
        offset: u64,
        length: Option<u64>,
    ) -> Result<BlobReader, ServiceError> {
        let begin = async {
            let mut content = self.blobs.read(&blob.sha256, offset, length).await?.0;
            Ok((content.next().await.transpose()?, content))
        };
        let (first, rest) = match begin.await {
            Ok(begun) => begun,
            Err(error) => return Err(self.unread(job, &blob.sha256, error).await),
        };
        let (job, sha256) = (job.to_owned(), blob.sha256.clone());
        let rest = rest.inspect_err(move |error| tell_unread(&job, &sha256, error));
        Ok(stream::iter(first.map(Ok)).chain(rest).boxed())
    }

    /// What is answered instead of content of this job that cannot be read.
    async fn unread(&self, job: &str, sha256: &str, error: BlobError) -> ServiceError {
        tell_unread(job, sha256, &error);
        match error {
            BlobError::Unreadable { sha256, why } if self.binaries.is_there(&*self.blobs).await => {
                ServiceError::ContentUnreadable { sha256, why }
            }
            error => error.into(),
        }
    }
}

fn tell_unread(job: &str, sha256: &str, error: &BlobError) {
    tracing::error!(job, blob = sha256, %error, "the result or log of a job cannot be read");
}

async fn collect(mut reader: BlobReader) -> Result<Vec<u8>, BlobError> {
    let mut all = Vec::new();
    while let Some(part) = reader.next().await {
        all.extend_from_slice(&part?);
    }
    Ok(all)
}
