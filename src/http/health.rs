//! Liveness, readiness, metrics, the API's description, and what no route answers.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use super::error::HttpError;
use super::params::Who;
use super::{Metrics, answer, openapi};
use crate::api::rest::Answer;
use crate::service::Service;

/// Whether the process lives
#[utoipa::path(get, path = "/ping", tag = "health", responses((status = 200, description = "`pong`")))]
pub async fn ping() -> Response {
    answer::text(StatusCode::OK, "pong")
}

/// Whether all stores answer
#[utoipa::path(get, path = "/healthz", tag = "health",
    responses((status = 200, body = Answer), (status = 500, body = Answer)))]
pub async fn healthz(State(service): State<Service>) -> Response {
    match service.healthy().await {
        Ok(()) => answer::success(StatusCode::OK, None),
        Err(why) => not_well(StatusCode::INTERNAL_SERVER_ERROR, why),
    }
}

/// Whether this node should get requests
///
/// It stays ready while a store is away, and says which: it reads from memory what no other node knows better, and its jobs go
/// on. It is not ready while it starts or stops.
#[utoipa::path(get, path = "/readyz", tag = "health",
    responses((status = 200, body = Answer), (status = 503, body = Answer)))]
pub async fn readyz(State(service): State<Service>) -> Response {
    match service.ready().await {
        Ok(degraded) => answer::success(StatusCode::OK, degraded.as_deref()),
        Err(why) => not_well(StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

fn not_well(status: StatusCode, why: String) -> Response {
    answer::json(status, &Answer { status: "ERROR".into(), result: Some(why) })
}

/// Counters and gauges in the OpenMetrics text format
#[utoipa::path(get, path = "/metrics", tag = "health", responses((status = 200, description = "OpenMetrics")))]
pub async fn metrics(
    State(service): State<Service>,
    State(metrics): State<Arc<Metrics>>,
    Who(who): Who,
) -> Result<Response, HttpError> {
    let (jobs, queued, contexts) = service.load(&who)?;
    // A store that is away leaves the figures as they were.
    if let Ok(counts) = service.callback_counts().await {
        metrics.callbacks(counts);
    }
    metrics.retention(service.removed());
    for (store, away) in service.away() {
        metrics.away(store, away);
    }
    // It shares its counters with what is registered; this brings its gauges up to date.
    let _ = service.store_meter();
    if let Some(counts) = service.history() {
        metrics.history(counts);
    }
    let kind = header::HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    Ok(answer::of_type(StatusCode::OK, kind, metrics.encode(jobs, queued, contexts)))
}

pub async fn openapi() -> Response {
    answer::raw_json(StatusCode::OK, openapi::document())
}

pub async fn index() -> Response {
    Html(include_str!("index.html")).into_response()
}

pub async fn no_route() -> Response {
    answer::text(StatusCode::NOT_FOUND, "The requested resource could not be found.")
}

pub async fn no_method() -> Response {
    answer::text(StatusCode::METHOD_NOT_ALLOWED, "HTTP method not allowed; see the Allow header.")
}
