//! Each kind of commit that the domain knows, and a loss of power in the middle of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use doyen::adapters::embedded::EmbeddedStore;
use doyen::core::access::TokenRecord;
use doyen::core::belonging::StoreIdRecord;
use doyen::core::callbacks::{Answer, Decision, Took};
use doyen::core::consistency::{Around, Contents, Finding, Step, Stored, judge};
use doyen::core::contexts::{Attachment, ContextRecord, ContextState};
use doyen::core::idempotency::{Effect, Fingerprint};
use doyen::core::jobs::{JobRecord, Outcome, Queued};
use doyen::core::keys;
use doyen::jobs::records::{Settled, Trimmed};
use doyen::jobs::{Claim, Records, StoreError};
use doyen::ports::{BinaryStore, Entry, MetaStore};
use doyen::runtime::crash::COMMITS;
use serde_json::json;

use super::disk::{Disk, Fault};

/// A life in the order of its commits; every kind is in it.
const LIFE: [&str; 37] = [
    "store-id",
    "binary-put",
    "context-create",
    "context-attach",
    "context-update",
    "job-submit",
    "job-retry",
    "context-restart",
    "context-relaunch",
    "context-attach",
    "job-reassign",
    "job-end",
    "callback-retry",
    "callback-given-up",
    "callback-replay",
    "callback-delivered",
    "callback-replay",
    "job-log",
    "job-enqueue",
    "jobs-assign",
    "idempotency-claim",
    "idempotency-expire",
    "token-create",
    "token-revoke",
    "history-pack",
    "history-clear",
    "history-cleared",
    "job-unpack",
    "history-trim",
    "jobs-trim",
    "jobs-remove",
    "binary-delete",
    "binary-put",
    "binary-remove",
    "context-update",
    "context-remove",
    "context-create",
];

fn context(state: ContextState) -> ContextRecord {
    let fields = json!({"id": "c1", "name": "c", "kind": "python", "state": state, "started-ms": 1, "settings": "{}",
        "max-jobs": 8, "principal": "anonymous", "attempt": 1, "secret-hash": ""});
    serde_json::from_value(fields).unwrap()
}

fn job() -> JobRecord {
    let used = json!({"name": "b", "type": "Wheel", "content": blob(), "uploaded": true});
    let fields = json!({"id": "j1", "class-path": "a.B", "context": "c", "context-id": "c1", "attempt": 1,
        "state": "STARTED", "started-ms": 2, "binaries": [used], "principal": "anonymous", "callback": "http://h/x"});
    serde_json::from_value(fields).unwrap()
}

fn waiting() -> JobRecord {
    JobRecord { id: "j2".into(), queued: Some(Queued::default()), binaries: Vec::new(), callback: None, ..job() }
}

fn token() -> TokenRecord {
    let fields =
        json!({"id": "t1", "sha256": "", "principal": "ann", "permissions": [], "created-ms": 1, "expires-ms": 2});
    serde_json::from_value(fields).unwrap()
}

fn blob() -> serde_json::Value {
    serde_json::to_value(doyen::core::binaries::BlobRef { sha256: "ab".repeat(32), size_bytes: 7 }).unwrap()
}

/// The commit of this name in `LIFE`, after those before it.
async fn act(name: &str, store: &Arc<EmbeddedStore>) -> Result<(), StoreError> {
    let records = Records::new(Arc::clone(store) as Arc<dyn MetaStore>);
    let attachment = async || store.get(&keys::attachment("c1")).await.unwrap().unwrap().version;
    match name {
        "store-id" => records.set_store_id(&StoreIdRecord { id: "s1".into(), made_ms: 1 }).await,
        "binary-put" => {
            let fields =
                json!({"name": "b", "type": "Wheel", "content": blob(), "uploaded_ms": 1, "principal": "anonymous"});
            records.put_binary(&serde_json::from_value(fields).unwrap(), None).await
        }
        "binary-delete" => records.delete_binary("b", None).await,
        "binary-remove" => records.remove_binary(&records.binary("b").await?.unwrap()).await,
        "context-create" => records.create_context(&context(ContextState::Started), None).await,
        "context-attach" => {
            let attachment = Attachment { attempt: 1, node: "doyen".into() };
            records.attach("c1", &attachment).await.map(drop)
        }
        "context-update" => {
            let now = records.context_named("c").await?.unwrap().state;
            let next = if now == ContextState::Started { ContextState::Running } else { ContextState::Finished };
            records.update_context(&context(next)).await
        }
        "context-restart" => records.restart_context(&context(ContextState::Restarting)).await,
        "context-relaunch" => {
            let next = ContextRecord { attempt: 2, ..context(ContextState::Restarting) };
            records.relaunch_context(&next).await
        }
        "context-remove" => records.remove_context(&context(ContextState::Finished)).await,
        "job-submit" => {
            let binary = records.binary("b").await?.unwrap().version;
            records.submit(&job(), "{}", attachment().await, &[("b".into(), binary)], None).await
        }
        "job-retry" => records.retry(&job().lost("doyen", "why", None, 3)).await,
        "job-reassign" => records.reassign(&job().lost("doyen", "why", None, 3).again(2, 4), attachment().await).await,
        "job-enqueue" => records.enqueue(&waiting(), "{}", &[], None).await,
        "jobs-assign" => records.assign(&[JobRecord { queued: None, ..waiting() }], attachment().await).await,
        "job-end" => {
            let (ended, result) = job().ended(Outcome::Finished("42".into()), None, 3);
            records.end(&ended, result.as_deref()).await.map(drop)
        }
        "job-log" => records.add_log("j1", serde_json::from_value(blob()).unwrap()).await,
        _ => act_later(name, store, &records).await,
    }
}

