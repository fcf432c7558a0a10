//! ZooKeeper over TLS: real certificates, renewed and refused.

use std::path::{Path, PathBuf};
use std::time::Duration;

use doyen::adapters::zookeeper::{OpenError, Options, Tls, ZooKeeperCluster, ZooKeeperStore};
use doyen::core::cluster::ids::NodeId;
use doyen::core::cluster::store::{StoreAnswer, StoreOp};
use doyen::ports::ClusterStore;
use futures::future::join_all;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use tempfile::TempDir;

use super::{PATIENCE, hear_of, open, options, put, put_at_last, shared, value};
use crate::servers::proxy::{Proxy, Weather};
use crate::servers::zookeeper::{Ensemble, TlsFiles};

/// An authority, and what it has issued, in files.
struct Authority {
    directory: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Self { directory: tempfile::tempdir().unwrap(), issuer };
        std::fs::write(authority.ca(), authority.issuer.pem()).unwrap();
        authority
    }

    fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// The key first, then the certificate.
    fn issue(&self, until: i32) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["127.0.0.1".into()]).unwrap();
        params.not_after = date_time_ymd(until, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (key.serialize_pem(), certificate.pem())
    }

    fn server(&self, file: &str, until: i32) -> PathBuf {
        let (key, certificate) = self.issue(until);
        let path = self.directory.path().join(file);
        std::fs::write(&path, key + &certificate).unwrap();
        path
    }

    /// Certificate and key.
    fn client(&self) -> (PathBuf, PathBuf) {
        let (key, certificate) = self.issue(2100);
        let [certificate_file, key_file] = ["client.pem", "client.key"].map(|name| self.directory.path().join(name));
        std::fs::write(&certificate_file, certificate).unwrap();
        std::fs::write(&key_file, key).unwrap();
        (certificate_file, key_file)
    }
}

fn over_tls(server: &str, ca: &Path, identity: Option<(PathBuf, PathBuf)>) -> Options {
    Options { tls: Some(Tls { ca: ca.to_owned(), identity }), ..options(vec![server.to_owned()]) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_certificate_on_either_side_all_is_as_in_the_clear_and_renewed_files_are_used() {
    let authority = Authority::new();
    let server = authority.server("server.pem", 2100);
    let ca = authority.ca();
    let mut ensemble = Ensemble::with_tls(&TlsFiles { server: &server, clients: &ca, needs_clients_certificate: true });
    let proxy = Proxy::before(&ensemble.servers[0].secure_address()).await;
    let direct = over_tls(&ensemble.servers[0].secure_address(), &ca, Some(authority.client()));
    let proxied = Options { servers: vec![proxy.address.to_string()], ..direct.clone() };
    let (store, other) = (open(&proxied).await, open(&direct).await);
    let cursor = put(&store, "a", "1").await.unwrap();
    hear_of(&other, doyen::ports::Revision(cursor.0 - 1), "a").await;
    proxy.set(Weather::Cut);
    proxy.set(Weather::Fair);
    put_at_last(&store, "b", &"x".repeat(500_000)).await;
    let cluster = ZooKeeperCluster::open(direct.clone(), NodeId::new("A", 1), PATIENCE);
    assert!(matches!(cluster.execute(&StoreOp::Read { confirm: true }).await, StoreAnswer::Read(_)));
    // Another authority for everybody, in the same files.
    let next = Authority::new();
    let (certificate, key) = direct.tls.as_ref().unwrap().identity.clone().unwrap();
    let (new_certificate, new_key) = next.client();
    ensemble.servers[0].kill();
    for (from, to) in [
        (next.ca(), ca.clone()),
        (next.server("server.pem", 2100), server.clone()),
        (new_certificate, certificate),
        (new_key, key),
    ] {
        std::fs::copy(from, to).unwrap();
    }
    ensemble.servers[0].start();
    put_at_last(&store, "c", "3").await;
    assert_eq!(value(&open(&direct).await, "c").await.as_deref(), Some("3"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_certificates_and_ports_is_said_with_the_setting() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (good, expired) = (authority.server("good.pem", 2100), authority.server("expired.pem", 2020));
    let ca = authority.ca();
    let serve = |server: &Path, needs_clients_certificate| {
        let ensemble = Ensemble::with_tls(&TlsFiles { server, clients: &ca, needs_clients_certificate });
        (ensemble.servers[0].secure_address(), ensemble)
    };
    let ((picky, _picky), (expired, _expired)) = (serve(&good, true), serve(&expired, false));
    let by_name = picky.replace("127.0.0.1", "localhost");
    let plain = shared().remove(0);
    let nowhere = authority.directory.path().join("nowhere.pem");
    let (identity, foreign) = (Some(authority.client()), Some(other.client()));
    let in_the_clear = |server: &str| Options { tls: None, ..over_tls(server, &ca, None) };
    let cases = [
        (over_tls(&expired, &ca, None), "has expired: renew it there"),
        (over_tls(&picky, &other.ca(), identity.clone()), "no authority in `zookeeper.tls-ca`"),
        (over_tls(&by_name, &ca, identity.clone()), "have `zookeeper.servers` name it as its certificate does"),
        (over_tls(&picky, &ca, None), "without a certificate: set `zookeeper.tls-certificate`"),
        (over_tls(&picky, &ca, foreign), "the certificate in `zookeeper.tls-certificate`"),
        (over_tls(&plain, &ca, None), "without TLS: name its `secureClientPort`"),
        (over_tls(&picky, &nowhere, None), "nowhere.pem"),
        (in_the_clear(&picky), "speaks TLS: set `zookeeper.tls-ca`"),
    ];
    let opened = cases.map(|(options, expected)| async move {
        let options = Options { session_timeout: Duration::from_secs(8), ..options };
        let server = options.servers[0].clone();
        let said = match ZooKeeperStore::open(options).await {
            Err(error @ OpenError::Unreachable(_)) => error.to_string(),
            Err(error) => panic!("{expected}: {error}"),
            Ok(_) => panic!("{expected}: it opened"),
        };
        assert!(said.contains(expected) && said.contains(&server), "{expected}: {said}");
    });
    join_all(opened).await;
}
