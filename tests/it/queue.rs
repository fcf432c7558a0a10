//! The queue of a context over a store that fails while jobs are given to the driver: each job reaches it once, in order.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use doyen::adapters::memory::{MemoryBlobs, MemoryStore};
use doyen::adapters::process::ProcessLauncher;
use doyen::api::driver::attach::Hello;
use doyen::core::contexts::{Attachment, ContextRecord, ContextState, Process};
use doyen::core::jobs::JobRecord;
use doyen::jobs::context::{Connection, ContextMessage, Frame, secret_hash};
use doyen::jobs::{Contexts, Records};
use doyen::ports::{Commit, CommitError, MetaStore, Precondition, Revision, Write};
use doyen::runtime::{processes, random};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::fixture::{self, Gate, Gated};

const PATIENCE: Duration = Duration::from_secs(60);
const SECRET: &str = "secret";

#[derive(Clone, Copy)]
enum Fault {
    /// It writes nothing.
    Refused,
    /// It writes, and the answer is lost.
    Unanswered,
    /// Before it, somebody else ends the first of the jobs.
    Overtaken,
}

/// Fails at the first assignment of jobs of these contexts.
#[derive(Default)]
struct Faulty {
    faults: Mutex<HashMap<String, Fault>>,
}

impl Faulty {
    fn fault(&self, commit: &Commit) -> Option<Fault> {
        let Some(Precondition::At(attachment, _)) = commit.preconditions.first() else { return None };
        let waits = |write: &Write| matches!(write, Write::Delete(key) if key.starts_with("job-queue/"));
        commit.writes.iter().any(waits).then(|| self.faults.lock().unwrap().remove(attachment)).flatten()
    }
}

#[async_trait]
impl Gate for Faulty {
    async fn commit(&self, store: &MemoryStore, commit: Commit) -> Result<Revision, CommitError> {
        match self.fault(&commit) {
            None => store.commit(commit).await,
            Some(Fault::Refused) => Err(CommitError::Unavailable("on purpose".into())),
            Some(Fault::Unanswered) => {
                store.commit(commit).await?;
                Err(CommitError::Unknown("on purpose".into()))
            }
            Some(Fault::Overtaken) => {
                let Some(Precondition::Exists(first)) = commit.preconditions.get(1).cloned() else { panic!("no job") };
                let writes = vec![Write::Delete(first)];
                store.commit(Commit { preconditions: Vec::new(), writes }).await?;
                store.commit(commit).await
            }
        }
    }
}

/// A process that stands for a driver that lives.
struct Driver(Child);

impl Driver {
    fn start() -> Self {
        Self(Command::new("sleep").arg("600").spawn().unwrap())
    }

    fn process(&self) -> Process {
        let found = processes::find(self.0.id()).unwrap();
        Process { pid: found.pid, start_ticks: found.start_ticks, directory: "nowhere".into() }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn context(name: &str, driver: &Driver) -> ContextRecord {
    let mut record: ContextRecord = serde_json::from_value(json!({
        "id": random::id(), "name": name, "kind": "python", "state": "RUNNING", "started-ms": 1, "settings": "{}",
        "max-jobs": 3, "principal": "anonymous", "attempt": 1, "secret-hash": secret_hash(SECRET),
    }))
    .unwrap();
    record.process = Some(driver.process());
    record
}

fn waiting(context: &ContextRecord) -> JobRecord {
    serde_json::from_value(json!({
        "id": random::id(), "class-path": "a.B", "context": context.name, "context-id": context.id, "attempt": 0,
        "queued": {}, "state": "STARTED", "started-ms": 1, "binaries": [], "principal": "anonymous",
    }))
    .unwrap()
}

/// A context that was attached once, and three jobs that wait for it; their ids.
async fn record(records: &Records, context: &ContextRecord) -> Vec<String> {
    assert_eq!(context.state, ContextState::Running);
    records.create_context(context, None).await.unwrap();
    records.attach(&context.id, &Attachment { attempt: 1, node: "doyen".into() }).await.unwrap();
    let jobs: Vec<JobRecord> = (0..3).map(|_| waiting(context)).collect();
    for job in &jobs {
        records.enqueue(job, "{}", &[], None).await.unwrap();
    }
    jobs.into_iter().map(|job| job.id).collect()
}

/// Attaches as the driver of the context, and gives the jobs that it is told to run until as many have come.
async fn told(contexts: &Contexts, context: &ContextRecord, count: usize) -> Vec<String> {
    let handle = contexts.registry().with_id(&context.id).unwrap();
    let (sender, mut frames) = mpsc::channel(64);
    let hello: Hello = serde_json::from_value(json!({
        "protocol": 1, "context": context.id, "attempt": 1, "secret": SECRET, "product": "test", "ready": {},
    }))
    .unwrap();
    let (reply, answer) = oneshot::channel();
    let attach = ContextMessage::Attach { hello: Box::new(hello), connection: Connection::new(1, sender), reply };
    assert!(handle.actor.cast(attach).is_ok());
    answer.await.unwrap().unwrap();
    let mut jobs = Vec::new();
    while jobs.len() < count {
        let frame = tokio::time::timeout(PATIENCE, frames.recv()).await.expect("a frame").expect("the actor lives");
        let Frame::Text(text) = frame else { panic!("closed") };
        let message: Value = serde_json::from_str(&text).unwrap();
        jobs.extend(message["run"]["job"].as_str().map(str::to_owned));
    }
    // What came twice would be behind them: the actor answers in order.
    handle.actor.cast(ContextMessage::Dispatch).unwrap();
    let (reply, answer) = oneshot::channel();
    handle.actor.cast(ContextMessage::Kill { job: "nothing".into(), reply }).unwrap();
    let _ = answer.await;
    while let Ok(Frame::Text(text)) = frames.try_recv() {
        assert!(!text.contains("\"run\""), "{text}");
    }
    jobs
}

#[tokio::test]
async fn jobs_that_wait_reach_the_driver_once_whatever_the_store_does() {
    let driver = Driver::start();
    let store = Arc::new(Gated::<Faulty>::default());
    let records = Records::new(Arc::clone(&store) as Arc<dyn MetaStore>);
    let cases = [None, Some(Fault::Refused), Some(Fault::Unanswered), Some(Fault::Overtaken)];
    let mut recorded = Vec::new();
    for (number, fault) in cases.into_iter().enumerate() {
        let context = context(&format!("c{number}"), &driver);
        let jobs = record(&records, &context).await;
        if let Some(fault) = fault {
            store.gate.faults.lock().unwrap().insert(format!("attachments/{}", context.id), fault);
        }
        recorded.push((context, jobs, fault));
    }
    let launcher = ProcessLauncher::new(PathBuf::from("nothing"), PathBuf::from("nowhere"));
    let contexts = fixture::start(records.clone(), Arc::new(MemoryBlobs::default()), Arc::new(launcher)).await;
    for (context, jobs, fault) in recorded {
        let expected = if matches!(fault, Some(Fault::Overtaken)) { &jobs[1..] } else { &jobs[..] };
        assert_eq!(told(&contexts, &context, expected.len()).await, expected, "{}", context.name);
        for job in expected {
            let stored = records.job(job).await.unwrap().unwrap();
            assert_eq!((stored.attempt, stored.queued), (1, None));
        }
    }
}
