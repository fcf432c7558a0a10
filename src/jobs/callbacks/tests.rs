//! The dispatcher over a store in memory, with targets that the tests play.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use super::{Callbacks, Secrets};
use crate::adapters::memory::{MemoryBlobs, MemoryStore};
use crate::core::binaries::BlobRef;
use crate::core::callbacks::{CallbackRecord, CallbackState};
use crate::core::jobs::{JobRecord, Outcome};
use crate::core::keys;
use crate::jobs::Records;
use crate::ports::outbound::Body;
use crate::ports::{
    BinaryStore, BlobError, BlobInfo, BlobReader, BlobWriter, CallbackAnswer, CallbackRequest, Commit, MetaStore,
    Outbound, OutboundError, Stamp, Write,
};

const PATIENCE: Duration = Duration::from_secs(60);

pub(in crate::jobs) fn job(id: &str, callback: &str) -> JobRecord {
    JobRecord {
        id: id.into(),
        class_path: "m.C".into(),
        context: "c".into(),
        context_id: "c1".into(),
        attempt: 1,
        started_ms: 1,
        principal: "anonymous".into(),
        callback: Some(callback.into()),
        ..JobRecord::default()
    }
}

/// Takes what goes to `http://fine…`; the rest hangs.
#[derive(Default)]
struct Targets {
    calls: Mutex<Vec<String>>,
    taken: tokio::sync::Notify,
}

#[async_trait]
impl Outbound for Targets {
    fn check_callback(&self, _: &str) -> Result<(), OutboundError> {
        Ok(())
    }

    fn check_fetch(&self, _: &str) -> Result<(), OutboundError> {
        Ok(())
    }

    async fn callback(&self, request: CallbackRequest) -> Result<CallbackAnswer, OutboundError> {
        if !request.uri.starts_with("http://fine") {
            std::future::pending::<()>().await;
        }
        self.calls.lock().unwrap().push(request.headers[0].1.clone());
        self.taken.notify_waiters();
        Ok(CallbackAnswer { status: 200, retry_after: None })
    }

    async fn fetch(&self, uri: &str) -> Result<Body, OutboundError> {
        Err(OutboundError::Malformed(uri.into()))
    }
}

/// A store whose disk cannot be read at the moment.
#[derive(Default)]
struct Unreadable(MemoryBlobs);

#[async_trait]
impl BinaryStore for Unreadable {
    async fn read(&self, _: &str, _: u64, _: Option<u64>) -> Result<(BlobReader, u64), BlobError> {
        Err(BlobError::Unavailable("disk on fire".into()))
    }

    async fn create(&self) -> Result<Box<dyn BlobWriter>, BlobError> {
        self.0.create().await
    }

    async fn size(&self, sha256: &str) -> Result<Option<u64>, BlobError> {
        self.0.size(sha256).await
    }

    async fn delete(&self, sha256: &str) -> Result<(), BlobError> {
        self.0.delete(sha256).await
    }

    async fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<BlobInfo>, BlobError> {
        self.0.list(after, limit).await
    }

    async fn stat(&self, sha256: &str) -> Result<Option<BlobInfo>, BlobError> {
        self.0.stat(sha256).await
    }

    async fn refresh(&self, sha256: &str) -> Result<Option<u64>, BlobError> {
        self.0.refresh(sha256).await
    }

    async fn delete_unchanged(&self, sha256: &str, stamp: Stamp) -> Result<bool, BlobError> {
        self.0.delete_unchanged(sha256, stamp).await
    }
}

struct Scene {
    store: Arc<MemoryStore>,
    records: Records,
    targets: Arc<Targets>,
}

impl Scene {
    fn new() -> Self {
        let store = Arc::new(MemoryStore::default());
        Self { records: Records::new(store.clone()), store, targets: Arc::default() }
    }

    async fn write(&self, writes: Vec<Write>) {
        self.store.commit(Commit { preconditions: Vec::new(), writes }).await.unwrap();
    }

    /// Jobs that ended and call back there.
    async fn end(&self, url: &str, ids: impl Iterator<Item = String>) {
        for id in ids {
            self.end_with(url, &id, Outcome::Finished("1".into())).await;
        }
    }

    async fn end_with(&self, url: &str, id: &str, outcome: Outcome) {
        self.write(vec![Write::Put(keys::job_active(id), "".into())]).await;
        let (job, result) = job(id, url).ended(outcome, None, crate::runtime::clock::unix_ms());
        self.records.end(&job, result.as_deref()).await.unwrap();
    }

    fn start(&self) -> Callbacks {
        self.start_with(Arc::new(MemoryBlobs::default()))
    }

    fn start_with(&self, blobs: Arc<dyn BinaryStore>) -> Callbacks {
        let settings = crate::config::Callbacks { concurrency: 4, concurrency_per_target: 3, ..Default::default() };
        Callbacks::start(self.targets.clone(), blobs, self.records.clone(), settings, Secrets::default())
    }

    /// Waits until so many were taken, and what is left is so much.
    async fn settled(&self, taken: usize, left: usize) {
        let settled = async {
            loop {
                let news = self.targets.taken.notified();
                if self.targets.calls.lock().unwrap().len() >= taken {
                    break;
                }
                news.await;
            }
            while self.records.outbox_count().await.unwrap() != left {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, settled).await.expect("it settles");
        let mut calls = self.targets.calls.lock().unwrap().clone();
        calls.sort();
        calls.dedup();
        assert_eq!(calls.len(), taken);
    }
}

fn ids(name: &str, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |number| format!("{name}{number}"))
}

