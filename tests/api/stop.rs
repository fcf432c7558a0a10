//! How a server stops, and what the next one on its data directory finds.

use doyen::runtime::processes;
use reqwest::Method;
use rustix::process::Signal;
use serde_json::json;

use crate::fixture::{Connection, Place, Reply, Server, WHEEL, eventually, fixed_port, jobs};

/// SIGTERM, and waits until the server acts on it.
async fn begin_to_stop(server: &Server) {
    server.signal(Signal::TERM);
    eventually("a stop", || async { server.get("/readyz").await.status == 503 }).await;
}

fn head(path: &str, more: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: localhost\r\n{more}\r\n\r\n")
}

#[tokio::test]
async fn a_request_under_way_is_answered_before_the_server_ends() {
    let server = Server::with_context(&["http.shutdown-grace=\"1m\""]).await;
    let gate = server.gate("gate");
    let path = "/jobs?appName=jobs&classPath=jobs.Waits&context=c&sync=true&timeout=60";
    let request = server.request(Method::POST, path).body(gate.config().to_string());
    let asked = tokio::spawn(request.send());
    gate.reached().await;
    begin_to_stop(&server).await;
    gate.open();
    let answer = asked.await.unwrap().unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert_eq!(status, 200, "{text}");
    assert!(text.ends_with("\"result\":\"went on\"}"), "{text}");
    let (code, _place) = server.end().await;
    assert_eq!(code, Some(0));
}

#[tokio::test]
async fn a_job_under_way_brings_its_log_while_the_server_stops() {
    let server = Server::with_context(&["http.shutdown-grace=\"1m\""]).await;
    let gate = server.gate("gate");
    let path = "/jobs?appName=jobs&classPath=jobs.Prints&context=c&sync=true&timeout=60";
    let asked = tokio::spawn(server.request(Method::POST, path).body(gate.config().to_string()).send());
    gate.reached().await;
    begin_to_stop(&server).await;
    gate.let_pass("one");
    gate.let_pass("two");
    let answer = asked.await.unwrap().unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["connection"].to_str().unwrap()), (200, "close"));
    let answer: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let (code, place) = server.end().await;
    assert_eq!(code, Some(0));
    let server = Server::at(place, "127.0.0.1:0", &[]);
    let log = server.get(&format!("/v1/jobs/{}/logs", answer["jobId"].as_str().unwrap())).await;
    log.is_text(200, "at the gate\nthrough door one\nthrough door two\n");
}

#[tokio::test]
async fn a_job_whose_body_comes_while_the_server_stops_gets_its_binary() {
    let server = Server::with_context(&["http.shutdown-grace=\"1m\""]).await;
    let (mut sync, mut create) = (Connection::to(&server).await, Connection::to(&server).await);
    // Those who wait for `100 Continue` hear when their request is being handled.
    let more = "connection: close\r\nexpect: 100-continue\r\ncontent-length: 2";
    let path = "/jobs?appName=jobs&classPath=jobs.Echo&context=c&sync=true&timeout=60";
    sync.send(head(path, more)).await;
    create.send(head("/contexts/late", more)).await;
    for connection in [&mut sync, &mut create] {
        assert!(connection.answer().await.starts_with("HTTP/1.1 100 "));
    }
    begin_to_stop(&server).await;
    sync.send("{}").await;
    let answer = sync.rest().await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\"result\":{}}"), "{answer}");
    // Its driver attaches only now.
    create.send("{}").await;
    let answer = create.rest().await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let (code, _place) = server.end().await;
    assert_eq!(code, Some(0));
}

