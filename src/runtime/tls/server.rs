//! TLS as a server: its certificate, and whose client certificates it takes. Renewed files are noticed while it runs.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::signal::unix::Signal;
use tokio::sync::watch;

use super::{TlsError, certificates, expires, private_key};
use crate::runtime::clock;
use crate::runtime::private_file::warn_if_open;

const DAY_SECONDS: i64 = 24 * 3600;
/// From here on the log warns of a certificate's end.
const EXPIRES_SOON_SECONDS: i64 = 14 * DAY_SECONDS;

/// Where everything lies, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The server's own certificate first, then those that lead to its authority.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Authorities whose client certificates are taken. Without, none is asked for.
    pub client_ca: Option<PathBuf>,
}

/// What a listener uses: always the newest.
pub type Renewed = watch::Receiver<Arc<ServerConfig>>;

/// # Errors
/// When a file cannot be read, or the files do not belong together.
pub fn load(files: &Files) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("ring has the default versions");
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(certificates(file)?);
            // Whether one must be shown is decided for each request: drivers have a secret instead.
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|e| TlsError::Authorities { file: file.clone(), cause: e.to_string() })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = certificates(&files.certificate)?;
    warn_if_open(&files.key);
    warn_of_end(&files.certificate, expires(&chain[0]));
    let mut config = builder.with_single_cert(chain, private_key(&files.key)?).map_err(|error| TlsError::Mismatch {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        cause: error.to_string(),
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn warn_of_end(file: &Path, end: Option<i64>) {
    let Some(left) = end.map(|end| end - clock::unix_ms() / 1000) else { return };
    if left < EXPIRES_SOON_SECONDS {
        tracing::warn!(certificate = %file.display(), days = left / DAY_SECONDS, "the certificate expires soon, or has");
    }
}

/// Looks at the files again and again, and at each signal; files that cannot be used leave the older ones in place.
pub async fn renew(files: Files, every: Duration, current: watch::Sender<Arc<ServerConfig>>, mut look: Signal) {
    let mut seen = stamps(&files);
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            _ = look.recv() => {}
            () = current.closed() => return,
        }
        let now = stamps(&files);
        if now == seen {
            continue;
        }
        match load(&files) {
            Ok(config) => {
                current.send_replace(Arc::new(config));
                tracing::info!(certificate = %files.certificate.display(), "certificates read again");
            }
            // A writer may be between certificate and key: the next look sees both.
            Err(error) => tracing::error!(%error, "the changed certificates cannot be used; the older ones stay"),
        }
        seen = now;
    }
}

/// What tells that a file is another.
fn stamps(files: &Files) -> Vec<Option<(u64, u64, i64, i64)>> {
    let stamp = |file: &PathBuf| {
        let meta = std::fs::metadata(file).ok()?;
        Some((meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
    };
    [Some(&files.certificate), Some(&files.key), files.client_ca.as_ref()].into_iter().flatten().map(stamp).collect()
}
