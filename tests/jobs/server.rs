//! A server of a test, its requests, and the proof that nothing of it is left afterwards.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex, Weak};
use std::time::Duration;

use doyen::runtime::processes::{self, Process};
use doyen::runtime::{clock, random};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::wheel;

/// Longer than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(180);
const AGAIN: Duration = Duration::from_millis(20);
/// Marks a server and all that it starts.
const MARK: &str = "DOYEN_TEST_JOBS";
pub const WHEEL: &str = "application/python-wheel";
/// The context and the binary that every shared server has.
pub const CONTEXT: &str = "shared";
pub const APP: &str = "jobs";

static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());
static HTTP: LazyLock<reqwest::Client> = LazyLock::new(|| {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().tls_certs_only([]).no_proxy().timeout(PATIENCE).build().unwrap()
});

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The body, of an answer with this status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        self.json()
    }

    /// `result` as text, or its `message`, of an answer with this status.
    #[track_caller]
    pub fn says(&self, status: u16) -> String {
        let body = self.expect(status);
        let text = body["result"].as_str().or_else(|| body["result"]["message"].as_str());
        text.unwrap_or_else(|| panic!("no text in {body}")).to_owned()
    }
}

pub struct Server {
    pub url: String,
    process: Child,
    mark: String,
    directory: TempDir,
}

impl Server {
    /// A server with these keys of the configuration.
    pub fn with(settings: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mark = random::id();
        let mut command = command(directory.path());
        command.args(["server", "--http", "127.0.0.1:0", "--data-dir", "data"]).env(MARK, &mark);
        for setting in settings {
            command.args(["--set", setting]);
        }
        let log = std::fs::File::create(directory.path().join("server.log")).unwrap();
        let mut process = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.strip_prefix("ready ").map(|url| url.trim().to_owned());
        let server = Self { url: url.clone().unwrap_or_default(), process, mark, directory };
        assert!(url.is_some(), "not ready: {line:?}; its log:\n{}", server.log_text());
        server
    }

    /// A server with the context `shared` of kind `python` and the wheel `jobs`; tests that run at once have the same one.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        shared(&SHARED, || {
            let server = Self::with(&[]);
            server.open(CONTEXT, "context-factory=python&max-jobs-per-context=64");
            server
        })
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    pub fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub fn log_text(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("server.log")).unwrap_or_default()
    }

    fn request(&self, method: Method, path: &str, media_type: &str, body: impl Into<reqwest::Body>) -> Answer {
        send(HTTP.request(method, format!("{}{path}", self.url)).header("content-type", media_type).body(body))
    }

    pub fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path, "text/plain", "")
    }

    pub fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        self.request(Method::POST, path, "text/plain", body)
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.request(Method::DELETE, path, "text/plain", "")
    }

    /// Sends the bytes as they are and closes the sending side; whatever comes back. A server may take that for the end
    /// of a client, and say nothing.
    pub fn cut(&self, request: &[u8]) -> String {
        self.send(request, true)
    }

    /// Sends the bytes as they are, which ask for the connection's end; whatever comes back.
    pub fn raw(&self, request: &[u8]) -> String {
        self.send(request, false)
    }

    fn send(&self, request: &[u8], cut: bool) -> String {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request).unwrap();
        if cut {
            stream.shutdown(Shutdown::Write).unwrap();
        }
        let mut answer = Vec::new();
        // A connection that is reset has nothing more to say.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub fn upload(&self, name: &str, content: impl Into<reqwest::Body>) -> Answer {
        self.request(Method::POST, &format!("/binaries/{name}"), WHEEL, content)
    }

    #[track_caller]
    pub fn open(&self, name: &str, query: &str) {
        self.post(&format!("/contexts/{name}?{query}"), "").expect(200);
        if self.get(&format!("/binaries/{APP}")).status == 404 {
            self.upload(APP, wheel::jobs()).expect(201);
        }
    }

    /// A synchronous job of the wheel `jobs`.
    pub fn run_in(&self, context: &str, class: &str, body: impl Into<reqwest::Body>) -> Answer {
        self.post(&format!("/jobs?cp={APP}&mainClass={class}&context={context}&sync=true&timeout=100"), body)
    }

    pub fn run(&self, class: &str, body: impl Into<reqwest::Body>) -> Answer {
        self.run_in(CONTEXT, class, body)
    }

    /// An asynchronous job of a binary; its id.
    #[track_caller]
    pub fn submit(&self, context: &str, app: &str, class: &str, body: &str) -> String {
        let path = format!("/jobs?cp={app}&mainClass={class}&context={context}");
        self.post(&path, body.to_owned()).expect(202)["jobId"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub fn job(&self, id: &str) -> Value {
        self.get(&format!("/jobs/{id}")).expect(200)
    }

    /// The job as it is at its end.
    #[track_caller]
    pub fn end_of(&self, id: &str) -> Value {
        eventually("the job's end", || {
            let job = self.get(&format!("/jobs/{id}?wait=30s")).expect(200);
            ["FINISHED", "ERROR", "KILLED"].contains(&job["status"].as_str().unwrap()).then_some(job)
        })
    }

    /// Waits until the job has written the text.
    pub fn until_written(&self, id: &str, text: &str) {
        eventually(text, || self.get(&format!("/v1/jobs/{id}/logs")).text().contains(text).then_some(()));
    }

    /// The server, its context and a job in it are as well as ever.
    #[track_caller]
    pub fn still_serves(&self) {
        assert_eq!(self.get("/healthz").expect(200), json!({"status": "SUCCESS"}));
        assert_eq!(self.run("bad.Echo", "still = here").expect(200)["result"], json!({"still": "here"}));
    }

    /// A line of `/proc/<pid>/status`, in bytes.
    pub fn memory(&self, line: &str) -> u64 {
        memory(self.pid(), line)
    }

    /// The shims that this server started.
    pub fn shims(&self) -> Vec<Process> {
        let is_shim = |process: &Process| {
            let command = std::fs::read(format!("/proc/{}/cmdline", process.pid)).unwrap_or_default();
            command.split(|byte| *byte == 0).any(|word| word == b"shim")
        };
        processes::descendants(self.pid()).into_iter().filter(is_shim).collect()
    }
}

fn send(request: reqwest::RequestBuilder) -> Answer {
    RUNTIME.block_on(async {
        let response = request.send().await.unwrap();
        Answer { status: response.status().as_u16(), body: response.bytes().await.unwrap().to_vec() }
    })
}

/// A page of another server.
pub fn fetch(url: &str) -> Answer {
    send(HTTP.get(url))
}

/// A line of `/proc/<pid>/status` like `VmHWM`, in bytes.
pub fn memory(pid: u32, line: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let found = status.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':')).unwrap();
    found.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