#[tokio::test]
async fn who_comes_during_a_stop_is_sent_away_and_probes_are_answered() {
    let server = Server::with_context(&["http.shutdown-grace=\"10m\""]).await;
    let gate = server.gate("gate");
    let path = "/jobs?appName=jobs&classPath=jobs.Waits&context=c&sync=true&timeout=60";
    let asked = tokio::spawn(server.request(Method::POST, path).body(gate.config().to_string()).send());
    gate.reached().await;
    let mut idle = Connection::to(&server).await;
    idle.send("GET /ping HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    idle.answer().await;
    begin_to_stop(&server).await;
    let refused = server.get("/jobs").await;
    refused.refuses(503, "The server is stopping");
    assert_eq!(refused.header("doyen-error"), "stopping");
    assert_eq!((refused.header("retry-after"), refused.header("connection")), ("5", "close"));
    server.post("/contexts/d", "").await.refuses(503, "The server is stopping");
    server.get("/readyz").await.refuses(503, "the server is stopping");
    server.get("/ping").await.is_text(200, "pong");
    server.get("/healthz").await.is_success(200);
    assert_eq!(server.get("/metrics").await.status, 200);
    gate.open();
    assert_eq!(asked.await.unwrap().unwrap().status(), 200);
    // Neither the connection at rest nor one on which nothing was asked is waited for.
    let (code, _place) = server.end().await;
    assert_eq!((code, idle.rest().await.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn a_stop_does_not_wait_for_those_who_wait_for_a_job_or_follow_its_log() {
    let server = Server::with_context(&["http.shutdown-grace=\"10m\"", "http.max-requests=1"]).await;
    let gate = server.gate("gate");
    let id = server.waiting(&gate).await;
    let follow = server.request(Method::GET, &format!("/v1/jobs/{id}/logs?follow=true")).send().await.unwrap();
    let wait = server.request(Method::GET, &format!("/jobs/{id}?wait=10m"));
    let waiting = tokio::spawn(Reply::not_busy(wait));
    eventually("a request at work", || async { server.get("/jobs").await.status == 503 }).await;
    server.signal(Signal::TERM);
    // Not a clean end, which would say that the log is whole.
    assert!(follow.text().await.is_err());
    assert_eq!(waiting.await.unwrap().json(200)["status"], "RUNNING");
    let (code, _place) = server.end().await;
    assert_eq!(code, Some(0));
}

#[tokio::test]
async fn a_context_and_its_running_job_outlive_the_server() {
    let listen = format!("127.0.0.1:{}", fixed_port());
    let server = Server::at(Place::new(), &listen, &[]);
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    server.open("c").await;
    let (gate, early) = (server.gate("gate"), server.gate("early"));
    let (id, ended) = (server.waiting(&gate).await, server.waiting(&early).await);
    let before = server.get("/contexts/c").await.json(200);
    let process = gate.process();
    server.signal(Signal::TERM);
    let (code, place) = server.end().await;
    assert_eq!(code, Some(0));
    // One job ends while there is no server.
    early.open();
    assert!(processes::alive(process));

    let server = Server::at(place, &listen, &[]);
    eventually("the context", || async { server.get("/contexts").await.json(200) == json!(["c"]) }).await;
    assert_eq!(server.ended(&ended).await["result"], "went on");
    server.context_becomes("c", "RUNNING").await;
    assert_eq!(server.get("/contexts/c").await.json(200), before);
    assert!(processes::alive(process));
    server.sync("Echo", &json!({})).await.json(200);
    gate.open();
    assert_eq!(server.ended(&id).await["result"], "went on");
    server.delete("/contexts/c").await.says(200, "SUCCESS", "Context stopped");
}

#[tokio::test]
async fn after_a_crash_drivers_find_the_server_on_another_port() {
    let server = Server::with_context(&[]).await;
    let (gate, early) = (server.gate("gate"), server.gate("early"));
    let (id, ended) = (server.waiting(&gate).await, server.waiting(&early).await);
    let before = server.url.clone();
    server.signal(Signal::KILL);
    let (_, place) = server.end().await;
    early.open();
    // Taken, so that the next server is elsewhere.
    let _taken = std::net::TcpListener::bind(before.strip_prefix("http://").unwrap());
    let server = Server::at(place, "127.0.0.1:0", &[]);
    assert_ne!(server.url, before);
    assert_eq!(server.ended(&ended).await["result"], "went on");
    server.sync("Echo", &json!({})).await.json(200);
    gate.open();
    assert_eq!(server.ended(&id).await["result"], "went on");
    server.delete("/contexts/c").await.says(200, "SUCCESS", "Context stopped");
}

#[tokio::test]
async fn a_context_whose_driver_does_not_come_back_is_stopped_without_it() {
    for (settings, query) in [(["contexts.stop-grace=\"10m\""], "?force=true"), (["contexts.stop-grace=\"0s\""], "")] {
        let server = Server::with_context(&[]).await;
        let gate = server.gate("gate");
        let id = server.waiting(&gate).await;
        server.signal(Signal::KILL);
        let (_, place) = server.end().await;
        let driver_and_shim = place.processes();
        for process in &driver_and_shim {
            processes::signal(*process, Signal::STOP);
        }
        // Less than what drivers get that are told to stop.
        let server = Server::at(place, "127.0.0.1:0", &[settings[0], "contexts.stop-wait=\"10s\""]);
        server.delete(&format!("/contexts/c{query}")).await.says(200, "SUCCESS", "Context stopped");
        assert!(!driver_and_shim.into_iter().any(processes::alive));
        assert_eq!(server.ended(&id).await["status"], "ERROR");
    }
}

#[tokio::test]
async fn what_was_stored_is_there_after_a_kill_of_the_server() {
    let server = Server::with_context(&[]).await;
    let job = server.sync("Echo", &json!({"a": 1})).await.json(200)["jobId"].as_str().unwrap().to_owned();
    let binaries = server.get("/binaries").await.json(200);
    server.reset().await;
    server.signal(Signal::KILL);
    let (_, place) = server.end().await;
    let server = Server::at(place, "127.0.0.1:0", &[]);
    assert_eq!(server.get("/binaries").await.json(200), binaries);
    assert_eq!(server.get(&format!("/jobs/{job}")).await.json(200)["result"], json!({"a": 1}));
    assert_eq!(server.get(&format!("/jobs/{job}/config")).await.json(200), json!({"a": 1}));
    assert_eq!(server.get("/contexts/c").await.json(200)["state"], "FINISHED");
}

#[tokio::test]
async fn ctrl_c_stops_the_drivers_too() {
    let server = Server::with_context(&[]).await;
    let gate = server.gate("gate");
    server.waiting(&gate).await;
    server.signal(Signal::INT);
    let (code, place) = server.end().await;
    assert_eq!(code, Some(0));
    place.assert_nothing_is_left();
    let server = Server::at(place, "127.0.0.1:0", &[]);
    assert_eq!(server.get("/contexts/c").await.json(200)["state"], "FINISHED");
    assert_eq!(server.get("/jobs").await.json(200)[0]["status"], "ERROR");
}

#[test]
fn two_servers_on_one_data_directory() {
    let server = Server::start();
    let refused = server.place().refused("127.0.0.1:0");
    let text = String::from_utf8(refused.stderr).unwrap();
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(66), 0), "{text}");
    assert!(text.contains("hint: stop that server, or choose another directory with --data-dir"), "{text}");
}

#[test]
fn an_address_that_is_taken() {
    let server = Server::start();
    let refused = Place::new().refused(server.address());
    let text = String::from_utf8(refused.stderr).unwrap();
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(65), 0), "{text}");
    assert!(text.contains(&format!("cannot listen on {}: ", server.address())), "{text}");
    assert!(text.contains("hint: stop what listens there, or choose another address with --http"), "{text}");
}
