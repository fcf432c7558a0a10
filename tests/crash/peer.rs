//! What jobs call back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::StatusCode;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const LARGEST: usize = 1 << 20;

/// Callbacks by the path that they came to.
type Calls = Arc<Mutex<HashMap<String, Vec<Value>>>>;

pub struct Peer {
    pub url: String,
    calls: Calls,
    serving: JoinHandle<()>,
}

impl Peer {
    pub async fn start() -> Self {
        let calls = Calls::default();
        let kept = Arc::clone(&calls);
        let answer = move |request: Request| {
            let calls = Arc::clone(&kept);
            async move {
                let (parts, body) = request.into_parts();
                // A server that dies in the middle sends half a body: that is no callback.
                let Ok(body) = to_bytes(body, LARGEST).await else { return StatusCode::BAD_REQUEST };
                let Ok(said) = serde_json::from_slice(&body) else { return StatusCode::BAD_REQUEST };
                calls.lock().unwrap().entry(parts.uri.path().to_owned()).or_default().push(said);
                StatusCode::OK
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await.unwrap() });
        Self { url, calls, serving }
    }

    pub fn heard(&self, path: &str) -> Vec<Value> {
        self.calls.lock().unwrap().get(path).cloned().unwrap_or_default()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
