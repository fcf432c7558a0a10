//! A data directory as a server leaves it after some jobs, and the commands on it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::fixture::{Place, Reply, Server, WHEEL, eventually, jobs};

/// What the day has done; kept until the process ends.
pub struct Day {
    directory: tempfile::TempDir,
    pub jobs: Vec<String>,
    /// Of a request with an idempotency key.
    pub keyed: String,
    /// Of events, as it was at the end.
    pub cursor: u64,
}

/// Its callback is not delivered within any test.
pub const SETTINGS: [&str; 2] = ["callbacks.backoff=\"1h\"", "jobs.inline-result-bytes=1000"];
const KEYED: &str = "/jobs?appName=jobs&classPath=jobs.Echo&context=c";

pub async fn keyed(server: &Server) -> Reply {
    let request = server.request(Method::POST, KEYED).header("idempotency-key", "once").body("{\"a\": 1}");
    Reply::to(request).await
}

async fn make() -> Day {
    let place = Place::new();
    let server = Server::at(place, "127.0.0.1:0", &SETTINGS);
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    server.upload("un used/ü", WHEEL, jobs()).await.is_success(201);
    server.open("c").await;
    let mut ids = Vec::new();
    for (class, config) in [
        ("Echo", json!({"x": [1, 2.5]})),
        ("Large", json!({"size": 3_000_000})),
        ("Fails", json!({})),
        ("Says", json!({"text": "said"})),
    ] {
        ids.push(server.job(class, &config).await);
    }
    // Nobody listens there.
    ids.push(server.job_with("Echo", &json!({}), "&callbackUrl=http://127.0.0.1:1/x").await);
    let keyed = keyed(&server).await.json(202)["jobId"].as_str().unwrap().to_owned();
    ids.push(keyed.clone());
    for id in &ids {
        server.ended(id).await;
    }
    let gate = server.gate("gate");
    ids.push(server.waiting(&gate).await);
    server.delete(&format!("/jobs/{}", ids.last().unwrap())).await.json(200);
    let called = format!("/v1/jobs/{}/callbacks", ids[4]);
    eventually("an attempt to call back", || async { server.get(&called).await.value()["attempts"] == 1 }).await;
    let cursor = cursor(&server).await;
    server.signal(Signal::INT);
    let (_, place) = server.end().await;
    // A shim removes its directory itself, once the server has taken its last word, and may be at it when that has ended.
    place.assert_nothing_is_left();
    let directory = tempfile::tempdir().unwrap();
    copy(&place.path("data"), &directory.path().join("data"));
    Day { directory, jobs: ids, keyed, cursor }
}

/// Where events go on.
pub async fn cursor(server: &Server) -> u64 {
    let mut response = server.request(Method::GET, "/v1/events").send().await.unwrap();
    let mut text = String::new();
    while !text.contains("\n\n") {
        text += std::str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap();
    }
    text.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().parse().unwrap()
}

/// The same for all tests, and made once.
pub async fn day() -> &'static Day {
    static DAY: OnceCell<Day> = OnceCell::const_new();
    DAY.get_or_init(make).await
}

pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let place = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &place);
        } else {
            std::fs::copy(entry.path(), place).unwrap();
        }
    }
}

impl Day {
    /// A place of its own with the same data directory.
    pub fn copied(&self) -> Place {
        let place = Place::new();
        copy(&self.directory.path().join("data"), &place.path("data"));
        place
    }

    /// Whatever can be asked for. What changes while a server runs is not among it.
    pub async fn answers(&self, server: &Server) -> Vec<(String, u16, String)> {
        let mut paths: Vec<String> =
            ["/jobs?limit=500", "/jobs?status=finished", "/jobs?status=error", "/jobs?status=killed"]
                .map(String::from)
                .into();
        paths.extend(
            ["/contexts", "/contexts/c", "/v1/contexts/c", "/binaries", "/binaries/jobs", "/jobs/none"]
                .map(String::from),
        );
        for id in &self.jobs {
            let of_job = ["", "/config"].map(|part| format!("/jobs/{id}{part}"));
            let more = ["", "/result", "/logs", "/callbacks", "/timeline"].map(|part| format!("/v1/jobs/{id}{part}"));
            paths.extend(of_job.into_iter().chain(more));
        }
        let mut answers = Vec::new();
        for path in paths {
            let reply = server.get(&path).await;
            answers.push((path, reply.status, String::from_utf8_lossy(&reply.body).into_owned()));
        }
        answers
    }
}

/// `doyen store` in a place.
pub fn command(place: &Place, arguments: &[&str], settings: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doyen"));
    command.arg("store").args(arguments).arg("--data-dir").arg(place.path("data")).current_dir(place.root());
    for setting in settings {
        command.args(["--set", setting]);
    }
    command.stdin(Stdio::null());
    command
}

#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    #[track_caller]
    pub fn is(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    #[track_caller]
    pub fn says(&self, words: &str) {
        assert!(self.stderr.contains(words), "{words}: {self:?}");
    }

    /// The lines of stdout.
    pub fn lines(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }

    pub fn json(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

pub fn ended(Output { status, stdout, stderr }: Output) -> Ended {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

pub fn store(place: &Place, arguments: &[&str], settings: &[&str]) -> Ended {
    ended(command(place, arguments, settings).output().unwrap())
}

/// The export of a place, in a file of another one.
pub fn exported(from: &Place, to: &Place) -> PathBuf {
    let file = to.path("export");
    store(from, &["export", file.to_str().unwrap()], &[]).is(0);
    file
}

/// What stands in an export, without what tells it from others.
pub fn frames(export: &Path) -> Vec<u8> {
    let bytes = std::fs::read(export).unwrap();
    let header = bytes.iter().position(|byte| *byte == b'\n').unwrap();
    let end = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap();
    bytes[header..end].to_vec()
}
