//! `/v1/jobs/<id>/logs` of attempts that were lost: what a job wrote is there, whatever was killed.

use futures::StreamExt;
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::fixture::{Gate, Place, Server, WHEEL, eventually, fixed_port, jobs, within};

const QUICK: [&str; 2] = ["contexts.restart-backoff=\"100ms\"", "jobs.retry-backoff=\"100ms\""];

async fn log(server: &Server, id: &str, query: &str) -> String {
    let reply = server.get(&format!("/v1/jobs/{id}/logs{query}")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.text().to_owned()
}

async fn until_written(server: &Server, id: &str, text: &str) {
    eventually(text, || async { log(server, id, "").await == text }).await;
}

/// A job that has written which try it is.
async fn recounting(server: &Server, gate: &Gate, more: &str) -> String {
    let id = server.job_with("Recounts", &gate.config(), more).await;
    until_written(server, &id, "try 1\n").await;
    id
}

async fn supervised(query: &str) -> Server {
    let server = Server::with(&QUICK);
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    server.post(&format!("/contexts/c?supervise=true{query}"), "").await.says(200, "SUCCESS", "Context initialized");
    server
}

async fn becomes(server: &Server, id: &str, state: &str) -> Value {
    let path = format!("/v1/jobs/{id}");
    eventually(state, || async { server.get(&path).await.value()["status"] == state }).await;
    server.get(&path).await.json(200)
}

#[tokio::test]
async fn a_job_whose_shim_is_killed_ends_in_error_with_its_log() {
    let server = Server::with_context(&[]).await;
    let (gate, silent) = (server.gate("gate"), server.gate("silent"));
    let id = recounting(&server, &gate, "").await;
    let without = server.waiting(&silent).await;
    server.place().driver().kill_shim();
    assert_eq!(server.ended(&id).await["status"], "ERROR");
    let path = format!("/v1/jobs/{id}/logs");
    let reply = server.get(&path).await;
    assert_eq!((reply.text(), reply.header("doyen-job-attempt")), ("try 1\n", "1"));
    assert_eq!(
        (log(&server, &id, "?attempt=1").await, log(&server, &without, "").await),
        ("try 1\n".into(), "".into())
    );
    assert_eq!(server.get(&format!("/v1/jobs/{id}")).await.json(200)["logBytes"], 6);
    server.get(&format!("{path}?attempt=2")).await.refuses(404, &format!("Job {id} has no attempt 2"));
    for wrong in ["0", "-1", "x", "4294967297"] {
        assert_eq!(server.get(&format!("{path}?attempt={wrong}")).await.status, 400, "{wrong}");
    }
    server.nothing_is_left().await;
}

#[tokio::test]
async fn a_job_that_is_killed_with_its_machine_ends_in_error_with_its_log() {
    let server = Server::with_context(&[]).await;
    let id = recounting(&server, &server.gate("gate"), "").await;
    server.signal(Signal::STOP);
    for process in server.place().processes() {
        doyen::runtime::processes::signal(process, Signal::KILL);
    }
    let (_, place) = server.end().await;
    eventually("an end of everything", || async { place.processes().is_empty() }).await;
    let server = Server::at(place, "127.0.0.1:0", &[]);
    assert_eq!(server.ended(&id).await["status"], "ERROR");
    assert_eq!(log(&server, &id, "").await, "try 1\n");
    server.nothing_is_left().await;
}

#[tokio::test]
async fn a_driver_that_ended_without_a_server_leaves_the_log_to_the_next() {
    let listen = format!("127.0.0.1:{}", fixed_port());
    let settings = ["contexts.orphan-timeout=\"10s\"", "contexts.fence-wait=\"11s\""];
    let server = Server::at(Place::new(), &listen, &settings);
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    server.open("c").await;
    let id = recounting(&server, &server.gate("gate"), "").await;
    server.signal(Signal::KILL);
    let (_, place) = server.end().await;
    eventually("an end of the driver", || async { place.processes().is_empty() }).await;
    let server = Server::at(place, &listen, &settings);
    let ended = server.ended(&id).await;
    assert_eq!(ended["status"], "ERROR");
    let told =
        "the driver's process is gone: it ended itself, as no server was reached for 10 s (contexts.orphan-timeout)";
    assert!(ended.to_string().contains(told), "{ended}");
    assert_eq!(log(&server, &id, "").await, "try 1\n");
    server.nothing_is_left().await;
}

#[tokio::test]
async fn while_a_job_waits_for_its_retry_and_afterwards_the_log_of_its_lost_attempt_is_there() {
    for kill in [crate::fixture::Driver::kill_shim, crate::fixture::Driver::kill_main] {
        let listen = format!("127.0.0.1:{}", fixed_port());
        let server = Server::at(Place::new(), &listen, &QUICK);
        server.upload("jobs", WHEEL, jobs()).await.is_success(201);
        server.post("/contexts/c?supervise=true&restart-backoff=5m", "").await.json(200);
        let gate = server.gate("gate");
        let id = recounting(&server, &gate, "&retries=1").await;
        kill(&server.place().driver());
        let waits = becomes(&server, &id, "RESTARTING").await;
        let attempt = &waits["attempts"][0];
        assert_eq!((&attempt["number"], &attempt["logBytes"]), (&json!(1), &json!(6)), "{waits}");
        for (query, text) in [("", "try 1\n"), ("?attempt=1", "try 1\n"), ("?attempt=2", "")] {
            assert_eq!(log(&server, &id, query).await, text, "{query}");
        }
        server.signal(Signal::KILL);
        let (_, place) = server.end().await;
        // It need not wait for five minutes: a restart ends the backoff.
        let server = Server::at(place, &listen, &QUICK);
        until_written(&server, &id, "try 2\n").await;
        gate.let_pass("2");
        assert_eq!(server.ended(&id).await["result"], 2);
        for (query, text) in [("", "try 2\n"), ("?attempt=1", "try 1\n"), ("?attempt=2", "try 2\n")] {
            assert_eq!(log(&server, &id, query).await, text, "{query}");
        }
        eventually("one directory", || async { server.place().driver_directories().len() == 1 }).await;
    }
}

#[tokio::test]
async fn each_attempt_of_a_job_that_failed_by_itself_has_its_log() {
    let server = supervised("").await;
    let config = json!({"path": server.place().path("a"), "tries": 3, "dies": false});
    let id = server.job_with("Retried", &config, "&retries=5&retry-on=any").await;
    assert_eq!(server.ended(&id).await["result"], 3);
    for number in 1..=3 {
        assert_eq!(
            log(&server, &id, &format!("?attempt={number}")).await.lines().next(),
            Some(&*format!("try {number}"))
        );
    }
    let timeline = server.get(&format!("/v1/jobs/{id}/timeline")).await.json(200);
    let numbers: Vec<_> = timeline["attempts"].as_array().unwrap().iter().map(|a| a["number"].clone()).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert!(timeline["attempts"].as_array().unwrap().iter().all(|attempt| attempt["logBytes"].as_u64() > Some(0)));
}

#[tokio::test]
async fn a_reader_that_follows_sees_every_attempt_from_its_beginning_to_its_end() {
    let server = supervised("").await;
    let gate = server.gate("gate");
    let id = recounting(&server, &gate, "&retries=1").await;
    let follow = async |query: &str| {
        let request = server.request(Method::GET, &format!("/v1/jobs/{id}/logs?follow=true{query}"));
        request.send().await.unwrap().bytes_stream()
    };
    let (all, first) = (follow("").await, follow("&attempt=1").await);
    server.place().driver().kill_shim();
    until_written(&server, &id, "try 2\n").await;
    gate.let_pass("2");
    let text = async |stream: futures::stream::BoxStream<'static, _>| {
        let parts: Vec<Result<bytes::Bytes, reqwest::Error>> = within("the end", stream.collect()).await;
        parts.into_iter().map(|part| String::from_utf8(part.unwrap().to_vec()).unwrap()).collect::<String>()
    };
    assert_eq!(text(all.boxed()).await, "try 1\n\n[doyen: attempt 2]\ntry 2\n");
    assert_eq!(text(first.boxed()).await, "try 1\n");
}

