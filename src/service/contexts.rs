//! Opening, listing and stopping contexts.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::{Permission, Principal, Service, ServiceError, life, settings};
use crate::core::contexts::{ContextRecord, ContextState};
use crate::core::hocon::Object;
use crate::core::jobs::{Failure, failure};
use crate::jobs::kinds;
use crate::jobs::supervisor::stop_and_wait;
use crate::jobs::{Claim, ContextHandle, CreateContext, CreateError, Phase};

/// How far a stop has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    Done,
    /// It takes long, and goes on.
    UnderWay,
}

impl Service {
    /// Names of the contexts that run or stop.
    pub fn list_contexts(&self, who: &Principal) -> Result<Vec<String>, ServiceError> {
        self.permit(who, Permission::ContextsRead)?;
        let listed = |handle: &Arc<ContextHandle>| !matches!(handle.phase(), Phase::Starting | Phase::Ended);
        let all = self.contexts.registry().all();
        let mut names: Vec<String> =
            all.iter().filter(|h| listed(h)).filter_map(|h| self.shown_name(who, &h.name)).collect();
        names.sort();
        Ok(names)
    }

    /// The newest context of that name, also after it ended.
    pub async fn context(&self, who: &Principal, name: &str) -> Result<ContextRecord, ServiceError> {
        self.permit(who, Permission::ContextsRead)?;
        let mut found = self.records.context_named(&self.full_name(who, name)).await?;
        if found.is_none() && self.reaches_others(who) {
            found = self.records.context_named(name).await?;
        }
        found.ok_or_else(|| ServiceError::ContextUnknown(name.into()))
    }

    /// Answers once the context runs. If the caller goes away meanwhile, the context is made all the same.
    pub async fn create_context(
        &self,
        who: &Principal,
        name: &str,
        query: &[(String, String)],
        body: &str,
    ) -> Result<(), ServiceError> {
        let handle = self.open_context(who, name, query, body, None).await?;
        handle.created().await.map_err(not_created)
    }

    /// Answers once the context is recorded, and its driver starts.
    pub(super) async fn open_context(
        &self,
        who: &Principal,
        name: &str,
        query: &[(String, String)],
        body: &str,
        claim: Option<Claim>,
    ) -> Result<Arc<ContextHandle>, ServiceError> {
        self.permit(who, Permission::ContextsStart)?;
        let body = self.hocon(body)?;
        let wished = settings::wished(query, &body)?;
        let mut wish = self.wish(who, self.new_full_name(who, name)?, None, wished, self.config.contexts.supervise)?;
        wish.claim = claim;
        self.contexts.create(wish).await.map_err(context_error).map_err(|error| match error {
            ServiceError::ContextExists(_) => ServiceError::ContextExists(name.into()),
            other => other,
        })
    }

    /// A context for one job, which ends with it.
    pub(super) async fn create_ad_hoc(
        &self,
        who: &Principal,
        id: String,
        name: String,
        wished: Object,
        supervise: bool,
    ) -> Result<Arc<ContextHandle>, ServiceError> {
        self.permit(who, Permission::ContextsStart)?;
        let mut wish = self.wish(who, name, Some(id), wished, supervise)?;
        wish.ad_hoc = true;
        let ad_hoc = |error| match error {
            ServiceError::ContextInit(failure) => ServiceError::AdHocContextInit(failure),
            other => other,
        };
        let handle = self.contexts.create(wish).await.map_err(context_error).map_err(ad_hoc)?;
        handle.created().await.map_err(not_created).map_err(ad_hoc)?;
        Ok(handle)
    }

    fn wish(
        &self,
        who: &Principal,
        name: String,
        id: Option<String>,
        wished: Object,
        supervise: bool,
    ) -> Result<CreateContext, ServiceError> {
        let factory = settings::factory(&wished).unwrap_or_else(|| self.config.contexts.default_factory.clone());
        let kind = kinds::resolve(&self.config, &factory).ok();
        let mut settings = settings::complete(wished, kind.as_ref().map(|kind| &kind.driver), &name, &factory);
        self.set_proxy_user(who, &mut settings);
        let text = serde_json::to_string(&settings).expect("settings are plain data");
        // As it stands in the record.
        self.records.check_text(&serde_json::to_string(&text).expect("a text is plain data"))?;
        Ok(CreateContext {
            id,
            name,
            factory,
            settings: text,
            max_jobs: settings::max_jobs(&settings, self.config.jobs.max_per_context)?,
            life: life::life(&settings, &self.config, supervise)?,
            queue: settings::queue(&settings)?,
            ad_hoc: false,
            principal: who.name.clone(),
            objection: settings::objection(&settings),
            claim: None,
        })
    }

