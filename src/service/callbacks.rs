//! What became of a job's callback, and delivering it once more by hand.

use super::{Permission, Principal, Service, ServiceError};
use crate::core::callbacks::CallbackRecord;
use crate::core::jobs::JobRecord;
use crate::jobs::StoreError;
use crate::jobs::callbacks::CallbackCounts;
use crate::jobs::records::{Versioned, callbacks::is_called_back};
use crate::runtime::clock;

/// Tries to replay while attempts are being recorded.
const TRIES: usize = 5;

/// A job that asked for a callback; there is no record of it before the job's end.
#[derive(Debug, Clone)]
pub struct CallbackView {
    pub job: JobRecord,
    pub callback: Option<CallbackRecord>,
}

impl Service {
    pub async fn callback(&self, who: &Principal, id: &str) -> Result<CallbackView, ServiceError> {
        self.permit(who, Permission::JobsRead)?;
        let job = self.called_back(id).await?.record;
        let callback = self.records.callback(id).await?.map(|found| found.record);
        Ok(CallbackView { job, callback })
    }

    /// A new round of attempts begins at once, whatever became of the last one.
    pub(super) async fn replay_callback(&self, who: &Principal, id: &str) -> Result<CallbackView, ServiceError> {
        self.permit(who, Permission::JobsStart)?;
        for _ in 0..TRIES {
            let job = self.called_back(id).await?;
            if job.record.has_lost_result() {
                return Err(ServiceError::ResultNotKept);
            }
            // An old one is kept as a record again, until it is delivered.
            if self.records.unpack_job(id).await? {
                continue;
            }
            let before = self.records.callback(id).await?.ok_or(ServiceError::CallbackNotYet)?;
            let after = before.record.replayed(clock::unix_ms());
            match self.records.callback_replay(&job, &before, &after).await {
                Ok(()) => {
                    self.callbacks.waits(after.target.clone());
                    return Ok(CallbackView { job: job.record, callback: Some(after) });
                }
                Err(StoreError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ServiceError::StoreUnavailable(format!("the callback of job {id} changes all the time")))
    }

    async fn called_back(&self, id: &str) -> Result<Versioned<JobRecord>, ServiceError> {
        let found = self.records.versioned_job(id).await?.ok_or_else(|| ServiceError::JobNotFound(id.into()))?;
        let job = &found.record;
        if job.callback.is_none() {
            return Err(ServiceError::NoCallback("it was submitted without a callbackUrl"));
        }
        if job.state.has_ended() && !is_called_back(job.state) {
            return Err(ServiceError::NoCallback("nobody is called of a kill"));
        }
        Ok(found)
    }

    /// For metrics.
    pub async fn callback_counts(&self) -> Result<CallbackCounts, ServiceError> {
        Ok(self.callbacks.counts().await?)
    }

    /// When the server stops: no more deliveries begin.
    pub async fn stop_callbacks(&self) {
        self.callbacks.stop().await;
    }
}
