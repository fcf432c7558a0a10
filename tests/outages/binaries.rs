//! HDFS is away, full, or takes no changes: what needs it is refused, and the rest goes on.

use bytes::Bytes;
use futures::{StreamExt, stream};
use reqwest::{Body, Method};
use serde_json::json;

use crate::fixture::{Place, Reply, Server, WHEEL, eventually, jobs, jobs_variant};
use crate::stores::{CALM, Stores, hdfs, is_refused, noted_once, recovers, says_what_is_away};

const MIB: usize = 1024 * 1024;

pub async fn upload(server: &Server, name: &str) -> Reply {
    server.upload(name, WHEEL, jobs_variant(name)).await
}

/// Content that HDFS has not seen is taken again.
pub async fn takes_uploads(server: &Server) {
    let number = std::sync::atomic::AtomicU32::new(0);
    let next = || format!("again-{}", number.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    eventually("an upload", || async { upload(server, &next()).await.status == 201 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_namenode_stands_still() {
    let _alone = CALM.write().await;
    let (server, gate, job) = Stores::plain().with_a_job().await;
    let frozen = tokio::task::block_in_place(|| hdfs().freeze_namenode());
    is_refused(&upload(&server, "late").await, &["store-unavailable"]);
    says_what_is_away(&server, "binaries").await;
    // What is in neither store, or in the other one, is as always.
    noted_once(&server, "meanwhile").await;
    gate.open();
    let reply = server.get("/jobs").await;
    assert!(reply.json(200).is_array() && !reply.headers.contains_key("age"));
    drop(frozen);
    recovers(&server, &job).await;
    takes_uploads(&server).await;
    server.reset().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_datanode_dies_during_an_upload() {
    let _alone = CALM.write().await;
    let server = Stores::plain().start(Place::new());
    let begin = Bytes::from([jobs(), vec![b'x'; 3 * MIB]].concat());
    let rest = begin.clone();
    let (proceed, wait) = tokio::sync::oneshot::channel::<()>();
    let late = stream::once(async move {
        wait.await.unwrap();
        Ok(rest)
    });
    let body = Body::wrap_stream(stream::iter([Ok::<_, std::io::Error>(begin)]).chain(late));
    let request = server.request(Method::POST, "/binaries/cut").header("content-type", WHEEL).body(body);
    let reply = tokio::spawn(Reply::to(request));
    eventually("the first part", || async { hdfs_has_blocks() }).await;
    tokio::task::block_in_place(|| hdfs().kill_datanode());
    proceed.send(()).unwrap();
    is_refused(&reply.await.unwrap(), &["store-unavailable"]);
    assert_eq!(server.get("/binaries/cut").await.status, 404);
    tokio::task::block_in_place(|| hdfs().start_datanode());
    takes_uploads(&server).await;
}

/// A block is being written.
fn hdfs_has_blocks() -> bool {
    let mut left = vec![hdfs().data()];
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                left.push(path);
            } else if path.to_string_lossy().contains("/rbw/blk_") {
                return true;
            }
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_datanode_dies_during_a_download() {
    let _alone = CALM.write().await;
    let server = Stores::plain().start(Place::new());
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    server.open("c").await;
    // More than is under way in any buffer.
    let size = 48 * MIB;
    let id = server.job("Large", &json!({"size": size})).await;
    assert_eq!(server.ended(&id).await["status"], "FINISHED");
    let path = format!("/v1/jobs/{id}/result");
    let mut answer = server.request(Method::GET, &path).send().await.unwrap();
    answer.chunk().await.unwrap().unwrap();
    tokio::task::block_in_place(|| hdfs().kill_datanode());
    let cut = loop {
        match answer.chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(cut, "what was not read cannot be told");
    tokio::task::block_in_place(|| hdfs().start_datanode());
    let whole = || async {
        let Ok(answer) = server.request(Method::GET, &path).send().await else { return false };
        answer.status() == 200 && answer.bytes().await.is_ok_and(|body| body.len() == size + 2)
    };
    eventually("the whole result", whole).await;
    takes_uploads(&server).await;
    server.reset().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hdfs_is_full() {
    let _calm = CALM.read().await;
    let stores = Stores::plain();
    let (server, gate, job) = stores.with_a_job().await;
    let admin = |arguments: &[&str]| tokio::task::block_in_place(|| hdfs().admin(arguments));
    admin(&["-setSpaceQuota", "1m", &stores.path]);
    let full = upload(&server, "late").await;
    assert_eq!((full.status, full.header("doyen-error")), (507, "storage-full"), "{}", full.text());
    says_what_is_away(&server, "binaries").await;
    gate.open();
    admin(&["-clrSpaceQuota", &stores.path]);
    recovers(&server, &job).await;
    takes_uploads(&server).await;
    server.reset().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hdfs_is_in_safe_mode() {
    let _alone = CALM.write().await;
    let (server, gate, job) = Stores::plain().with_a_job().await;
    let large = server.job("Large", &json!({"size": MIB})).await;
    assert_eq!(server.ended(&large).await["status"], "FINISHED");
    let admin = |arguments: &[&str]| tokio::task::block_in_place(|| hdfs().admin(arguments));
    admin(&["-safemode", "enter"]);
    let path = format!("/v1/jobs/{large}/result");
    let (refused, result) = tokio::join!(upload(&server, "late"), server.get(&path));
    says_what_is_away(&server, "binaries").await;
    gate.open();
    admin(&["-safemode", "leave"]);
    is_refused(&refused, &["store-unavailable"]);
    assert_eq!((result.status, result.body.len()), (200, MIB + 2));
    recovers(&server, &job).await;
    takes_uploads(&server).await;
    server.reset().await;
}
