//! Each kind of commit that the domain knows, and a loss of power in the middle of it.

use std::sync::Arc;

use bytes::Bytes;
use doyen::adapters::embedded::EmbeddedStore;
use doyen::core::contexts::{Attachment, ContextRecord, ContextState};
use doyen::core::jobs::{JobRecord, Outcome};
use doyen::core::keys;
use doyen::jobs::{Records, StoreError};
use doyen::ports::MetaStore;
use doyen::runtime::crash::COMMITS;
use serde_json::json;

use super::disk::Disk;

/// A life in the order of its commits; every kind is in it.
const LIFE: [&str; 9] = [
    "binary-put",
    "context-create",
    "context-attach",
    "context-update",
    "job-submit",
    "job-end",
    "job-log",
    "binary-delete",
    "context-update",
];

fn context(state: ContextState) -> ContextRecord {
    let fields = json!({"id": "c1", "name": "c", "kind": "python", "state": state, "started-ms": 1, "settings": "{}",
        "max-jobs": 8, "principal": "anonymous", "attempt": 1, "secret-hash": ""});
    serde_json::from_value(fields).unwrap()
}

fn job() -> JobRecord {
    let used = json!({"name": "b", "type": "Wheel", "content": blob(), "uploaded": true});
    let fields = json!({"id": "j1", "class-path": "a.B", "context": "c", "context-id": "c1", "attempt": 1,
        "state": "STARTED", "started-ms": 2, "binaries": [used], "principal": "anonymous"});
    serde_json::from_value(fields).unwrap()
}

fn blob() -> serde_json::Value {
    serde_json::to_value(doyen::core::binaries::BlobRef { sha256: "ab".repeat(32), size_bytes: 7 }).unwrap()
}

/// The commit of this name in `LIFE`, after those before it.
async fn act(name: &str, store: &Arc<EmbeddedStore>) -> Result<(), StoreError> {
    let records = Records::new(Arc::clone(store) as Arc<dyn MetaStore>);
    match name {
        "binary-put" => {
            let fields =
                json!({"name": "b", "type": "Wheel", "content": blob(), "uploaded_ms": 1, "principal": "anonymous"});
            records.put_binary(&serde_json::from_value(fields).unwrap(), None).await
        }
        "binary-delete" => records.delete_binary("b", None).await,
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
        "job-submit" => {
            let attachment = store.get(&keys::attachment("c1")).await.unwrap().unwrap().version;
            let binary = records.binary("b").await?.unwrap().version;
            records.submit(&job(), "{}", attachment, &[("b".into(), binary)], None).await
        }
        "job-end" => {
            let (ended, result) = job().ended(Outcome::Finished("42".into()), None, 3);
            records.end(&ended, result.as_deref()).await
        }
        "job-log" => records.add_log("j1", serde_json::from_value(blob()).unwrap()).await,
        other => panic!("add the commit {other} to LIFE and here"),
    }
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
