//! Submitting a job: find its code and its context, record it, give it to the driver, and perhaps wait for its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::cp::Resolved;
use super::queue::Place;
use super::{JobView, Permission, Principal, Service, ServiceError, WishedRetry, life, settings};
use crate::api::driver::attach::Binary;
use crate::core::binaries::BinaryType;
use crate::core::contexts::ad_hoc_name;
use crate::core::hocon::{Object, Value};
use crate::core::jobs::{Failure, JobRecord, JobState};
use crate::core::queue::Priority;
use crate::core::supervision::Retry;
use crate::jobs::context::{ContextMessage, NoReservation};
use crate::jobs::{Assigned, Claim, ContextHandle, Ended, StoreError};
use crate::runtime::{clock, random};

/// A context's actor comes within milliseconds of its record; two seconds are for a machine that hangs.
const APPEARS_PAUSE: Duration = Duration::from_millis(5);
const APPEARS_TRIES: u32 = 400;
/// How long a job waits for a driver that is just attaching to another connection.
const ATTACH_PATIENCE: Duration = Duration::from_secs(5);
/// Tries to record a job whose driver attached anew, or whose binary was replaced, in that very moment.
const TRIES: usize = 5;
/// How long a client waits to hear whether the store has its job, when the store gave no answer.
const SETTLE_PATIENCE: Duration = Duration::from_secs(5);
const SETTLE_AGAIN: Duration = Duration::from_millis(500);

/// What a client said that it wants to run; some of it may stand in the body.
#[derive(Debug, Clone, Default)]
pub struct Code {
    pub app_name: Option<String>,
    pub class_path: Option<String>,
    pub cp: Option<String>,
    pub main_class: Option<String>,
}

#[derive(Debug, Clone)]
pub struct Submission {
    pub code: Code,
    pub context: Option<String>,
    pub body: Object,
    pub callback: Option<String>,
    pub proxy_user: Option<String>,
    /// Wait so long for the end.
    pub sync: Option<Duration>,
    /// The key of the request, to be recorded with the job.
    pub claim: Option<Claim>,
    pub retry: WishedRetry,
    /// Whether it waits for a place; `None` is as its context says.
    pub queue: Option<bool>,
    pub priority: Priority,
}

pub enum Submitted {
    Started(JobRecord),
    Ended(JobView),
}

/// Binaries (names or URIs) and the class in them.
struct Entry {
    parts: Vec<String>,
    class: String,
    received: Instant,
}

impl Service {
    /// Reads a job's or context's body.
    ///
    /// # Errors
    /// When it is not HOCON within the limits.
    pub fn parse_body(&self, text: &str) -> Result<Object, ServiceError> {
        self.hocon(text)
    }

    /// The job is durable when this answers.
    pub async fn submit(&self, who: &Principal, submission: Submission) -> Result<Submitted, ServiceError> {
        self.permit(who, Permission::JobsStart)?;
        let entry = entry(&submission.code, &submission.body)?;
        if let Some(url) = &submission.callback {
            self.outbound.check_callback(url).map_err(|e| ServiceError::BadCallback(e.to_string()))?;
        }
        let retry = life::retry(&submission.retry, &submission.body, &self.config)?;
        let config = serde_json::to_string(&submission.body).expect("a body is plain data");
        self.records.check_text(&config)?;
        let code = self.resolve(&entry.parts).await?;
        let handle = self.context_for(who, &submission, &entry.class, &retry).await?;
        let started = self.record_and_run(who, &submission, entry, code, &handle, config).await;
        let (record, end) = started.inspect_err(|_| {
            // A context of the job's own ends with it, also when there is no job after all.
            if submission.context.is_none() {
                let _ = handle.actor.cast(ContextMessage::Stop { force: false, reply: None });
            }
        })?;
        let (Some(patience), Some(end)) = (submission.sync, end) else { return Ok(Submitted::Started(record)) };
        match tokio::time::timeout(patience, end).await {
            Ok(Ok(ended)) => {
                self.records.mark_answered(&record.id);
                Ok(Submitted::Ended(JobView::of(&ended)))
            }
            Ok(Err(_)) => Err(ServiceError::Internal("the server stops; the job goes on".into())),
            Err(_) => Err(ServiceError::SyncTimeout { job: record.id }),
        }
    }