/// What follows the job's end.
async fn act_later(name: &str, store: &Arc<EmbeddedStore>, records: &Records) -> Result<(), StoreError> {
    let job = async || records.jobs_before(Some("j2"), 1).await.map(|mut jobs| jobs.remove(0));
    let settled = async || {
        let callback = records.callback("j1").await?.map(|found| found.version);
        Ok::<_, StoreError>(Settled { job: job().await?, callback })
    };
    match name {
        "callback-retry" => attempt(records, Decision::Retry { after: Duration::from_secs(1) }).await,
        "callback-given-up" => attempt(records, Decision::GiveUp).await,
        "callback-delivered" => attempt(records, Decision::Delivered).await,
        "callback-replay" => {
            let before = records.callback("j1").await?.unwrap();
            records.callback_replay(&job().await?, &before, &before.record.replayed(9)).await
        }
        "idempotency-claim" => {
            let fingerprint = Fingerprint { request: String::new(), body: String::new() };
            let claim = Claim { id: "k".into(), principal: "p".into(), fingerprint, created_ms: 1, replaces: None };
            records.claim(&claim, Effect::BinaryStored).await
        }
        "idempotency-expire" => records.expire_idempotency(2, 0).await.map(drop),
        "token-create" => records.create_token(&token(), &[], None).await,
        "token-revoke" => records.delete_token("t1", None).await,
        "jobs-trim" => {
            let trimmed = Trimmed { of: settled().await?, result: true, log: true };
            records.trim_jobs(vec![trimmed]).await.map(drop)
        }
        "history-pack" | "history-clear" | "history-cleared" | "history-trim" | "job-unpack" => {
            super::packed::act(name, store).await
        }
        "jobs-remove" => records.remove_jobs(vec![settled().await?]).await.map(drop),
        other => panic!("add the commit {other} to LIFE and here"),
    }
}

/// Records an attempt to deliver the callback.
async fn attempt(records: &Records, decision: Decision) -> Result<(), StoreError> {
    let before = records.callback("j1").await?.unwrap();
    let answer = Answer::Status { code: 500, retry_after: None };
    let after = before.record.attempted(Took { began_ms: 4, took_ms: 1 }, &answer, decision, 5);
    records.callback_attempted("j1", &before, &after).await
}

#[test]
fn every_commit_of_the_domain_is_in_this_life() {
    let missing: Vec<_> = COMMITS.iter().filter(|name| !LIFE.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// A commit flushes twice; the power goes before its first flush, between the two, and after its answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_commit_is_whole_or_absent_after_a_power_loss_and_there_once_it_is_acknowledged() {
    for (index, name) in LIFE.iter().enumerate() {
        let case = Case { index, name, whole: content(&lived(&Disk::default(), index + 1).await).await };
        for (flushes, kept) in [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 0)] {
            case.lose_power(flushes, kept).await;
        }
    }
}

struct Case {
    index: usize,
    name: &'static str,
    /// What is stored when the commit is whole.
    whole: Vec<(String, Bytes)>,
}

