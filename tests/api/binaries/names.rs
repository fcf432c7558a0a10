//! Names of binaries.

use serde_json::json;

use crate::fixture::{Connection, Server, WHEEL, encoded, jobs};

#[tokio::test]
async fn names_may_hold_blanks_slashes_quotes_and_any_script() {
    let server = Server::with_context(&[]).await;
    for name in ["two words", "a/b", "grüße 世界 🎉", "\"quoted\" 'too'", "100%", "a+b&c=d?e#f", "../etc/passwd", "%2F"]
    {
        server.upload(name, WHEEL, jobs()).await.is_success(201);
        assert_eq!(server.get(&format!("/binaries/{}", encoded(name))).await.json(200)["app-name"], name);
        assert!(server.get("/binaries").await.json(200)[name].is_object(), "{name}");
        let path = format!("/jobs?appName={}&classPath=jobs.Echo&context=c&sync=true&timeout=60", encoded(name));
        assert_eq!(server.post(&path, r#"{"a": 1}"#).await.json(200)["result"], json!({"a": 1}), "{name}");
        server.delete(&format!("/binaries/{}", encoded(name))).await.is_success(200);
    }
}

#[tokio::test]
async fn names_that_are_too_long_or_hold_control_characters_are_refused() {
    let server = Server::start();
    server.upload(&"n".repeat(255), WHEEL, jobs()).await.is_success(201);
    for (name, why) in [
        ("n".repeat(256), "the name is 256 bytes long; at most 255 are possible"),
        ("n".repeat(10_000), "the name is 10000 bytes long; at most 255 are possible"),
        ("a\nb".into(), "the name holds a control character"),
        ("\0".into(), "the name holds a control character"),
    ] {
        server.upload(&name, WHEEL, jobs()).await.refuses(400, &format!("binary name refused: {why}"));
    }
}

#[tokio::test]
async fn names_that_stand_for_directories_are_refused() {
    let server = Server::start();
    for name in ["%2E", "%2e%2E"] {
        let mut connection = Connection::to(&server).await;
        let head = format!(
            "POST /binaries/{name} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {WHEEL}\r\ncontent-length: 0\r\n\r\n"
        );
        connection.send(head).await;
        let answer = connection.answer().await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.ends_with("the name stands for a directory\"}"), "{answer}");
    }
}

#[tokio::test]
async fn a_name_that_is_no_utf8_is_400() {
    let server = Server::start();
    assert_eq!(server.get("/binaries/%FF").await.status, 400);
}

#[tokio::test]
async fn a_missing_name_is_404() {
    let server = Server::start();
    let text = "The requested resource could not be found.";
    server.upload("", WHEEL, jobs()).await.is_text(404, text);
    server.delete("/binaries/").await.is_text(404, text);
    server.delete("/binaries/a/b").await.is_text(404, text);
}
