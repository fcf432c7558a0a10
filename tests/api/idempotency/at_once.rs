//! Several requests with one key at the same time.

use futures::future::join_all;
use reqwest::Method;
use serde_json::json;

use super::{is_replayed, keyed, send};
use crate::fixture::{Connection, Reply, Server, WHEEL, eventually, jobs};

#[tokio::test]
async fn of_twenty_one_does_it_and_all_are_answered_alike() {
    let server = Server::with_context(&[]).await;
    let path = "/jobs?appName=jobs&classPath=jobs.Echo&context=c&sync=true&timeout=60";
    let replies = join_all((0..20).map(|_| send(&server, Method::POST, path, "k", "a = 1"))).await;
    assert!(replies.iter().all(|reply| reply.json(200) == replies[0].json(200)));
    assert_eq!(replies.iter().filter(|reply| !is_replayed(reply)).count(), 1);
    assert_eq!(server.get("/jobs").await.json(200).as_array().unwrap().len(), 1);

    let replies = join_all((0..5).map(|_| send(&server, Method::POST, "/contexts/d", "d", ""))).await;
    for reply in replies {
        reply.says(200, "SUCCESS", "Context initialized");
    }
    let replies = join_all((0..5).map(|_| send(&server, Method::DELETE, "/contexts/d", "stop", ""))).await;
    for reply in replies {
        reply.says(200, "SUCCESS", "Context stopped");
    }
    let replies = join_all((0..5).map(|_| send(&server, Method::POST, "/data/f", "f", "x"))).await;
    assert!(replies.iter().all(|reply| reply.json(200) == replies[0].json(200)));
    assert_eq!(server.get("/data").await.json(200).as_array().unwrap().len(), 1);
}

/// An upload of which all but the last byte has arrived.
async fn upload_under_way(server: &Server, content: &[u8]) -> Connection {
    let mut connection = Connection::to(server).await;
    let head = format!(
        "POST /binaries/a HTTP/1.1\r\nhost: localhost\r\nidempotency-key: k\r\ncontent-type: {WHEEL}\r\ncontent-length: {}\r\n\r\n",
        content.len()
    );
    connection.send(head).await;
    connection.send(&content[..content.len() - 1]).await;
    connection
}

/// Waits until a request of the key is at work.
async fn is_at_work(server: &Server) {
    eventually("a conflict", || async { send(server, Method::DELETE, "/binaries/b", "k", "").await.status == 409 })
        .await;
}

#[tokio::test]
async fn a_second_one_waits_for_the_first_but_not_for_ever() {
    let server = Server::with(&["idempotency.wait=\"1s\""]);
    let content = jobs();
    let mut first = upload_under_way(&server, &content).await;
    is_at_work(&server).await;
    let second = send(&server, Method::POST, "/binaries/a", "k", content.clone()).await;
    second.refuses(409, "Another request with this Idempotency-Key is still at work; try again");
    assert_eq!((second.header("retry-after"), second.header("doyen-error")), ("1", "idempotency-key-at-work"));
    first.send(&content[content.len() - 1..]).await;
    assert!(first.answer().await.starts_with("HTTP/1.1 201"));
    let third = send(&server, Method::POST, "/binaries/a", "k", content).await;
    third.is_success(201);
    assert!(is_replayed(&third));
}

#[tokio::test]
async fn when_the_first_breaks_off_the_second_does_it() {
    let server = Server::with(&["idempotency.wait=\"1s\""]);
    let content = jobs();
    let first = upload_under_way(&server, &content).await;
    is_at_work(&server).await;
    assert_eq!(send(&server, Method::POST, "/binaries/a", "k", content.clone()).await.status, 409);
    drop(first);
    let upload = keyed(&server, Method::POST, "/binaries/a", "k").header("content-type", WHEEL).body(content);
    eventually("the key", || async {
        let reply = Reply::to(upload.try_clone().unwrap()).await;
        if reply.status == 409 {
            return false;
        }
        reply.is_success(201);
        assert!(!is_replayed(&reply));
        true
    })
    .await;
    assert_eq!(server.get("/binaries/a").await.json(200)["app-name"], json!("a"));
}
