//! The server is killed, started again, and asked again with the same key: done once, and answered.

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{fixed_port, is_replayed, keyed, send};
use crate::fixture::{Connection, Place, Reply, Server, WHEEL, encoded, eventually, jobs, jobs_variant};

/// A server with an address of its own, where its drivers find the next one.
struct Mortal {
    server: Server,
    listen: String,
}

impl Mortal {
    async fn with_context() -> Self {
        Self::with(&[]).await
    }

    async fn with(settings: &[&str]) -> Self {
        let listen = format!("127.0.0.1:{}", fixed_port());
        let server = Server::at(Place::new(), &listen, settings);
        server.upload("jobs", WHEEL, jobs()).await.is_success(201);
        server.open("c").await;
        Self { server, listen }
    }

    /// `kill -9`, and a new one on the same data.
    async fn killed(self) -> Self {
        self.server.signal(Signal::KILL);
        let (_, place) = self.server.end().await;
        Self { server: Server::at(place, &self.listen, &[]), listen: self.listen }
    }
}

async fn ids(server: &Server) -> Vec<Value> {
    server.get("/jobs").await.json(200).as_array().unwrap().iter().map(|job| job["jobId"].clone()).collect()
}

const WAITS: &str = "/jobs?appName=jobs&classPath=jobs.Waits&context=c&sync=true&timeout=60";

