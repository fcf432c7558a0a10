//! Outbound: requests that the server makes on behalf of clients (callbacks, `cp=http://…`), within the allow-lists.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// Not a URI of a scheme that is possible here.
    #[error("{0}")]
    Malformed(String),
    /// The allow-lists say no.
    #[error("{0}")]
    Forbidden(String),
    /// Nobody answered, or not with success.
    #[error("{0}")]
    Failed(String),
}

pub type Body = BoxStream<'static, Result<Bytes, std::io::Error>>;

/// JSON to be POSTed.
pub struct CallbackRequest {
    pub uri: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Body,
    /// Of the body, in bytes.
    pub length: u64,
    /// From the connection to the head of the answer.
    pub timeout: Duration,
}

/// The head of the answer, whatever its status; its body counts for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackAnswer {
    pub status: u16,
    /// The header `Retry-After`, as it came.
    pub retry_after: Option<String>,
}

#[async_trait]
pub trait Outbound: Send + Sync + 'static {
    /// Whether `uri` is well formed and allowed as a callback; names are resolved only when it is called.
    fn check_callback(&self, uri: &str) -> Result<(), OutboundError>;

    /// Whether `uri` is well formed and allowed as a part of `cp`.
    fn check_fetch(&self, uri: &str) -> Result<(), OutboundError>;

    /// POSTs it, when the allow-lists (still) say yes to the URI and to the address that it leads to now. Redirects are
    /// not followed; no more than a short beginning of the answer's body is read.
    async fn callback(&self, request: CallbackRequest) -> Result<CallbackAnswer, OutboundError>;

    /// Content of a URI of `http`, `https`, `file` or `local`.
    async fn fetch(&self, uri: &str) -> Result<Body, OutboundError>;
}