#[tokio::test]
async fn a_job_that_is_killed_while_it_waits_for_its_retry_keeps_the_log_of_before() {
    let server = supervised("&restart-backoff=5m").await;
    let id = recounting(&server, &server.gate("gate"), "&retries=1").await;
    server.place().driver().kill_shim();
    becomes(&server, &id, "RESTARTING").await;
    assert_eq!(server.delete(&format!("/jobs/{id}")).await.json(200)["status"], "KILLED");
    assert_eq!((log(&server, &id, "").await, log(&server, &id, "?attempt=2").await), ("try 1\n".into(), "".into()));
    server.delete("/contexts/c").await.says(200, "SUCCESS", "Context stopped");
    server.nothing_is_left().await;
}

#[tokio::test]
async fn the_phases_of_a_job_that_was_lost_sum_to_its_time_and_so_do_those_of_its_attempt() {
    let server = supervised("").await;
    let gate = server.gate("gate");
    let id = recounting(&server, &gate, "&retries=1").await;
    server.place().driver().kill_shim();
    until_written(&server, &id, "try 2\n").await;
    gate.let_pass("2");
    server.ended(&id).await;
    let timeline = server.get(&format!("/v1/jobs/{id}/timeline")).await.json(200);
    let phases = |of: &Value| -> Vec<(String, u64)> {
        let phase = |phase: &Value| (phase["name"].as_str().unwrap().to_owned(), phase["us"].as_u64().unwrap());
        of["phases"].as_array().unwrap().iter().map(phase).collect()
    };
    let all = phases(&timeline);
    let [first, last] = &timeline["attempts"].as_array().unwrap()[..] else { panic!("{timeline}") };
    let earlier = all.iter().find(|(name, _)| name == "earlier-attempts").unwrap().1;
    assert_eq!((phases(first).iter().map(|(_, us)| us).sum::<u64>(), last.get("phases")), (earlier, None));
    assert!(first["driverPid"] != last["driverPid"] && first["driverPid"].as_u64().is_some(), "{timeline}");
    let ended = timeline["marks"].as_array().unwrap().last().unwrap()["us"].as_u64().unwrap();
    let sum: u64 = all.iter().filter(|(name, _)| name != "store" && name != "answer").map(|(_, us)| us).sum();
    // Spans are cut to the microsecond one by one.
    assert!(sum <= ended && ended - sum < 1000, "{sum} of {ended}: {timeline}");
}
