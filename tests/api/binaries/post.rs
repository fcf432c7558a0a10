//! POST /binaries/NAME: types, content, size.

use reqwest::Method;
use serde_json::json;

use crate::fixture::{Connection, EGG, JAR, Reply, Server, WHEEL, eventually, jobs, jobs_variant, wheel};

const NOT_AN_ARCHIVE: &str = "Binary is not of the right format";
const MIB: usize = 1 << 20;

#[tokio::test]
async fn the_content_type_tells_the_kind() {
    let server = Server::start();
    for (media_type, kind) in [
        (JAR, "Jar"),
        (EGG, "Egg"),
        (WHEEL, "Wheel"),
        ("application/python-archive", "Egg"),
        ("Application/Python-WHEEL; charset=UTF-8", "Wheel"),
    ] {
        server.upload("x", media_type, jobs()).await.is_success(201);
        assert_eq!(server.get("/binaries/x").await.json(200)["binary-type"], kind, "{media_type}");
    }
}

#[tokio::test]
async fn other_content_types_are_refused_before_the_content_is_looked_at() {
    let server = Server::start();
    let refused = |kind: &str| format!("Unsupported binary type {kind}");
    server.upload("x", "text/plain", jobs()).await.refuses(415, &refused("text/plain"));
    server.upload("x", "text/plain", b"no archive".to_vec()).await.refuses(415, &refused("text/plain"));
    server.upload("x", "wheel", jobs()).await.refuses(415, &refused("application/octet-stream"));
    server.post("/binaries/x", "").await.refuses(415, &refused("application/octet-stream"));
    assert_eq!(server.get("/binaries").await.json(200), json!({}));
}

#[tokio::test]
async fn what_is_no_sound_archive_is_refused_and_leaves_nothing() {
    let server = Server::start();
    for content in [&b""[..], b"PK", b"hello world", b"PK\x05\x06 empty"] {
        server.upload("x", WHEEL, content.to_vec()).await.refuses(400, NOT_AN_ARCHIVE);
    }
    let cut = jobs()[..200].to_vec();
    let text = server.upload("x", WHEEL, cut).await.json(400)["result"].as_str().unwrap().to_owned();
    assert!(text.starts_with(NOT_AN_ARCHIVE), "{text}");
    assert_eq!(server.get("/binaries").await.json(200), json!({}));
    assert_eq!(blobs(&server), 0);
}

#[tokio::test]
async fn the_same_name_again_replaces_content_and_type() {
    let server = Server::with_context(&[]).await;
    let version = || server.post("/jobs?appName=jobs&classPath=jobs.Version&context=c&sync=true&timeout=60", "");
    for text in ["first", "second"] {
        server.upload("jobs", WHEEL, jobs_variant(text)).await.is_success(201);
        assert_eq!(version().await.json(200)["result"], text);
    }
    server.upload("jobs", EGG, jobs_variant("an egg")).await.is_success(201);
    assert_eq!(version().await.json(200)["result"], "an egg");
    assert_eq!(server.get("/binaries/jobs").await.json(200)["binary-type"], "Egg");
}

#[tokio::test]
async fn a_binary_may_be_replaced_while_a_job_uses_it() {
    let server = Server::with_context(&[]).await;
    let gate = server.gate("gate");
    let id = server.waiting(&gate).await;
    server.upload("jobs", WHEEL, jobs_variant("new")).await.is_success(201);
    gate.open();
    assert_eq!(server.ended(&id).await["result"], "went on");
}

#[tokio::test]
async fn an_upload_beyond_the_limit_is_413_also_while_the_client_still_sends() {
    let server = Server::with(&["http.max-upload-bytes=100000"]);
    for size in [100_001, 32 * MIB] {
        let mut content = b"PK\x03\x04".to_vec();
        content.resize(size, 7);
        let text = "The request is too large: the limit is 100000 bytes";
        server.upload("x", WHEEL, content).await.refuses(413, text);
    }
    assert_eq!(blobs(&server), 0);
}

#[tokio::test]
async fn a_length_beyond_the_limit_is_413_before_the_content_is_asked_for() {
    let server = Server::with(&["http.max-upload-bytes=100000"]);
    for path in ["/binaries/x", "/data/x"] {
        let mut connection = Connection::to(&server).await;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {WHEEL}\r\ncontent-length: 100001\r\nexpect: 100-continue\r\n\r\n"
        );
        connection.send(head).await;
        let answer = connection.answer().await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    }
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it() {
    let server = Server::start();
    let mut connection = Connection::to(&server).await;
    let content = jobs();
    let head = format!(
        "POST /binaries/x HTTP/1.1\r\nhost: localhost\r\ncontent-type: {WHEEL}\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        content.len()
    );
    connection.send(head).await;
    assert!(connection.answer().await.starts_with("HTTP/1.1 100 "));
    connection.send(content).await;
    assert!(connection.answer().await.starts_with("HTTP/1.1 201 "));
}

#[tokio::test]
async fn an_upload_that_is_cut_leaves_nothing() {
    let server = Server::start();
    let mut connection = Connection::to(&server).await;
    let head = format!(
        "POST /binaries/x HTTP/1.1\r\nhost: localhost\r\ncontent-type: {WHEEL}\r\ncontent-length: 9000000\r\n\r\n"
    );
    connection.send(head).await;
    connection.send(b"PK\x03\x04").await;
    connection.send(vec![7; 4 * MIB]).await;
    eventually("the content's begin", || async { blobs(&server) > 0 }).await;
    drop(connection);
    eventually("an end of what was kept of it", || async { blobs(&server) == 0 }).await;
    server.get("/binaries/x").await.refuses(404, "Can't find binary with name x");
}

#[tokio::test]
async fn an_upload_in_chunks_needs_no_length() {
    let server = Server::start();
    let parts: Vec<Result<Vec<u8>, std::io::Error>> = jobs().chunks(1000).map(|part| Ok(part.to_vec())).collect();
    let body = reqwest::Body::wrap_stream(futures::stream::iter(parts));
    let request = server.request(Method::POST, "/jars/x").header("content-type", WHEEL).body(body);
    Reply::to(request).await.is_success(201);
}

#[tokio::test]
async fn an_archive_that_unpacks_to_too_much_is_refused() {
    let server = Server::with(&["store.max-unpacked-bytes=1000", "store.max-archive-entries=2"]);
    let large = "x".repeat(2000);
    for files in [&[("a", large.as_str())][..], &[("a", ""), ("b", ""), ("c", "")]] {
        let text = server.upload("x", WHEEL, wheel(files)).await.json(400)["result"].to_string();
        assert!(text.contains(NOT_AN_ARCHIVE), "{text}");
    }
    assert_eq!(blobs(&server), 0);
}

/// Files under the store of contents.
fn blobs(server: &Server) -> usize {
    fn files(directory: std::path::PathBuf) -> usize {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        entries.map(|entry| if entry.path().is_dir() { files(entry.path()) } else { 1 }).sum()
    }
    files(server.place().path("data/blobs"))
}
