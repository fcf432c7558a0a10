//! Jobs under a key: submitted once, and waited for by whoever asks again.

use reqwest::Method;
use serde_json::json;

use super::{again, is_replayed, keyed, reused, send};
use crate::fixture::{Reply, Server, eventually};

const PATH: &str = "/jobs?appName=jobs&classPath=jobs.Waits&context=c";

async fn number_of_jobs(server: &Server) -> usize {
    server.get("/jobs").await.json(200).as_array().unwrap().len()
}

#[tokio::test]
async fn a_submission_repeated_answers_the_same_job_as_it_is_now() {
    let server = Server::with_context(&[]).await;
    let gate = server.gate("gate");
    let body = gate.config().to_string();
    let first = send(&server, Method::POST, PATH, "k", body.clone()).await.json(202);
    assert_eq!(first["status"], "STARTED");
    gate.reached().await;
    let second = send(&server, Method::POST, PATH, "k", body.clone()).await;
    assert!(is_replayed(&second));
    assert_eq!(second.json(202)["jobId"], first["jobId"]);
    reused(&send(&server, Method::POST, PATH, "k", "{}").await);
    reused(&send(&server, Method::POST, &format!("{PATH}&callbackUrl=http://h/"), "k", body.clone()).await);
    gate.open();
    server.ended(first["jobId"].as_str().unwrap()).await;
    let third = send(&server, Method::POST, PATH, "k", format!(" {body}\n")).await.json(202);
    assert_eq!((&third["jobId"], &third["status"]), (&first["jobId"], &json!("FINISHED")));
    assert_eq!(number_of_jobs(&server).await, 1);
}

#[tokio::test]
async fn who_lost_a_sync_job_waits_for_it_again_by_its_key() {
    let server = Server::with_context(&[]).await;
    let gate = server.gate("gate");
    let path = format!("{PATH}&sync=true&timeout=60");
    let request = keyed(&server, Method::POST, &path, "k").body(gate.config().to_string());
    let first = tokio::spawn(Reply::to(request.try_clone().unwrap()));
    gate.reached().await;
    let short =
        send(&server, Method::POST, &format!("{PATH}&sync=true&timeout=1"), "k", gate.config().to_string()).await;
    short.fails(500, "ERROR", "Request timed out.");
    first.abort();
    let again = tokio::spawn(Reply::to(request.try_clone().unwrap()));
    gate.open();
    let answer = again.await.unwrap();
    assert_eq!(answer.json(200)["result"], "went on");
    assert!(is_replayed(&answer));
    let after = Reply::to(request).await;
    assert_eq!(after.json(200), answer.json(200));
    assert_eq!(number_of_jobs(&server).await, 1);
}

#[tokio::test]
async fn a_sync_failure_and_a_large_result_are_answered_again() {
    let server = Server::with_context(&["jobs.inline-result-bytes=1000"]).await;
    for (class, body) in [("Fails", "{}"), ("Refuses", "{}"), ("Large", "size = 1000000")] {
        let path = format!("/jobs?appName=jobs&classPath=jobs.{class}&context=c&sync=true&timeout=60");
        let first = send(&server, Method::POST, &path, class, body).await;
        again(&first, &send(&server, Method::POST, &path, class, body).await);
    }
    assert_eq!(number_of_jobs(&server).await, 3);
}

#[tokio::test]
async fn without_room_nothing_is_remembered() {
    let server = Server::with_context(&["jobs.max-per-context=1"]).await;
    let (gate, next) = (server.gate("gate"), server.gate("next"));
    let id = server.waiting(&gate).await;
    let body = next.config().to_string();
    assert_eq!(send(&server, Method::POST, PATH, "k", body.clone()).await.json(503)["status"], "NO SLOTS AVAILABLE");
    gate.open();
    server.ended(&id).await;
    let job = send(&server, Method::POST, PATH, "k", body).await;
    assert!(!is_replayed(&job));
    next.open();
    server.ended(job.json(202)["jobId"].as_str().unwrap()).await;
}

#[tokio::test]
async fn a_job_with_a_context_of_its_own_has_one_context() {
    let server = Server::with_context(&[]).await;
    let path = "/jobs?appName=jobs&classPath=jobs.Echo&sync=true&timeout=60";
    let first = send(&server, Method::POST, path, "k", "a = 1").await;
    assert_eq!(first.json(200)["result"], json!({"a": 1}));
    again(&first, &send(&server, Method::POST, path, "k", "a = 1").await);
    eventually("only the other context", || async { server.get("/contexts").await.json(200) == json!(["c"]) }).await;
    assert_eq!(number_of_jobs(&server).await, 1);
}
