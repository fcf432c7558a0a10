//! Why no server was reached, in words: each is asked itself.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::Options;
use super::link::Trouble;

const PATIENCE: Duration = Duration::from_secs(2);
/// The answer to `srvr` is shorter.
const MAX_ANSWER_BYTES: u64 = 4096;

pub(super) async fn explain(options: &Options, trouble: &Trouble) -> String {
    if options.tls.is_some() {
        // The way there has seen for itself.
        return trouble.to_string();
    }
    let servers = &options.servers;
    let each = join_all(servers.iter().map(|server| async move { format!("{server} {}", ask(server).await) })).await;
    format!("{} ({trouble})", each.join("; "))
}

pub(super) async fn ask(server: &str) -> String {
    let mut stream = match timeout(PATIENCE, TcpStream::connect(server)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return format!("cannot be connected to: {error}"),
        Err(_) => return format!("is not connected to within {PATIENCE:?}"),
    };
    let mut answer = Vec::new();
    let talk = async {
        // A word that every ZooKeeper answers unless its configuration forbids it.
        stream.write_all(b"srvr").await?;
        stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await
    };
    let ended = timeout(PATIENCE, talk).await;
    let answer = String::from_utf8_lossy(&answer);
    if answer.contains("Zookeeper version") {
        "is a ZooKeeper that serves: does it accept this client?".into()
    } else if answer.contains("not currently serving") {
        "is a ZooKeeper without a quorum".into()
    } else if answer.contains("not in the whitelist") {
        "is a ZooKeeper, and does not say whether it serves".into()
    } else if speaks_tls(server).await {
        "speaks TLS: set `zookeeper.tls-ca`".into()
    } else if ended.is_err() {
        "takes connections and does not answer: is it a ZooKeeper?".into()
    } else {
        "is not a ZooKeeper".into()
    }
}

/// It is offered TLS, and shows a certificate, which nobody trusts here.
async fn speaks_tls(server: &str) -> bool {
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has the default versions")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from("zookeeper").expect("a plain name");
    let talk = async {
        let stream = TcpStream::connect(server).await?;
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    };
    let Ok(Err(error)) = timeout(PATIENCE, talk).await else { return false };
    let told = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    matches!(told, Some(rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_)))
}