    pub async fn stop_context(&self, who: &Principal, name: &str, force: bool) -> Result<Stopped, ServiceError> {
        self.permit(who, Permission::ContextsStop)?;
        let handle = self.to_stop(who, name)?;
        let id = handle.id.clone();
        // Also when the caller goes away: a stop that has begun is finished.
        let stop = tokio::spawn(async move { stop_and_wait(&handle, force).await });
        self.await_stop(&id, stop).await
    }

    /// One's own context of that name first; who reaches those of others says the full name.
    pub(super) fn to_stop(&self, who: &Principal, name: &str) -> Result<Arc<ContextHandle>, ServiceError> {
        let registry = self.contexts.registry();
        let of_others = || if self.reaches_others(who) { registry.named(name) } else { None };
        let found = registry.named(&self.full_name(who, name)).or_else(of_others);
        found.ok_or_else(|| ServiceError::ContextNotFound(name.into()))
    }

    /// Waits for the end of a stop, but not for long.
    pub(super) async fn await_stop(
        &self,
        id: &str,
        stop: JoinHandle<Result<(), Failure>>,
    ) -> Result<Stopped, ServiceError> {
        match tokio::time::timeout(self.config.contexts.stop_wait, stop).await {
            Ok(Ok(Err(cause))) => Err(not_created(cause)),
            Ok(Ok(Ok(()))) => match self.records.context(id).await? {
                Some(record) if record.state == ContextState::Stopping => Ok(Stopped::UnderWay),
                Some(record) if !record.state.has_ended() => {
                    Err(ServiceError::StoreUnavailable("the stop could not be recorded".into()))
                }
                _ => Ok(Stopped::Done),
            },
            Ok(Err(panicked)) => Err(ServiceError::Internal(panicked.to_string())),
            Err(_) => Ok(Stopped::UnderWay),
        }
    }

    /// Stops all contexts; with `wait`, answers when they are gone.
    pub async fn reset_contexts(&self, who: &Principal, wait: bool) -> Result<(), ServiceError> {
        self.permit(who, Permission::ContextsReset)?;
        let all = self.contexts.registry().all();
        let stops = tokio::spawn(stop_all(all));
        if wait { all_stopped(stops).await } else { Ok(()) }
    }
}

/// Why the first of those that did not stop goes on.
pub(super) async fn stop_all(handles: Vec<Arc<ContextHandle>>) -> Result<(), Failure> {
    let stops = handles.iter().map(|handle| stop_and_wait(handle, false));
    futures::future::join_all(stops).await.into_iter().collect()
}

pub(super) async fn all_stopped(stops: JoinHandle<Result<(), Failure>>) -> Result<(), ServiceError> {
    stops.await.map_err(|panicked| ServiceError::Internal(panicked.to_string()))?.map_err(not_created)
}

/// Why a context does not run, or does not stop. When the store refused it, the client may try again.
pub(super) fn not_created(cause: Failure) -> ServiceError {
    match cause.class.as_str() {
        failure::STORAGE_FULL => ServiceError::StorageFull(cause.message),
        failure::STORE_UNKNOWN => ServiceError::StoreUnknown(cause.message),
        failure::STORE_UNAVAILABLE => ServiceError::StoreUnavailable(cause.message),
        failure::DATA_DIR_UNAVAILABLE => {
            ServiceError::FilesUnavailable { store: "data directory (`node.data-dir`)", why: cause.message }
        }
        _ => ServiceError::ContextInit(cause),
    }
}

fn context_error(error: CreateError) -> ServiceError {
    match error {
        CreateError::Name(name) => ServiceError::BadName(name.to_string()),
        CreateError::Exists(name) => ServiceError::ContextExists(name),
        CreateError::TooMany { max } => ServiceError::TooManyContexts { max },
        CreateError::Failed(failure) => ServiceError::ContextInit(failure),
        CreateError::Store(error) => error.into(),
        CreateError::Stopping => ServiceError::ContextInit(Failure::new("ServerStopping", "the server is stopping")),
    }
}
