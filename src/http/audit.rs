//! The audit log: a line for each request that changes something, and for each that is refused. Never a secret: of a
//! request's query, headers and body it holds nothing but its id.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Instant;

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::Response;

use crate::runtime::clock;
use crate::service::{Credentials, Principal, Via};

/// The logs' target, which has a file of its own if the configuration says so.
const TARGET: &str = "audit";
const DRIVERS: &str = "/v1/drivers/";
const REQUEST_ID: &str = "x-request-id";
/// Names and ids are cut there.
const MOST_CHARS: usize = 300;

/// What an answer is about, where the path does not say it: the id of a job that was started, for instance.
#[derive(Debug, Clone)]
pub struct Object(pub String);

/// The permission that lacks.
#[derive(Debug, Clone, Copy)]
pub struct Lacking(pub &'static str);

/// The line of one request. A request whose client goes away gets its line too.
pub struct Line {
    changes: bool,
    who: String,
    via: Cow<'static, str>,
    action: String,
    object: String,
    remote: String,
    request_id: String,
    began: Instant,
    ended: bool,
}

impl Line {
    pub fn begin(request: &Request, route: &str, remote: Option<IpAddr>, credentials: &Credentials) -> Self {
        let method = request.method();
        let reads = [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE].contains(method);
        let path = percent_encoding::percent_decode_str(request.uri().path()).decode_utf8_lossy();
        let id = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
        Self {
            changes: !reads && !route.starts_with(DRIVERS),
            who: cut(credentials.claimed().unwrap_or_default()),
            via: "nothing".into(),
            action: format!("{method} {route}"),
            object: cut(&path),
            remote: remote.map(|address| address.to_string()).unwrap_or_default(),
            request_id: cut(id),
            began: clock::instant(),
            ended: false,
        }
    }

    /// Who asks has been found out.
    pub fn is(&mut self, principal: &Principal) {
        self.who.clone_from(&principal.name);
        self.via = match &principal.via {
            Via::Nothing => "nothing".into(),
            Via::Password => "password".into(),
            Via::Token(id) => format!("token {id}").into(),
            Via::Certificate => "certificate".into(),
        };
    }

    pub fn end(mut self, response: &Response) {
        self.ended = true;
        let status = response.status();
        let refused =
            [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::TOO_MANY_REQUESTS].contains(&status);
        if !self.changes && !refused {
            return;
        }
        if let Some(Object(object)) = response.extensions().get() {
            self.object = format!("{} {}", self.object, cut(object));
        }
        let lacking = response.extensions().get().map_or("", |Lacking(permission)| *permission);
        let outcome = match status.as_u16() {
            _ if refused => "refused",
            ..400 => "done",
            400..500 => "not done",
            _ => "failed",
        };
        self.write(outcome, status.as_u16(), lacking);
    }

    fn write(&self, outcome: &'static str, status: u16, lacking: &str) {
        tracing::info!(
            target: TARGET,
            who = %self.who,
            via = %self.via,
            action = %self.action,
            object = %self.object,
            outcome,
            status,
            lacking,
            remote = %self.remote,
            request_id = %self.request_id,
            took_ms = u64::try_from(clock::since(self.began).as_millis()).unwrap_or(u64::MAX),
        );
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.ended && self.changes {
            // It may have been done, or may be yet.
            self.write("client gone", 0, "");
        }
    }
}

/// So that nobody writes lines of their own with what they send.
fn cut(text: &str) -> String {
    text.chars().take(MOST_CHARS).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_send_is_cut_and_makes_no_line_of_its_own() {
        assert_eq!(cut("/a\n{\"who\":\"root\"}"), "/a\u{fffd}{\"who\":\"root\"}");
        assert_eq!(cut(&"ü".repeat(1000)).chars().count(), MOST_CHARS);
    }
}
