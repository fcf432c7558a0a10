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
use reqwest::{Client, ClientBuilder, Url};
use tokio_util::io::ReaderStream;

use crate::config::Security;
use crate::ports::outbound::Body;
use crate::ports::{CallbackAnswer, CallbackRequest, Outbound, OutboundError};

/// Time to connect, and the longest silence of a server that sends a binary.
const FETCH_PATIENCE: Duration = Duration::from_secs(30);
/// A callback's URL that is longer is refused.
const MAX_CALLBACK_BYTES: usize = 8 << 10;
/// A short answer to a callback is read to its end, so that the connection can be used again; a longer one is not.
const ANSWER_BYTES: usize = 16 << 10;
const ANSWER_PATIENCE: Duration = Duration::from_secs(1);
/// A connection that was not used for so long is closed.
const IDLE: Duration = Duration::from_secs(15);

pub struct HttpOutbound {
    security: Security,
    /// Made at the first request: it loads the system's certificates.
    fetches: OnceLock<Result<Client, String>>,
    callbacks: OnceLock<Result<Client, String>>,
}

impl HttpOutbound {
    pub fn new(security: Security) -> Self {
        Self { security, fetches: OnceLock::new(), callbacks: OnceLock::new() }
    }

    fn fetches(&self) -> Result<&Client, OutboundError> {
        self.made(&self.fetches, |builder| builder.read_timeout(FETCH_PATIENCE))
    }

    /// Without a time of its own for reading: an answer may come late, when the request is long.
    fn callbacks(&self) -> Result<&Client, OutboundError> {
        self.made(&self.callbacks, |builder| builder.pool_idle_timeout(IDLE))
    }

    fn made<'a>(
        &self,
        client: &'a OnceLock<Result<Client, String>>,
        more: fn(ClientBuilder) -> ClientBuilder,
    ) -> Result<&'a Client, OutboundError> {
        let make = || {
            let builder = Client::builder()
                // A redirect could lead past the allow-lists.
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(FETCH_PATIENCE)
                .dns_resolver(Guard { allow_link_local: self.security.allow_link_local })
                .user_agent(concat!("doyen/", env!("CARGO_PKG_VERSION")));
            more(builder).build().map_err(|error| error.to_string())
        };
        client.get_or_init(make).as_ref().map_err(|error| OutboundError::Failed(error.clone()))
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

/// Reads what a short answer still says. How that goes is of no interest: its head has said it.
async fn drain(mut answer: reqwest::Response) {
    let reading = async {
        let mut left = ANSWER_BYTES;
        while let Ok(Some(part)) = answer.chunk().await {
            left = left.saturating_sub(part.len());
            if left == 0 {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(ANSWER_PATIENCE, reading).await;
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
        if uri.len() > MAX_CALLBACK_BYTES {
            return Err(OutboundError::Malformed(format!("the URL is longer than {MAX_CALLBACK_BYTES} bytes")));
        }
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

    async fn callback(&self, request: CallbackRequest) -> Result<CallbackAnswer, OutboundError> {
        let CallbackRequest { uri, headers, body, length, timeout } = request;
        self.check_callback(&uri)?;
        let post = self.callbacks()?.post(uri).header("content-type", "application/json");
        // Simple receivers do not read chunks.
        let post = headers
            .into_iter()
            .fold(post.header("content-length", length), |post, (name, value)| post.header(name, value));
        let answer = tokio::time::timeout(timeout, post.body(reqwest::Body::wrap_stream(body)).send()).await;
        let late = |_| OutboundError::Failed(format!("no answer within {} s", timeout.as_secs_f64()));
        // The query of the URL may hold a secret.
        let answer = answer.map_err(late)?.map_err(|error| failed(&error.without_url()))?;
        let retry_after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let status = answer.status().as_u16();
        drain(answer).await;
        Ok(CallbackAnswer { status, retry_after })
    }

    async fn fetch(&self, uri: &str) -> Result<Body, OutboundError> {
        self.check_fetch(uri)?;
        let url = parse(uri)?;
        if matches!(url.scheme(), "file" | "local") {
            let file = tokio::fs::File::open(self.file(&url)?).await;
            let file = file.map_err(|error| OutboundError::Failed(error.to_string()))?;
            return Ok(Box::pin(ReaderStream::with_capacity(file, 256 << 10)));
        }
        let answer = self.fetches()?.get(url).send().await.map_err(|error| failed(&error))?;
        if !answer.status().is_success() {
            return Err(OutboundError::Failed(format!("it answered {}", answer.status())));
        }
        Ok(Box::pin(answer.bytes_stream().map_ok(Bytes::from).map_err(std::io::Error::other)))
    }
}
