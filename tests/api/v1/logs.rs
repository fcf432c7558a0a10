//! GET /v1/jobs/ID/logs.

use futures::StreamExt;
use reqwest::Method;
use serde_json::json;

use crate::fixture::{Reply, Server, eventually, within};

async fn range(server: &Server, path: &str, range: &str) -> Reply {
    Reply::to(server.request(Method::GET, path).header("range", range)).await
}

#[tokio::test]
async fn what_a_job_has_printed_so_far_and_at_the_end() {
    let server = Server::with_context(&[]).await;
    let gate = server.gate("gate");
    let id = server.job("Prints", &gate.config()).await;
    gate.reached().await;
    let path = format!("/v1/jobs/{id}/logs");
    eventually("the first line", || async { server.get(&path).await.text() == "at the gate\n" }).await;
    server.get(&path).await.is_text(200, "at the gate\n");
    let part = range(&server, &path, "bytes=3-5").await;
    assert_eq!((part.status, part.text(), part.header("content-range")), (206, "the", "bytes 3-5/12"));
    gate.let_pass("one");
    eventually("the second line", || async { server.get(&path).await.text().ends_with("door one\n") }).await;
    gate.let_pass("two");
    server.ended(&id).await;
    server.get(&path).await.is_text(200, "at the gate\nthrough door one\nthrough door two\n");
}

#[tokio::test]
async fn a_log_that_is_followed_comes_line_by_line_until_the_job_has_ended() {
    let server = Server::with_context(&[]).await;
    let gate = server.gate("gate");
    let id = server.job("Prints", &gate.config()).await;
    let response = server.request(Method::GET, &format!("/v1/jobs/{id}/logs?follow=true")).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let mut stream = response.bytes_stream();
    let mut seen = String::new();
    for (line, next) in [("at the gate\n", "one"), ("through door one\n", "two"), ("through door two\n", "none")] {
        while !seen.ends_with(line) {
            let part = within("a line", stream.next()).await.expect(line).unwrap();
            seen.push_str(std::str::from_utf8(&part).unwrap());
        }
        gate.let_pass(next);
    }
    assert!(within("the end", stream.next()).await.is_none());
    assert_eq!(seen, "at the gate\nthrough door one\nthrough door two\n");
    let after = server.get(&format!("/v1/jobs/{id}/logs?follow=true")).await;
    assert_eq!(after.text(), seen);
}

#[tokio::test]
async fn ranges_after_the_end() {
    let server = Server::with_context(&[]).await;
    let text = "0123456789";
    let id = server.sync("Says", &json!({"text": text})).await.json(200)["jobId"].as_str().unwrap().to_owned();
    let path = format!("/v1/jobs/{id}/logs");
    for (asked, part, content_range) in [
        ("bytes=0-3", "0123", "bytes 0-3/10"),
        ("bytes=8-99", "89", "bytes 8-9/10"),
        ("bytes=5-", "56789", "bytes 5-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
    ] {
        let reply = range(&server, &path, asked).await;
        assert_eq!((reply.status, reply.text(), reply.header("content-range")), (206, part, content_range), "{asked}");
    }
    for asked in ["bytes=10-", "bytes=-0"] {
        let reply = range(&server, &path, asked).await;
        assert_eq!((reply.status, reply.text(), reply.header("content-range")), (416, "", "bytes */10"), "{asked}");
    }
    range(&server, &path, "lines=1-2").await.is_text(200, text);
}

#[tokio::test]
async fn what_is_no_ascii_stays_whole() {
    let server = Server::with_context(&[]).await;
    let text = "grüße 世界 ".repeat(10_000);
    let id = server.sync("Says", &json!({"text": text})).await.json(200)["jobId"].as_str().unwrap().to_owned();
    assert!(server.get(&format!("/v1/jobs/{id}/logs")).await.text() == text);
    let reply = range(&server, &format!("/v1/jobs/{id}/logs"), "bytes=0-74999").await;
    assert!(reply.status == 206 && reply.body == text.as_bytes()[..75_000], "{}", reply.status);
}

#[tokio::test]
async fn a_range_that_cuts_characters_has_the_bytes_that_it_names_while_the_job_runs_and_after() {
    let server = Server::with_context(&[]).await;
    let gate = server.gate("gate");
    let mut config = gate.config();
    config["text"] = json!("aü世b");
    let id = server.job("SaysAndWaits", &config).await;
    gate.reached().await;
    let path = format!("/v1/jobs/{id}/logs");
    let bytes = "aü世b".as_bytes();
    eventually("all of it", || async { server.get(&path).await.text() == "aü世b" }).await;
    let check = async || {
        for (from, to) in [(0, 1), (2, 4), (4, 4), (3, 6), (1, 5)] {
            let reply = range(&server, &path, &format!("bytes={from}-{to}")).await;
            assert_eq!((reply.status, reply.header("content-range")), (206, &*format!("bytes {from}-{to}/7")));
            assert_eq!(reply.body, bytes[from..=to], "{from}-{to}");
        }
    };
    check().await;
    gate.open();
    server.ended(&id).await;
    check().await;
}

#[tokio::test]
async fn a_job_that_printed_nothing_and_one_that_is_unknown() {
    let server = Server::with_context(&[]).await;
    let id = server.sync("Echo", &json!({})).await.json(200)["jobId"].as_str().unwrap().to_owned();
    server.get(&format!("/v1/jobs/{id}/logs")).await.is_text(200, "");
    server.get("/v1/jobs/none/logs").await.refuses(404, "No such job ID none");
    server.get("/v1/jobs/none/logs?follow=true").await.refuses(404, "No such job ID none");
}
