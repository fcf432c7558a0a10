//! `Idempotency-Key`: on every change, twice at once, and across a kill of the server.

mod at_once;
mod crash;
mod jobs;
mod keys;
mod replay;

use reqwest::{Method, RequestBuilder};

use crate::fixture::{Reply, Server, WHEEL, fixed_port};

fn keyed(server: &Server, method: Method, path: &str, key: &str) -> RequestBuilder {
    server.request(method, path).header("Idempotency-Key", key)
}

async fn send(server: &Server, method: Method, path: &str, key: &str, body: impl Into<reqwest::Body>) -> Reply {
    Reply::to(keyed(server, method, path, key).header("content-type", WHEEL).body(body)).await
}

fn is_replayed(reply: &Reply) -> bool {
    reply.headers.get("idempotency-replayed").is_some_and(|value| value == "true")
}

/// An answer from memory, the same as the first.
#[track_caller]
fn again(first: &Reply, second: &Reply) {
    assert!(!is_replayed(first) && is_replayed(second), "{first:?} {second:?}");
    assert_eq!((first.status, first.text()), (second.status, second.text()));
}

/// Refused: the key was used for something else.
#[track_caller]
fn reused(reply: &Reply) {
    reply.refuses(422, "This Idempotency-Key was used for another request; each one needs a key of its own");
    assert_eq!(reply.header("doyen-error"), "idempotency-key-reused");
}
