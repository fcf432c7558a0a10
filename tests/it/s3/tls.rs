//! TLS to the bucket, ended by a proxy before the server.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;

/// An authority in PEM, and a server's configuration with a certificate of it.
fn certified() -> (String, ServerConfig) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap().signed_by(&key, &authority).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
    (authority.pem(), config)
}

/// `host:port` at which it speaks TLS for the server.
async fn before(server: String, config: ServerConfig) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (acceptor, server) = (acceptor.clone(), server.clone());
            tokio::spawn(async move {
                let mut client = acceptor.accept(client).await?;
                copy_bidirectional(&mut client, &mut TcpStream::connect(server).await?).await
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_of_an_authority_that_is_configured_is_trusted_and_no_other() {
    let s3 = start();
    let (pem, config) = certified();
    let address = before(s3.address(), config).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    let settings = config::S3 {
        endpoint: Some(format!("https://{address}")),
        allow_http: false,
        tls_ca: Some(file.clone()),
        ..s3.settings("tls")
    };
    for (text, words) in [
        (None, vec!["store.s3.tls-ca", "cannot be read"]),
        (Some("no".to_owned()), vec!["store.s3.tls-ca", "has no certificate"]),
        (Some(certified().0), vec!["store.s3.tls-ca", "certificate", &address]),
    ] {
        if let Some(text) = text {
            std::fs::write(&file, text).unwrap();
        }
        match open(&settings).await.err() {
            Some(OpenBlobsError::Wrong(error)) => says(&error, &words),
            other => panic!("{other:?}"),
        }
    }
    std::fs::write(&file, pem).unwrap();
    let store = open(&settings).await.unwrap();
    for size in [1000, LARGE] {
        let stored = upload(&store, &content(size)).await.unwrap();
        assert!(read(&store, &stored).await.unwrap() == content(size));
    }
    // It has a client of its own.
    store.sweep().await.unwrap();
}
