//! Old jobs over real stores: packed, found and listed by the next process, cleared once.

use std::sync::Arc;

use doyen::adapters::blobs::ObjectBinaryStore;
use doyen::adapters::embedded::EmbeddedStore;
use doyen::config;
use doyen::core::jobs::{JobRecord, JobState};
use doyen::core::keys;
use doyen::jobs::Records;
use doyen::jobs::history::Packer;
use doyen::ports::{BinaryStore, Commit, MetaStore, Write};
use serde_json::json;

const JOBS: u32 = 250;

fn job(id: u32) -> JobRecord {
    let state = if id.is_multiple_of(50) { "ERROR" } else { "FINISHED" };
    let fields = json!({"id": format!("{id:08}"), "class-path": "a.B", "context": "c", "context-id": "c1",
        "attempt": 1, "state": state, "started-ms": id, "ended-ms": id, "binaries": [], "principal": "p",
        "result": "inline"});
    serde_json::from_value(fields).unwrap()
}

async fn end_all(store: &Arc<dyn MetaStore>) {
    let records = Records::new(Arc::clone(store));
    for id in 0..JOBS {
        let job = job(id);
        let config = Write::Put(keys::job_config(&job.id), format!("{{n:{id}}}").into());
        let writes = vec![Write::Put(keys::job_active(&job.id), "".into()), config];
        store.commit(Commit { preconditions: Vec::new(), writes }).await.unwrap();
        records.end(&job, Some(&id.to_string())).await.unwrap();
    }
}

/// All that is told, whether packed or not.
async fn is_whole(records: &Records) {
    let expected: Vec<JobRecord> = (0..JOBS).rev().map(job).collect();
    assert_eq!(records.newest_jobs(1000).await.unwrap(), expected);
    assert_eq!(records.newest_jobs(100).await.unwrap(), expected[..100]);
    let failed = records.newest_ended(JobState::Error, 100).await.unwrap();
    assert_eq!(failed.len(), 5);
    for id in (0..JOBS).step_by(7) {
        let job = job(id);
        assert_eq!(records.job_config(&job.id).await.unwrap(), Some(format!("{{n:{id}}}")));
        assert_eq!(records.job_result(&job.id).await.unwrap(), Some(id.to_string()));
        assert_eq!(records.job(&job.id).await.unwrap(), Some(job));
    }
    assert_eq!(records.job("00000003x").await.unwrap(), None);
}

async fn are_packed_and_found(store: Arc<dyn MetaStore>, reopen: impl FnOnce() -> Arc<dyn MetaStore>) {
    let directory = tempfile::tempdir().unwrap();
    let blobs = || Arc::new(ObjectBinaryStore::open_local(directory.path()).unwrap()) as Arc<dyn BinaryStore>;
    end_all(&store).await;
    let records = Records::new(Arc::clone(&store)).over_segments(blobs(), 1 << 20);
    is_whole(&records).await;
    let settings = config::History { recent: 20, segment_jobs: 100, ..config::History::default() };
    let packer = Packer::new(records.clone(), Arc::clone(records.segments().unwrap()), &settings);
    assert_eq!(packer.pass(1_000_000_000).await.unwrap(), 200);
    is_whole(&records).await;
    let left = store.range(keys::JOBS, None, false, 1000).await.unwrap();
    assert_eq!(left.len(), 50);
    assert_eq!(store.range(keys::HISTORY, None, false, 1000).await.unwrap().len(), 2);
    drop((packer, records, store));
    let records = Records::new(reopen()).over_segments(blobs(), 1 << 20);
    is_whole(&records).await;
    assert!(records.unpack_job("00000007").await.unwrap());
    is_whole(&records).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_jobs_of_the_embedded_store_are_packed_and_found_by_the_next_process() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Arc::new(EmbeddedStore::open(&directory.path().join("meta"), 1 << 20).unwrap()) as Arc<dyn MetaStore>;
    are_packed_and_found(open(), open).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_jobs_in_zookeeper_are_packed_and_found_by_the_next_process() {
    let (store, again) = crate::zookeeper::twice_now();
    are_packed_and_found(Arc::new(store), move || Arc::new(again())).await;
}