    async fn context_for(
        &self,
        who: &Principal,
        submission: &Submission,
        class: &str,
        retry: &Retry,
    ) -> Result<Arc<ContextHandle>, ServiceError> {
        if let Some(name) = &submission.context {
            let handle = self.live(&self.full_name(who, name)).await?;
            let handle = handle.ok_or_else(|| ServiceError::ContextNotFound(name.clone()))?;
            if !handle.is_supervised && life::insists(&submission.retry, &submission.body, retry) {
                return Err(ServiceError::RetriesUnsupervised(name.clone()));
            }
            return Ok(handle);
        }
        let id = random::id();
        let proxy_user = self.proxy_user(who, submission.proxy_user.as_deref());
        let name = ad_hoc_name(proxy_user.as_deref(), &id, class);
        // An id begins with a digit, a context's name with a letter; the reference makes no difference here.
        // A job that is to run again when it is lost wants its context back.
        let supervise = self.config.contexts.supervise || !retry.is_none();
        self.create_ad_hoc(who, id, name, settings::wished_by_job(&submission.body), supervise).await
    }

    /// The live context of that name. Its record is there a moment before its actor: who has read of it waits for that.
    async fn live(&self, name: &str) -> Result<Option<Arc<ContextHandle>>, ServiceError> {
        for _ in 0..APPEARS_TRIES {
            if let Some(handle) = self.contexts.registry().named(name) {
                return Ok(Some(handle));
            }
            let recorded = self.records.context_named(name).await?;
            if recorded.is_none_or(|context| context.state.has_ended()) {
                return Ok(None);
            }
            tokio::time::sleep(APPEARS_PAUSE).await;
        }
        Ok(None)
    }

    async fn record_and_run(
        &self,
        who: &Principal,
        submission: &Submission,
        entry: Entry,
        mut code: Resolved,
        handle: &Arc<ContextHandle>,
        config: String,
    ) -> Result<(JobRecord, Option<oneshot::Receiver<Arc<Ended>>>), ServiceError> {
        let mut record = JobRecord {
            id: random::id(),
            class_path: entry.class,
            context: handle.name.clone(),
            context_id: handle.id.clone(),
            attempt: 0,
            priority: Priority::default(),
            queued: None,
            state: JobState::Started,
            started_ms: clock::unix_ms(),
            ended_ms: None,
            binaries: Vec::new(),
            principal: who.name.clone(),
            callback: submission.callback.clone(),
            failure: None,
            result: None,
            log: None,
            retry: life::retry(&submission.retry, &submission.body, &self.config)?,
            assigned_ms: None,
            attempts: Vec::new(),
        };
        let waits = self.waits(submission, handle);
        if waits {
            record.priority = submission.priority;
        }
        let _timeline = self.records.begin_timeline(&record.id, entry.received);
        for _ in 0..TRIES {
            // Each time: what was replaced meanwhile may be of another type now.
            check_type(handle, &code)?;
            let place = if waits {
                self.place_or_queue(handle)
            } else {
                handle.reserve(ATTACH_PATIENCE).await.map(Place::Free)
            };
            let place = place.map_err(|why| no_place(handle, &why))?;
            place.note(&mut record);
            record.binaries.clone_from(&code.binaries);
            self.admit(&record)?;
            let end = submission.sync.map(|_| self.active.wait(&record.id).expect("it was just inserted"));
            match self.record_at(&place, &record, &config, &code.versions, submission.claim.as_ref()).await {
                Ok(()) => {}
                Err(StoreError::Conflict(0)) if matches!(place, Place::Queue(_)) => {
                    self.active.forget(&record.id);
                    return Err(ServiceError::ContextNotFound(handle.name.clone()));
                }
                Err(StoreError::Conflict(_)) => {
                    self.active.forget(&record.id);
                    code = self.resolve(&entry.parts).await?;
                    continue;
                }
                Err(StoreError::Unknown(why)) => {
                    // The job and its place wait for the store; who asked need not.
                    let settled = tokio::spawn(self.clone().settle(Arc::clone(handle), place, record.clone(), config));
                    return match tokio::time::timeout(SETTLE_PATIENCE, settled).await {
                        Ok(Ok(true)) => Ok((record, end)),
                        Ok(_) => Err(ServiceError::StoreUnavailable(why)),
                        Err(_) => Err(ServiceError::StoreUnknown(why)),
                    };
                }
                Err(error) => {
                    self.active.forget(&record.id);
                    return Err(error.into());
                }
            }
            // When the context ended in this moment, nobody else will end the job.
            if !give(handle, place, &record, config) {
                self.end_orphan(&record).await?;
            }
            return Ok((record, end));
        }
        match self.records.context(&handle.id).await? {
            Some(_) => Err(ServiceError::ContextDetached(handle.name.clone())),
            // Somebody deleted its record by hand: no trying again will help.
            None => Err(ServiceError::ContextNotFound(handle.name.clone())),
        }
    }

