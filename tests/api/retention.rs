//! Retention by the real server: what has had its time goes, what is used stays.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::Method;
use rustix::process::Signal;
use serde_json::json;

use crate::fixture::{Peer, Server, WHEEL, encoded, eventually, jobs, jobs_variant, status};

/// Passes all the time.
const QUICK: &str = "retention.interval=\"20ms\"";

/// Content goes as soon as a context that is lost would have been given up. What a pass takes is not counted: with many passes until
/// then it would take a busy machine a minute.
const CONTENT: [&str; 4] = [
    "retention.interval=\"200ms\"",
    "retention.unreferenced-age=\"12s\"",
    "contexts.fence-wait=\"11s\"",
    "contexts.orphan-timeout=\"10s\"",
];

fn quick(more: &[&'static str]) -> Vec<&'static str> {
    // A driver must not take a short silence for the end of all servers.
    let slow =
        [QUICK, "contexts.orphan-timeout=\"1m\"", "contexts.fence-wait=\"2m\"", "retention.unreferenced-age=\"3m\""];
    let content = more.contains(&"content");
    let base = if content { CONTENT.to_vec() } else { slow.to_vec() };
    base.into_iter().chain(more.iter().copied().filter(|setting| *setting != "content")).collect()
}

fn blobs(server: &Server) -> usize {
    let count = |directory: &Path| std::fs::read_dir(directory).map_or(0, Iterator::count);
    let directories = std::fs::read_dir(server.place().path("data/blobs")).unwrap();
    directories.map(|directory| count(&directory.unwrap().path())).sum()
}

async fn metric(server: &Server, name: &str) -> u64 {
    let text = server.get("/metrics").await.text().to_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

/// Whole passes that began after this call.
async fn passes(server: &Server, count: u64) {
    let before = metric(server, "doyen_retention_passes_total").await;
    eventually("passes of retention", || async {
        metric(server, "doyen_retention_passes_total").await > before + count
    })
    .await;
}

#[tokio::test]
async fn only_the_newest_jobs_are_kept_and_running_ones_always() {
    let server = Server::with_context(&quick(&["retention.jobs-count=3"])).await;
    let gate = server.gate("gate");
    let running = server.waiting(&gate).await;
    let mut ids = Vec::new();
    for n in 0..6 {
        ids.push(server.sync("Echo", &json!({"n": n})).await.json(200)["jobId"].as_str().unwrap().to_owned());
    }
    eventually("three jobs and the running one", || async {
        server.get("/jobs").await.json(200).as_array().unwrap().len() == 4
    })
    .await;
    for (n, id) in ids.iter().enumerate() {
        let expected = if n < 3 { 404 } else { 200 };
        for path in [format!("/jobs/{id}"), format!("/jobs/{id}/config"), format!("/v1/jobs/{id}/timeline")] {
            assert_eq!(server.get(&path).await.status, expected, "{path}");
        }
    }
    let finished = server.get("/jobs?status=finished").await.json(200);
    assert_eq!(finished.as_array().unwrap().len(), 3);
    assert!(metric(&server, "doyen_retention_removed_total{kind=\"jobs\"}").await >= 3);
    gate.open();
    assert_eq!(server.ended(&running).await["result"], "went on");
}

#[tokio::test]
async fn removed_jobs_are_events() {
    let server = Server::with_context(&quick(&["retention.jobs-age=\"0s\""])).await;
    let mut events = server.request(Method::GET, "/v1/events?types=job").send().await.unwrap();
    let id = server.sync("Echo", &json!({})).await.json(200)["jobId"].as_str().unwrap().to_owned();
    let expected = format!("event: removed\ndata: {{\"type\":\"job\",\"id\":\"{id}\"}}");
    let mut text = String::new();
    while !text.contains(&expected) {
        let part = crate::fixture::within("the removal", events.chunk()).await.unwrap().unwrap();
        text += std::str::from_utf8(&part).unwrap();
    }
}

#[tokio::test]
async fn replaced_binaries_go_and_what_is_uploaded_again_stays() {
    let server = Server::with(&quick(&["content"]));
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    for n in 0..5 {
        server.upload("jobs", WHEEL, jobs_variant(&n.to_string())).await.is_success(201);
    }
    eventually("one blob", || async { blobs(&server) == 1 }).await;
    eventually("five counted", || async {
        metric(&server, "doyen_retention_removed_total{kind=\"blobs\"}").await == 5
    })
    .await;
    assert!(metric(&server, "doyen_retention_removed_bytes_total").await > 0);
    // What was gone comes back with its upload.
    server.upload("again", WHEEL, jobs_variant("2")).await.is_success(201);
    passes(&server, 10).await;
    assert_eq!(blobs(&server), 2);
}

#[tokio::test]
async fn after_a_kill_content_that_nothing_refers_to_goes_and_the_rest_is_there() {
    let settings = quick(&["content"]);
    let server = Server::with(&quick(&[]));
    server.upload("kept", WHEEL, jobs_variant("kept")).await.is_success(201);
    server.upload("replaced", WHEEL, jobs_variant("old")).await.is_success(201);
    server.upload("replaced", WHEEL, jobs_variant("new")).await.is_success(201);
    server.signal(Signal::KILL);
    let (_, place) = server.end().await;
    let server = Server::at(place, "127.0.0.1:0", &settings);
    eventually("two blobs", || async { blobs(&server) == 2 }).await;
    passes(&server, 10).await;
    assert_eq!(blobs(&server), 2);
}

#[tokio::test]
async fn results_and_logs_stay_with_their_job_and_go_by_their_own_age() {
    let server = Server::with_context(&quick(&[])).await;
    let id =
        server.sync("Echo", &json!({"text": "x".repeat(100)})).await.json(200)["jobId"].as_str().unwrap().to_owned();
    passes(&server, 3).await;
    assert_eq!(server.get(&format!("/v1/jobs/{id}/result")).await.status, 200);
    server.put("/contexts?reset=reboot").await.says(200, "SUCCESS", "Context reset");
    server.signal(Signal::TERM);
    let (_, place) = server.end().await;
    let server = Server::at(place, "127.0.0.1:0", &quick(&["retention.results-age=\"0s\""]));
    eventually("no result", || async { server.get(&format!("/v1/jobs/{id}/result")).await.status == 404 }).await;
    let job = server.get(&format!("/jobs/{id}")).await.json(200);
    assert_eq!((&job["status"], job.get("result")), (&json!("FINISHED"), None));
}

#[tokio::test]
async fn a_callback_that_waits_keeps_its_job_and_its_result_until_it_is_delivered() {
    let mut settings = quick(&["retention.jobs-count=2", "retention.results-age=\"0s\"", "callbacks.attempts=10000"]);
    settings.extend(["callbacks.backoff=\"20ms\"", "callbacks.max-backoff=\"20ms\""]);
    let server = Server::with_context(&settings).await;
    let ready = Arc::new(AtomicBool::new(false));
    let is_ready = Arc::clone(&ready);
    let mut peer = Peer::playing(move |_| Some(status(if is_ready.load(Ordering::Relaxed) { 200 } else { 500 }))).await;
    let query = format!("&callbackUrl={}", encoded(&peer.url));
    let id = server.job_with("Echo", &json!({"a": 1}), &query).await;
    for n in 0..3 {
        server.sync("Echo", &json!({"n": n})).await.json(200);
    }
    passes(&server, 10).await;
    let callbacks = format!("/v1/jobs/{id}/callbacks");
    assert_eq!(server.get(&callbacks).await.json(200)["state"], "WAITING");
    ready.store(true, Ordering::Relaxed);
    let expected = json!({"jobId": id, "result": {"a": 1}});
    // Those before are taken from a channel that is bounded, so all have to be read.
    loop {
        let called = peer.called().await;
        assert_eq!(called.json(), expected);
        let reply = server.get(&callbacks).await;
        if reply.status == 404 || reply.text().contains("DELIVERED") {
            break;
        }
    }
    eventually("no such job", || async { server.get(&callbacks).await.status == 404 }).await;
}

#[tokio::test]
async fn a_callback_whose_result_is_no_longer_kept_is_not_replayed() {
    let server = Server::with_context(&quick(&["retention.results-age=\"0s\""])).await;
    let mut peer = Peer::start().await;
    let id = server.job_with("Echo", &json!({"a": 1}), &format!("&callbackUrl={}", encoded(&peer.url))).await;
    assert_eq!(peer.called().await.json()["result"], json!({"a": 1}));
    eventually("no result", || async { server.get(&format!("/jobs/{id}")).await.json(200).get("result").is_none() })
        .await;
    let refused = server.post(&format!("/v1/jobs/{id}/callbacks/replay"), "").await;
    refused.says(409, "ERROR", "The job's result is no longer kept");
    assert_eq!(server.get(&format!("/v1/jobs/{id}/callbacks")).await.json(200)["state"], "DELIVERED");
}

#[tokio::test]
async fn ended_contexts_and_unused_binaries_go() {
    let server = Server::with_context(&quick(&["retention.contexts-age=\"0s\""])).await;
    server.open("d").await;
    server.delete("/contexts/d").await.says(200, "SUCCESS", "Context stopped");
    eventually("no record of it", || async { server.get("/contexts/d").await.status == 404 }).await;
    assert_eq!(server.get("/contexts/c").await.json(200)["state"], "RUNNING");
    server.open("d").await;
    server.put("/contexts?reset=reboot").await.says(200, "SUCCESS", "Context reset");
    server.signal(Signal::TERM);
    let (_, place) = server.end().await;
    let server = Server::at(place, "127.0.0.1:0", &quick(&["retention.binaries-unused-age=\"0s\""]));
    eventually("no binary", || async { server.get("/binaries").await.json(200) == json!({}) }).await;
}
