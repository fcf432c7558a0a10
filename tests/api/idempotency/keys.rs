//! What a key may look like, and what it is for.

use reqwest::Method;
use serde_json::Value;

use super::{again, is_replayed, keyed, reused, send};
use crate::fixture::{Reply, Server, WHEEL, eventually, jobs, jobs_variant};

#[tokio::test]
async fn what_is_no_key_is_refused_before_anything_is_done() {
    let server = Server::start();
    for (key, why) in [
        ("\"\"", "it is empty"),
        ("a b", "a bare key is visible ASCII without blanks, commas and quotes; anything else stands in quotes"),
        (
            "\"a",
            "a quoted key is printable ASCII, with a backslash before each quote and backslash, and nothing after it",
        ),
        (&"k".repeat(300), "it is 300 bytes long; at most 255 are possible"),
    ] {
        let reply = send(&server, Method::POST, "/binaries/a", key, jobs()).await;
        reply.refuses(400, &format!("Idempotency-Key refused: {why}"));
        assert_eq!(reply.header("doyen-error"), "bad-idempotency-key");
    }
    let twice = keyed(&server, Method::POST, "/binaries/a", "a").header("Idempotency-Key", "b").body(jobs());
    Reply::to(twice).await.refuses(400, "Idempotency-Key refused: it is given more than once");
    assert_eq!(server.get("/binaries").await.json(200), Value::Object(serde_json::Map::new()));
}

#[tokio::test]
async fn a_read_does_not_look_at_it() {
    let server = Server::start();
    let reply = send(&server, Method::GET, "/binaries", "a b", "").await;
    assert!(reply.status == 200 && !is_replayed(&reply));
}

#[tokio::test]
async fn a_key_in_quotes_is_the_bare_one() {
    let server = Server::start();
    let first = send(&server, Method::POST, "/binaries/a", "k-1", jobs()).await;
    first.is_success(201);
    again(&first, &send(&server, Method::POST, "/binaries/a", "\"k-1\"", jobs()).await);
    again(&first, &send(&server, Method::POST, "/jars/%61?", "k-1", jobs()).await);
}

#[tokio::test]
async fn another_request_with_the_key_is_refused() {
    let server = Server::start();
    send(&server, Method::POST, "/binaries/a", "k", jobs()).await.is_success(201);
    reused(&send(&server, Method::POST, "/binaries/a", "k", jobs_variant("other")).await);
    reused(&send(&server, Method::POST, "/binaries/b", "k", jobs()).await);
    reused(&send(&server, Method::DELETE, "/binaries/a", "k", "").await);
    reused(&send(&server, Method::PUT, "/contexts?reset=reboot", "k", "").await);
    let egg = keyed(&server, Method::POST, "/binaries/a", "k").header("content-type", "application/python-egg");
    reused(&Reply::to(egg.body(jobs())).await);
    assert_eq!(server.get("/binaries/a").await.json(200)["binary-type"], "Wheel");
    assert_eq!(server.get("/binaries/b").await.status, 404);
}

#[tokio::test]
async fn what_failed_before_it_had_an_effect_is_not_remembered() {
    let server = Server::start();
    let path = "/jobs?appName=jobs&classPath=jobs.Echo&context=c&sync=true&timeout=60";
    let no_app = send(&server, Method::POST, path, "job", "").await;
    no_app.refuses(404, "appName jobs not found");
    send(&server, Method::POST, "/binaries/jobs", "upload", "no archive")
        .await
        .refuses(400, "Binary is not of the right format");
    send(&server, Method::DELETE, "/binaries/jobs", "delete", "")
        .await
        .refuses(404, "can't find binary with name jobs");
    send(&server, Method::POST, "/contexts/1c", "context", "")
        .await
        .refuses(400, "context name must start with letters");
    let upload = keyed(&server, Method::POST, "/binaries/jobs", "upload").header("content-type", WHEEL);
    Reply::to(upload.body(jobs())).await.is_success(201);
    send(&server, Method::POST, "/contexts/c", "context", "").await.says(200, "SUCCESS", "Context initialized");
    let job = send(&server, Method::POST, path, "job", "").await;
    assert!(!is_replayed(&job));
    job.json(200);
    send(&server, Method::DELETE, "/binaries/jobs", "delete", "").await.is_success(200);
}

#[tokio::test]
async fn a_key_counts_as_long_as_it_is_kept() {
    let server = Server::with(&["idempotency.keep=\"1ms\""]);
    send(&server, Method::POST, "/binaries/a", "k", jobs()).await.is_success(201);
    // Within the millisecond this is another request with the key.
    eventually("an old key", || async { send(&server, Method::DELETE, "/binaries/a", "k", "").await.status == 200 })
        .await;
    eventually("an old key", || async { send(&server, Method::POST, "/binaries/a", "k", jobs()).await.status == 201 })
        .await;
    server.get("/binaries/a").await.json(200);
}
