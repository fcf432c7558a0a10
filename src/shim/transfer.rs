//! Binaries from the servers, results and logs to them, over HTTP.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Client, RequestBuilder, StatusCode};
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, Semaphore};

use crate::api::driver::attach::{Binary, BlobRef};
use crate::api::driver::spec::Spec;
use crate::runtime::tls;

const AT_ONCE: usize = 4;
const CHUNK_BYTES: usize = 64 << 10;
/// How often all servers are asked for a binary that they do not give, before its jobs fail.
const FETCH_ROUNDS: u32 = 3;
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often content may change under an upload.
const HASH_ATTEMPTS: u32 = 5;

#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    #[error("{0}")]
    Http(String),
    #[error("{server} answers {status} for {what}")]
    Status { server: String, status: StatusCode, what: String },
    #[error("{server} sent content of the hash {found}")]
    WrongHash { server: String, found: String },
    #[error("a local file: {0}")]
    Local(#[from] std::io::Error),
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    #[error("no server is known")]
    NoServer,
}

pub struct Transfer {
    context: String,
    secret: String,
    trusting: Mutex<Trusting>,
    /// The attached one first.
    servers: Mutex<Vec<String>>,
    /// Ends pauses: a server has told that it is there.
    renewed: Notify,
    permits: Semaphore,
}

struct Trusting {
    /// A file of those that may be trusted for `https:`.
    trust: Option<PathBuf>,
    /// Made when it is first needed: most drivers at rest never do.
    client: Option<Client>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Transfer {
    pub fn new(spec: &Spec) -> Self {
        Self {
            context: spec.context.clone(),
            secret: spec.secret.clone(),
            trusting: Mutex::new(Trusting { trust: spec.trust.clone().map(PathBuf::from), client: None }),
            servers: Mutex::new(spec.servers.clone()),
            renewed: Notify::new(),
            permits: Semaphore::new(AT_ONCE),
        }
    }

    pub fn set_servers(&self, servers: Vec<String>) {
        *lock(&self.servers) = servers;
        self.renewed.notify_waiters();
    }

    /// From the next transfer on.
    pub fn set_trust(&self, trust: PathBuf) {
        *lock(&self.trusting) = Trusting { trust: Some(trust), client: None };
    }

    /// Brings a binary to `path`, complete or not at all. Its size in bytes. Tries until servers can be reached, however
    /// long that takes.
    ///
    /// # Errors
    /// When all servers answered, in several rounds, and none gave it: the last reason.
    pub async fn fetch(&self, binary: &Binary, path: &Path) -> Result<u64, TransferError> {
        let _permit = self.permits.acquire().await;
        let mut rounds = Rounds::default();
        loop {
            let (mut last, mut all_answered) = (TransferError::NoServer, true);
            // Anew in each round: another list may have come.
            for server in self.servers() {
                match self.fetch_from(&server, binary, path).await {
                    Ok(size) => return Ok(size),
                    Err(error) => {
                        all_answered &= !is_outage(&error);
                        last = error;
                    }
                }
            }
            match rounds.failed(all_answered) {
                Some(pause) => self.rest(pause).await,
                None => return Err(last),
            }
        }
    }

    async fn fetch_from(&self, server: &str, binary: &Binary, path: &Path) -> Result<u64, TransferError> {
        let mut partial = path.as_os_str().to_owned();
        partial.push(".part");
        let partial = Path::new(&partial);
        let result = self.download(server, binary, partial).await;
        match &result {
            Ok(_) => std::fs::rename(partial, path)?,
            Err(_) => drop(std::fs::remove_file(partial)),
        }
        result
    }

    async fn download(&self, server: &str, binary: &Binary, partial: &Path) -> Result<u64, TransferError> {
        let request = self.client()?.get(self.url(server, &binary.sha256));
        let response = self.send(server, &binary.name, request).await?;
        let (mut file, mut hash, mut size) = (File::create(partial)?, Sha256::new(), 0);
        let mut body = response.bytes_stream();
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(http)?;
            hash.update(&chunk);
            file.write_all(&chunk)?;
            size += chunk.len() as u64;
        }
        match hex(hash) {
            found if found == binary.sha256 => Ok(size),
            found => Err(TransferError::WrongHash { server: server.to_owned(), found }),
        }
    }

