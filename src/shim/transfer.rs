//! Binaries from the servers, results and logs to them, over HTTP.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Client, RequestBuilder, StatusCode};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::api::driver::attach::{Binary, BlobRef};
use crate::api::driver::spec::Spec;
use crate::runtime::tls;

const AT_ONCE: usize = 4;
const CHUNK_BYTES: usize = 64 << 10;
/// How often all servers are asked for a binary that they do not give, before its jobs fail.
const FETCH_ROUNDS: u32 = 3;
/// And how often when they cannot be reached: over some 20 s.
const CONNECT_ROUNDS: u32 = 8;
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
    /// A file of those that may be trusted for `https:`.
    trust: Option<PathBuf>,
    /// The attached one first.
    servers: Mutex<Vec<String>>,
    /// Made when it is first needed: most drivers at rest never do.
    client: OnceLock<Client>,
    permits: Semaphore,
}

impl Transfer {
    pub fn new(spec: &Spec) -> Self {
        Self {
            context: spec.context.clone(),
            secret: spec.secret.clone(),
            trust: spec.trust.clone().map(PathBuf::from),
            servers: Mutex::new(spec.servers.clone()),
            client: OnceLock::new(),
            permits: Semaphore::new(AT_ONCE),
        }
    }

    pub fn set_servers(&self, servers: Vec<String>) {
        *self.servers.lock().unwrap_or_else(PoisonError::into_inner) = servers;
    }

    /// Brings a binary to `path`, complete or not at all. Its size in bytes.
    ///
    /// # Errors
    /// When no server gave it after several rounds: the last reason.
    pub async fn fetch(&self, binary: &Binary, path: &Path) -> Result<u64, TransferError> {
        let _permit = self.permits.acquire().await;
        let mut pause = Duration::from_millis(100);
        let mut round = 0;
        loop {
            round += 1;
            let mut last = TransferError::NoServer;
            for server in self.servers() {
                match self.fetch_from(&server, binary, path).await {
                    Ok(size) => return Ok(size),
                    Err(error) => last = error,
                }
            }
            let rounds = if matches!(last, TransferError::Http(_)) { CONNECT_ROUNDS } else { FETCH_ROUNDS };
            if round >= rounds {
                return Err(last);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 4).min(LONGEST_PAUSE);
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
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
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
        self.servers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn client(&self) -> Result<&Client, TransferError> {
        if self.client.get().is_none() {
            // The client wants a provider even where it speaks plain HTTP only. A second installation changes nothing.
            let _ = rustls::crypto::ring::default_provider().install_default();
            let builder = Client::builder()
                .no_proxy()
                .connect_timeout(Duration::from_secs(5))
                .read_timeout(Duration::from_secs(30))
                .pool_idle_timeout(Duration::from_secs(10));
            let builder = match &self.trust {
                Some(file) => builder.tls_backend_preconfigured(tls::client_config(file, None)?),
                None => builder.tls_certs_only([]),
            };
            let _ = self.client.set(builder.build().map_err(http)?);
        }
        self.client.get().ok_or(TransferError::NoServer)
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
