//! The context supervisor: the one place that decides which contexts there are.
//!
//! On one node it is an actor of this process. In the cluster it is the singleton on the owner, and what it launches
//! here it will ask of the chosen node.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::{Semaphore, oneshot, watch};

use super::context::{ContextActor, ContextHandle, ContextMessage, ContextSetup, Inbox, JobQueue, Phase};
use super::kinds::{self, Kind};
use super::records::{Claim, StoreError};
use crate::api::driver::spec::Announced;
use crate::core::binaries::check_name;
use crate::core::contexts::{ContextNameError, ContextRecord, ContextState, Process, check_context_name};
use crate::core::jobs::{Failure, JobRecord, JobState};
use crate::core::supervision::Life;
use crate::ports::{Attempt, Launched};
use crate::runtime::{clock, random};

pub use super::context::Shared;

/// How often contexts look after what no message tells.
const TICK: Duration = Duration::from_millis(500);
const STORE_AGAIN: Duration = Duration::from_millis(500);

/// The live contexts of this node, by name.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<HashMap<String, Arc<ContextHandle>>>>);

impl Registry {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<ContextHandle>>> {
        self.0.lock().expect("no holder panics")
    }

    pub fn named(&self, name: &str) -> Option<Arc<ContextHandle>> {
        self.lock().get(name).cloned()
    }

    pub fn with_id(&self, id: &str) -> Option<Arc<ContextHandle>> {
        self.lock().values().find(|handle| handle.id == id).cloned()
    }

    pub fn all(&self) -> Vec<Arc<ContextHandle>> {
        self.lock().values().cloned().collect()
    }

    fn insert(&self, handle: Arc<ContextHandle>) {
        let displaced = self.lock().insert(handle.name.clone(), handle);
        // Its end is stored, and it does not know that yet, because the answer was lost: it is not forgotten before it has learnt it.
        if let Some(displaced) = displaced {
            tokio::spawn(async move {
                while displaced.actor.cast(ContextMessage::Tick).is_ok() {
                    tokio::time::sleep(TICK).await;
                }
            });
        }
    }

    /// Only this very context: a new one may have the name already.
    pub fn remove(&self, record: &ContextRecord) {
        let mut contexts = self.lock();
        if contexts.get(&record.name).is_some_and(|handle| handle.id == record.id) {
            contexts.remove(&record.name);
        }
    }
}

