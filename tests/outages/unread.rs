//! Content cannot be read or written: its block is damaged, its DataNode is dead or stands still, the server was killed.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bytes::Bytes;
use futures::{StreamExt, stream};
use hdfs_native::ClientBuilder;
use reqwest::{Body, Method};
use rustix::process::Signal;
use serde_json::json;

use crate::binaries::{takes_uploads, upload};
use crate::fixture::{Place, Server, WHEEL, eventually, jobs, wheel};
use crate::stores::{CALM, Stores, hdfs, is_refused, recovers, says_what_is_away};

/// The DataNode's file of a block of this size, which no other block has.
fn block(directory: &Path, size: u64) -> Option<PathBuf> {
    std::fs::read_dir(directory).ok()?.flatten().find_map(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return block(&path, size);
        }
        path.metadata().is_ok_and(|meta| meta.len() == size).then_some(path)
    })
}

/// All replicas of the block, as there is one.
fn damage(size: u64, at: u64) {
    let file = block(&hdfs().data(), size).unwrap();
    File::options().write(true).open(file).unwrap().write_all_at(b"XXXX", at).unwrap();
}

/// A job that has finished with a result of so many bytes.
async fn large(server: &Server, bytes: u64) -> String {
    let id = server.job("Large", &json!({"size": bytes - 2})).await;
    assert_eq!(server.ended(&id).await["status"], "FINISHED");
    id
}

/// The job has not begun, and says why.
async fn waits_for(server: &Server, job: &str, words: &str) {
    for path in [format!("/jobs/{job}"), format!("/v1/jobs/{job}")] {
        let says = || async {
            let told = server.get(&path).await.json(200);
            told["status"] == "STARTED" && told["waitsFor"].as_str().is_some_and(|told| told.contains(words))
        };
        eventually(words, says).await;
    }
}

/// A job that has finished with a log of so many bytes.
async fn said(server: &Server, bytes: usize) -> String {
    let id = server.job("Says", &json!({"text": "x".repeat(bytes)})).await;
    assert_eq!(server.ended(&id).await["status"], "FINISHED");
    id
}

