//! DELETE /contexts/NAME.

use serde_json::json;

use crate::fixture::{Server, WHEEL, encoded, eventually, has_cause, jobs};

#[tokio::test]
async fn a_context_that_is_not_there() {
    let server = Server::start();
    server.delete("/contexts/c").await.refuses(404, "context c not found");
    server.open("c").await;
    server.delete("/contexts/c").await.says(200, "SUCCESS", "Context stopped");
    server.delete("/contexts/c").await.refuses(404, "context c not found");
}

#[tokio::test]
async fn its_processes_end_and_its_name_is_free_when_it_answers() {
    let server = Server::start();
    for _ in 0..2 {
        server.open("c").await;
        assert!(server.place().processes().len() > 1);
        server.delete("/contexts/c?force=true").await.says(200, "SUCCESS", "Context stopped");
        // The shim, which told the end, is the last.
        eventually("an end of all processes", || async { server.place().processes().len() == 1 }).await;
    }
}

#[tokio::test]
async fn its_jobs_end_with_it() {
    let server = Server::with_context(&[]).await;
    let gate = server.gate("gate");
    let id = server.waiting(&gate).await;
    let process = gate.process();
    server.delete("/contexts/c").await.says(200, "SUCCESS", "Context stopped");
    assert!(!doyen::runtime::processes::alive(process));
    let job = server.ended(&id).await;
    assert_eq!(job["status"], "ERROR");
    has_cause(&job["result"], "Context (c) for this job was terminated");
    server.post("/jobs?appName=jobs&classPath=jobs.Echo&context=c", "").await.refuses(404, "context c not found");
}

#[tokio::test]
async fn a_stop_that_takes_long_is_202_and_goes_on_while_the_job_gets_its_grace() {
    let server = Server::with(&["contexts.stop-grace=\"10m\"", "contexts.stop-wait=\"50ms\""]);
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    let path = format!("/contexts/{}", encoded("c"));
    server.open("c").await;
    let gate = server.gate("gate");
    let id = server.waiting(&gate).await;
    for _ in 0..2 {
        let reply = server.delete(&path).await;
        assert_eq!((reply.status, reply.header("location"), reply.text()), (202, "/contexts/c", ""));
    }
    assert_eq!(server.get(&path).await.json(200)["state"], "STOPPING");
    assert_eq!(server.get("/contexts").await.json(200), json!(["c"]));
    server.post(&path, "").await.refuses(400, "context c exists");
    let job = server.post("/jobs?appName=jobs&classPath=jobs.Echo&context=c", "").await;
    job.refuses(409, "Context stop in progress");
    gate.open();
    assert_eq!(server.ended(&id).await["result"], "went on");
    server.context_becomes("c", "FINISHED").await;
    server.open("c").await;
}

#[tokio::test]
async fn force_does_not_wait_for_jobs() {
    let server = Server::with_context(&["contexts.stop-grace=\"10m\""]).await;
    let gate = server.gate("gate");
    let id = server.waiting(&gate).await;
    server.delete("/contexts/c?force=true").await.says(200, "SUCCESS", "Context stopped");
    assert_eq!(server.ended(&id).await["status"], "ERROR");
}

#[tokio::test]
async fn force_is_a_boolean() {
    let server = Server::start();
    let text = "The query parameter 'force' was malformed:\n'maybe' is not a valid Boolean value";
    server.delete("/contexts/c?force=maybe").await.is_text(400, text);
}
