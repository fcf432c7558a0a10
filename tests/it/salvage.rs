//! The logs of lost attempts over stores that fail: they are removed where they lie only when a record refers to them.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use doyen::adapters::memory::{MemoryBlobs, MemoryStore};
use doyen::api::driver::spec::{Announced, Spec};
use doyen::core::contexts::{Attachment, ContextRecord};
use doyen::core::jobs::{JobRecord, JobState, failure};
use doyen::jobs::{Contexts, Records};
use doyen::ports::{
    Attempt, BinaryStore, BlobError, BlobInfo, BlobReader, BlobWriter, Commit, CommitError, LaunchError, Launched,
    Launcher, LogReader, MetaStore, Revision, Stamp, Write,
};
use doyen::runtime::random;
use futures::{StreamExt, stream};
use serde_json::json;

use crate::fixture::{self, Gate, Gated};

const PATIENCE: Duration = Duration::from_secs(60);
const TEXT: &str = "what it wrote\n";

/// All that was launched is dead, and has left a log.
#[derive(Default)]
struct Dead {
    removed: Mutex<Vec<Attempt>>,
}

#[async_trait]
impl Launcher for Dead {
    async fn launch(&self, _: &Spec) -> Result<Launched, LaunchError> {
        Err(LaunchError { message: "on purpose".into(), class: failure::LAUNCH_FAILED })
    }

    fn find(&self, _: &str, _: u32) -> Option<Launched> {
        None
    }

    fn alive(&self, _: &Launched) -> bool {
        false
    }

    async fn announce(&self, _: &Launched, _: &Announced) {}

    async fn kill(&self, _: &Launched) -> bool {
        true
    }

    async fn leftover_log(&self, of: &Attempt, _: &str, _: u64) -> Option<LogReader> {
        assert!(!self.removed.lock().unwrap().contains(of), "it is gone");
        Some(stream::iter([Ok(Bytes::from(TEXT))]).boxed())
    }

    async fn remove(&self, of: &Attempt) {
        self.removed.lock().unwrap().push(of.clone());
    }

    async fn sweep(&self, _: &HashSet<String>, _: &HashSet<Attempt>) {}
}

/// Takes the records of jobs only after so many tries.
#[derive(Default)]
struct Reluctant {
    tries: AtomicU32,
}

#[async_trait]
impl Gate for Reluctant {
    async fn commit(&self, store: &MemoryStore, commit: Commit) -> Result<Revision, CommitError> {
        let is_job = |write: &Write| matches!(write, Write::Put(key, _) if key.starts_with("jobs/"));
        let refuse = |left: u32| left.checked_sub(1);
        if commit.writes.iter().any(is_job)
            && self.tries.fetch_update(Ordering::Relaxed, Ordering::Relaxed, refuse).is_ok()
        {
            return Err(CommitError::Unavailable("on purpose".into()));
        }
        store.commit(commit).await
    }
}

/// Takes nothing.
struct Full;

#[async_trait]
impl BinaryStore for Full {
    async fn create(&self) -> Result<Box<dyn BlobWriter>, BlobError> {
        Err(BlobError::Full("on purpose".into()))
    }

    async fn read(&self, sha256: &str, _: u64, _: Option<u64>) -> Result<(BlobReader, u64), BlobError> {
        Err(BlobError::NotFound(sha256.into()))
    }

    async fn size(&self, _: &str) -> Result<Option<u64>, BlobError> {
        Ok(None)
    }

    async fn delete(&self, _: &str) -> Result<(), BlobError> {
        Ok(())
    }

    async fn list(&self, _: Option<&str>, _: usize) -> Result<Vec<BlobInfo>, BlobError> {
        Ok(Vec::new())
    }

    async fn stat(&self, _: &str) -> Result<Option<BlobInfo>, BlobError> {
        Ok(None)
    }

    async fn refresh(&self, _: &str) -> Result<Option<u64>, BlobError> {
        Ok(None)
    }

