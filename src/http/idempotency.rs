//! The header `Idempotency-Key` of whatever changes something.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Uri};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;

use super::error::HttpError;
use super::params::pairs;
use crate::core::idempotency::{self, KeyError, request_digest};
use crate::service::Keyed;

const KEY_HEADER: &str = "idempotency-key";
/// Of answers to a request that an earlier one with its key has done.
const REPLAYED_HEADER: &str = "idempotency-replayed";

/// The header, as the API's description has it.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "a description; `Once` is what handlers read")]
pub struct IdempotencyKey {
    /// Names what is to be done: of several requests with one key, one does it, and all are answered alike. At most 255
    /// characters, bare or in quotes. 409 while another one is at work, 422 when the key was used for something else.
    #[param(rename = "Idempotency-Key")]
    pub key: Option<String>,
}

/// The request's key, when it has one.
pub struct Once(pub Option<Keyed>);

impl<S: Sync> FromRequestParts<S> for Once {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.extensions.get::<Keyed>().cloned()))
    }
}

/// Reads the key for `Once`, and tells in the answer when it was known already.
pub async fn layer(mut request: Request, next: impl AsyncFnOnce(Request) -> Response) -> Response {
    if [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method()) {
        return next(request).await;
    }
    let key = match key(request.headers()) {
        Ok(None) => return next(request).await,
        Ok(Some(key)) => key,
        Err(error) => return HttpError(error.into()).into_response(),
    };
    let keyed = Keyed::new(key, digest(request.method(), request.uri()));
    request.extensions_mut().insert(keyed.clone());
    let mut response = next(request).await;
    if keyed.is_replayed() {
        response.headers_mut().insert(REPLAYED_HEADER, HeaderValue::from_static("true"));
    }
    response
}

fn key(headers: &HeaderMap) -> Result<Option<idempotency::IdempotencyKey>, KeyError> {
    let mut given = headers.get_all(KEY_HEADER).iter();
    let Some(value) = given.next() else { return Ok(None) };
    if given.next().is_some() {
        return Err(KeyError::Twice);
    }
    idempotency::IdempotencyKey::parse(value.to_str().map_err(|_| KeyError::Bare)?).map(Some)
}

fn digest(method: &Method, uri: &Uri) -> String {
    let decode = |segment| percent_decode_str(segment).decode_utf8_lossy().into_owned();
    let segments: Vec<String> = uri.path().split('/').skip(1).map(decode).collect();
    request_digest(method.as_str(), segments.iter().map(String::as_str), &pairs(uri.query().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_path_is_encoded_does_not_matter_and_what_it_says_does() {
        let of = |uri: &'static str| digest(&Method::POST, &Uri::from_static(uri));
        assert_eq!(of("/jars/a%20b?x=%79&z"), of("/binaries/a%20%62?z=&x=y"));
        assert_ne!(of("/data/a%2Fb"), of("/data/a/b"));
    }

    #[test]
    fn two_keys_are_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(key(&headers), Ok(None));
        headers.append(KEY_HEADER, HeaderValue::from_static("a"));
        assert_eq!(key(&headers), idempotency::IdempotencyKey::parse("a").map(Some));
        headers.append(KEY_HEADER, HeaderValue::from_static("a"));
        assert_eq!(key(&headers), Err(KeyError::Twice));
    }
}
