//! Each change, repeated with its key: answered alike, done once.

use reqwest::Method;
use serde_json::{Value, json};

use super::{again, is_replayed, reused, send};
use crate::fixture::{Server, WHEEL, encoded, jobs, jobs_variant};

#[tokio::test]
async fn an_upload_repeated_does_not_undo_a_later_one() {
    let server = Server::start();
    let first = send(&server, Method::POST, "/binaries/a", "one", jobs()).await;
    first.is_success(201);
    server.upload("a", WHEEL, jobs_variant("later")).await.is_success(201);
    let later = server.get("/binaries/a").await.json(200);
    again(&first, &send(&server, Method::POST, "/binaries/a", "one", jobs()).await);
    assert_eq!(server.get("/binaries/a").await.json(200), later);
}

#[tokio::test]
async fn a_deletion_repeated_does_not_delete_what_came_later() {
    let server = Server::start();
    server.upload("a", WHEEL, jobs()).await.is_success(201);
    let first = send(&server, Method::DELETE, "/jars/a", "k", "").await;
    first.is_success(200);
    again(&first, &send(&server, Method::DELETE, "/jars/a", "k", "").await);
    server.upload("a", WHEEL, jobs()).await.is_success(201);
    again(&first, &send(&server, Method::DELETE, "/binaries/a", "k", "").await);
    assert_eq!(server.get("/binaries/a").await.status, 200);
    send(&server, Method::DELETE, "/binaries/a", "another", "").await.is_success(200);
}

#[tokio::test]
async fn a_context_repeated_is_the_first_one_also_after_its_end() {
    let server = Server::start();
    let path = "/contexts/c?max-jobs-per-context=3";
    let first = send(&server, Method::POST, path, "k", "").await;
    first.says(200, "SUCCESS", "Context initialized");
    let id = server.get("/contexts/c").await.json(200)["id"].clone();
    again(&first, &send(&server, Method::POST, path, "k", "").await);
    reused(&send(&server, Method::POST, path, "k", "a = 1").await);
    reused(&send(&server, Method::POST, "/contexts/c?max-jobs-per-context=4", "k", "").await);
    send(&server, Method::POST, path, "another", "").await.refuses(400, "context c exists");

    let stopped = send(&server, Method::DELETE, "/contexts/c", "stop", "").await;
    stopped.says(200, "SUCCESS", "Context stopped");
    again(&stopped, &send(&server, Method::DELETE, "/contexts/c", "stop", "").await);
    again(&first, &send(&server, Method::POST, path, "k", "").await);
    assert_eq!(server.get("/contexts/c").await.json(200)["id"], id);
    assert_eq!(server.get("/contexts").await.json(200), json!([]));

    // The next of its name is none of the old key's business.
    server.open("c").await;
    again(&stopped, &send(&server, Method::DELETE, "/contexts/c", "stop", "").await);
    assert_eq!(server.get("/contexts").await.json(200), json!(["c"]));
}

#[tokio::test]
async fn a_context_that_failed_to_start_is_tried_again() {
    let server = Server::start();
    for path in ["/contexts/c?context-factory=nothing", "/contexts/d?spark.driver.memory=lots"] {
        let failed = send(&server, Method::POST, path, path, "").await;
        failed.fails(500, "CONTEXT INIT ERROR", "");
        let repeated = send(&server, Method::POST, path, path, "").await;
        assert_eq!((repeated.status, repeated.text()), (500, failed.text()));
        assert!(!is_replayed(&repeated));
        reused(&send(&server, Method::POST, path, path, "a = 1").await);
    }
}

#[tokio::test]
async fn a_context_tried_again_without_room_is_told_so() {
    let server = Server::with(&["contexts.max=1"]);
    let path = "/contexts/c?context-factory=nothing";
    send(&server, Method::POST, path, "k", "").await.fails(500, "CONTEXT INIT ERROR", "");
    server.open("d").await;
    let full = send(&server, Method::POST, path, "k", "").await;
    assert!(full.status == 503 && !is_replayed(&full), "{full:?}");
    assert_eq!(full.header("doyen-error"), "too-many-contexts");
}

#[tokio::test]
async fn a_reset_repeated_stops_only_what_was_there_at_first() {
    let server = Server::start();
    server.open("a").await;
    let reset = "/contexts?reset=reboot";
    let first = send(&server, Method::PUT, reset, "k", "").await;
    first.says(200, "SUCCESS", "Context reset");
    server.open("b").await;
    again(&first, &send(&server, Method::PUT, reset, "k", "").await);
    assert_eq!(server.get("/contexts").await.json(200), json!(["b"]));
    let requested = send(&server, Method::PUT, "/contexts?reset=reboot&sync=false", "l", "").await;
    requested.says(200, "SUCCESS", "Context reset requested");
    server.context_becomes("b", "FINISHED").await;
}

#[tokio::test]
async fn a_kill_repeated_is_the_kill() {
    let server = Server::with_context(&[]).await;
    let gate = server.gate("gate");
    let id = server.waiting(&gate).await;
    let path = format!("/jobs/{id}");
    let first = send(&server, Method::DELETE, &path, "k", "").await;
    assert_eq!(first.json(200), json!({"status": "KILLED"}));
    again(&first, &send(&server, Method::DELETE, &path, "k", "").await);
    again(&first, &send(&server, Method::POST, &format!("{path}?_method=DELETE"), "k", "").await);
    server.delete(&path).await.refuses(404, &format!("No running job with ID {id}"));
}

#[tokio::test]
async fn a_data_file_repeated_is_one_file() {
    let server = Server::start();
    let first = send(&server, Method::POST, "/data/words", "k", "one").await;
    let path = first.json(200)["result"]["filename"].as_str().unwrap().to_owned();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "one");
    again(&first, &send(&server, Method::POST, "/data/words", "k", "one").await);
    reused(&send(&server, Method::POST, "/data/words", "k", "two").await);
    let other = send(&server, Method::POST, "/data/words", "l", "one").await.json(200);
    assert_ne!(other["result"]["filename"], path);
    assert_eq!(server.get("/data").await.json(200).as_array().map(Vec::len), Some(2));

    let delete = format!("/data/{}", encoded(&path));
    let deleted = send(&server, Method::DELETE, &delete, "delete", "").await;
    assert_eq!((deleted.status, deleted.text()), (200, "OK"));
    again(&deleted, &send(&server, Method::DELETE, &delete, "delete", "").await);
    assert_eq!(server.delete(&delete).await.status, 400);
    assert_eq!(server.get("/data").await.json(200), json!([other["result"]["filename"]]));
}

#[tokio::test]
async fn a_reset_of_data_repeated_leaves_what_came_later() {
    let server = Server::start();
    for (reset, said) in [("/data?reset=reboot", "Data reset"), ("/data?reset=reboot&sync=0", "Data reset requested")] {
        let first = send(&server, Method::PUT, reset, said.len().to_string().as_str(), "").await;
        first.says(200, "SUCCESS", said);
        crate::fixture::eventually("no data", || async { server.get("/data").await.json(200) == json!([]) }).await;
        let later: Value = server.post("/data/later", "x").await.json(200)["result"]["filename"].clone();
        again(&first, &send(&server, Method::PUT, reset, said.len().to_string().as_str(), "").await);
        assert_eq!(server.get("/data").await.json(200), json!([later]));
    }
}
