//! GET /v1/jobs/ID/result.

use base64::Engine as _;
use reqwest::Method;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::fixture::{Reply, Server};

async fn finished(server: &Server, class: &str, config: serde_json::Value) -> String {
    let id = server.sync(class, &config).await.json(200)["jobId"].as_str().unwrap().to_owned();
    format!("/v1/jobs/{id}/result")
}

async fn ranges(server: &Server, path: &str) {
    let whole = server.get(path).await;
    assert_eq!((whole.status, whole.header("accept-ranges")), (200, "bytes"));
    assert_eq!(whole.header("content-type"), "application/json");
    let size = whole.body.len();
    for (asked, from, to) in [
        ("bytes=0-0".to_owned(), 0, 1),
        ("bytes=2-".to_owned(), 2, size),
        ("bytes=-2".to_owned(), size - 2, size),
        (format!("bytes=1-{}", size * 2), 1, size),
    ] {
        let part = Reply::to(server.request(Method::GET, path).header("range", &asked)).await;
        let expected = format!("bytes {from}-{}/{size}", to - 1);
        assert_eq!((part.status, part.header("content-range")), (206, expected.as_str()), "{asked}");
        assert!(part.body == whole.body[from..to], "{asked}");
    }
    let outside = Reply::to(server.request(Method::GET, path).header("range", format!("bytes={size}-"))).await;
    assert_eq!((outside.status, outside.header("content-range")), (416, format!("bytes */{size}").as_str()));
}

#[tokio::test]
async fn a_small_result_alone_and_in_parts() {
    let server = Server::with_context(&[]).await;
    let path = finished(&server, "Echo", json!({"a": [1, "ü"]})).await;
    assert_eq!(server.get(&path).await.json(200), json!({"a": [1, "ü"]}));
    ranges(&server, &path).await;
}

#[tokio::test]
async fn a_large_result_alone_and_in_parts_with_its_hash() {
    let server = Server::with_context(&["jobs.inline-result-bytes=1000"]).await;
    let path = finished(&server, "Large", json!({"size": 3_000_000})).await;
    let whole = server.get(&path).await;
    assert!(whole.json(200) == "x".repeat(3_000_000));
    let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(&whole.body));
    assert_eq!(whole.header("repr-digest"), format!("sha-256=:{hash}:"));
    ranges(&server, &path).await;
}

#[tokio::test]
async fn jobs_without_a_result() {
    let server = Server::with_context(&[]).await;
    let failed = server.ended(&server.job("Fails", &json!({})).await).await;
    let gate = server.gate("gate");
    let running = server.waiting(&gate).await;
    for id in [failed["jobId"].as_str().unwrap(), &running] {
        server.get(&format!("/v1/jobs/{id}/result")).await.refuses(404, "The job has no result");
    }
    server.get("/v1/jobs/none/result").await.refuses(404, "No such job ID none");
    gate.open();
}
