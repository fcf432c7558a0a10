//! DELETE /jobs/ID.

use doyen::runtime::processes;
use serde_json::json;

use crate::fixture::{Server, has_cause};

#[tokio::test]
async fn a_killed_job_is_gone_with_its_process() {
    let server = Server::with_context(&["jobs.max-per-context=1"]).await;
    let gate = server.gate("gate");
    let id = server.waiting(&gate).await;
    let process = gate.process();
    let path = format!("/jobs/{id}");
    assert_eq!(server.delete(&path).await.json(200), json!({"status": "KILLED"}));
    assert!(!processes::alive(process));
    let job = server.get(&path).await.json(200);
    assert_eq!(job["status"], "KILLED");
    has_cause(&job["result"], "");
    assert!(job["duration"].as_str().unwrap().ends_with(" secs"), "{job}");
    // Its place is free.
    server.sync("Echo", &json!({})).await.json(200);
    server.delete(&path).await.refuses(404, &format!("No running job with ID {id}"));
}

#[tokio::test]
async fn others_of_the_context_go_on() {
    let server = Server::with_context(&[]).await;
    let (one, two) = (server.gate("one"), server.gate("two"));
    let (killed, other) = (server.waiting(&one).await, server.waiting(&two).await);
    server.delete(&format!("/jobs/{killed}")).await.json(200);
    two.open();
    assert_eq!(server.ended(&other).await["result"], "went on");
}

#[tokio::test]
async fn a_job_is_killed_right_after_its_start() {
    let server = Server::with_context(&[]).await;
    let gate = server.gate("gate");
    let id = server.job("Waits", &gate.config()).await;
    assert_eq!(server.delete(&format!("/jobs/{id}")).await.json(200), json!({"status": "KILLED"}));
    assert_eq!(server.ended(&id).await["status"], "KILLED");
}

#[tokio::test]
async fn jobs_that_have_ended() {
    let server = Server::with_context(&[]).await;
    let finished = server.sync("Echo", &json!({})).await.json(200)["jobId"].as_str().unwrap().to_owned();
    server.delete(&format!("/jobs/{finished}")).await.refuses(404, &format!("No running job with ID {finished}"));
    let failed = server.sync("Fails", &json!({})).await.json(200)["jobId"].as_str().unwrap().to_owned();
    let reply = server.delete(&format!("/jobs/{failed}")).await.json(200);
    assert_eq!(reply, json!({"status": "ERROR", "ERROR": reply["ERROR"]}));
    has_cause(&reply["ERROR"], "not today");
    server.delete("/jobs/none").await.refuses(404, "No such job ID none");
}