/// `doyen store` on the stores of a server that has ended.
pub fn store(stores: &Stores, place: &Place, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doyen"));
    command.arg("store").args(arguments).arg("--data-dir").arg(place.path("data")).current_dir(place.root());
    for setting in stores.settings() {
        command.args(["--set", &setting]);
    }
    let Output { status, stdout, stderr } = tokio::task::block_in_place(|| command.output().unwrap());
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

async fn started(stores: &Stores) -> Server {
    let server = stores.start(Place::new());
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    server.open("c").await;
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_are_damaged() {
    let _calm = CALM.read().await;
    let stores = Stores::plain();
    let server = started(&stores).await;
    let (first, later, log) =
        (large(&server, 1_234_321).await, large(&server, 3_234_321).await, said(&server, 54_321).await);
    damage(1_234_321, 1000);
    damage(3_234_321, 3_000_000);
    damage(54_321, 1000);
    for path in [format!("/jobs/{first}"), format!("/v1/jobs/{first}/result"), format!("/v1/jobs/{log}/logs")] {
        let reply = server.get(&path).await;
        let told = (reply.status, reply.header("doyen-error"));
        assert_eq!(told, (500, "content-unreadable"), "{path}: {}", reply.text());
        assert!(reply.value()["result"].as_str().unwrap().starts_with("Blob "), "{}", reply.text());
    }
    // It breaks when the status is sent already.
    let answer = server.request(Method::GET, &format!("/v1/jobs/{later}/result")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.bytes().await.is_err());
    server.signal(Signal::INT);
    let (_, place) = server.end().await;
    let lines = std::fs::read_to_string(place.path("server.log")).unwrap();
    for job in [&first, &later, &log] {
        let told =
            |line: &str| line.contains("cannot be read") && line.contains(job.as_str()) && line.contains("hdfs://");
        assert!(lines.lines().any(told), "{job}: {lines}");
    }
    assert!(!lines.contains("FileWriter dropped"), "{lines}");
    is_told_by_tools(&stores, &place, &[&first, &later, &log]);
}

/// A finding for each, and an export without them.
fn is_told_by_tools(stores: &Stores, place: &Place, jobs: &[&String]) {
    let (code, found, said) = store(stores, place, &["check"]);
    assert_eq!((code, found.lines().count()), (Some(9), jobs.len()), "{found} {said}");
    for job in jobs {
        let begin = format!("unreadable-content: jobs/{job}: its ");
        let told = |line: &str| line.starts_with(&begin) && line.contains(&format!("{}/", stores.path));
        assert!(found.lines().any(told), "{begin}: {found}");
    }
    let (code, _, said) = store(stores, place, &["export", "all"]);
    assert!(code == Some(1) && said.contains("blob ") && said.contains("--without-unreadable"), "{said}");
    let (code, _, said) = store(stores, place, &["export", "rest", "--without-unreadable"]);
    assert!(code == Some(0) && said.contains("left out 3 blobs"), "{said}");
}

/// A wheel with one job, of a size that no other content has.
fn of_its_own_size() -> Vec<u8> {
    let source = "class Job:\n    def validate(self, context, runtime, config):\n        return config\n\n    \
                  def run_job(self, context, runtime, data):\n        return 'ran'\n";
    let mut random = 1_u32;
    let mut letter = || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from_u32(u32::from('a') + (random >> 24) % 26).unwrap()
    };
    let letters: String = (0..20_000).map(|_| letter()).collect();
    wheel(&[("lost.py", source), ("data.txt", &letters)])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_code_cannot_be_read_says_so_and_runs_once_that_is_uploaded_again() {
    let _calm = CALM.read().await;
    let server = started(&Stores::plain()).await;
    let code = of_its_own_size();
    server.upload("lost", WHEEL, code.clone()).await.is_success(201);
    damage(code.len() as u64, 100);
    let job = server.post("/jobs?appName=lost&classPath=lost.Job&context=c", "").await.json(202);
    let job = job["jobId"].as_str().unwrap();
    waits_for(&server, job, "the content of binary lost, for ").await;
    waits_for(&server, job, "upload the binary again").await;
    server.upload("lost", WHEEL, code).await.is_success(201);
    let ended = server.ended(job).await;
    assert_eq!((&ended["status"], &ended["result"]), (&json!("FINISHED"), &json!("ran")), "{ended}");
    assert!(ended.get("waitsFor").is_none(), "{ended}");
    server.reset().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_datanode_is_dead() {
    let _alone = CALM.write().await;
    let stores = Stores::plain();
    let (server, gate, job) = stores.with_a_job().await;
    let (result, log) = (large(&server, 1_234_567).await, said(&server, 1234).await);
    // Its driver has no code yet.
    server.open("d").await;
    let paths = [format!("/jobs/{result}"), format!("/v1/jobs/{result}/result"), format!("/v1/jobs/{log}/logs")];
    tokio::task::block_in_place(|| hdfs().kill_datanode());
    for path in &paths {
        is_refused(&server.get(path).await, &["store-unavailable"]);
    }
    is_refused(&upload(&server, "late").await, &["store-unavailable"]);
    let waiting = server.post("/jobs?appName=jobs&classPath=jobs.Echo&context=d", "a = 1").await.json(202);
    let waiting = waiting["jobId"].as_str().unwrap();
    waits_for(&server, waiting, "the content of binary jobs, for ").await;
    says_what_is_away(&server, "binaries").await;
    waits_for(&server, waiting, "the store of binaries (`store.binaries`) is away").await;
    tokio::task::block_in_place(|| hdfs().start_datanode());
    let ended = server.ended(waiting).await;
    assert!(ended["status"] == "FINISHED" && ended.get("waitsFor").is_none(), "{ended}");
    gate.open();
    recovers(&server, &job).await;
    for path in &paths {
        eventually("content", || async { server.get(path).await.status == 200 }).await;
    }
    takes_uploads(&server).await;
    server.reset().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_while_all_datanodes_are_dead_tells_of_no_content() {
    let _alone = CALM.write().await;
    let stores = Stores::plain();
    let server = started(&stores).await;
    said(&server, 2345).await;
    server.signal(Signal::INT);
    let (_, place) = server.end().await;
    tokio::task::block_in_place(|| hdfs().kill_datanode());
    let (code, found, said) = store(&stores, &place, &["check"]);
    tokio::task::block_in_place(|| hdfs().start_datanode());
    assert!(
        code != Some(9) && code != Some(0) && found.is_empty() && said.contains("DataNode"),
        "{code:?} {found} {said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_datanode_stands_still() {
    let _alone = CALM.write().await;
    let (server, gate, job) = Stores::plain().with_a_job().await;
    let frozen = tokio::task::block_in_place(|| hdfs().freeze_datanode());
    is_refused(&upload(&server, "late").await, &["store-unavailable"]);
    // Other DataNodes are asked for after a third of the deadline, and again, but all of that has one.
    let log = std::fs::read_to_string(server.place().path("server.log")).unwrap();
    assert!(log.contains("did not take a part of a file within store.hdfs.deadline (3s)"), "{log}");
    says_what_is_away(&server, "binaries").await;
    drop(frozen);
    gate.open();
    recovers(&server, &job).await;
    takes_uploads(&server).await;
    server.reset().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_is_killed_during_an_upload_and_the_next_one_removes_what_it_left() {
    let _calm = CALM.read().await;
    let stores = Stores::plain();
    let server = stores.start(Place::new());
    let begin = Bytes::from([jobs(), vec![b'x'; 3 << 20]].concat());
    let body = stream::iter([Ok::<_, std::io::Error>(begin)]).chain(stream::pending());
    let request = server.request(Method::POST, "/binaries/cut").header("content-type", WHEEL);
    let upload = tokio::spawn(request.body(Body::wrap_stream(body)).send());
    eventually("the first part", || async { unfinished(&stores).await == 1 }).await;
    server.signal(Signal::KILL);
    let (_, place) = server.end().await;
    assert!(upload.await.unwrap().is_err());
    assert_eq!(unfinished(&stores).await, 1);
    let server = stores.start(place);
    eventually("nothing to be left", || async { unfinished(&stores).await == 0 }).await;
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
}

/// Uploads that have a file in HDFS.
async fn unfinished(stores: &Stores) -> usize {
    let client = ClientBuilder::new().with_url(hdfs().url()).build().unwrap();
    client.list_status(&format!("{}/tmp", stores.path), true).await.map_or(0, |found| found.len())
}
