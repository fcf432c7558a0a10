//! Request bodies: short ones as text, uploads as streams.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody};
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use futures::{Stream, StreamExt};

use super::params;
use crate::core::hocon::{Object, Value};
use crate::service::{Service, ServiceError};

const FORM: &str = "application/x-www-form-urlencoded";

/// The media type without its parameters; what is missing or malformed is `application/octet-stream`, as in the reference.
pub fn media_type(headers: &HeaderMap) -> String {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let name = given.split(';').next().unwrap_or_default().trim();
    let token = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && c != '/');
    match name.split_once('/') {
        Some((kind, sub)) if token(kind) && token(sub) => name.to_owned(),
        _ => "application/octet-stream".into(),
    }
}

/// A body of text within `http.max-body-bytes`.
pub async fn text(service: &Service, body: Body) -> Result<String, ServiceError> {
    let limit = service.config.http.max_body_bytes;
    let mut all = Vec::new();
    let mut parts = body.into_data_stream();
    while let Some(part) = parts.next().await {
        let part = part.map_err(|error| ServiceError::BodyCut(error.to_string()))?;
        if (all.len() + part.len()) as u64 > limit {
            return Err(ServiceError::TooLarge { limit_bytes: limit });
        }
        all.extend_from_slice(&part);
    }
    String::from_utf8(all).map_err(|_| ServiceError::BadConfig("the body is not UTF-8".into()))
}

/// A body of HOCON, or of a form when it says so and is no HOCON.
pub async fn config(service: &Service, headers: &HeaderMap, body: Body) -> Result<Object, ServiceError> {
    let text = text(service, body).await?;
    let parsed = service.parse_body(&text);
    if parsed.is_err() && media_type(headers).eq_ignore_ascii_case(FORM) {
        let mut object = Object::default();
        for (key, value) in params::pairs(&text) {
            let set = object.set_path(&key, Value::String(value));
            set.map_err(|error| ServiceError::BadConfig(error.message))?;
        }
        return Ok(object);
    }
    parsed
}

/// A body that is streamed on. When the request is refused midway the rest is read and thrown away for a while: a client that
/// still writes when its connection is closed would not see the answer.
pub struct Incoming {
    stream: BodyDataStream,
    announced_bytes: u64,
    /// The client waits for our word before it sends.
    waits: bool,
}

/// How long the rest of a refused body is read.
const DRAIN_FOR: Duration = Duration::from_secs(10);

impl Incoming {
    pub fn new(headers: &HeaderMap, body: Body) -> Self {
        let announced_bytes = body.size_hint().lower();
        Self { stream: body.into_data_stream(), announced_bytes, waits: headers.contains_key(header::EXPECT) }
    }

    /// # Errors
    /// When it is announced as longer than an upload may be.
    pub fn check(&self, service: &Service) -> Result<(), ServiceError> {
        let limit_bytes = service.config.http.max_upload_bytes;
        if self.announced_bytes > limit_bytes { Err(ServiceError::TooLarge { limit_bytes }) } else { Ok(()) }
    }

    /// To be called when the request was refused.
    pub async fn drain(mut self) {
        if self.waits {
            return;
        }
        let rest = async { while let Some(Ok(_)) = self.stream.next().await {} };
        // Whoever sends for longer loses the connection.
        let _ = tokio::time::timeout(DRAIN_FOR, rest).await;
    }
}

impl Stream for Incoming {
    type Item = Result<Bytes, String>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.waits = false;
        self.stream.poll_next_unpin(context).map(|part| part.map(|part| part.map_err(|error| error.to_string())))
    }
}
