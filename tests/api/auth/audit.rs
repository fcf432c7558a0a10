//! The audit log.

use doyen::core::access::encode_basic;
use reqwest::Method;
use serde_json::{Value, json};

use super::{EVERYBODY, PASSWORD, asked, bearer, delete, get, place, post, start, text, token};
use crate::fixture::{Reply, Server, eventually};

fn server() -> Server {
    start(place(&text(EVERYBODY)), &["log.audit-file=audit.log", "log.level=warn"])
}

fn raw(server: &Server) -> String {
    std::fs::read_to_string(server.place().path("audit.log")).unwrap()
}

fn lines(server: &Server) -> Vec<Value> {
    raw(server).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Some members of a line.
fn told(line: &Value) -> Value {
    json!([line["who"], line["action"], line["object"], line["outcome"], line["status"]])
}

#[tokio::test]
async fn changes_and_refusals_are_told_and_reads_are_not() {
    let server = server();
    get(&server, "/jobs", "ann").await.json(200);
    delete(&server, "/binaries/a%20b", "bob").await.json(404);
    delete(&server, "/binaries/x", "eve").await;
    server.post("/contexts/c?spark.x=y", "").await;
    let guess = asked(&server, Method::GET, "/jobs", &encode_basic("zoe", "hush hush"));
    Reply::to(guess.header("x-request-id", "r-1")).await;
    let lines = lines(&server);
    assert_eq!(
        lines.iter().map(told).collect::<Vec<_>>(),
        [
            json!(["bob", "DELETE /binaries/{name}", "/binaries/a b", "not done", 404]),
            json!(["eve", "DELETE /binaries/{name}", "/binaries/x", "refused", 403]),
            json!(["", "POST /contexts/{name}", "/contexts/c", "refused", 401]),
            json!(["zoe", "GET /jobs", "/jobs", "refused", 401]),
        ]
    );
    assert_eq!((&lines[0]["via"], &lines[1]["lacking"]), (&json!("password"), &json!("binaries:delete")));
    assert_eq!((&lines[3]["request_id"], &lines[3]["remote"]), (&json!("r-1"), &json!("127.0.0.1")));
    // What others log at `info` is not in this file, and the level does not keep lines from it.
    assert!(lines.iter().all(|line| line["target"] == "audit"));
}

#[tokio::test]
async fn no_secret_is_told() {
    let server = server();
    let made = token(&server, "bob", &json!({})).await;
    let text = made["token"].as_str().unwrap();
    bearer(&server, Method::DELETE, "/binaries/x", text).await.json(404);
    post(&server, "/jobs?callbackUrl=http://u:hush@h/", "bob", "password = hush").await.json(400);
    let log = raw(&server);
    for secret in [text, PASSWORD, "hush", "argon2"] {
        assert!(!log.contains(secret), "{log}");
    }
    let lines = lines(&server);
    let id = made["id"].as_str().unwrap();
    assert_eq!(told(&lines[0])[2], format!("/v1/tokens {id} of bob"));
    assert_eq!(lines[1]["via"], format!("token {id}"));
}

#[tokio::test]
async fn a_job_is_told_with_its_id_and_a_client_that_goes_away_too() {
    let server = server();
    let upload = asked(&server, Method::POST, "/binaries/jobs", &encode_basic("bob", PASSWORD));
    let upload = upload.header("content-type", crate::fixture::WHEEL).body(crate::fixture::jobs());
    Reply::to(upload).await.is_success(201);
    post(&server, "/contexts/c", "bob", "").await.json(200);
    let gate = server.gate("gate");
    let path = "/jobs?appName=jobs&classPath=jobs.Waits&context=c";
    let job = post(&server, path, "bob", gate.config()).await.json(202);
    let last = lines(&server).pop().unwrap();
    assert_eq!(
        told(&last),
        json!(["bob", "POST /jobs", format!("/jobs {}", job["jobId"].as_str().unwrap()), "done", 202])
    );
    gate.reached().await;
    let second = server.gate("second");
    let request = asked(&server, Method::POST, &format!("{path}&sync=true&timeout=60"), &encode_basic("bob", PASSWORD));
    let waiting = tokio::spawn(request.body(second.config().to_string()).send());
    second.reached().await;
    waiting.abort();
    eventually("a line", || async { lines(&server).iter().any(|line| line["outcome"] == "client gone") }).await;
    gate.open();
    second.open();
}

#[tokio::test]
async fn the_file_is_for_the_server_alone_and_is_appended_to() {
    use std::os::unix::fs::PermissionsExt;
    let server = server();
    delete(&server, "/binaries/x", "ann").await;
    let mode = std::fs::metadata(server.place().path("audit.log")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0);
    server.signal(rustix::process::Signal::TERM);
    let (_, place) = server.end().await;
    let again = start(place, &["log.audit-file=audit.log"]);
    delete(&again, "/binaries/x", "ann").await;
    assert_eq!(lines(&again).len(), 2);
}
