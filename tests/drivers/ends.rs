//! Kills and stops: no process is left.

use reqwest::StatusCode;
use rustix::process::{Pid, Signal, kill_process};

use crate::server::{Server, gone, is_alive};

#[tokio::test]
async fn a_killed_job_is_gone_with_what_it_started_and_the_context_goes_on() {
    let server = Server::start().await;
    server.open("c").await;
    let (job, pids) = server.hang("c").await;
    assert_eq!(pids.iter().filter(|pid| is_alive(**pid)).count(), 2);
    assert_eq!(server.delete(&format!("/jobs/{job}")).await.0, StatusCode::OK);
    gone(&pids).await;
    assert_eq!(server.ended(&job).await["status"], "KILLED");
    assert_eq!(server.run("c", "greet", "name = Ada").await["result"]["text"], "Hello, Ada");
    server.stop().await;
}

#[tokio::test]
async fn a_stopped_context_leaves_no_process() {
    let server = Server::start().await;
    let driver = server.open("c").await;
    let (job, pids) = server.hang("c").await;
    let (status, said) = server.delete("/contexts/c").await;
    assert_eq!(status, StatusCode::OK, "{said}");
    assert!(!is_alive(driver) && !pids.iter().any(|pid| is_alive(*pid)), "FINISHED means that all is gone");
    assert_eq!(server.get("/contexts/c").await["state"], "FINISHED");
    assert_eq!(server.get(&format!("/jobs/{job}")).await["status"], "ERROR", "no job of it runs, whoever looks");
    server.stop().await;
}

#[tokio::test]
async fn a_stop_with_grace_lets_a_job_end() {
    let server = Server::start_with(&["contexts.stop-grace=50s"]).await;
    let driver = server.open("c").await;
    let meeting = server.directory().join("meeting");
    std::fs::create_dir(&meeting).unwrap();
    let config = serde_json::json!({"directory": meeting, "count": 2, "own": "one"}).to_string();
    let job = server.submit("c", "meet", &config).await;
    server.first_line(&job).await;
    let stop = server.delete("/contexts/c");
    let last = async {
        while server.get("/contexts/c").await["state"] == "RUNNING" {}
        std::fs::write(meeting.join("two"), "").unwrap();
    };
    let ((status, said), ()) = tokio::join!(stop, last);
    assert_eq!(status, StatusCode::OK, "{said}");
    assert_eq!(server.ended(&job).await["status"], "FINISHED");
    gone(&[driver]).await;
    server.stop().await;
}

#[tokio::test]
async fn a_killed_driver_takes_its_jobs_along() {
    let server = Server::start().await;
    let driver = server.open("c").await;
    let (job, pids) = server.hang("c").await;
    kill_process(Pid::from_raw(driver.cast_signed()).unwrap(), Signal::KILL).unwrap();
    gone(&pids).await;
    assert_eq!(server.ended(&job).await["status"], "ERROR");
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_is_interrupted_leaves_no_process() {
    let server = Server::start().await;
    let driver = server.open("c").await;
    let (_, pids) = server.hang("c").await;
    server.stop().await;
    assert!(!is_alive(driver) && !pids.iter().any(|pid| is_alive(*pid)));
}
