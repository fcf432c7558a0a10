//! TLS as a client that trusts what one file names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::{TlsError, certificates, private_key};

/// Trusts a server that shows one of the certificates in the file itself, whatever its name and age, or one that an
/// authority in the file has issued for the server's name. The file is read anew at each handshake, so that
/// certificates can be renewed while clients run. `identity`: a certificate of the client's own, and its key.
///
/// # Errors
/// When a file cannot be read.
pub fn client_config(trusted: &Path, identity: Option<(&Path, &Path)>) -> Result<ClientConfig, TlsError> {
    certificates(trusted)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(TrustedFile { path: trusted.into(), provider: Arc::clone(&provider) });
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the default versions")
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match identity {
        None => Ok(builder.with_no_client_auth()),
        Some((certificate, key)) => {
            let mismatch = |e: Error| TlsError::Mismatch {
                certificate: certificate.into(),
                key: key.into(),
                cause: e.to_string(),
            };
            builder.with_client_auth_cert(certificates(certificate)?, private_key(key)?).map_err(mismatch)
        }
    }
}

#[derive(Debug)]
struct TrustedFile {
    path: PathBuf,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for TrustedFile {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let trusted = certificates(&self.path).map_err(|e| Error::General(e.to_string()))?;
        if trusted.iter().any(|certificate| certificate == end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted);
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
            .build()
            .map_err(|e| Error::General(format!("{}: {e}", self.path.display())))?;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
