//! TLS to ZooKeeper: the client is given addresses of this process, and what it sends there goes to the servers over our own TLS. Why not
//! the client's: docs/adr/0024.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, Error};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::diagnosis;
use crate::runtime::clock;
use crate::runtime::loopback::is_from_this_process;
use crate::runtime::pace::Pace;
use crate::runtime::tls::client_config;

/// To connect, and for the handshake.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections that are being made for the client at once. It makes one at a time.
const HANDSHAKES: usize = 4;

/// Files in PEM. They are read anew for each connection, so renewed ones need no restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The authorities that have issued the servers' certificates.
    pub ca: PathBuf,
    /// A certificate of our own, and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Of each server, why it was not reached last.
type Troubles = Arc<Mutex<BTreeMap<String, String>>>;

/// Listens while it lives; connections outlive it.
pub(super) struct Tunnel {
    addresses: Vec<String>,
    listening: Vec<JoinHandle<()>>,
    troubles: Troubles,
}

impl Tunnel {
    /// # Errors
    /// When nothing can be listened on.
    pub(super) async fn open(servers: &[String], tls: &Tls) -> io::Result<Self> {
        let mut tunnel = Self { addresses: Vec::new(), listening: Vec::new(), troubles: Troubles::default() };
        for server in servers {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let SocketAddr::V4(address) = listener.local_addr()? else { return Err(ErrorKind::Unsupported.into()) };
            tunnel.addresses.push(address.to_string());
            let way = Way { server: server.clone(), tls: tls.clone(), troubles: Arc::clone(&tunnel.troubles) };
            tunnel.listening.push(tokio::spawn(way.listen(listener, address)));
        }
        Ok(tunnel)
    }

    /// What the client connects to, in the order of the servers.
    pub(super) fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Why servers were not reached, for people; empty when none has failed.
    pub(super) fn troubles(&self) -> String {
        let troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        let each: Vec<String> = troubles.iter().map(|(server, why)| format!("{server} {why}")).collect();
        each.join("; ")
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.listening.iter().for_each(JoinHandle::abort);
    }
}

#[derive(Clone)]
struct Way {
    server: String,
    tls: Tls,
    troubles: Troubles,
}

impl Way {
    async fn listen(self, listener: TcpListener, address: SocketAddrV4) {
        let places = Arc::new(tokio::sync::Semaphore::new(HANDSHAKES));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let Ok((client, peer)) = listener.accept().await else { continue };
            let way = self.clone();
            tokio::spawn(async move {
                let connected = way.connect(peer, address).await;
                drop(place);
                match connected {
                    Ok(server) => way.carry(client, server).await,
                    Err(why) => way.failed(Some(why)),
                }
            });
        }
    }

    fn failed(&self, why: Option<String>) {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        match why {
            Some(why) => {
                static PACE: LazyLock<Mutex<Pace>> = LazyLock::new(Mutex::default);
                let state = format!("{} {why}", self.server);
                let told = PACE.lock().unwrap_or_else(PoisonError::into_inner).tells(&state, clock::instant());
                if let Some(left_out) = told {
                    tracing::warn!(server = %self.server, %why, left_out, "no TLS with ZooKeeper");
                }
                troubles.insert(self.server.clone(), why)
            }
            None => troubles.remove(&self.server),
        };
    }

    /// In words, what is wrong.
    async fn connect(&self, peer: SocketAddr, listener: SocketAddrV4) -> Result<Box<TlsStream<TcpStream>>, String> {
        let SocketAddr::V4(peer) = peer else { return Err("was not asked for by this process".into()) };
        match spawn_blocking(move || is_from_this_process(peer, listener)).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => return Err("was asked for by another process of this machine, which got nothing".into()),
            Ok(Err(error)) => return Err(format!("is not asked: who asks cannot be told without /proc: {error}")),
            Err(error) => return Err(error.to_string()),
        }
        timeout(PATIENCE, self.shake_hands()).await.unwrap_or_else(|_| Err(format!("is silent for {PATIENCE:?}")))
    }

    async fn shake_hands(&self) -> Result<Box<TlsStream<TcpStream>>, String> {
        let host = self.server.rsplit_once(':').map_or(self.server.as_str(), |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let identity = self.tls.identity.as_ref().map(|(certificate, key)| (certificate.as_path(), key.as_path()));
        let config = client_config(&self.tls.ca, identity).map_err(|error| format!("is not asked: {error}"))?;
        let name =
            ServerName::try_from(host.clone()).map_err(|_| "has a name that no certificate can have".to_owned())?;
        let stream =
            TcpStream::connect(&self.server).await.map_err(|error| format!("cannot be connected to: {error}"))?;
        let _ = stream.set_nodelay(true);
        match TlsConnector::from(Arc::new(config)).connect(name, stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(self.explain(&error, &host).await),
        }
    }

    async fn carry(&self, mut client: TcpStream, mut server: Box<TlsStream<TcpStream>>) {
        let _ = client.set_nodelay(true);
        match copy_bidirectional(&mut client, &mut *server).await {
            // That our certificate is refused is told only once we have spoken.
            Err(error) if tls_error(&error).is_some() => {
                let host = self.server.clone();
                self.failed(Some(self.explain(&error, &host).await));
            }
            _ => self.failed(None),
        }
    }

    async fn explain(&self, error: &io::Error, host: &str) -> String {
        let ca = self.tls.ca.display();
        let shown = match &self.tls.identity {
            Some((certificate, _)) => {
                format!("the certificate in `zookeeper.tls-certificate`, {}", certificate.display())
            }
            None => "a client without a certificate: set `zookeeper.tls-certificate` and `zookeeper.tls-key`".into(),
        };
        match tls_error(error) {
            Some(Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. })) => {
                "shows a certificate that has expired: renew it there".into()
            }
            Some(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => format!(
                "shows a certificate for other names than {host}: have `zookeeper.servers` name it as its certificate does"
            ),
            Some(Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)) => {
                format!("shows a certificate that no authority in `zookeeper.tls-ca`, {ca}, has issued")
            }
            Some(Error::InvalidCertificate(why)) => format!("shows a certificate that is not taken: {why}"),
            Some(Error::AlertReceived(AlertDescription::CertificateExpired)) => format!("says expired of {shown}"),
            Some(Error::AlertReceived(alert)) => format!("refuses ({alert:?}) {shown}"),
            other => match diagnosis::ask(&self.server).await.as_str() {
                // It has closed the connection, or said something else than TLS.
                said if said.starts_with("is a ZooKeeper") => {
                    "is a port of ZooKeeper without TLS: name its `secureClientPort`, or do not set `zookeeper.tls-ca`"
                        .into()
                }
                _ => format!("speaks no TLS that is understood: {}", other.map_or(error.to_string(), Error::to_string)),
            },
        }
    }
}

fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn other_processes_get_nothing_through_the_tunnel() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let tls = Tls { ca: "/nowhere".into(), identity: None };
        let tunnel = Tunnel::open(&[server.local_addr().unwrap().to_string()], &tls).await.unwrap();
        let address = tunnel.addresses()[0].replace(':', "/");
        let script = format!("exec 3<>/dev/tcp/{address} && ! read -r _ <&3");
        let other = spawn_blocking(move || Command::new("bash").args(["-c", &script]).status());
        assert!(other.await.unwrap().unwrap().success());
        assert!(tunnel.troubles().contains("another process"), "{}", tunnel.troubles());
        // The server was not even connected to.
        assert!(timeout(Duration::from_millis(100), server.accept()).await.is_err());
    }
}
