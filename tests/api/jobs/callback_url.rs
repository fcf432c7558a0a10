//! POST /jobs?callbackUrl=….

use serde_json::json;

use crate::fixture::{Peer, Server, encoded, has_cause};

fn to(url: &str) -> String {
    format!("&callbackUrl={}", encoded(url))
}

#[tokio::test]
async fn the_result_is_posted_at_the_end() {
    let server = Server::with_context(&["jobs.inline-result-bytes=1000"]).await;
    let mut peer = Peer::start().await;
    let callback = to(&format!("{}/a%20b?c=d", peer.url));
    let id = server.job_with("Echo", &json!({"a": 1}), &callback).await;
    let called = peer.called().await;
    assert_eq!(called.path, "/a%20b");
    assert_eq!(called.headers["content-type"], "application/json");
    assert_eq!(called.headers["content-length"], called.body.len().to_string().as_str());
    assert_eq!(called.json(), json!({"jobId": id, "result": {"a": 1}}));
    // A large one, which is kept as a blob.
    let id = server.job_with("Large", &json!({"size": 2_000_000}), &callback).await;
    let called = peer.called().await;
    assert_eq!(called.headers["content-length"], called.body.len().to_string().as_str());
    assert!(called.json() == json!({"jobId": id, "result": "x".repeat(2_000_000)}));
}

#[tokio::test]
async fn a_failure_is_posted_with_its_cause() {
    let server = Server::with_context(&[]).await;
    let mut peer = Peer::start().await;
    let id = server.job_with("Fails", &json!({}), &to(&peer.url)).await;
    let called = peer.called().await.json();
    assert_eq!(called, json!({"jobId": id, "status": "ERROR", "result": called["result"]}));
    has_cause(&called["result"], "not today");
}

#[tokio::test]
async fn a_callback_that_is_not_taken_is_tried_again() {
    let server = Server::with_context(&["callbacks.backoff=\"10ms\"", "callbacks.attempts=3"]).await;
    // A redirect is not followed.
    let mut peer = Peer::answering(&[], &[503, 302]).await;
    let id = server.job_with("Echo", &json!({}), &to(&peer.url)).await;
    for _ in 0..3 {
        assert_eq!(peer.called().await.json()["jobId"], id.as_str());
    }
}

#[tokio::test]
async fn a_callback_is_given_up_after_its_attempts() {
    let server =
        Server::with_context(&["callbacks.backoff=\"1ms\"", "callbacks.attempts=2", "callbacks.concurrency=1"]).await;
    let mut peer = Peer::answering(&[], &[500, 500]).await;
    let given_up = server.job_with("Echo", &json!({}), &to(&peer.url)).await;
    for _ in 0..2 {
        assert_eq!(peer.called().await.json()["jobId"], given_up.as_str());
    }
    let next = server.job_with("Echo", &json!({}), &to(&peer.url)).await;
    assert_eq!(peer.called().await.json()["jobId"], next.as_str());
}

#[tokio::test]
async fn nobody_is_called_of_a_kill() {
    let server = Server::with_context(&[]).await;
    let mut peer = Peer::start().await;
    let gate = server.gate("gate");
    let killed = server.job_with("Waits", &gate.config(), &to(&peer.url)).await;
    server.delete(&format!("/jobs/{killed}")).await.json(200);
    let finished = server.job_with("Echo", &json!({}), &to(&peer.url)).await;
    assert_eq!(peer.called().await.json()["jobId"], finished.as_str());
}

#[tokio::test]
async fn urls_that_may_not_be_called_start_nothing() {
    let server = Server::with_context(&["security.callback-hosts=[\"127.0.0.1\", \"169.254.169.254\"]"]).await;
    for (url, why) in [
        ("http://169.254.169.254/latest", "169.254.169.254 is a link-local address (security.allow-link-local)"),
        ("http://example.org/", "the host example.org is not in security.callback-hosts"),
        ("ftp://127.0.0.1/", "ftp://127.0.0.1/: the scheme ftp is not supported here"),
        ("file:///etc/passwd", "file:///etc/passwd: the scheme file is not supported here"),
        ("nonsense", "malformed URL nonsense: relative URL without a base"),
    ] {
        let path = format!("/jobs?appName=jobs&classPath=jobs.Echo&context=c{}", to(url));
        server.post(&path, "").await.refuses(400, &format!("callbackUrl refused: {why}"));
    }
    assert_eq!(server.get("/jobs").await.json(200), json!([]));
}