/// A wish for a context.
#[derive(Debug, Clone)]
pub struct CreateContext {
    /// Its id, when the caller has one already.
    pub id: Option<String>,
    pub name: String,
    pub factory: String,
    /// Nested, as JSON text.
    pub settings: String,
    pub max_jobs: u32,
    pub life: Life,
    /// Whether its jobs wait for a place when they do not say.
    pub queue: Option<bool>,
    pub ad_hoc: bool,
    pub principal: String,
    /// What is wrong with the settings, when something is: the context is recorded as failed.
    pub objection: Option<Failure>,
    /// The key of the request, to be recorded with the context.
    pub claim: Option<Claim>,
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum CreateError {
    #[error(transparent)]
    Name(#[from] ContextNameError),
    #[error("context {0} exists")]
    Exists(String),
    #[error("{max} contexts live already (contexts.max)")]
    TooMany { max: usize },
    /// It is recorded, and has failed.
    #[error("{}", .0.message)]
    Failed(Failure),
    #[error("{0}")]
    Store(StoreError),
    #[error("the server stops")]
    Stopping,
}

pub enum SupervisorMessage {
    Create(Box<CreateContext>, oneshot::Sender<Result<Arc<ContextHandle>, CreateError>>),
}

struct Supervisor;

impl Actor for Supervisor {
    type Msg = SupervisorMessage;
    type State = Shared;
    type Arguments = Shared;

    async fn pre_start(&self, myself: ActorRef<Self::Msg>, shared: Shared) -> Result<Shared, ActorProcessingErr> {
        recover(&myself, &shared).await?;
        Ok(shared)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        shared: &mut Shared,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SupervisorMessage::Create(wish, reply) => {
                let _ = reply.send(create(&myself, shared, *wish).await);
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        _: &mut Shared,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(actor, error) = event {
            tracing::error!(actor = ?actor.get_name(), %error, "a context's actor failed");
        }
        Ok(())
    }
}

/// The door to the supervisor.
#[derive(Clone)]
pub struct Contexts {
    supervisor: ActorRef<SupervisorMessage>,
    registry: Registry,
}

impl Contexts {
    /// Starts the supervisor, which first takes up what the store holds.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn start(shared: Shared) -> Result<Self, String> {
        let registry = shared.registry.clone();
        // Unnamed: names are the process's, and tests run several.
        let (supervisor, _) = Actor::spawn(None, Supervisor, shared).await.map_err(|e| e.to_string())?;
        tokio::spawn(tick(registry.clone()));
        Ok(Self { supervisor, registry })
    }

    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Answers when the context is recorded and its driver starts; `ContextHandle::created` tells how that went.
    pub async fn create(&self, wish: CreateContext) -> Result<Arc<ContextHandle>, CreateError> {
        let (sender, receiver) = oneshot::channel();
        let sent = self.supervisor.cast(SupervisorMessage::Create(Box::new(wish), sender));
        sent.map_err(|_| CreateError::Stopping)?;
        receiver.await.map_err(|_| CreateError::Stopping)?
    }
}

/// All at once: hundreds of contexts at rest would otherwise wake the server hundreds of times a second.
async fn tick(registry: Registry) {
    loop {
        tokio::time::sleep(TICK).await;
        for handle in registry.all() {
            // One that has ended needs none.
            let _ = handle.actor.cast(ContextMessage::Tick);
        }
    }
}

async fn create(
    me: &ActorRef<SupervisorMessage>,
    shared: &Shared,
    wish: CreateContext,
) -> Result<Arc<ContextHandle>, CreateError> {
    if wish.ad_hoc {
        // It begins with an id, as the reference's do.
        check_name(&wish.name).map_err(ContextNameError::from)?;
    } else {
        check_context_name(&wish.name)?;
    }
    if shared.registry.named(&wish.name).is_some() {
        // It may have ended in this moment: whoever has read that finds the name free.
        let found = shared.records.context_named(&wish.name).await.map_err(CreateError::Store)?;
        if found.is_none_or(|context| !context.state.has_ended()) {
            return Err(CreateError::Exists(wish.name));
        }
    }
    let max = shared.config.contexts.max;
    if shared.registry.lock().len() >= max {
        return Err(CreateError::TooMany { max });
    }
    let kind = kinds::resolve(&shared.config, &wish.factory);
    let objection = wish
        .objection
        .clone()
        .or_else(|| kind.as_ref().err().map(|error| Failure::new("UnknownContextFactory", error.to_string())));
    let secret = random::secret();
    let mut record = ContextRecord {
        id: wish.id.unwrap_or_else(random::id),
        name: wish.name,
        kind: kind.as_ref().map_or_else(|_| wish.factory.clone(), |k| k.name.clone()),
        state: ContextState::Started,
        started_ms: clock::unix_ms(),
        ended_ms: None,
        settings: wish.settings,
        max_jobs: wish.max_jobs,
        queue: wish.queue,
        ad_hoc: wish.ad_hoc,
        principal: wish.principal,
        attempt: 1,
        secret_hash: super::context::secret_hash(&secret),
        process: None,
        application_id: None,
        ui_url: None,
        failure: objection.clone(),
        initialized: false,
        life: wish.life,
        restarts: 0,
        lost: None,
        stopped_because: None,
        birth: super::context::birth(),
    };
    if objection.is_some() {
        record.state = ContextState::Error;
        record.ended_ms = Some(record.started_ms);
    }
    shared.records.create_context(&record, wish.claim.as_ref()).await.map_err(|error| match error {
        StoreError::Conflict(_) => CreateError::Exists(record.name.clone()),
        other => {
            if matches!(other, StoreError::Unknown(_)) && !record.state.has_ended() {
                tokio::spawn(end_unknown(shared.clone(), record.clone(), other.failure()));
            }
            CreateError::Store(other)
        }
    })?;
    if let Some(failure) = objection {
        return Err(CreateError::Failed(failure));
    }
    let kind = kind.map_err(|error| CreateError::Failed(Failure::new("UnknownContextFactory", error.to_string())))?;
    start(me, shared, record, Some((kind, secret)), Vec::new()).await
}

/// Nobody knows whether the context was recorded, and who asked for it was told so. It ends, if it was; else there is nothing
/// to end. However long the store is away.
async fn end_unknown(shared: Shared, record: ContextRecord, failure: Failure) {
    let ended = ContextRecord {
        state: ContextState::Error,
        ended_ms: Some(clock::unix_ms()),
        failure: Some(failure),
        ..record
    };
    while let Err(error) = shared.records.update_context(&ended).await {
        if matches!(error, StoreError::Conflict(_)) {
            return;
        }
        tracing::warn!(context = %ended.name, %error, "cannot learn whether a context was recorded; trying again");
        tokio::time::sleep(STORE_AGAIN).await;
    }
}

/// Starts the actor of a context that is recorded. Without a kind and secret it has its driver already.
async fn start(
    me: &ActorRef<SupervisorMessage>,
    shared: &Shared,
    record: ContextRecord,
    new: Option<(Kind, String)>,
    jobs: Vec<JobRecord>,
) -> Result<Arc<ContextHandle>, CreateError> {
    let slots = Arc::new(Semaphore::new(record.max_jobs as usize));
    let (queued, jobs): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.queued.is_some());
    let queue = JobQueue::new(queued.iter());
    let inbox = Arc::<Inbox>::default();
    let first = match record.state {
        ContextState::Running | ContextState::Restarting => Phase::Detached,
        ContextState::Stopping => Phase::Stopping,
        _ => Phase::Starting,
    };
    let (phase, phase_view) = watch::channel(first);
    let is_created = matches!(record.state, ContextState::Running | ContextState::Restarting | ContextState::Stopping);
    let (created, created_view) = watch::channel(is_created.then_some(Ok(())));
    let (secret_hash, secret_hash_view) = watch::channel(record.secret_hash.clone());
    let is_python = match &new {
        Some((kind, _)) => kind.is_python(),
        None => kinds::resolve(&shared.config, &record.kind).is_ok_and(|kind| kind.is_python()),
    };
    let setup = ContextSetup {
        shared: shared.clone(),
        record: record.clone(),
        found: new.is_none(),
        jobs,
        slots: Arc::clone(&slots),
        queue: Arc::clone(&queue),
        inbox: Arc::clone(&inbox),
        phase,
        created,
        secret_hash,
    };
    let name = Some(format!("context-{}", record.id));
    let spawned = ContextActor::spawn_linked(name, ContextActor, setup, me.get_cell()).await;
    let (actor, _) = spawned.map_err(|e| CreateError::Failed(Failure::new("LaunchFailed", e.to_string())))?;
    let handle = Arc::new(ContextHandle {
        id: record.id,
        name: record.name,
        kind: record.kind,
        is_python,
        max_jobs: record.max_jobs,
        queues: record.queue,
        is_supervised: record.life.supervise,
        queue,
        inbox,
        phase: phase_view,
        actor,
        secret_hash: secret_hash_view,
        slots,
        created: created_view,
    });
    shared.registry.insert(Arc::clone(&handle));
    if let Some((kind, secret)) = new {
        let launch = ContextMessage::Launch { kind: Box::new(kind), secret };
        handle.actor.cast(launch).map_err(|_| CreateError::Stopping)?;
    }
    Ok(handle)
}

/// Takes up the contexts and jobs that the store holds: drivers outlive their server, and attach again.
async fn recover(me: &ActorRef<SupervisorMessage>, shared: &Shared) -> Result<(), ActorProcessingErr> {
    let mut jobs: HashMap<String, Vec<JobRecord>> = HashMap::new();
    for job in shared.records.active_jobs().await? {
        shared.active.insert(job.clone());
        shared.records.take_up_timeline(&job);
        jobs.entry(job.context_id.clone()).or_default().push(job);
    }
    let mut contexts = shared.records.live_contexts().await?;
    for record in contexts.iter_mut().filter(|record| record.process.is_none()) {
        // Its server ended between the launch and the record of it.
        record.process = shared.launcher.find(&record.id, record.attempt).map(Process::from);
    }
    let live: HashSet<&String> = contexts.iter().map(|context| &context.id).collect();
    let in_driver =
        |job: &&JobRecord| job.queued.is_none() && job.state != JobState::Restarting && live.contains(&job.context_id);
    let leftovers: HashSet<Attempt> =
        jobs.values().flatten().filter(in_driver).map(|job| (job.context_id.clone(), job.attempt)).collect();
    // Of what no context has, nothing may run when its attempt is given up. The logs of its jobs are still to be stored.
    let known: HashSet<String> = contexts.iter().filter_map(|c| Some(c.process.as_ref()?.directory.clone())).collect();
    shared.launcher.sweep(&known, &leftovers).await;
    for record in contexts {
        let of_context = jobs.remove(&record.id).unwrap_or_default();
        tracing::info!(context = %record.name, jobs = of_context.len(), "waiting for the driver of a context");
        if let Some(Process { pid, start_ticks, directory }) = record.process.clone() {
            // The driver knows where the server was that is no more.
            let servers = shared.servers.borrow().clone();
            let announced = Announced { servers, trust: shared.config.tls.trusted_by_drivers() };
            shared.launcher.announce(&Launched { pid, start_ticks, directory }, &announced).await;
        }
        // Its one job never came, or has ended.
        let is_left = record.ad_hoc && of_context.is_empty();
        let handle = start(me, shared, record, None, of_context).await?;
        if is_left {
            // An actor that has ended by itself need not be stopped.
            let _ = handle.actor.cast(ContextMessage::Stop { force: false, reply: None });
        }
    }
    // Their context ended while they were being recorded.
    let failure = Failure::new("JobLost", "the server stopped before the job reached its context");
    super::context::end_unrun(shared, jobs.into_values().flatten().collect(), &failure).await;
    Ok(())
}

/// Asks a context to stop, and waits until it has.
///
/// # Errors
/// The store did not take it: the context goes on.
pub async fn stop_and_wait(handle: &ContextHandle, force: bool) -> Result<(), Failure> {
    let (sender, receiver) = oneshot::channel();
    if handle.actor.cast(ContextMessage::Stop { force, reply: Some(sender) }).is_err() {
        return Ok(());
    }
    // One that does not answer has ended before.
    receiver.await.unwrap_or(Ok(()))
}
