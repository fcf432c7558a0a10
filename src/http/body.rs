//! Request bodies: short ones as text, uploads as streams.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use futures::StreamExt;

use super::params;
use crate::core::hocon::{Object, Value};
use crate::service::{Service, ServiceError, Upload};

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
pub async fn config(service: &Service, request: Request) -> Result<Object, ServiceError> {
    let (head, body) = request.into_parts();
    let text = text(service, body).await?;
    let parsed = service.parse_body(&text);
    if parsed.is_err() && media_type(&head.headers).eq_ignore_ascii_case(FORM) && is_form(&text) {
        let mut object = Object::default();
        for (key, value) in params::pairs(&text) {
            let set = object.set_path(&key, Value::String(value));
            set.map_err(|error| ServiceError::BadConfig(error.message))?;
        }
        return Ok(object);
    }
    parsed
}

/// Whether a form, once encoded, can look like this. Many clients say that everything is a form.
fn is_form(text: &str) -> bool {
    let encoded = |b: u8| b.is_ascii_alphanumeric() || b"*-._~+%&=".contains(&b);
    text.contains('=') && text.trim_end().bytes().all(encoded)
}

/// An upload within `http.max-upload-bytes`, as far as its head tells; then its content is not even asked for.
pub fn upload_within(service: &Service, headers: &HeaderMap, body: Body) -> Result<impl Upload + use<>, ServiceError> {
    let limit_bytes = service.config.http.max_upload_bytes;
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit_bytes) {
        return Err(ServiceError::TooLarge { limit_bytes });
    }
    Ok(upload(body))
}

pub fn upload(body: Body) -> impl Upload {
    body.into_data_stream().map(|part| part.map_err(|error| error.to_string()))
}
