//! A server that does what its test says, message by message.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Server {
    pub address: SocketAddr,
    pub blobs: Blobs,
    connections: mpsc::Receiver<WebSocket>,
    serving: tokio::task::JoinHandle<()>,
}

/// Content by hash; how often each was asked for; whether the next requests fail.
#[derive(Clone, Default)]
pub struct Blobs(Arc<Mutex<BlobState>>);

#[derive(Default)]
struct BlobState {
    content: HashMap<String, Bytes>,
    fetches: HashMap<String, usize>,
    failures: usize,
    gate: Option<Arc<tokio::sync::Semaphore>>,
}

impl Blobs {
    pub fn put(&self, content: &[u8]) -> String {
        let hash = hash(content);
        self.0.lock().unwrap().content.insert(hash.clone(), Bytes::copy_from_slice(content));
        hash
    }

    pub fn get(&self, reference: &Value) -> String {
        let content = self.0.lock().unwrap().content[reference["sha256"].as_str().unwrap()].clone();
        assert_eq!(content.len() as u64, reference["size_bytes"].as_u64().unwrap());
        String::from_utf8(content.to_vec()).unwrap()
    }

    pub fn fetches(&self, hash: &str) -> usize {
        self.0.lock().unwrap().fetches.get(hash).copied().unwrap_or(0)
    }

    pub fn fail(&self, times: usize) {
        self.0.lock().unwrap().failures = times;
    }

    /// Downloads wait until permits are added.
    pub fn close_gate(&self) -> Arc<tokio::sync::Semaphore> {
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        self.0.lock().unwrap().gate = Some(Arc::clone(&gate));
        gate
    }
}

#[derive(Clone)]
struct Shared {
    blobs: Blobs,
    connections: mpsc::Sender<WebSocket>,
}

impl Server {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, connections) = mpsc::channel(16);
        let blobs = Blobs::default();
        let routes = Router::new()
            .route("/v1/drivers/context/attach", get(attach))
            .route("/v1/drivers/context/blobs/{hash}", get(download).put(upload))
            .layer(DefaultBodyLimit::disable())
            .with_state(Shared { blobs: blobs.clone(), connections: sender });
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { address, blobs, connections, serving }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next connection, which has said hello.
    pub async fn connection(&mut self) -> Link {
        let socket = tokio::time::timeout(PATIENCE, self.connections.recv()).await.expect("a connection").unwrap();
        let mut link = Link { socket, hello: Value::Null };
        link.hello = link.expect("hello").await;
        link
    }

    /// The next connection, welcomed.
    pub async fn attachment(&mut self) -> Link {
        let mut link = self.connection().await;
        link.send(json!({"welcome": {"servers": [self.url()]}})).await;
        link
    }

    /// The next connection, welcomed, with a driver that is ready.
    pub async fn ready(&mut self) -> Link {
        let mut link = self.attachment().await;
        if link.hello["ready"].is_null() {
            link.expect("ready").await;
        }
        link
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

pub struct Link {
    pub socket: WebSocket,
    pub hello: Value,
}

impl Link {
    pub async fn send(&mut self, message: Value) {
        self.socket.send(Message::Text(message.to_string().into())).await.unwrap();
    }

    pub async fn run(&mut self, job: &str, class: &str, config: Value) {
        self.run_with(job, class, config, json!([])).await;
    }

    pub async fn run_with(&mut self, job: &str, class: &str, config: Value, binaries: Value) {
        self.send(json!({"run": {"job": job, "class": class, "config": config, "binaries": binaries}})).await;
    }

    pub async fn ack(&mut self, job: &str) {
        self.send(json!({"ack": {"job": job}})).await;
    }

    /// The next message, which is to be of this kind.
    pub async fn expect(&mut self, kind: &str) -> Value {
        let mut message = self.message().await;
        assert!(message.get(kind).is_some(), "{kind} expected, not {message}");
        message[kind].take()
    }

    pub async fn message(&mut self) -> Value {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.recv()).await.expect("a message");
            match message.expect("an open connection").unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Close(frame) => panic!("closed: {frame:?}"),
                _ => {}
            }
        }
    }

    pub async fn close(mut self, code: u16) {
        let _ = self.socket.send(Message::Close(Some(CloseFrame { code, reason: "as the test says".into() }))).await;
    }
}

pub fn hash(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn attach(State(shared): State<Shared>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async move |socket| drop(shared.connections.send(socket).await))
}

fn refusal(shared: &Shared, headers: &HeaderMap) -> Option<StatusCode> {
    assert_eq!(headers["authorization"], "Bearer secret");
    let mut state = shared.blobs.0.lock().unwrap();
    let fails = state.failures > 0;
    state.failures = state.failures.saturating_sub(1);
    fails.then_some(StatusCode::SERVICE_UNAVAILABLE)
}

async fn download(
    State(shared): State<Shared>,
    Path(hash): Path<String>,
    headers: HeaderMap,
) -> Result<Bytes, StatusCode> {
    *shared.blobs.0.lock().unwrap().fetches.entry(hash.clone()).or_default() += 1;
    if let Some(status) = refusal(&shared, &headers) {
        return Err(status);
    }
    let gate = shared.blobs.0.lock().unwrap().gate.clone();
    if let Some(gate) = gate {
        gate.acquire().await.unwrap().forget();
    }
    shared.blobs.0.lock().unwrap().content.get(&hash).cloned().ok_or(StatusCode::NOT_FOUND)
}

async fn upload(
    State(shared): State<Shared>,
    Path(expected): Path<String>,
    headers: HeaderMap,
    content: Bytes,
) -> StatusCode {
    if let Some(status) = refusal(&shared, &headers) {
        return status;
    }
    if hash(&content) != expected {
        return StatusCode::BAD_REQUEST;
    }
    shared.blobs.put(&content);
    StatusCode::CREATED
}
