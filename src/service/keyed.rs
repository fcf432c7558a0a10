//! Each change under an idempotency key: what is done once, and how it is answered again. Without a key, the plain use case.
//!
//! What makes something new is recorded in the same commit as its key. What names something for ever, by its id or
//! path, is decided first, in a commit with the key: whoever finds the decision sees to it that it is carried out.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use sha2::{Digest, Sha256};

use super::contexts::{all_stopped, not_created, stop_all};
use super::idempotency::{Keyed, Once, Start, unfit};
use super::{JobView, Permission, Principal, Service, ServiceError, Stopped, Submission, Submitted, Upload};
use crate::core::idempotency::{Effect, digest, hex};
use crate::core::jobs::{Failure, JobRecord, JobState};
use crate::jobs::ContextHandle;
use crate::jobs::supervisor::stop_and_wait;

/// Digest of no body.
pub(super) const NO_BODY: &str = "";

impl Service {
    /// As `submit`; a request that waits for the end waits for the job that its key has started.
    pub async fn submit_once(
        &self,
        who: &Principal,
        keyed: Option<Keyed>,
        mut submission: Submission,
    ) -> Result<Submitted, ServiceError> {
        let Some(keyed) = keyed else { return self.submit(who, submission).await };
        let sync = submission.sync.take();
        let body = digest(&[&serde_json::to_string(&submission.body).expect("a body is plain data")]);
        let principal = who.clone();
        let started = self.once(who, &keyed, &body, |service, claim| async move {
            submission.claim = Some(claim);
            service.submit(&principal, submission).await
        });
        let id = match started.await? {
            Once::Ran(Submitted::Started(record)) if sync.is_some() => record.id,
            Once::Ran(submitted) => return Ok(submitted),
            Once::Done(Effect::JobSubmitted { job }) => {
                self.permit(who, Permission::JobsStart)?;
                job
            }
            Once::Done(other) => return Err(unfit(&other)),
        };
        match sync {
            Some(patience) => Ok(Submitted::Ended(self.end_of(&id, patience).await?)),
            None => Ok(Submitted::Started(self.record(&id).await?)),
        }
    }

    /// The end of a job that is recorded, whenever that is or was.
    async fn end_of(&self, id: &str, patience: Duration) -> Result<JobView, ServiceError> {
        if let Some(end) = self.active.wait(id) {
            return match tokio::time::timeout(patience, end).await {
                Ok(Ok(ended)) => Ok(JobView::of(&ended)),
                Ok(Err(_)) => Err(ServiceError::Internal("the server stops; the job goes on".into())),
                Err(_) => Err(ServiceError::SyncTimeout { job: id.into() }),
            };
        }
        let record = self.record(id).await?;
        self.view(record).await
    }

    pub async fn kill_job_once(
        &self,
        who: &Principal,
        keyed: Option<Keyed>,
        id: &str,
    ) -> Result<Option<JobRecord>, ServiceError> {
        let Some(keyed) = keyed else { return self.kill_job(who, id).await };
        self.permit(who, Permission::JobsStop)?;
        let (principal, job) = (who.clone(), id.to_owned());
        let killed = self.once(who, &keyed, NO_BODY, |service, claim| async move {
            if !service.record(&job).await?.state.has_ended() {
                service.records.claim(&claim, Effect::KillJob { job: job.clone() }).await?;
            }
            service.kill_job(&principal, &job).await
        });
        match killed.await? {
            Once::Ran(answer) => Ok(answer),
            Once::Done(Effect::KillJob { job }) => match self.kill_job(who, &job).await {
                Err(ServiceError::JobNotRunning(_)) if self.record(&job).await?.state == JobState::Killed => Ok(None),
                answer => answer,
            },
            Once::Done(other) => Err(unfit(&other)),
        }
    }

    pub async fn create_context_once(
        &self,
        who: &Principal,
        keyed: Option<Keyed>,
        name: &str,
        query: &[(String, String)],
        body: &str,
    ) -> Result<(), ServiceError> {
        let Some(keyed) = keyed else { return self.create_context(who, name, query, body).await };
        let (principal, name, query, text) = (who.clone(), name.to_owned(), query.to_vec(), body.to_owned());
        let body = digest(&[body]);
        let opened = self.once(who, &keyed, &body, |service, claim| async move {
            service.open_context(&principal, &name, &query, &text, Some(claim)).await
        });
        match opened.await? {
            Once::Ran(handle) => handle.created().await.map_err(not_created),
            Once::Done(Effect::ContextCreated { context }) => {
                self.permit(who, Permission::ContextsStart)?;
                self.how_it_began(&context).await
            }
            Once::Done(other) => Err(unfit(&other)),
        }
    }