impl Case {
    /// Of what is not flushed, every fourth write survives.
    async fn lose_power(&self, flushes: u64, kept: usize) {
        let disk = Disk::default();
        let store = lived(&disk, self.index).await;
        let before = content(&store).await;
        let mut writes = 0;
        let mut lose = || {
            disk.lose_power(|| {
                writes += 1;
                writes % 4 == kept
            });
        };
        disk.hold();
        let power = async {
            disk.held().await;
            disk.let_flush(flushes);
            if flushes < 2 {
                disk.held().await;
                lose();
            }
        };
        let (answer, ()) = futures::join!(act(self.name, &store), power);
        if flushes == 2 {
            lose();
        }
        drop(store);
        let after = content(&Arc::new(disk.open())).await;
        let case = format!("{} after {flushes} flushes, {kept}: {answer:?}", self.name);
        assert_eq!(answer.is_ok(), flushes == 2, "{case}");
        assert!(after == self.whole || answer.is_err() && after == before, "{case}");
    }
}

/// Its second flush fails, or already its first. The next write tells whether it is there, and what that tells stays so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submission_without_an_answer_is_settled_by_a_write_of_its_own() {
    let before = LIFE.iter().position(|name| *name == "job-submit").unwrap();
    for flushes in [0, 1] {
        let disk = Disk::default();
        let store = lived(&disk, before).await;
        if flushes > 0 {
            disk.hold();
        }
        let trouble = async {
            if flushes > 0 {
                disk.held().await;
            }
            disk.fail(Some(Fault::Flush));
            // What waits already passes.
            disk.release();
        };
        let (_, answer) = futures::join!(trouble, act("job-submit", &store));
        assert_eq!(matches!(answer, Err(StoreError::Unknown(_))), flushes == 1, "{answer:?}");
        disk.fail(None);
        let records = Records::new(Arc::clone(&store) as Arc<dyn MetaStore>);
        let recorded = loop {
            if let Ok(recorded) = records.was_submitted(&job()).await {
                break recorded;
            }
        };
        assert_eq!(recorded, flushes == 1);
        disk.lose_power(|| false);
        drop((records, store));
        let records = Records::new(Arc::new(disk.open()) as Arc<dyn MetaStore>);
        assert_eq!(records.job("j1").await.unwrap(), recorded.then(job));
    }
}

/// A store after so many commits of the life.
async fn lived(disk: &Disk, commits: usize) -> Arc<EmbeddedStore> {
    let store = Arc::new(disk.open());
    for name in &LIFE[..commits] {
        act(name, &store).await.unwrap();
    }
    store
}

async fn content(store: &Arc<EmbeddedStore>) -> Vec<(String, Bytes)> {
    let entries = store.range("", None, false, usize::MAX).await.unwrap();
    entries.into_iter().map(|entry| (entry.key, entry.value)).collect()
}

/// What is wrong with the store, by the rules of `doyen store check`.
async fn findings(store: &EmbeddedStore) -> Vec<Finding> {
    let mut contents = Contents::default();
    contents.add(&"ab".repeat(32), 7);
    for segment in super::packed::BLOBS.list(None, 1000).await.unwrap() {
        contents.add(&segment.sha256, segment.size_bytes);
    }
    let stored = |entry: Entry| Stored { version: entry.version.0, value: entry.value };
    let mut all = Vec::new();
    for entry in store.range("", None, false, 1000).await.unwrap() {
        let (key, entry) = (entry.key.clone(), stored(entry));
        let mut around = Around::default();
        loop {
            match judge(&key, &entry, &around, &mut contents) {
                Step::Told(findings) => break all.extend(findings),
                Step::Unknown => panic!("add the family of {key} to FAMILIES, and a rule"),
                Step::Read(asked) => {
                    for key in asked {
                        let found = store.get(&key).await.unwrap();
                        around.add(key, found.map(stored));
                    }
                }
            }
        }
    }
    all
}

#[tokio::test]
async fn after_each_commit_the_store_agrees_with_itself_and_every_family_is_known() {
    let store = lived(&Disk::default(), 0).await;
    let mut seen = BTreeSet::new();
    // Retention leaves a job alone whose callback waits: here its last delivery is not asked for again.
    let delivered = LIFE.iter().rposition(|name| *name == "callback-replay").unwrap();
    for (_, name) in LIFE.iter().enumerate().filter(|(at, _)| *at != delivered) {
        act(name, &store).await.unwrap();
        assert_eq!(findings(&store).await, [], "after {name}");
        seen.extend(content(&store).await.iter().map(|(key, _)| keys::family(key).to_owned()));
    }
    // Timelines are of jobs that began in the same process, and imports are no server's.
    let mut expected: BTreeSet<String> = keys::FAMILIES.iter().map(|family| (*family).to_owned()).collect();
    assert!(expected.remove("job-timelines") && expected.remove(keys::STORE_IMPORT));
    assert_eq!(seen, expected);
}
