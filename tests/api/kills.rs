//! What was killed, and what is true afterwards: states, reasons, and that no process and no file is left.

use std::time::Duration;

use doyen::runtime::processes;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::fixture::{Gate, Place, Server, WHEEL, eventually, fixed_port, has_cause, jobs};

/// A server with a job at its gate.
async fn with_a_job() -> (Server, Gate, String) {
    let server = Server::with_context(&[]).await;
    let gate = server.gate("gate");
    let id = server.waiting(&gate).await;
    (server, gate, id)
}

async fn both_failed(server: &Server, id: &str, reason: &str) {
    let job = server.ended(id).await;
    assert_eq!(job["status"], "ERROR");
    has_cause(&job["result"], reason);
    server.context_becomes("c", "ERROR").await;
    let context = server.get("/v1/contexts/c").await.json(200);
    assert!(context["failure"]["message"].as_str().unwrap().contains("the driver"), "{context}");
    server.nothing_is_left().await;
}

#[tokio::test]
async fn a_killed_driver_main() {
    let (server, _gate, id) = with_a_job().await;
    server.place().driver().kill_main();
    both_failed(&server, &id, "killed by signal 9").await;
}

#[tokio::test]
async fn a_killed_shim() {
    let (server, _gate, id) = with_a_job().await;
    server.place().driver().kill_shim();
    both_failed(&server, &id, "the driver's process is gone: its shim was killed by signal 9").await;
}

#[tokio::test]
async fn a_killed_worker_fails_its_job_alone() {
    let (server, gate, id) = with_a_job().await;
    let other = server.gate("other");
    let unharmed = server.waiting(&other).await;
    assert!(processes::signal(gate.process(), Signal::KILL));
    let job = server.ended(&id).await;
    assert_eq!(job["status"], "ERROR");
    has_cause(&job["result"], "signal 9");
    other.open();
    assert_eq!(server.ended(&unharmed).await["result"], "went on");
    server.delete("/contexts/c").await.says(200, "SUCCESS", "Context stopped");
    server.nothing_is_left().await;
}

#[tokio::test]
async fn everything_at_once_as_when_a_machine_dies() {
    let (server, _gate, id) = with_a_job().await;
    // The server first, so that it sees nothing of the rest.
    server.signal(Signal::STOP);
    for process in server.place().processes() {
        processes::signal(process, Signal::KILL);
    }
    let (_, place) = server.end().await;
    eventually("an end of everything", || async { place.processes().is_empty() }).await;
    assert_eq!(place.driver_directories().len(), 1);
    let server = Server::at(place, "127.0.0.1:0", &[]);
    both_failed(&server, &id, "the driver's process is gone").await;
}

#[tokio::test]
async fn a_killed_server_whose_jobs_end_before_and_after_the_next_one_is_there() {
    let listen = format!("127.0.0.1:{}", fixed_port());
    let server = Server::at(Place::new(), &listen, &[]);
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    server.open("c").await;
    let (early, late) = (server.gate("early"), server.gate("late"));
    let before = server.job("Prints", &early.config()).await;
    early.reached().await;
    let after = server.waiting(&late).await;
    server.signal(Signal::KILL);
    let (_, place) = server.end().await;
    early.let_pass("one");
    early.let_pass("two");
    let server = Server::at(place, &listen, &[]);
    let ended = server.ended(&before).await;
    assert_eq!((&ended["status"], &ended["result"]), (&json!("FINISHED"), &Value::Null));
    let log = server.get(&format!("/v1/jobs/{before}/logs")).await;
    assert_eq!(log.text(), "at the gate\nthrough door one\nthrough door two\n");
    late.open();
    assert_eq!(server.ended(&after).await["result"], "went on");
    server.delete("/contexts/c").await.says(200, "SUCCESS", "Context stopped");
    server.nothing_is_left().await;
}

#[tokio::test]
async fn a_server_that_is_frozen_for_longer_than_a_silent_peer_is_borne() {
    let (server, gate, id) = with_a_job().await;
    let ended = server.gate("ended");
    let while_frozen = server.waiting(&ended).await;
    server.signal(Signal::STOP);
    ended.open();
    // Longer than the 15 s after which a silent peer is dropped.
    tokio::time::sleep(Duration::from_secs(20)).await;
    server.signal(Signal::CONT);
    assert_eq!(server.ended(&while_frozen).await["result"], "went on");
    server.context_becomes("c", "RUNNING").await;
    gate.open();
    assert_eq!(server.ended(&id).await["result"], "went on");
    assert_eq!(server.get("/v1/contexts/c").await.json(200)["attempt"], 1);
}

#[tokio::test]
async fn a_shim_that_is_frozen_is_given_up_after_the_fence_wait() {
    let server = Server::with_context(&["contexts.orphan-timeout=\"10s\"", "contexts.fence-wait=\"11s\""]).await;
    let gate = server.gate("gate");
    let id = server.waiting(&gate).await;
    // Its connection is dropped after 15 s of silence.
    processes::signal(server.place().driver().shim, Signal::STOP);
    both_failed(&server, &id, "the driver did not come back within contexts.fence-wait").await;
}

#[tokio::test]
async fn what_a_launch_left_that_no_server_recorded_is_swept_at_the_next_start() {
    let server = Server::with_context(&[]).await;
    let shim = server.place().driver().shim;
    server.signal(Signal::KILL);
    let (_, place) = server.end().await;
    // As if the context's record said nothing of this directory: it is that of another attempt.
    let drivers = place.path("data/drivers");
    let [name] = &place.driver_directories()[..] else { panic!("one directory") };
    let other = drivers.join(name.replace("-1", "-7"));
    std::fs::create_dir(&other).unwrap();
    let mut stray = std::process::Command::new("sleep");
    let mut stray = stray.arg("600").env("DOYEN_DRIVER_DIR", other.join("work")).spawn().unwrap();
    let server = Server::at(place, "127.0.0.1:0", &[]);
    assert!(!stray.wait().unwrap().success());
    assert!(!other.exists());
    assert!(processes::alive(shim), "the known driver is left alone");
    server.put("/contexts?reset=reboot").await;
}
