//! The header `Age`: while the metadata store is away, reads are answered from what this node knows, and say how old that may be.

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, Method, header};
use axum::response::Response;

use crate::service::{Freshness, Service};

/// Routes whose answers are made of records. A stream of events tells what is new only.
const OF_RECORDS: [&str; 7] = ["/binaries", "/jars", "/contexts", "/jobs", "/v1/contexts/", "/v1/jobs/", "/v1/tokens"];

pub async fn layer(service: &Service, request: Request, next: impl AsyncFnOnce(Request) -> Response) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let of_records = reads && OF_RECORDS.iter().any(|beginning| route.starts_with(beginning));
    let mut response = next(request).await;
    // Asked afterwards: a request may have waited for long. That nothing is there may be old as well.
    if of_records
        && !response.status().is_server_error()
        && let Some(seconds) = seconds(service.freshness())
    {
        response.headers_mut().insert(header::AGE, HeaderValue::from(seconds));
    }
    response
}

/// Rounded up: nothing is said to be younger than it is.
fn seconds(freshness: Freshness) -> Option<u64> {
    match freshness {
        Freshness::Current => None,
        Freshness::Behind(age) => Some(age.as_secs() + u64::from(age.subsec_nanos() > 0)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_age_is_in_whole_seconds_and_never_too_small() {
        assert_eq!(seconds(Freshness::Current), None);
        for (ms, expected) in [(1, 1), (1000, 1), (1001, 2), (59_999, 60)] {
            assert_eq!(seconds(Freshness::Behind(Duration::from_millis(ms))), Some(expected));
        }
    }
}
