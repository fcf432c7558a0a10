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

/// Callbacks that were taken, by the path that they came to.
type Calls = Arc<Mutex<HashMap<String, Vec<Value>>>>;

pub struct Peer {
    pub url: String,
    calls: Calls,
    /// With what paths answer, when not with 200.
    answers: Arc<Mutex<HashMap<String, u16>>>,
    serving: JoinHandle<()>,
}

impl Peer {
    pub async fn start() -> Self {
        let calls = Calls::default();
        let kept = Arc::clone(&calls);
        let answers = Arc::<Mutex<HashMap<String, u16>>>::default();
        let known = Arc::clone(&answers);
        let answer = move |request: Request| {
            let (calls, answers) = (Arc::clone(&kept), Arc::clone(&known));
            async move {
                let (parts, body) = request.into_parts();
                // A server that dies in the middle sends half a body: that is no callback.
                let Ok(body) = to_bytes(body, LARGEST).await else { return StatusCode::BAD_REQUEST };
                let Ok(said) = serde_json::from_slice(&body) else { return StatusCode::BAD_REQUEST };
                let path = parts.uri.path().to_owned();
                let answer = answers.lock().unwrap().get(&path).copied().unwrap_or(200);
                if answer == 200 {
                    calls.lock().unwrap().entry(path).or_default().push(said);
                }
                StatusCode::from_u16(answer).unwrap()
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await.unwrap() });
        Self { url, calls, answers, serving }
    }

    /// From now on this path answers so.
    pub fn answer(&self, path: &str, status: u16) {
        self.answers.lock().unwrap().insert(path.into(), status);
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