#[tokio::test]
async fn a_sync_job_is_waited_for_again_and_again() {
    let mortal = Mortal::with_context().await;
    let gate = mortal.server.gate("gate");
    let body = gate.config().to_string();
    let lost = tokio::spawn(keyed(&mortal.server, Method::POST, WAITS, "k").body(body.clone()).send());
    gate.reached().await;
    let job = ids(&mortal.server).await.pop().unwrap();
    let mortal = mortal.killed().await;
    assert!(lost.await.unwrap().is_err());

    // A second try is cut off too, as is one that waits by the job's id.
    let path = format!("/jobs/{}?wait=30s", job.as_str().unwrap());
    let length = body.len();
    let mut second = Connection::to(&mortal.server).await;
    second
        .send(format!(
            "POST {WAITS} HTTP/1.1\r\nhost: localhost\r\nidempotency-key: k\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
        .await;
    let mut third = Connection::to(&mortal.server).await;
    third.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
    let mortal = mortal.killed().await;

    let request = keyed(&mortal.server, Method::POST, WAITS, "k").body(body.clone());
    let (again, waiting) =
        (tokio::spawn(Reply::to(request)), tokio::spawn(Reply::to(mortal.server.request(Method::GET, &path))));
    gate.open();
    let again = again.await.unwrap();
    assert_eq!(again.json(200), json!({"jobId": job, "result": "went on"}));
    assert_eq!(waiting.await.unwrap().json(200)["result"], "went on");

    let mortal = mortal.killed().await;
    let after = send(&mortal.server, Method::POST, WAITS, "k", body).await;
    assert!(is_replayed(&after));
    assert_eq!(after.json(200), again.json(200));
    assert_eq!(ids(&mortal.server).await, [job]);
}

#[tokio::test]
async fn a_stop_that_was_cut_off_is_waited_for_again() {
    let mortal = Mortal::with(&["contexts.stop-grace=\"10m\""]).await;
    let gate = mortal.server.gate("gate");
    mortal.server.waiting(&gate).await;
    let lost = tokio::spawn(keyed(&mortal.server, Method::DELETE, "/contexts/c", "k").send());
    mortal.server.context_becomes("c", "STOPPING").await;
    let mortal = mortal.killed().await;
    assert!(lost.await.unwrap().is_err());
    let again = send(&mortal.server, Method::DELETE, "/contexts/c", "k", "").await;
    assert!(is_replayed(&again));
    again.says(200, "SUCCESS", "Context stopped");
    assert_eq!(mortal.server.get("/contexts/c").await.json(200)["state"], "FINISHED");
}

#[tokio::test]
async fn what_was_answered_is_answered_again_by_the_next_server() {
    let mortal = Mortal::with_context().await;
    let server = &mortal.server;
    let gate = server.gate("gate");
    let id = server.waiting(&gate).await;
    let data = server.post("/data/gone", "x").await.json(200)["result"]["filename"].as_str().unwrap().to_owned();
    server.upload("old", WHEEL, jobs()).await.is_success(201);
    server.open("d").await;
    let requests = [
        (Method::POST, "/binaries/new".to_owned(), jobs()),
        (Method::DELETE, "/binaries/old".into(), Vec::new()),
        (Method::POST, "/contexts/e".into(), b"max-jobs-per-context = 2".to_vec()),
        (Method::DELETE, "/contexts/d".into(), Vec::new()),
        (
            Method::POST,
            "/jobs?appName=jobs&classPath=jobs.Echo&context=c&sync=true&timeout=60".into(),
            b"a = 1".to_vec(),
        ),
        (Method::DELETE, format!("/jobs/{id}"), Vec::new()),
        (Method::POST, "/data/words".into(), b"words".to_vec()),
        (Method::DELETE, format!("/data/{}", encoded(&data)), Vec::new()),
        (Method::PUT, "/contexts?reset=reboot".into(), Vec::new()),
    ];
    let mut answers = Vec::new();
    for (method, path, body) in &requests {
        let reply = send(server, method.clone(), path, path, body.clone()).await;
        assert!(reply.status < 300, "{path}: {reply:?}");
        answers.push(reply);
    }
    // What comes after may not be undone.
    server.upload("new", WHEEL, jobs_variant("newer")).await.is_success(201);
    server.upload("old", WHEEL, jobs_variant("older")).await.is_success(201);
    server.open("d").await;
    let paths = ["/binaries", "/contexts", "/data", "/jobs"];
    let mut state = Vec::new();
    for path in paths {
        state.push(server.get(path).await.json(200));
    }
    let mortal = mortal.killed().await;
    let server = &mortal.server;
    eventually("the context", || async { server.get("/contexts").await.json(200) == json!(["d"]) }).await;
    for ((method, path, body), before) in requests.iter().zip(&answers) {
        super::again(before, &send(server, method.clone(), path, path, body.clone()).await);
    }
    for (path, before) in paths.iter().zip(&state) {
        assert_eq!(&server.get(path).await.json(200), before, "{path}");
    }
}

/// Kills the server at some moment of the request.
async fn cut_off(mortal: Mortal, after_ms: u64, request: reqwest::RequestBuilder) -> Mortal {
    let asked = tokio::spawn(request.send());
    tokio::time::sleep(std::time::Duration::from_millis(after_ms)).await;
    let mortal = mortal.killed().await;
    let _ = asked.await;
    mortal
}

#[tokio::test]
async fn killed_at_any_moment_each_thing_is_there_once() {
    let mut mortal = Mortal::with_context().await;
    // From before anything is done to after all of it.
    for (round, after_ms) in [1, 4, 8, 16, 32, 64].into_iter().enumerate() {
        let (key, name) = (format!("k{round}"), format!("n{round}"));
        let job = "/jobs?appName=jobs&classPath=jobs.Echo&context=c&sync=true&timeout=60".to_owned();
        let data = format!("/data/{name}");
        let context = format!("/contexts/{name}");
        for (path, body) in [(&job, format!("round = {round}")), (&data, "words".into()), (&context, String::new())] {
            let key = format!("{key}{path}");
            let request = keyed(&mortal.server, Method::POST, path, &key).body(body.clone());
            mortal = cut_off(mortal, after_ms, request).await;
            eventually("an answer", || async {
                let reply = send_text(&mortal.server, path, &key, body.clone()).await;
                // A context whose driver was never launched has failed, and is tried again.
                let passing = reply.status == 503 || (*path == context && reply.status == 500);
                assert!(reply.status < 300 || passing, "{path}: {reply:?}");
                reply.status < 300
            })
            .await;
        }
        let server = &mortal.server;
        let number = round + 1;
        assert_eq!(ids(server).await.len(), number);
        assert_eq!(server.get("/data").await.json(200).as_array().unwrap().len(), number);
        assert_eq!(server.get(&context).await.json(200)["state"], "RUNNING");
        server.delete(&context).await.says(200, "SUCCESS", "Context stopped");
    }
}

async fn send_text(server: &Server, path: &str, key: &str, body: String) -> Reply {
    Reply::to(keyed(server, Method::POST, path, key).body(body)).await
}
