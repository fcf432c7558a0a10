//! Answers: JSON in the reference's content type, and text.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;

use crate::api::rest::Answer;

pub const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=UTF-8");

pub fn of_type(status: StatusCode, content_type: HeaderValue, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

pub fn json<T: Serialize>(status: StatusCode, body: &T) -> Response {
    raw_json(status, serde_json::to_vec(body).expect("answers are plain data"))
}

/// A body that is JSON text already.
pub fn raw_json(status: StatusCode, body: impl Into<Body>) -> Response {
    of_type(status, JSON, body)
}

pub fn text(status: StatusCode, body: impl Into<Body>) -> Response {
    of_type(status, TEXT, body)
}

pub fn success(status: StatusCode, result: Option<&str>) -> Response {
    json(status, &Answer { status: "SUCCESS".into(), result: result.map(str::to_owned) })
}