#[tokio::test]
async fn what_stood_in_the_outbox_is_delivered_once_each_past_targets_that_hang() {
    let scene = Scene::new();
    scene.end("http://a-hanging/", ids("h", 500)).await;
    scene.end("http://fine/", ids("f", 200)).await;
    scene.end("http://fine-too/", ids("t", 1)).await;
    let callbacks = scene.start();
    scene.settled(201, 500).await;
    assert_eq!(callbacks.counts().await.map(|counts| (counts.waiting, counts.delivered)), Ok((500, 201)));
}

#[tokio::test]
async fn ends_while_it_runs_are_heard_also_when_no_hint_had_room() {
    let scene = Scene::new();
    let callbacks = scene.start();
    scene.end("http://fine/", ids("a", 3)).await;
    callbacks.job_ended(&scene.records.job("a0").await.unwrap().unwrap());
    scene.settled(3, 0).await;
    // Nobody tells of these: the next look finds them.
    scene.end("http://fine-too/", ids("b", 2)).await;
    scene.settled(5, 0).await;
}

#[tokio::test]
async fn a_due_time_of_a_clock_that_stepped_back_is_not_waited_for() {
    let scene = Scene::new();
    scene.end("http://fine/", ids("a", 1)).await;
    let before = scene.records.callback("a0").await.unwrap().unwrap();
    let year_ms = 366 * 24 * 3_600_000;
    let due_ms = crate::runtime::clock::unix_ms() + year_ms;
    let ahead = CallbackRecord { due_ms, round_attempts: 1, ..before.record.clone() };
    scene.records.callback_attempted("a0", &before, &ahead).await.unwrap();
    let _callbacks = scene.start();
    scene.settled(1, 0).await;
    assert_eq!(scene.records.callback("a0").await.unwrap().unwrap().record.state, CallbackState::Delivered);
}

#[tokio::test]
async fn what_its_job_has_left_in_the_outbox_goes_away() {
    let scene = Scene::new();
    scene.end("http://fine/", ids("a", 2)).await;
    scene.write(vec![Write::Delete(keys::job("a0")), Write::Delete(keys::job_callback("a0"))]).await;
    let _callbacks = scene.start();
    scene.settled(1, 0).await;
}

#[tokio::test]
async fn a_result_that_is_gone_is_not_told_as_null_but_given_up() {
    let scene = Scene::new();
    scene.end("http://fine/", ids("a", 2)).await;
    scene.write(vec![Write::Delete(keys::job_result("a0"))]).await;
    let callbacks = scene.start();
    scene.settled(1, 0).await;
    let record = scene.records.callback("a0").await.unwrap().unwrap().record;
    assert_eq!(record.state, CallbackState::GivenUp);
    assert_eq!(record.log[0].error.as_deref(), Some("the job's result is no longer kept"));
    assert_eq!(callbacks.counts().await.map(|counts| (counts.delivered, counts.given_up)), Ok((1, 1)));
}

/// The state of the callback of a job with this result after one attempt, and the attempt's error.
async fn attempted(blobs: Arc<dyn BinaryStore>, result: BlobRef) -> (CallbackState, String) {
    let scene = Scene::new();
    scene.end_with("http://fine/", "a0", Outcome::FinishedLarge(result)).await;
    let callbacks = scene.start_with(blobs);
    let attempt = async {
        loop {
            let record = scene.records.callback("a0").await.unwrap().unwrap().record;
            if record.attempts > 0 {
                return (record.state, record.log[0].error.clone().unwrap_or_default());
            }
            tokio::task::yield_now().await;
        }
    };
    let became = tokio::time::timeout(PATIENCE, attempt).await.expect("an attempt");
    callbacks.stop().await;
    became
}

#[tokio::test]
async fn a_result_that_is_gone_or_damaged_is_given_up_at_once_and_one_that_cannot_be_read_now_is_tried_again() {
    let blobs = Arc::new(MemoryBlobs::default());
    let mut writer = blobs.create().await.unwrap();
    writer.write("12".into()).await.unwrap();
    let (sha256, _) = writer.finish(None).await.unwrap();
    let result = |sha256: &str, size_bytes| BlobRef { sha256: sha256.into(), size_bytes };
    let given_up = |why: &str| (CallbackState::GivenUp, why.to_owned());
    let gone = attempted(blobs.clone(), result("00", 2)).await;
    assert_eq!(gone, given_up("the result cannot be read: no blob 00"));
    let damaged = attempted(blobs.clone(), result(&sha256, 3)).await;
    assert_eq!(damaged, given_up("the result is damaged: it has 2 bytes of 3"));
    let (state, why) = attempted(Arc::<Unreadable>::default(), result(&sha256, 2)).await;
    assert_eq!(state, CallbackState::Waiting);
    assert_eq!(why, "the result cannot be read: the binary store is unavailable: disk on fire");
    assert_eq!(attempted(blobs, result(&sha256, 2)).await, (CallbackState::Delivered, String::new()));
}

#[tokio::test]
async fn nothing_begins_after_a_stop() {
    let scene = Scene::new();
    let callbacks = scene.start();
    callbacks.stop().await;
    scene.end("http://fine/", ids("a", 1)).await;
    callbacks.waits("fine:80".into());
    assert_eq!(scene.records.outbox_count().await, Ok(1));
}