    /// Stores a file's content. Tries until a server has it, however long that takes.
    ///
    /// # Errors
    /// When the file cannot be read or keeps changing, or a server refuses it for good.
    pub async fn upload(&self, path: &Path) -> Result<BlobRef, TransferError> {
        let _permit = self.permits.acquire().await;
        let mut hashed = 0;
        let mut pause = Duration::from_millis(100);
        loop {
            let blob = hash(path).await?;
            hashed += 1;
            for server in self.servers() {
                match self.upload_to(&server, path, &blob).await {
                    Ok(()) => return Ok(blob),
                    Err(TransferError::Status { status: StatusCode::BAD_REQUEST, .. }) if hashed < HASH_ATTEMPTS => {}
                    Err(error) if is_final(&error) => return Err(error),
                    Err(_) => {}
                }
            }
            self.rest(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn rest(&self, pause: Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.renewed.notified() => {}
        }
    }

    async fn upload_to(&self, server: &str, path: &Path, blob: &BlobRef) -> Result<(), TransferError> {
        let request = self.client()?.put(self.url(server, &blob.sha256));
        let content = futures::stream::iter(chunks(path, blob.size_bytes)?);
        let request = request.header(CONTENT_LENGTH, blob.size_bytes).body(reqwest::Body::wrap_stream(content));
        self.send(server, "an upload", request).await.map(drop)
    }

    async fn send(
        &self,
        server: &str,
        what: &str,
        request: RequestBuilder,
    ) -> Result<reqwest::Response, TransferError> {
        let response = request.bearer_auth(&self.secret).send().await.map_err(http)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        Err(TransferError::Status { server: server.to_owned(), status, what: what.to_owned() })
    }

    fn url(&self, server: &str, sha256: &str) -> String {
        format!("{}/v1/drivers/{}/blobs/{sha256}", server.trim_end_matches('/'), self.context)
    }

    fn servers(&self) -> Vec<String> {
        lock(&self.servers).clone()
    }

    fn client(&self) -> Result<Client, TransferError> {
        let mut trusting = lock(&self.trusting);
        if let Some(client) = &trusting.client {
            return Ok(client.clone());
        }
        // The client wants a provider even where it speaks plain HTTP only. A second installation changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = Client::builder()
            .no_proxy()
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(Duration::from_secs(30))
            .pool_idle_timeout(Duration::from_secs(10));
        let builder = match &trusting.trust {
            Some(file) => builder.tls_backend_preconfigured(tls::client_config(file, None)?),
            None => builder.tls_certs_only([]),
        };
        let client = builder.build().map_err(http)?;
        trusting.client = Some(client.clone());
        Ok(client)
    }
}

/// Rounds of asking all servers, none of which gave what was asked for.
#[derive(Default)]
struct Rounds {
    all: u32,
    answered: u32,
}

impl Rounds {
    /// Until the next round; `None` when there is to be none. An outage has no limit here: the shim ends itself after the
    /// orphan timeout.
    fn failed(&mut self, all_answered: bool) -> Option<Duration> {
        let pause = Duration::from_millis(100 * 4_u64.pow(self.all.min(3))).min(LONGEST_PAUSE);
        self.all = self.all.saturating_add(1);
        self.answered += u32::from(all_answered);
        (self.answered < FETCH_ROUNDS).then_some(pause)
    }
}

/// No answer of a server: nothing came, or what stands before it says that it is away.
fn is_outage(error: &TransferError) -> bool {
    match error {
        TransferError::Http(_) => true,
        TransferError::Status { status, .. } => matches!(status.as_u16(), 502..=504),
        _ => false,
    }
}

/// What another attempt, or another attachment, will not cure. 401, 403 and 404 are the attachment's to judge.
fn is_final(error: &TransferError) -> bool {
    match error {
        TransferError::Local(_) => true,
        TransferError::Status { status, .. } => {
            status.is_client_error() && !matches!(status.as_u16(), 401 | 403 | 404 | 408 | 409 | 429)
        }
        _ => false,
    }
}

fn http(error: reqwest::Error) -> TransferError {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    TransferError::Http(text)
}

async fn hash(path: &Path) -> Result<BlobRef, TransferError> {
    let (mut hash, mut size_bytes) = (Sha256::new(), 0);
    for chunk in chunks(path, u64::MAX)? {
        let chunk = chunk?;
        hash.update(&chunk);
        size_bytes += chunk.len() as u64;
        tokio::task::yield_now().await;
    }
    Ok(BlobRef { sha256: hex(hash), size_bytes })
}

/// A file's first bytes in pieces; they were just written, so reading them does not wait for a disk.
fn chunks(path: &Path, limit_bytes: u64) -> std::io::Result<impl Iterator<Item = std::io::Result<Bytes>> + use<>> {
    let mut file = File::open(path)?.take(limit_bytes);
    Ok(std::iter::from_fn(move || {
        let mut chunk = vec![0; CHUNK_BYTES];
        match file.read(&mut chunk) {
            Ok(0) => None,
            Ok(count) => {
                chunk.truncate(count);
                Some(Ok(Bytes::from(chunk)))
            }
            Err(error) => Some(Err(error)),
        }
    }))
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_waited_out_and_a_binary_that_no_server_has_is_given_up() {
        let mut rounds = Rounds::default();
        let waited: Duration = (0..150).map(|_| rounds.failed(false).expect("an outage has no end of its own")).sum();
        assert!(waited > Duration::from_secs(600), "{waited:?}");
        assert_eq!([(); 3].map(|()| rounds.failed(true).is_some()), [true, true, false]);
    }

    #[test]
    fn a_proxy_without_its_server_is_an_outage_and_a_refusal_is_an_answer() {
        let status = |code| TransferError::Status {
            server: String::new(),
            status: StatusCode::from_u16(code).unwrap(),
            what: String::new(),
        };
        assert!([502, 503, 504].into_iter().all(|code| is_outage(&status(code))));
        assert!(![401, 403, 404, 500].into_iter().any(|code| is_outage(&status(code))));
    }
}
