//! A wall clock that steps an hour back and forth, for the server and all that it starts.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::fixture::{Place, Server, WHEEL, eventually, fixed_port, jobs};
use crate::servers::zookeeper::Ensemble;

const HOUR: i64 = 3600;

/// A place whose clock is off by what is written into the file, in seconds.
fn place_with_a_clock() -> (Place, std::path::PathBuf) {
    let mut place = Place::new();
    let (library, file) = (place.path("clock.so"), place.path("off-by"));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api/clock.c");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).status();
    assert!(built.expect("this test needs cc, as building Rust does").success());
    step(&file, 0);
    place.set("LD_PRELOAD", library);
    place.set("CLOCK_OFF_BY", file.clone());
    (place, file)
}

/// Whole or not at all, for those who read it at this moment.
fn step(file: &Path, seconds: i64) {
    let new = file.with_extension("new");
    std::fs::write(&new, seconds.to_string()).unwrap();
    std::fs::rename(new, file).unwrap();
}

async fn seconds_of(server: &Server, name: &str) -> i64 {
    let start = server.get(&format!("/contexts/{name}")).await.json(200)["startTime"].as_str().unwrap().to_owned();
    start.parse::<jiff::Timestamp>().unwrap().as_second()
}

#[tokio::test]
async fn neither_jobs_nor_contexts_nor_drivers_end_when_the_clock_steps() {
    let (place, clock) = place_with_a_clock();
    let listen = format!("127.0.0.1:{}", fixed_port());
    let settings = [
        "contexts.idle-timeout=\"30m\"",
        "contexts.max-lifetime=\"30m\"",
        "contexts.supervise=true",
        "contexts.orphan-timeout=\"20m\"",
        "contexts.fence-wait=\"25m\"",
        "jobs.retry-backoff=\"100ms\"",
    ];
    let server = Server::at(place, &listen, &settings);
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    server.open("c").await;
    server.open("idle").await;
    let gate = server.gate("gate");
    let id = server.waiting(&gate).await;
    for off in [HOUR, -HOUR, 0, -HOUR, HOUR] {
        step(&clock, off);
        // Longer than the ticks of the server (0.5 s); what is due by a wrong clock happens in it.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        server.sync("Echo", &json!({"off": off})).await.json(200);
    }
    assert!(
        seconds_of(&server, "c").await + HOUR / 2 < {
            server.open("later").await;
            seconds_of(&server, "later").await
        }
    );
    // A server that begins in another hour, and a retry that waits across a step.
    step(&clock, -HOUR);
    server.signal(Signal::KILL);
    let (_, place) = server.end().await;
    let server = Server::at(place, &listen, &settings);
    eventually("the contexts", || async { server.get("/contexts").await.json(200).as_array().unwrap().len() == 3 })
        .await;
    let tries = json!({"path": server.place().path("tries"), "tries": 2});
    let retried = server.job_with("Retried", &tries, "&retries=1&retry-on=any&retry-backoff=2s").await;
    eventually("RESTARTING", || async {
        server.get(&format!("/jobs/{retried}")).await.value()["status"] == "RESTARTING"
    })
    .await;
    step(&clock, -2 * HOUR);
    assert_eq!(server.ended(&retried).await["result"], 2);
    gate.open();
    let job = server.ended(&id).await;
    assert_eq!(job["result"], "went on");
    // It ended before it began, as the clock has it; nobody is told of a negative time.
    assert_eq!(job["duration"], "0.0 secs");
    for name in ["c", "idle", "later"] {
        assert_eq!(server.get(&format!("/v1/contexts/{name}")).await.json(200)["attempt"], 1, "{name}");
        server.delete(&format!("/contexts/{name}")).await.says(200, "SUCCESS", "Context stopped");
    }
    server.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_differs_from_that_of_zookeeper_is_told_of() {
    let ensemble = Ensemble::start(1);
    let (place, clock) = place_with_a_clock();
    let servers = format!("zookeeper.servers={:?}", ensemble.addresses());
    let settings = ["store.metadata=\"zookeeper\"", &servers];
    let differs = |server: &Server| server.log().contains("clock differs from that of ZooKeeper");
    let server = Server::at(place, "127.0.0.1:0", &settings);
    server.open("c").await;
    assert!(!differs(&server), "{}", server.log());
    server.reset().await;
    step(&clock, -60);
    server.signal(Signal::TERM);
    let (_, place) = server.end().await;
    let server = Server::at(place, "127.0.0.1:0", &settings);
    eventually("a warning", || async { differs(&server) }).await;
    assert!(server.log().contains("\"ahead_ms\":-"), "{}", server.log());
}
