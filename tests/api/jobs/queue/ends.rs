//! Jobs that end while they wait.

use serde_json::json;

use super::{Notes, at, id, queue, shown};
use crate::fixture::{Server, WHEEL, has_cause, jobs};

#[tokio::test]
async fn a_job_that_waits_is_killed_at_once() {
    let server = Server::with_context(&["jobs.max-per-context=1"]).await;
    let (gate, notes) = (server.gate("gate"), Notes::new(&server));
    server.waiting(&gate).await;
    let (killed, next) = (queue(&server, &notes, "1", "").await, queue(&server, &notes, "2", "").await);
    let path = format!("/jobs/{}", id(&killed));
    assert_eq!(server.delete(&path).await.json(200), json!({"status": "KILLED"}));
    let killed = shown(&server, &id(&killed)).await;
    assert_eq!((&killed["status"], killed.get("queue")), (&json!("KILLED"), None));
    assert_eq!(server.delete(&path).await.status, 404);
    assert_eq!(shown(&server, &id(&next)).await["queue"], at(1, 0));
    gate.open();
    assert_eq!(server.ended(&id(&next)).await["status"], "FINISHED");
    assert_eq!(notes.lines(), ["2"]);
}

#[tokio::test]
async fn jobs_that_wait_end_with_their_context() {
    for force in ["", "?force=true"] {
        let server = Server::with_context(&["jobs.max-per-context=1", "contexts.stop-grace=\"1m\""]).await;
        let (gate, notes) = (server.gate("gate"), Notes::new(&server));
        server.waiting(&gate).await;
        let waiting = [queue(&server, &notes, "1", "").await, queue(&server, &notes, "2", "").await];
        let stop = async { server.delete(&format!("/contexts/c{force}")).await };
        let ended = async {
            for job in &waiting {
                let job = server.ended(&id(job)).await;
                assert_eq!(job["status"], "ERROR");
                has_cause(&job["result"], "Context (c) for this job was terminated");
            }
            gate.open();
        };
        let (stopped, ()) = tokio::join!(stop, ended);
        stopped.says(200, "SUCCESS", "Context stopped");
        assert_eq!(notes.lines(), [""; 0]);
    }
}

#[tokio::test]
async fn a_binary_that_a_waiting_job_uses_is_not_deleted() {
    let server = Server::with_context(&["jobs.max-per-context=1"]).await;
    server.upload("other", WHEEL, jobs()).await.is_success(201);
    let gate = server.gate("gate");
    server.waiting(&gate).await;
    let job = server.post("/jobs?appName=other&classPath=jobs.Echo&context=c&queue=true", "").await.json(202);
    let refused = server.delete("/binaries/other").await;
    refused.refuses(403, &format!("Binary is in use by job(s): {}", id(&job)));
    server.delete(&format!("/jobs/{}", id(&job))).await.json(200);
    server.delete("/binaries/other").await.is_success(200);
    gate.open();
}

#[tokio::test]
async fn the_log_of_a_job_that_waits_is_empty() {
    let server = Server::with_context(&["jobs.max-per-context=1"]).await;
    let (gate, notes) = (server.gate("gate"), Notes::new(&server));
    server.waiting(&gate).await;
    let waiting = id(&queue(&server, &notes, "1", "").await);
    assert_eq!(server.get(&format!("/v1/jobs/{waiting}/logs")).await.text(), "");
    assert_eq!(server.get(&format!("/jobs/{waiting}/config")).await.json(200)["line"], "1");
    gate.open();
}
