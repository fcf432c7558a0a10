//! Data files from upload to deletion.

use std::fs;

use reqwest::Method;
use serde_json::json;

use crate::fixture::{Connection, Reply, Server, encoded, eventually};

async fn upload(server: &Server, name: &str, content: Vec<u8>) -> Reply {
    Reply::to(server.request(Method::POST, &format!("/data/{}", encoded(name))).body(content)).await
}

async fn stored(server: &Server, name: &str, content: &str) -> String {
    let reply = upload(server, name, content.into()).await.json(200);
    let path = reply["result"]["filename"].as_str().unwrap().to_owned();
    assert_eq!(reply, json!({"result": {"filename": path}}));
    path
}

#[tokio::test]
async fn a_file_is_where_the_answer_says_and_a_job_can_read_it() {
    let server = Server::with_context(&[]).await;
    assert_eq!(server.get("/data").await.json(200), json!([]));
    let path = stored(&server, "two words ü", "content").await;
    assert!(path.contains("/two words ü-") && path.ends_with(".dat"), "{path}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "content");
    assert_eq!(server.get("/data").await.json(200), json!([path]));
    assert_eq!(server.sync("Reads", &json!({"path": path})).await.json(200)["result"], "content");
}

#[tokio::test]
async fn the_same_name_again_is_another_file() {
    let server = Server::start();
    let (one, two) = (stored(&server, "a", "1").await, stored(&server, "a", "2").await);
    assert_eq!((fs::read_to_string(&one).unwrap(), fs::read_to_string(&two).unwrap()), ("1".into(), "2".into()));
    assert_eq!(server.get("/data").await.json(200), json!([one, two]));
}

#[tokio::test]
async fn names_that_cannot_be_files() {
    let server = Server::start();
    for name in ["a/b", "../a", "a\nb", &"n".repeat(256)] {
        upload(&server, name, vec![]).await.refuses(400, &format!("Failed to store data file '{name}'."));
    }
    assert_eq!(server.get("/data").await.json(200), json!([]));
}

#[tokio::test]
async fn the_longest_names_are_refused_or_stored_and_never_an_error_of_the_server() {
    let server = Server::start();
    for length in [200, 230, 255] {
        let reply = upload(&server, &"n".repeat(length), vec![]).await;
        assert!([200, 400].contains(&reply.status), "{length}: {} {}", reply.status, reply.text());
    }
}

#[tokio::test]
async fn deletion_by_the_whole_path() {
    let server = Server::start();
    let path = stored(&server, "a b", "1").await;
    let name = path.rsplit_once('/').unwrap().1;
    for unknown in [name, "/etc/passwd", "nothing", &format!("{path}.partial")] {
        let reply = server.delete(&format!("/data/{}", encoded(unknown))).await;
        reply.refuses(400, &format!("Unable to delete data file '{unknown}'."));
    }
    let reply = server.delete(&format!("/data/{}", encoded(&path))).await;
    assert_eq!((reply.status, reply.text(), reply.header("content-type")), (200, "OK", "application/json"));
    assert!(!fs::exists(&path).unwrap());
    assert_eq!(server.get("/data").await.json(200), json!([]));
}

#[tokio::test]
async fn a_reset_deletes_all() {
    let server = Server::start();
    stored(&server, "a", "1").await;
    stored(&server, "b", "2").await;
    server.put("/data?reset=reboot").await.says(200, "SUCCESS", "Data reset");
    assert_eq!(server.get("/data").await.json(200), json!([]));
    stored(&server, "a", "1").await;
    server.put("/data?reset=reboot&sync=false").await.says(200, "SUCCESS", "Data reset requested");
    eventually("no data", || async { server.get("/data").await.json(200) == json!([]) }).await;
    let text = "The query parameter 'reset' was malformed:\n'x' is not 'reboot', which is the only reset there is";
    server.put("/data?reset=x").await.is_text(400, text);
}

#[tokio::test]
async fn what_is_too_large_or_cut_leaves_nothing() {
    let server = Server::with(&["http.max-upload-bytes=100000"]);
    let text = "The request is too large: the limit is 100000 bytes";
    for size in [100_001, 32 << 20] {
        upload(&server, "x", vec![7; size]).await.refuses(413, text);
    }
    let files = || fs::read_dir(server.place().path("data/data")).unwrap().count();
    let mut connection = Connection::to(&server).await;
    connection.send("POST /data/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\n\r\nabc").await;
    eventually("the file's begin", || async { files() == 1 }).await;
    assert_eq!(server.get("/data").await.json(200), json!([]));
    drop(connection);
    eventually("nothing of it", || async { files() == 0 }).await;
}
