//! Before each route: who asks? Who is told nothing gets no further.

use std::net::IpAddr;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::audit::Line;
use super::error::HttpError;
use super::secure::ClientName;
use crate::service::{Credentials, Principal, Service, ServiceError};

/// Routes that tell nothing of anybody's.
const PUBLIC: [&str; 5] = ["/", "/ping", "/healthz", "/readyz", "/openapi.json"];
/// Drivers have secrets of their own, which their handlers check.
const DRIVERS: &str = "/v1/drivers/";
/// Open to everybody if the configuration says so; the service decides.
const METRICS: &str = "/metrics";

const FORWARDED_FOR: &str = "x-forwarded-for";

/// Where a connection comes from; the listener puts it into each request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// Finds out who asks, for the handlers; and writes the audit log.
pub async fn authenticate(
    service: &Service,
    mut request: Request,
    next: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|route| route.as_str().to_owned()).unwrap_or_default();
    let remote = remote(service, &request);
    let certified = request.extensions().get::<ClientName>();
    let credentials = match credentials(request.headers()) {
        Credentials::None => {
            certified.map_or(Credentials::None, |client| Credentials::Certificate { user: client.0.clone() })
        }
        told => told,
    };
    let mut line = Line::begin(&request, &route, remote, &credentials);
    let response = match principal(service, &route, &credentials, remote).await {
        Ok(principal) => {
            line.is(&principal);
            request.extensions_mut().insert(principal);
            next(request).await
        }
        Err(error) => {
            let is_challenge = matches!(error, ServiceError::NoCredentials | ServiceError::BadCredentials);
            let mut response = HttpError(error).into_response();
            if is_challenge {
                let challenge = challenge(&service.config.security.realm, &credentials);
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            }
            response
        }
    };
    line.end(&response);
    response
}

async fn principal(
    service: &Service,
    route: &str,
    credentials: &Credentials,
    remote: Option<IpAddr>,
) -> Result<Principal, ServiceError> {
    if route.starts_with(DRIVERS) || PUBLIC.contains(&route) {
        return Ok(Principal::nobody());
    }
    if route == METRICS && service.config.security.open_metrics {
        return Ok(Principal::nobody());
    }
    let from = remote.map_or_else(|| "-".into(), neighbourhood);
    service.authenticate(credentials, &from).await
}

fn credentials(headers: &HeaderMap) -> Credentials {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    match (given.next(), given.next()) {
        (None, _) => Credentials::None,
        (Some(value), None) => Credentials::of_header(value.as_bytes()),
        (Some(_), Some(_)) => Credentials::Malformed,
    }
}

/// The client's address: the connection's, or what a proxy that is trusted says.
fn remote(service: &Service, request: &Request) -> Option<IpAddr> {
    let peer = request.extensions().get::<Peer>()?.0.to_canonical();
    if !service.config.security.trusted_proxies.iter().any(|proxy| proxy.to_canonical() == peer) {
        return Some(peer);
    }
    let last = request.headers().get_all(FORWARDED_FOR).iter().next_back();
    let told = last.and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse::<IpAddr>().ok());
    Some(told.unwrap_or(peer))
}

/// Who has an IPv6 address has 2^64 of them.
fn neighbourhood(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

/// In the scheme that was tried.
fn challenge(realm: &str, credentials: &Credentials) -> HeaderValue {
    let text = if credentials.is_bearer() {
        format!("Bearer realm=\"{realm}\", error=\"invalid_token\"")
    } else {
        format!("Basic realm=\"{realm}\",charset=UTF-8")
    };
    HeaderValue::from_str(&text).expect("the configuration has checked the realm")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_headers_that_say_who_asks_are_malformed() {
        let mut headers = HeaderMap::new();
        assert_eq!(credentials(&headers), Credentials::None);
        headers.append(header::AUTHORIZATION, HeaderValue::from_static("Basic YTpi"));
        assert_eq!(credentials(&headers), Credentials::Basic { user: "a".into(), password: "b".into() });
        headers.append(header::AUTHORIZATION, HeaderValue::from_static("Basic YTpi"));
        assert_eq!(credentials(&headers), Credentials::Malformed);
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_neighbourhood() {
        let of = |text: &str| neighbourhood(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2:ffff::"));
        assert_ne!(of("2001:db8:1:2::"), of("2001:db8:1:3::"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }
}