impl Drop for Server {
    /// Stops server and drivers as Ctrl-C does. Nothing may be left.
    fn drop(&mut self) {
        let signalled = processes::find(self.pid()).is_some_and(|process| processes::signal(process, Signal::INT));
        let ended = signalled && until(|| self.process.try_wait().unwrap());
        let entry = format!("{MARK}={}", self.mark);
        let gone = ended && until(|| processes::with_environment(&entry).is_empty().then_some(()));
        let left = processes::with_environment(&entry);
        for process in &left {
            processes::signal(*process, Signal::KILL);
        }
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- the server's log:\n{}---", self.log_text());
        } else {
            assert!(signalled && ended && gone, "left after SIGINT: {left:?}; the server's log:\n{}", self.log_text());
        }
    }
}

/// Whether it comes in time.
fn until<T>(mut look: impl FnMut() -> Option<T>) -> bool {
    let began = clock::instant();
    while clock::since(began) < PATIENCE {
        if look().is_some() {
            return true;
        }
        std::thread::sleep(AGAIN);
    }
    false
}

/// What comes within some time.
#[track_caller]
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let mut found = None;
    let came = until(|| {
        found = look();
        found.as_ref().map(drop)
    });
    assert!(came, "waited in vain for {what}");
    found.unwrap()
}

/// The thing that other tests have at this moment, or a new one.
pub fn shared<T>(place: &Mutex<Weak<T>>, make: impl FnOnce() -> T) -> Arc<T> {
    // A test that failed while it made one leaves nothing behind that is half made.
    let mut place = place.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    place.upgrade().unwrap_or_else(|| {
        let made = Arc::new(make());
        *place = Arc::downgrade(&made);
        made
    })
}

/// The binary in this directory, without anybody's own configuration.
pub fn command(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doyen"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("DOYEN__")) {
        command.env_remove(name);
    }
    command.env_remove("DOYEN_URL").env("SPARK_LOCAL_HOSTNAME", "localhost").env_remove("PYTHONPATH");
    command.current_dir(directory).stdin(Stdio::null());
    command
}

/// The Python that scripts/setup made under this name.
pub fn python(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: run scripts/test"))
}