    /// Nobody knows whether the job was recorded. When the store can be written again it tells, and the job goes on as if it
    /// had been answered, or there is none. However long that takes; after a restart the job would go on as well.
    async fn settle(self, handle: Arc<ContextHandle>, place: Place, record: JobRecord, config: String) -> bool {
        loop {
            match self.records.was_submitted(&record).await {
                Ok(true) => break,
                Ok(false) => {
                    self.active.forget(&record.id);
                    return false;
                }
                Err(error) => {
                    tracing::warn!(job = record.id, %error, "cannot learn whether a job was recorded; trying again");
                    tokio::time::sleep(SETTLE_AGAIN).await;
                }
            }
        }
        if !give(&handle, place, &record, config) {
            while let Err(error) = self.end_orphan(&record).await {
                tracing::error!(job = record.id, %error, "cannot store the job's end; trying again");
                tokio::time::sleep(SETTLE_AGAIN).await;
            }
        }
        true
    }

    async fn end_orphan(&self, record: &JobRecord) -> Result<(), ServiceError> {
        let message = format!("Context ({}) for this job was terminated", record.context);
        let failure = Failure { message, ..Failure::default() };
        let (record, _) = record.ended(crate::core::jobs::Outcome::Failed(failure), None, clock::unix_ms());
        let ended = self.records.end(&record, None).await?;
        self.active.end(ended);
        Ok(())
    }
}

/// Hands a recorded job over to its context. False when that has ended.
fn give(handle: &ContextHandle, place: Place, record: &JobRecord, config: String) -> bool {
    match place {
        Place::Queue(promised) => promised.keep(record).then(|| handle.queued()).is_some(),
        Place::Free(reservation) => {
            let assigned = Assigned {
                record: record.clone(),
                config: serde_json::value::RawValue::from_string(config).expect("it was made as JSON"),
                binaries: record.binaries.iter().map(to_driver).collect(),
                permit: reservation.permit,
            };
            handle.run(assigned)
        }
    }
}

fn to_driver(used: &crate::core::jobs::BinaryUse) -> Binary {
    Binary {
        name: used.name.clone(),
        kind: used.kind.name().into(),
        sha256: used.content.sha256.clone(),
        size_bytes: used.content.size_bytes,
    }
}

/// The query's word counts before the body's, and `appName` before `cp`; the messages are the reference's.
fn entry(code: &Code, body: &Object) -> Result<Entry, ServiceError> {
    let given = |query: &Option<String>, key: &str| query.clone().or_else(|| settings::text(body, key));
    let missing = |what: &str| ServiceError::BadConfig(what.into());
    let received = clock::instant();
    if let Some(app) = given(&code.app_name, "appName") {
        let class = given(&code.class_path, "classPath").ok_or_else(|| missing("classPath parameter is missing!"))?;
        return Ok(Entry { parts: vec![app], class, received });
    }
    let parts = match (&code.cp, body.get_path("cp")) {
        (None, Some(Value::Array(items))) => {
            items.iter().filter_map(|v| if let Value::String(s) = v { Some(s.clone()) } else { None }).collect()
        }
        _ => given(&code.cp, "cp").map(|list| split(&list)).unwrap_or_default(),
    };
    if parts.is_empty() {
        return Err(missing("To start the job appName or cp parameters should be configured!"));
    }
    let class = given(&code.main_class, "mainClass").ok_or_else(|| missing("mainClass parameter is missing!"))?;
    Ok(Entry { parts, class, received })
}

fn split(list: &str) -> Vec<String> {
    list.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn check_type(handle: &ContextHandle, code: &Resolved) -> Result<(), ServiceError> {
    if !handle.is_python {
        return Ok(());
    }
    if code.binaries.iter().any(|b| b.kind == BinaryType::Jar) {
        return Err(ServiceError::InvalidJobType);
    }
    if code.binaries.len() != 1 {
        let message = format!("Python should have exactly one package file! Found: {}", code.binaries.len());
        return Err(ServiceError::JobLoading(Failure::new("IllegalArgument", message)));
    }
    Ok(())
}

fn no_place(handle: &ContextHandle, why: &NoReservation) -> ServiceError {
    match why {
        NoReservation::Full { max_jobs } => ServiceError::NoSlots { context: handle.name.clone(), max_jobs: *max_jobs },
        NoReservation::Stopping => ServiceError::ContextStopping,
        NoReservation::Ended => ServiceError::ContextNotFound(handle.name.clone()),
        NoReservation::Detached => ServiceError::ContextDetached(handle.name.clone()),
        NoReservation::QueueFull { max } => ServiceError::QueueFull { context: handle.name.clone(), max: *max },
    }
}
