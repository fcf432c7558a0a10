//! Requests on behalf of clients, within the allow-lists: callbacks, and `cp=http://…`.

mod allowed;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Url};
use tokio_util::io::ReaderStream;

use crate::config::Security;
use crate::ports::outbound::Body;
use crate::ports::{Outbound, OutboundError};

/// Time to connect, and the longest silence of a server that sends a binary.
const FETCH_PATIENCE: Duration = Duration::from_secs(30);

pub struct HttpOutbound {
    security: Security,
    callback_timeout: Duration,
    /// Made at the first request: it loads the system's certificates.
    client: OnceLock<Result<Client, String>>,
}

impl HttpOutbound {
    pub fn new(security: Security, callback_timeout: Duration) -> Self {
        Self { security, callback_timeout, client: OnceLock::new() }
    }

    fn client(&self) -> Result<&Client, OutboundError> {
        let make = || {
            Client::builder()
                // A redirect could lead past the allow-lists.
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(FETCH_PATIENCE)
                .read_timeout(FETCH_PATIENCE)
                .dns_resolver(Guard { allow_link_local: self.security.allow_link_local })
                .user_agent(concat!("doyen/", env!("CARGO_PKG_VERSION")))
                .build()
                .map_err(|error| error.to_string())
        };
        self.client.get_or_init(make).as_ref().map_err(|error| OutboundError::Failed(error.clone()))
    }

    fn file(&self, url: &Url) -> Result<PathBuf, OutboundError> {
        // `local:` has no authority by rule, `file:` may have an empty one.
        let text = percent_encoding::percent_decode_str(url.path()).decode_utf8();
        let path = PathBuf::from(text.map_err(|_| OutboundError::Malformed(format!("{url} is not UTF-8")))?.as_ref());
        allowed::file(&path, &self.security.cp_directories)
    }
}

/// Resolves names, and drops the addresses that clouds keep credentials at.
struct Guard {
    allow_link_local: bool,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let allow = self.allow_link_local;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses: Vec<SocketAddr> = found.filter(|a| allow || !allowed::is_link_local(a.ip())).collect();
            if addresses.is_empty() {
                return Err(format!("{} has no address that may be called", name.as_str()).into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

fn parse(uri: &str) -> Result<Url, OutboundError> {
    Url::parse(uri).map_err(|error| OutboundError::Malformed(format!("malformed URL {uri}: {error}")))
}

/// With its causes: the first alone says little.
fn failed(error: &reqwest::Error) -> OutboundError {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    OutboundError::Failed(text)
}

#[async_trait]
impl Outbound for HttpOutbound {
    fn check_callback(&self, uri: &str) -> Result<(), OutboundError> {
        let url = parse(uri)?;
        allowed::http(&url, &self.security.callback_hosts, "security.callback-hosts", self.security.allow_link_local)
    }

    fn check_fetch(&self, uri: &str) -> Result<(), OutboundError> {
        let url = parse(uri)?;
        match url.scheme() {
            "file" | "local" => self.file(&url).map(|_| ()),
            _ => allowed::http(&url, &self.security.cp_hosts, "security.cp-hosts", self.security.allow_link_local),
        }
    }

    async fn callback(&self, uri: &str, body: Body, length: u64) -> Result<(), OutboundError> {
        self.check_callback(uri)?;
        let request = self.client()?.post(uri).header("content-type", "application/json");
        // Simple receivers do not read chunks.
        let request = request.header("content-length", length);
        let answer = request.timeout(self.callback_timeout).body(reqwest::Body::wrap_stream(body)).send().await;
        let status = answer.map_err(|error| failed(&error))?.status();
        if status.is_success() { Ok(()) } else { Err(OutboundError::Failed(format!("it answered {status}"))) }
    }

    async fn fetch(&self, uri: &str) -> Result<Body, OutboundError> {
        self.check_fetch(uri)?;
        let url = parse(uri)?;
        if matches!(url.scheme(), "file" | "local") {
            let file = tokio::fs::File::open(self.file(&url)?).await;
            let file = file.map_err(|error| OutboundError::Failed(error.to_string()))?;
            return Ok(Box::pin(ReaderStream::with_capacity(file, 256 << 10)));
        }
        let answer = self.client()?.get(url).send().await.map_err(|error| failed(&error))?;
        if !answer.status().is_success() {
            return Err(OutboundError::Failed(format!("it answered {}", answer.status())));
        }
        Ok(Box::pin(answer.bytes_stream().map_ok(Bytes::from).map_err(std::io::Error::other)))
    }
}
