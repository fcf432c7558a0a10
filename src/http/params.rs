//! Query parameters, read as the reference reads them: an empty one is absent, of several the first counts.

use std::borrow::Cow;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::error::HttpError;
use crate::service::{Principal, ServiceError, boolean};

/// The query's pairs, decoded, in their order.
pub struct Params(pub Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(pairs(parts.uri.query().unwrap_or_default())))
    }
}

/// Pairs of a query or a form.
pub fn pairs(text: &str) -> Vec<(String, String)> {
    let decode = |part: &str| {
        let spaces = if part.contains('+') { Cow::Owned(part.replace('+', " ")) } else { Cow::Borrowed(part) };
        percent_encoding::percent_decode_str(&spaces).decode_utf8_lossy().into_owned()
    };
    let parts = text.split('&').filter(|part| !part.is_empty());
    parts
        .map(|part| match part.split_once('=') {
            Some((key, value)) => (decode(key), decode(value)),
            None => (decode(part), String::new()),
        })
        .collect()
}

impl Params {
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    pub fn owned(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }

    pub fn bool(&self, name: &str) -> Result<Option<bool>, ServiceError> {
        self.get(name).map(|value| parse_bool(name, value)).transpose()
    }

    /// A 32-bit signed number.
    pub fn int(&self, name: &str) -> Result<Option<i32>, ServiceError> {
        let parse =
            |value: &str| value.parse().map_err(|_| malformed(name, value, "a valid 32-bit signed integer value"));
        self.get(name).map(parse).transpose()
    }

    /// `30s`, `500ms`, or a bare number of seconds.
    pub fn duration(&self, name: &str) -> Result<Option<Duration>, ServiceError> {
        let parse = |value: &str| match value.parse() {
            Ok(seconds) => Ok(Duration::from_secs(seconds)),
            Err(_) => crate::config::duration::parse(value)
                .map_err(|_| malformed(name, value, "a duration like 30s or 500ms")),
        };
        self.get(name).map(parse).transpose()
    }
}

fn parse_bool(name: &str, value: &str) -> Result<bool, ServiceError> {
    boolean(value).ok_or_else(|| malformed(name, value, "a valid Boolean value"))
}

fn malformed(name: &str, value: &str, expected: &'static str) -> ServiceError {
    ServiceError::BadParameter { name: name.into(), value: value.into(), expected: expected.into() }
}

/// Who asks, as `authentication` has found out.
pub struct Who(pub Principal);

impl<S: Sync> FromRequestParts<S> for Who {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, HttpError> {
        let found = parts.extensions.get::<Principal>().cloned();
        found.map(Self).ok_or_else(|| HttpError(ServiceError::Internal("nobody asked who asks".into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plus_is_a_blank_and_a_missing_value_is_empty() {
        let params = Params(pairs("a=x+y%2B&b&c=1=2&&a=z"));
        assert_eq!(params.get("a"), Some("x y+"));
        assert_eq!(params.get("b"), None);
        assert_eq!(params.get("c"), Some("1=2"));
    }

    #[test]
    fn booleans_have_four_words_each_in_any_case() {
        let params = Params(pairs("a=TRUE&b=off&c=perhaps&d="));
        assert_eq!(params.bool("a"), Ok(Some(true)));
        assert_eq!(params.bool("b"), Ok(Some(false)));
        assert!(params.bool("c").is_err());
        assert_eq!(params.bool("d"), Ok(None));
    }

    #[test]
    fn numbers_are_of_32_bits() {
        let params = Params(pairs("a=-1&b=99999999999&c=1.5"));
        assert_eq!(params.int("a"), Ok(Some(-1)));
        assert!(params.int("b").is_err() && params.int("c").is_err());
    }
}
