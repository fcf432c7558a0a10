//! TLS: certificates and keys from PEM files, as a server and as a client.

mod client;
mod server;

use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

pub use client::client_config;
pub use server::{Files, Renewed, load, renew};

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {file}: {cause}")]
    Unreadable { file: PathBuf, cause: String },
    #[error("{0} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")]
    NoCertificate(PathBuf),
    #[error("{0} holds no private key in PEM (-----BEGIN PRIVATE KEY-----)")]
    NoKey(PathBuf),
    #[error("the key in {key} does not belong to the certificate in {certificate}, or cannot be used: {cause}")]
    Mismatch { certificate: PathBuf, key: PathBuf, cause: String },
    #[error("{file} names no authority that could be trusted: {cause}")]
    Authorities { file: PathBuf, cause: String },
}

/// All certificates of a PEM file, in their order; at least one.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(file)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|e| TlsError::Unreadable { file: file.into(), cause: e.to_string() })?;
    if found.is_empty() { Err(TlsError::NoCertificate(file.into())) } else { Ok(found) }
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read(file)?).map_err(|_| TlsError::NoKey(file.into()))
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(file).map_err(|e| TlsError::Unreadable { file: file.into(), cause: e.to_string() })
}

/// The common name of a certificate's subject.
pub fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let name = parsed.subject().iter_common_name().next()?;
    name.as_str().ok().map(str::to_owned)
}

/// When the certificate ends, in seconds since 1970.
fn expires(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(parsed.validity().not_after.timestamp())
}
