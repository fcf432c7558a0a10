//! Runs the binary, and plays a server.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// Nothing listens there: it is the port of a service that nobody runs.
pub const DOWN: &str = "http://127.0.0.1:1";

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// The binary with these arguments, in an empty directory, without our environment.
pub fn command(directory: &tempfile::TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doyen"));
    command.args(arguments).env_clear().current_dir(directory.path()).stdin(Stdio::null());
    command
}

pub fn end(mut command: Command) -> Ended {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

pub fn run(arguments: &[&str]) -> Ended {
    end(command(&tempfile::tempdir().unwrap(), arguments))
}

/// A request as the server got it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Method, path and query, like `GET /jobs?limit=1`.
    pub line: String,
    pub content_type: String,
    pub content_length: Option<u64>,
    pub idempotency_key: Option<String>,
    pub authorization: String,
    pub range: Option<String>,
    pub body: Vec<u8>,
}

pub struct Server {
    pub url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Answers what `play` says to each request, once the whole of it is there.
    pub fn playing(play: impl Fn(&Seen) -> Response + Send + Sync + 'static) -> Self {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let record = seen.clone();
        let play = Arc::new(play);
        Self::serving(
            seen,
            Router::new().fallback(move |request: Request| {
                let (record, play) = (record.clone(), play.clone());
                async move {
                    let request = read(request).await;
                    record.lock().unwrap().push(request.clone());
                    play(&request)
                }
            }),
        )
    }

    /// Answers without reading a body.
    pub fn hasty(status: u16, body: &'static str) -> Self {
        Self::serving(Arc::default(), Router::new().fallback(move || async move { answer(status, body) }))
    }

    fn serving(seen: Arc<Mutex<Vec<Seen>>>, router: Router) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (ready, address) = std::sync::mpsc::sync_channel::<SocketAddr>(1);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                ready.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    served = async { axum::serve(listener, router).await } => served.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        let url = format!("http://{}", address.recv().unwrap());
        Self { url, seen, stop: Some(stop), thread: Some(thread) }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }

    /// Runs the binary against this server.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        run(&[&["--url", &self.url], arguments].concat())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))), "the server's thread panicked");
    }
}

async fn read(request: Request) -> Seen {
    let (parts, body) = request.into_parts();
    let header = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let content_type = header("content-type").unwrap_or_default();
    let idempotency_key = header("idempotency-key");
    let content_length = header("content-length").map(|length| length.parse().unwrap());
    let authorization = header("authorization").unwrap_or_default();
    let range = header("range");
    let body = to_bytes(body, 64 << 20).await.unwrap().to_vec();
    Seen {
        line: format!("{} {}", parts.method, parts.uri),
        content_type,
        content_length,
        idempotency_key,
        authorization,
        range,
        body,
    }
}

pub fn answer(status: u16, body: impl Into<Body>) -> Response {
    Response::builder().status(status).body(body.into()).unwrap()
}
