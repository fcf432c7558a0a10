//! The dispatcher over a store in memory, with targets that the tests play.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use super::{Callbacks, Secrets};
use crate::adapters::memory::{MemoryBlobs, MemoryStore};
use crate::core::callbacks::{CallbackRecord, CallbackState};
use crate::core::jobs::{JobRecord, JobState, Outcome};
use crate::core::keys;
use crate::core::queue::Priority;
use crate::core::supervision::Retry;
use crate::jobs::Records;
use crate::ports::outbound::Body;
use crate::ports::{BinaryStore, CallbackAnswer, CallbackRequest, Commit, MetaStore, Outbound, OutboundError, Write};

const PATIENCE: Duration = Duration::from_secs(60);

pub(in crate::jobs) fn job(id: &str, callback: &str) -> JobRecord {
    JobRecord {
        id: id.into(),
        class_path: "m.C".into(),
        context: "c".into(),
        context_id: "c1".into(),
        attempt: 1,
        priority: Priority::default(),
        queued: None,
        state: JobState::Started,
        started_ms: 1,
        ended_ms: None,
        binaries: Vec::new(),
        principal: "anonymous".into(),
        callback: Some(callback.into()),
        failure: None,
        result: None,
        log: None,
        retry: Retry::default(),
        assigned_ms: None,
        attempts: Vec::new(),
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
            self.write(vec![Write::Put(keys::job_active(&id), "".into())]).await;
            let (job, result) = job(&id, url).ended(Outcome::Finished("1".into()), None, 5);
            self.records.end(&job, result.as_deref()).await.unwrap();
        }
    }

    fn start(&self) -> Callbacks {
        let blobs: Arc<dyn BinaryStore> = Arc::new(MemoryBlobs::default());
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

#[tokio::test]
async fn nothing_begins_after_a_stop() {
    let scene = Scene::new();
    let callbacks = scene.start();
    callbacks.stop().await;
    scene.end("http://fine/", ids("a", 1)).await;
    callbacks.waits("fine:80".into());
    assert_eq!(scene.records.outbox_count().await, Ok(1));
}
