//! Who is next, and how that is told.

use serde_json::json;

use super::{Notes, at, id, queue, shown};
use crate::fixture::{Server, WHEEL, jobs};

#[tokio::test]
async fn the_higher_priority_first_then_the_order_of_submission() {
    let server = Server::with_context(&["jobs.max-per-context=1"]).await;
    let (gate, notes) = (server.gate("gate"), Notes::new(&server));
    server.waiting(&gate).await;
    let mut last = json!(null);
    for (line, more) in [("d", ""), ("b", "&priority=5"), ("e", ""), ("f", "&priority=-100"), ("c", "&priority=5")] {
        last = queue(&server, &notes, line, more).await;
    }
    let first = queue(&server, &notes, "a", "&priority=100").await;
    gate.open();
    for job in [&last, &first] {
        assert_eq!(server.ended(&id(job)).await["status"], "FINISHED");
    }
    crate::fixture::eventually("all to run", || async { notes.lines().len() == 6 }).await;
    assert_eq!(notes.lines(), ["a", "b", "c", "d", "e", "f"]);
}

#[tokio::test]
async fn the_position_is_told_wherever_the_job_is() {
    let server = Server::with_context(&["jobs.max-per-context=1"]).await;
    let (gate, notes) = (server.gate("gate"), Notes::new(&server));
    let running = server.waiting(&gate).await;
    let first = queue(&server, &notes, "1", "").await;
    let second = queue(&server, &notes, "2", "").await;
    assert_eq!((&first["queue"], &second["queue"], &second["status"]), (&at(1, 0), &at(2, 0), &json!("STARTED")));
    let third = queue(&server, &notes, "3", "&priority=7").await;
    assert_eq!(third["queue"], at(1, 7));
    let second = id(&second);
    assert_eq!(shown(&server, &second).await["queue"], at(3, 0));
    assert_eq!(server.get(&format!("/v1/jobs/{second}")).await.json(200)["queue"], at(3, 0));
    let listed = server.get("/jobs").await.json(200);
    let queues: Vec<_> = listed.as_array().unwrap().iter().map(|job| job["queue"].clone()).collect();
    assert_eq!(queues, [at(1, 7), at(3, 0), at(2, 0), json!(null)]);
    assert!(shown(&server, &running).await.get("queue").is_none());
    gate.open();
    assert!(server.ended(&second).await.get("queue").is_none());
}

#[tokio::test]
async fn with_a_free_place_it_is_a_job_like_any_other() {
    let server = Server::with_context(&[]).await;
    let notes = Notes::new(&server);
    let job = queue(&server, &notes, "1", "&priority=3").await;
    assert!(job.get("queue").is_none(), "{job}");
    assert_eq!(server.ended(&id(&job)).await["result"], "1");
}

#[tokio::test]
async fn nobody_overtakes_those_that_wait() {
    let server = Server::with_context(&["jobs.max-per-context=1"]).await;
    let (gate, notes) = (server.gate("gate"), Notes::new(&server));
    server.waiting(&gate).await;
    for line in 0..20 {
        queue(&server, &notes, &line.to_string(), "").await;
    }
    gate.open();
    let path = "/jobs?appName=jobs&classPath=jobs.Notes&context=c&sync=true&timeout=60";
    let request = server.request(reqwest::Method::POST, path).body(notes.config("direct").to_string());
    crate::fixture::Reply::not_busy(request).await.json(200);
    assert_eq!(notes.lines().len(), 21);
    assert_eq!(notes.lines().last().unwrap(), "direct");
}

#[tokio::test]
async fn a_sync_request_waits_in_the_queue_too() {
    let server = Server::with_context(&["jobs.max-per-context=1"]).await;
    let (gate, notes) = (server.gate("gate"), Notes::new(&server));
    server.waiting(&gate).await;
    let path = "/jobs?appName=jobs&classPath=jobs.Notes&context=c&queue=true&sync=true";
    server.post(&format!("{path}&timeout=1"), notes.config("1")).await.fails(500, "ERROR", "Request timed out.");
    let late = format!("{path}&timeout=60");
    let second = server.post(&late, notes.config("2"));
    let opened = async {
        crate::fixture::eventually("two that wait", || async {
            server.get("/jobs?status=started").await.json(200).as_array().unwrap().len() == 2
        })
        .await;
        gate.open();
    };
    let (second, ()) = tokio::join!(second, opened);
    assert_eq!(second.json(200)["result"], "2");
    assert_eq!(notes.lines(), ["1", "2"]);
}

#[tokio::test]
async fn the_request_counts_before_the_context_and_that_before_the_server() {
    for (server, context, query, waits) in [
        ("false", "", "", false),
        ("false", "", "&queue=true", true),
        ("false", "?queue=true", "", true),
        ("false", "?queue=true", "&queue=false", false),
        ("true", "", "", true),
        ("true", "?queue=false", "", false),
    ] {
        let server = Server::with(&["jobs.max-per-context=1", &format!("jobs.queue={server}")]);
        server.upload("jobs", WHEEL, jobs()).await.is_success(201);
        server.post(&format!("/contexts/c{context}"), "").await.says(200, "SUCCESS", "Context initialized");
        let gate = server.gate("gate");
        server.waiting(&gate).await;
        let reply = server.post(&format!("/jobs?appName=jobs&classPath=jobs.Echo&context=c{query}"), "").await;
        assert_eq!(reply.status, if waits { 202 } else { 503 }, "{context} {query}");
        gate.open();
    }
}

#[tokio::test]
async fn a_context_of_its_own_has_a_place_for_its_job() {
    let server = Server::with(&["jobs.queue=true"]);
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    let path = "/jobs?appName=jobs&classPath=jobs.Echo&queue=true&sync=true&timeout=60";
    assert_eq!(server.post(path, "a = 1").await.json(200)["result"], json!({"a": 1}));
}

#[tokio::test]
async fn a_setting_that_is_neither_true_nor_false() {
    let server = Server::start();
    let reply = server.post("/contexts/c?queue=perhaps", "").await;
    reply.refuses(400, "The setting 'queue' is 'perhaps', which is not true or false");
}

#[tokio::test]
async fn a_priority_that_cannot_be() {
    let server = Server::start();
    for priority in ["101", "-101"] {
        let reply = server.post(&format!("/jobs?appName=jobs&classPath=jobs.Echo&priority={priority}"), "").await;
        let text = "is not a whole number from -100 to 100";
        reply.is_text(400, &format!("The query parameter 'priority' was malformed:\n'{priority}' {text}"));
    }
    assert_eq!(server.post("/jobs?priority=high", "").await.status, 400);
    assert_eq!(server.post("/jobs?queue=perhaps", "").await.status, 400);
}
