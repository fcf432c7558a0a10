//! GET /jobs/ID, and waiting for a job's end with it.

use serde_json::json;

use crate::fixture::{Server, eventually, has_cause};

#[tokio::test]
async fn a_job_from_its_start_to_its_result() {
    let server = Server::with_context(&[]).await;
    let gate = server.gate("gate");
    let path = "/jobs?appName=jobs&classPath=jobs.Waits&context=c";
    let started = server.post(path, gate.config()).await.json(202);
    let context = server.get("/contexts/c").await.json(200);
    let expected = json!({
        "jobId": started["jobId"], "startTime": started["startTime"], "classPath": "jobs.Waits", "context": "c",
        "contextId": context["id"], "duration": "Job not done yet", "status": "STARTED",
    });
    assert_eq!(started, expected);
    gate.reached().await;
    let id = started["jobId"].as_str().unwrap();
    let path = format!("/jobs/{id}");
    eventually("RUNNING", || async { server.get(&path).await.json(200)["status"] == "RUNNING" }).await;
    gate.open();
    let ended = server.ended(id).await;
    let expected = json!({
        "jobId": id, "startTime": started["startTime"], "classPath": "jobs.Waits", "context": "c",
        "contextId": context["id"], "duration": ended["duration"], "status": "FINISHED", "result": "went on",
    });
    assert_eq!(ended, expected);
    let seconds: f64 = ended["duration"].as_str().unwrap().strip_suffix(" secs").unwrap().parse().unwrap();
    assert!(seconds > 0.0, "{ended}");
    assert_eq!(server.get(&path).await.json(200), ended);
}

#[tokio::test]
async fn a_job_that_failed_tells_why() {
    let server = Server::with_context(&[]).await;
    let job = server.ended(&server.job("Fails", &json!({})).await).await;
    assert_eq!(job["status"], "ERROR");
    has_cause(&job["result"], "not today");
    assert!(job["result"]["errorClass"].as_str().unwrap().contains("ValueError"), "{job}");
    assert!(job["result"]["stack"].as_str().unwrap().contains("jobs.py"), "{job}");
}

#[tokio::test]
async fn a_job_that_refuses_its_input_tells_all_problems() {
    let server = Server::with_context(&[]).await;
    let job = server.ended(&server.job("Refuses", &json!({})).await).await;
    assert_eq!(job["status"], "ERROR");
    has_cause(&job["result"], "too little");
    has_cause(&job["result"], "too late");
}

#[tokio::test]
async fn unknown_job() {
    let server = Server::start();
    server.get("/jobs/no%20job").await.refuses(404, "No such job ID no job");
    server.get("/jobs/no%20job?wait=60s").await.refuses(404, "No such job ID no job");
}

#[tokio::test]
async fn a_wait_answers_at_the_end() {
    let server = Server::with_context(&[]).await;
    let gate = server.gate("gate");
    let id = server.waiting(&gate).await;
    let open = async {
        assert_eq!(server.get(&format!("/jobs/{id}?wait=10ms")).await.json(200)["status"], "RUNNING");
        gate.open();
    };
    let (ended, ()) = tokio::join!(server.ended(&id), open);
    assert_eq!((&ended["status"], &ended["result"]), (&json!("FINISHED"), &json!("went on")));
}

#[tokio::test]
async fn a_wait_is_no_longer_than_is_allowed() {
    let server = Server::with_context(&["jobs.sync-timeout=\"1s\"", "jobs.max-wait=\"1s\""]).await;
    let gate = server.gate("gate");
    let id = server.waiting(&gate).await;
    assert_eq!(server.ended(&id).await["status"], "RUNNING");
    gate.open();
}

#[tokio::test]
async fn a_wait_is_a_duration() {
    let server = Server::start();
    let text = "The query parameter 'wait' was malformed:\n'soon' is not a duration like 30s or 500ms";
    server.get("/jobs/x?wait=soon").await.is_text(400, text);
}

#[tokio::test]
async fn a_large_result_stands_in_the_answer_like_a_small_one() {
    let server = Server::with_context(&["jobs.inline-result-bytes=1000"]).await;
    let size = 3_000_000;
    let id = server.job("Large", &json!({"size": size})).await;
    let ended = server.ended(&id).await;
    assert!(ended["result"] == "x".repeat(size));
    let list = server.get("/jobs").await.json(200);
    assert_eq!(list[0].get("result"), None);
}

#[tokio::test]
async fn a_result_beyond_the_limit_is_an_error() {
    let server = Server::with_context(&["jobs.inline-result-bytes=1000", "jobs.max-result-bytes=2000"]).await;
    let job = server.ended(&server.job("Large", &json!({"size": 2000})).await).await;
    assert_eq!(job["status"], "ERROR", "{job}");
    has_cause(&job["result"], "2000");
}