    /// Whether a context that is recorded came to run, also when it has ended since.
    async fn how_it_began(&self, id: &str) -> Result<(), ServiceError> {
        if let Some(handle) = self.contexts.registry().with_id(id) {
            return handle.created().await.map_err(not_created);
        }
        let record = self.records.context(id).await?.ok_or_else(|| ServiceError::ContextUnknown(id.into()))?;
        if record.initialized {
            return Ok(());
        }
        let stopped = || Failure::new("ContextStopped", "it was stopped while it started");
        Err(ServiceError::ContextInit(record.failure.unwrap_or_else(stopped)))
    }

    pub async fn stop_context_once(
        &self,
        who: &Principal,
        keyed: Option<Keyed>,
        name: &str,
        force: bool,
    ) -> Result<Stopped, ServiceError> {
        let Some(keyed) = keyed else { return self.stop_context(who, name, force).await };
        self.permit(who, Permission::ContextsStop)?;
        let (asker, name) = (who.clone(), name.to_owned());
        let decided = self.once(who, &keyed, NO_BODY, |service, claim| async move {
            let handle = service.to_stop(&asker, &name)?;
            let contexts = vec![handle.id.clone()];
            service.records.claim(&claim, Effect::StopContexts { contexts }).await?;
            let id = handle.id.clone();
            Ok((id, tokio::spawn(async move { stop_and_wait(&handle, force).await })))
        });
        match decided.await? {
            Once::Ran((id, stop)) => self.await_stop(&id, stop).await,
            Once::Done(Effect::StopContexts { contexts }) => {
                let handles = self.still_live(&contexts);
                let Some(handle) = handles.into_iter().next() else { return Ok(Stopped::Done) };
                let id = handle.id.clone();
                self.await_stop(&id, tokio::spawn(async move { stop_and_wait(&handle, force).await })).await
            }
            Once::Done(other) => Err(unfit(&other)),
        }
    }

    pub async fn reset_contexts_once(
        &self,
        who: &Principal,
        keyed: Option<Keyed>,
        wait: bool,
    ) -> Result<(), ServiceError> {
        let Some(keyed) = keyed else { return self.reset_contexts(who, wait).await };
        self.permit(who, Permission::ContextsReset)?;
        let decided = self.once(who, &keyed, NO_BODY, |service, claim| async move {
            let all = service.contexts.registry().all();
            let contexts = all.iter().map(|handle| handle.id.clone()).collect();
            service.records.claim(&claim, Effect::StopContexts { contexts }).await?;
            Ok(tokio::spawn(stop_all(all)))
        });
        let stops = match decided.await? {
            Once::Ran(stops) => stops,
            Once::Done(Effect::StopContexts { contexts }) => tokio::spawn(stop_all(self.still_live(&contexts))),
            Once::Done(other) => return Err(unfit(&other)),
        };
        if wait { all_stopped(stops).await } else { Ok(()) }
    }

    fn still_live(&self, contexts: &[String]) -> Vec<Arc<ContextHandle>> {
        contexts.iter().filter_map(|id| self.contexts.registry().with_id(id)).collect()
    }

    pub async fn upload_binary_once(
        &self,
        who: &Principal,
        keyed: Option<Keyed>,
        name: &str,
        media_type: &str,
        content: impl Upload + 'static,
    ) -> Result<(), ServiceError> {
        let Some(keyed) = keyed else { return self.upload_binary(who, name, media_type, content, None).await };
        let keyed = keyed.with(&media_type.to_ascii_lowercase());
        match self.begin(who, &keyed, None).await? {
            Start::First(claim, turn) => {
                let (service, principal) = (self.clone(), who.clone());
                let (name, media_type, own) = (name.to_owned(), media_type.to_owned(), claim.clone());
                let upload =
                    async move { service.upload_binary(&principal, &name, &media_type, content, Some(own)).await };
                self.run(claim, turn, upload).await.map(drop)
            }
            Start::Done(Effect::BinaryStored, sha256) => {
                self.permit(who, Permission::BinariesUpload)?;
                self.compare(&keyed, content, sha256).await
            }
            Start::Done(other, _) => Err(unfit(&other)),
        }
    }

