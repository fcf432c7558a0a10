//! What a server answers that waits for its stores at its start: that it lives, and why it does nothing else yet.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use tokio::sync::watch;

use super::error::CODE_HEADER;
use super::{answer, health};
use crate::api::rest::Answer;

/// Seconds after which clients and drivers may ask again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// Why it waits.
type Why = watch::Receiver<String>;

/// For the listener of a server whose stores do not answer yet.
pub fn waiting(why: Why) -> Router {
    Router::new()
        .route("/ping", get(health::ping))
        .route("/healthz", get(async |State(why): State<Why>| not_yet(StatusCode::INTERNAL_SERVER_ERROR, &why)))
        .fallback(async |State(why): State<Why>| not_yet(StatusCode::SERVICE_UNAVAILABLE, &why))
        .with_state(why)
}

fn not_yet(status: StatusCode, why: &Why) -> Response {
    let text = format!("The server starts, and waits for its stores: {}", *why.borrow());
    let mut response = answer::json(status, &Answer { status: "ERROR".into(), result: Some(text) });
    response.headers_mut().insert(CODE_HEADER, HeaderValue::from_static("starting"));
    response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
    response
}