    async fn delete_unchanged(&self, _: &str, _: Stamp) -> Result<bool, BlobError> {
        Ok(false)
    }
}

struct World {
    store: Arc<Gated<Reluctant>>,
    records: Records,
    launcher: Arc<Dead>,
    job: JobRecord,
    /// Until it is dropped, the actors live.
    _contexts: Contexts,
}

impl World {
    /// A server that finds a context whose driver is dead, and a job in that.
    async fn start(supervised: bool, tries: u32, blobs: Arc<dyn BinaryStore>) -> Self {
        let store = Arc::new(Gated::<Reluctant>::default());
        let records = Records::new(Arc::clone(&store) as Arc<dyn MetaStore>);
        let context: ContextRecord = serde_json::from_value(json!({
            "id": random::id(), "name": "c", "kind": "python", "state": "RUNNING", "started-ms": 1, "settings": "{}",
            "max-jobs": 3, "principal": "anonymous", "attempt": 1, "secret-hash": "x",
            "process": {"pid": 1, "start-ticks": 0, "directory": "nowhere"},
            "life": {"supervise": supervised, "max-restarts": 3, "restart-backoff-ms": 600_000},
        }))
        .unwrap();
        records.create_context(&context, None).await.unwrap();
        let attachment = Attachment { attempt: 1, node: "doyen".into() };
        let attachment = records.attach(&context.id, &attachment).await.unwrap();
        let job: JobRecord = serde_json::from_value(json!({
            "id": random::id(), "class-path": "a.B", "context": "c", "context-id": context.id, "attempt": 1,
            "state": "STARTED", "started-ms": 1, "binaries": [], "principal": "anonymous",
            "retry": {"retries": u32::from(supervised)},
        }))
        .unwrap();
        records.submit(&job, "{}", attachment, &[], None).await.unwrap();
        store.gate.tries.store(tries, Ordering::Relaxed);
        let launcher = Arc::new(Dead::default());
        let _contexts = fixture::start(records.clone(), blobs, launcher.clone()).await;
        Self { store, records, launcher, job, _contexts }
    }

    /// The job as it is stored at the latest when its directory is removed.
    async fn removed(&self) -> JobRecord {
        let waiting = async {
            while self.launcher.removed.lock().unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("the directory is removed");
        assert_eq!(*self.launcher.removed.lock().unwrap(), [(self.job.context_id.clone(), 1)]);
        self.records.job(&self.job.id).await.unwrap().unwrap()
    }
}

async fn text(blobs: &MemoryBlobs, job: &JobRecord) -> String {
    let logs: Vec<_> = job.logs().collect();
    let [log] = logs[..] else { panic!("{} logs", logs.len()) };
    let (mut parts, _) = blobs.read(&log.sha256, 0, None).await.unwrap();
    String::from_utf8(parts.next().await.unwrap().unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn a_lost_log_is_removed_only_after_the_end_that_refers_to_it_is_stored() {
    let blobs = Arc::new(MemoryBlobs::default());
    let world = World::start(false, 3, blobs.clone()).await;
    let job = world.removed().await;
    assert_eq!((job.state, world.store.gate.tries.load(Ordering::Relaxed)), (JobState::Error, 0));
    assert_eq!(text(&blobs, &job).await, TEXT);
}

#[tokio::test]
async fn a_lost_log_is_removed_only_after_the_retry_that_refers_to_it_is_stored() {
    let blobs = Arc::new(MemoryBlobs::default());
    let world = World::start(true, 3, blobs.clone()).await;
    let job = world.removed().await;
    assert_eq!((job.state, job.attempts.len()), (JobState::Restarting, 1));
    assert_eq!((text(&blobs, &job).await, job.log), (TEXT.into(), None));
}

#[tokio::test]
async fn a_log_that_no_store_takes_does_not_keep_its_job_from_ending() {
    let world = World::start(false, 0, Arc::new(Full)).await;
    let job = world.removed().await;
    assert_eq!((job.state, job.logs().count()), (JobState::Error, 0));
}
