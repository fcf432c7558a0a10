//! Outbound: requests that the server makes on behalf of clients (callbacks, `cp=http://…`), within the allow-lists.

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

#[async_trait]
pub trait Outbound: Send + Sync + 'static {
    /// Whether `uri` is well formed and allowed as a callback; names are resolved only when it is called.
    fn check_callback(&self, uri: &str) -> Result<(), OutboundError>;

    /// Whether `uri` is well formed and allowed as a part of `cp`.
    fn check_fetch(&self, uri: &str) -> Result<(), OutboundError>;

    /// POSTs JSON of `length` bytes; an answer 2xx is success. Redirects are not followed.
    async fn callback(&self, uri: &str, body: Body, length: u64) -> Result<(), OutboundError>;

    /// Content of a URI of `http`, `https`, `file` or `local`.
    async fn fetch(&self, uri: &str) -> Result<Body, OutboundError>;
}
