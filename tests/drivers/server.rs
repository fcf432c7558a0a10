//! A real server that has a driver kind `node`, and requests to it.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use zip::write::{SimpleFileOptions, ZipWriter};

/// For whatever should happen at once, on a machine that is busy.
pub const SOON: Duration = Duration::from_secs(60);

const DRIVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/drivers/node/driver.js");

/// The modules of the jobs.
pub const MODULES: [(&str, &str); 6] = [
    ("greet.js", include_str!("node/jobs/greet.js")),
    ("lib/words.js", include_str!("node/jobs/lib/words.js")),
    ("fail.js", include_str!("node/jobs/fail.js")),
    ("large.js", include_str!("node/jobs/large.js")),
    ("hang.js", include_str!("node/jobs/hang.js")),
    ("meet.js", include_str!("node/jobs/meet.js")),
];

pub struct Server {
    url: String,
    client: Client,
    child: Child,
    directory: tempfile::TempDir,
}

impl Server {
    /// With the jobs uploaded as `jobs`.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub async fn start_with(settings: &[&str]) -> Self {
        require_node().await;
        let directory = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(directory.path().join("server.log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_doyen"));
        command.args(["server", "--http", "127.0.0.1:0", "--data-dir", "data"]);
        command.args(["--set", "drivers.node.executable=\"node\""]);
        command.args(["--set", &format!("drivers.node.arguments=[{DRIVER:?}]")]);
        command.args(settings.iter().flat_map(|setting| ["--set", setting]));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("DOYEN_")) {
            command.env_remove(name);
        }
        command.current_dir(directory.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = timeout(SOON, lines.next_line()).await.expect("the server says that it is ready").unwrap();
        let url = first.as_deref().and_then(|line| line.strip_prefix("ready ")).expect("`ready URL`").to_owned();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().build().unwrap();
        let server = Self { url, client, child, directory };
        server.upload("jobs", &MODULES).await;
        server
    }

    pub fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url)).timeout(SOON)
    }

    pub async fn upload(&self, name: &str, modules: &[(&str, &str)]) {
        let request = self.request(Method::POST, &format!("/binaries/{name}"));
        let request = request.header("content-type", "application/java-archive").body(archive(modules));
        assert_eq!(answer(request).await.0, StatusCode::CREATED);
    }

    /// Opens context `name`; gives the id of its driver's process.
    pub async fn open(&self, name: &str) -> u32 {
        let (status, said) = self.post(&format!("/contexts/{name}?context-factory=node"), "").await;
        assert_eq!(status, StatusCode::OK, "{said}");
        let context = self.get(&format!("/contexts/{name}")).await;
        context["applicationId"].as_str().unwrap().strip_prefix("node-").unwrap().parse().unwrap()
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, said) = answer(self.request(Method::GET, path)).await;
        assert_eq!(status, StatusCode::OK, "{said}");
        said
    }

    pub async fn post(&self, path: &str, body: &str) -> (StatusCode, Value) {
        answer(self.request(Method::POST, path).body(body.to_owned())).await
    }

    pub async fn delete(&self, path: &str) -> (StatusCode, Value) {
        answer(self.request(Method::DELETE, path)).await
    }

    /// Runs a job of the uploaded modules to its end.
    pub async fn run(&self, context: &str, class: &str, config: &str) -> Value {
        let path = format!("/jobs?appName=jobs&classPath={class}&context={context}&sync=true&timeout=60");
        let (status, said) = self.post(&path, config).await;
        assert_eq!(status, StatusCode::OK, "{said}");
        said
    }

    /// Starts a job of the uploaded modules; gives its id.
    pub async fn submit(&self, context: &str, class: &str, config: &str) -> String {
        let path = format!("/jobs?appName=jobs&classPath={class}&context={context}");
        let (status, said) = self.post(&path, config).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{said}");
        said["jobId"].as_str().unwrap().to_owned()
    }

    /// The job, once it has ended.
    pub async fn ended(&self, job: &str) -> Value {
        self.get(&format!("/jobs/{job}?wait=50s")).await
    }

    pub async fn log(&self, job: &str) -> String {
        let answer = self.request(Method::GET, &format!("/v1/jobs/{job}/logs")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        String::from_utf8(answer.bytes().await.unwrap().to_vec()).unwrap()
    }

    /// Starts a job that never ends; gives its id and the processes that it tells in the first line of its log.
    pub async fn hang(&self, context: &str) -> (String, Vec<u32>) {
        let job = self.submit(context, "hang", "").await;
        let line = self.first_line(&job).await;
        (job, line.split_whitespace().map(|pid| pid.parse().unwrap()).collect())
    }

    /// The first line of a job's log, once it is there.
    pub async fn first_line(&self, job: &str) -> String {
        let log = self.request(Method::GET, &format!("/v1/jobs/{job}/logs?follow=true"));
        let mut log = log.send().await.unwrap();
        let mut text = Vec::new();
        while !text.ends_with(b"\n") {
            text.extend(log.chunk().await.unwrap().expect("the job prints a line"));
        }
        String::from_utf8(text).unwrap()
    }

    /// Stops it as Ctrl-C does: with its contexts.
    pub async fn stop(mut self) {
        self.signal(Signal::INT);
        let status = timeout(SOON, self.child.wait()).await.expect("the server ends after SIGINT").unwrap();
        assert!(status.success(), "{status}");
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.child.id() {
            kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
        }
    }
}

/// After a failure the server is killed; its shims end themselves when the directory goes.
impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.directory.path().join("server.log")).unwrap_or_default();
            eprintln!("--- the server's log:\n{log}---");
        }
    }
}

async fn require_node() {
    let said = Command::new("node").arg("--version").output().await;
    let version = said.map(|said| String::from_utf8_lossy(&said.stdout).trim().to_owned()).unwrap_or_default();
    let major = version.strip_prefix('v').and_then(|v| v.split('.').next()?.parse::<u32>().ok());
    assert!(major >= Some(18), "no `node` of version 18 or later in PATH (found: {version:?}): run scripts/test");
}

async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let answer = request.send().await.unwrap();
    let (status, body) = (answer.status(), answer.bytes().await.unwrap());
    let value = serde_json::from_slice(&body);
    (status, value.unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&body))))
}

fn archive(modules: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, source) in modules {
        archive.start_file(*name, SimpleFileOptions::default()).unwrap();
        archive.write_all(source.as_bytes()).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// Returns when no process of these runs any more.
pub async fn gone(pids: &[u32]) {
    let ended = async {
        while pids.iter().any(|pid| is_alive(*pid)) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, ended).await.expect("the processes end");
}

/// One that has ended and was not reaped yet is not alive.
pub fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}