    /// Whether an upload that was done brings the same again.
    async fn compare(
        &self,
        keyed: &Keyed,
        mut content: impl Upload,
        sha256: Option<String>,
    ) -> Result<(), ServiceError> {
        let limit_bytes = self.config.http.max_upload_bytes;
        let (mut hash, mut size) = (Sha256::new(), 0);
        while let Some(part) = content.next().await {
            let part = part.map_err(ServiceError::BodyCut)?;
            size += part.len() as u64;
            if size > limit_bytes {
                return Err(ServiceError::TooLarge { limit_bytes });
            }
            hash.update(&part);
        }
        if sha256.is_some_and(|before| before != hex(&hash.finalize())) {
            return Err(ServiceError::KeyMismatch);
        }
        keyed.set_replayed();
        Ok(())
    }

    pub async fn delete_binary_once(
        &self,
        who: &Principal,
        keyed: Option<Keyed>,
        name: &str,
    ) -> Result<(), ServiceError> {
        let Some(keyed) = keyed else { return self.delete_binary(who, name, None).await };
        let (principal, name) = (who.clone(), name.to_owned());
        let deleted = self.once(who, &keyed, NO_BODY, |service, claim| async move {
            service.delete_binary(&principal, &name, Some(claim)).await
        });
        match deleted.await? {
            Once::Ran(()) => Ok(()),
            Once::Done(_) => self.permit(who, Permission::BinariesDelete),
        }
    }

    /// A data file under a key has a name of the key and its content, so that a try that was cut off leaves no second file.
    pub async fn upload_data_once(
        &self,
        who: &Principal,
        keyed: Option<Keyed>,
        name: &str,
        content: impl Upload + 'static,
    ) -> Result<String, ServiceError> {
        let Some(keyed) = keyed else { return self.upload_data(who, name, content).await };
        self.permit(who, Permission::DataUpload)?;
        match self.begin(who, &keyed, None).await? {
            Start::First(claim, turn) => {
                let (service, principal) = (self.clone(), who.clone());
                let (name, own) = (name.to_owned(), claim.clone());
                let upload = async move {
                    let stored = service.store_data(&principal, &name, Some(&own.id), content).await?;
                    let own = own.of_body(&stored.sha256);
                    service.records.claim(&own, Effect::DataStored { path: stored.path.clone() }).await?;
                    Ok(stored.path)
                };
                match self.run(claim, turn, upload).await? {
                    Once::Ran(path) | Once::Done(Effect::DataStored { path }) => Ok(path),
                    Once::Done(other) => Err(unfit(&other)),
                }
            }
            Start::Done(Effect::DataStored { path }, sha256) => {
                self.compare(&keyed, content, sha256).await?;
                Ok(path)
            }
            Start::Done(other, _) => Err(unfit(&other)),
        }
    }

    pub async fn delete_data_once(
        &self,
        who: &Principal,
        keyed: Option<Keyed>,
        path: &str,
    ) -> Result<(), ServiceError> {
        let Some(keyed) = keyed else { return self.delete_data(who, path).await };
        self.permit(who, Permission::DataDelete)?;
        let (principal, path) = (who.clone(), path.to_owned());
        let deleted = self.once(who, &keyed, NO_BODY, |service, claim| async move {
            if !service.list_of_data().await?.contains(&path) {
                return Err(ServiceError::DataNotFound(path));
            }
            service.records.claim(&claim, Effect::DeleteData { path: path.clone() }).await?;
            service.delete_data(&principal, &path).await
        });
        match deleted.await? {
            Once::Ran(()) => Ok(()),
            Once::Done(Effect::DeleteData { path }) => match self.delete_data(who, &path).await {
                Err(ServiceError::DataNotFound(_)) => Ok(()),
                answer => answer,
            },
            Once::Done(other) => Err(unfit(&other)),
        }
    }

    /// One that is waited for is recorded when all files are gone: if it is cut off, its retry deletes what is left, and what
    /// has come meanwhile.
    pub async fn reset_data_once(&self, who: &Principal, keyed: Option<Keyed>, wait: bool) -> Result<(), ServiceError> {
        let Some(keyed) = keyed else { return self.reset_data(who, wait).await };
        self.permit(who, Permission::DataReset)?;
        let principal = who.clone();
        let reset = self.once(who, &keyed, NO_BODY, |service, claim| async move {
            if wait {
                service.reset_data(&principal, true).await?;
                Ok(service.records.claim(&claim, Effect::AllDataDeleted).await?)
            } else {
                service.records.claim(&claim, Effect::AllDataDeleted).await?;
                service.reset_data(&principal, false).await
            }
        });
        reset.await.map(drop)
    }
}
