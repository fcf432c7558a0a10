//! A context's actor over a store in memory, with a launcher that the test holds up.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Semaphore, watch};

use super::{Assigned, ContextHandle, ContextMessage, Shared};
use crate::adapters::memory::{MemoryBlobs, MemoryStore};
use crate::adapters::outbound::HttpOutbound;
use crate::api::driver::spec::{Announced, Spec};
use crate::core::contexts::{Attachment, ContextRecord};
use crate::core::jobs::{JobRecord, JobState};
use crate::jobs::callbacks::{Callbacks, Secrets};
use crate::jobs::supervisor::{Registry, stop_and_wait};
use crate::jobs::{ActiveJobs, Contexts, Records};
use crate::ports::{Attempt, BinaryStore, LaunchError, Launched, Launcher, LogReader};

const PATIENCE: Duration = Duration::from_secs(60);

/// A driver that runs, and takes until it is let to be killed.
struct Stubborn {
    is_killed: Semaphore,
    may_go: Semaphore,
}

#[async_trait]
impl Launcher for Stubborn {
    async fn launch(&self, _: &Spec) -> Result<Launched, LaunchError> {
        Err(LaunchError { message: "nothing is launched here".into(), class: "LaunchFailed" })
    }

    fn find(&self, _: &str, _: u32) -> Option<Launched> {
        None
    }

    fn alive(&self, _: &Launched) -> bool {
        true
    }

    async fn announce(&self, _: &Launched, _: &Announced) {}

    async fn kill(&self, _: &Launched) -> bool {
        self.is_killed.add_permits(1);
        self.may_go.acquire().await.unwrap().forget();
        true
    }

    async fn leftover_log(&self, _: &Attempt, _: &str, _: u64) -> Option<LogReader> {
        None
    }

    async fn remove(&self, _: &Attempt) {}

    async fn sweep(&self, _: &HashSet<String>, _: &HashSet<Attempt>) {}
}

fn job(context: &str, id: &str) -> JobRecord {
    let record = serde_json::json!({
        "id": id, "class-path": "m.C", "context": "c", "context-id": context, "attempt": 1,
        "state": "STARTED", "started-ms": 0, "binaries": [], "principal": "p",
    });
    serde_json::from_value(record).unwrap()
}

struct Scene {
    records: Records,
    launcher: Arc<Stubborn>,
    handle: Arc<ContextHandle>,
    _contexts: Contexts,
    _servers: watch::Sender<Vec<String>>,
}

/// A context that the server found in its store, and whose driver has not attached yet.
async fn scene() -> Scene {
    scene_with("c1", 8, &[]).await
}

/// Its id, which one actor of a process has; its places; jobs that it has.
async fn scene_with(id: &str, max_jobs: u32, jobs: &[&str]) -> Scene {
    let records = Records::new(Arc::new(MemoryStore::default()));
    let context = serde_json::json!({
        "id": id, "name": "c", "kind": "python", "state": "RUNNING", "started-ms": 0, "settings": "{}",
        "max-jobs": max_jobs, "principal": "p", "attempt": 1, "secret-hash": "",
        "process": {"pid": 1, "start-ticks": 1, "directory": "/nowhere"},
    });
    let context: ContextRecord = serde_json::from_value(context).unwrap();
    records.create_context(&context, None).await.unwrap();
    let attachment = records.attach(id, &Attachment { attempt: 1, node: "n".into() }).await.unwrap();
    for name in jobs {
        records.submit(&job(id, name), "{}", attachment, &[], None).await.unwrap();
    }
    let launcher = Arc::new(Stubborn { is_killed: Semaphore::new(0), may_go: Semaphore::new(0) });
    let config = Arc::new(crate::config::Config::default());
    let outbound = Arc::new(HttpOutbound::new(config.security.clone()));
    let blobs: Arc<dyn BinaryStore> = Arc::new(MemoryBlobs::default());
    let callbacks =
        Callbacks::start(outbound, Arc::clone(&blobs), records.clone(), config.callbacks.clone(), Secrets::default());
    let (servers, servers_view) = watch::channel(Vec::new());
    let shared = Shared {
        config,
        records: records.clone(),
        blobs,
        active: ActiveJobs::default(),
        launcher: launcher.clone(),
        callbacks,
        registry: Registry::default(),
        servers: servers_view,
    };
    let contexts = Contexts::start(shared).await.unwrap();
    let handle = contexts.registry().named("c").unwrap();
    Scene { records, launcher, handle, _contexts: contexts, _servers: servers }
}

impl Scene {
    /// As it is handed over once it is recorded.
    async fn recorded(&self, id: &str) -> Assigned {
        let record = job("c1", id);
        let attachment = Attachment { attempt: 1, node: "n".into() };
        let attachment = self.records.attach("c1", &attachment).await.unwrap();
        self.records.submit(&record, "{}", attachment, &[], None).await.unwrap();
        let permit = Arc::clone(&self.handle.slots).try_acquire_owned().unwrap();
        let config = serde_json::value::RawValue::from_string("{}".into()).unwrap();
        Assigned { record, config, binaries: Vec::new(), permit }
    }
}

#[tokio::test]
async fn a_job_that_comes_while_its_context_ends_ends_with_it_and_a_later_one_is_given_back() {
    let scene = scene().await;
    let (early, late) = (scene.recorded("early").await, scene.recorded("late").await);
    let stopping = tokio::spawn({
        let handle = Arc::clone(&scene.handle);
        async move { stop_and_wait(&handle, true).await }
    });
    let killed = tokio::time::timeout(PATIENCE, scene.launcher.is_killed.acquire()).await;
    killed.expect("the driver is killed").unwrap().forget();
    // The actor is at work on the end: this job waits for it.
    assert!(scene.handle.run(early));
    scene.launcher.may_go.add_permits(1);
    tokio::time::timeout(PATIENCE, stopping).await.expect("it stops").unwrap().unwrap();
    let early = scene.records.job("early").await.unwrap().unwrap();
    assert_eq!(early.state, JobState::Error);
    assert_eq!(early.failure.unwrap().message, "Context (c) for this job was terminated");
    assert!(!scene.handle.run(late));
}

#[tokio::test]
async fn a_place_that_comes_free_goes_first_to_a_job_that_was_given_it_before_the_last_end_was_stored() {
    let scene = scene_with("c2", 1, &["first", "second"]).await;
    let all_free = async || {
        // Behind all that was cast before.
        let (reply, answer) = tokio::sync::oneshot::channel();
        let kill = ContextMessage::Kill { job: "none".into(), reply };
        scene.handle.actor.cast(kill).unwrap();
        answer.await.unwrap();
        scene.handle.slots.available_permits() == 1
    };
    assert!(!all_free().await);
    scene.handle.actor.cast(ContextMessage::Stored { job: "first".into() }).unwrap();
    assert!(!all_free().await);
    scene.handle.actor.cast(ContextMessage::Stored { job: "second".into() }).unwrap();
    assert!(all_free().await);
}
