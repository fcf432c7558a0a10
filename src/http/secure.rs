//! TLS before HTTP, where the listener speaks it.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use crate::runtime::tls::{Renewed, common_name};

/// A client has this long for its handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The first byte of every TLS handshake.
const HANDSHAKE: u8 = 0x16;
const NOT_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=UTF-8\r\ncontent-length: 39\r\n\
    connection: close\r\n\r\nThis port speaks HTTPS: say https://.\r\n";

pub type Stream = Either<TcpStream, TlsStream<TcpStream>>;

/// The common name of the client certificate that the connection was opened with; an extension of its requests.
#[derive(Debug, Clone)]
pub struct ClientName(pub String);

/// The stream that carries HTTP, and who the client's certificate says that it is.
///
/// # Errors
/// When the handshake fails, or takes too long.
pub async fn open(stream: TcpStream, tls: Option<&Renewed>) -> std::io::Result<(Stream, Option<ClientName>)> {
    let Some(tls) = tls else { return Ok((Either::Left(stream), None)) };
    let config = Arc::clone(&tls.borrow());
    let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake(stream, config)).await??;
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let name = certificate.and_then(common_name).map(ClientName);
    Ok((Either::Right(stream), name))
}

async fn handshake(mut stream: TcpStream, config: Arc<rustls::ServerConfig>) -> std::io::Result<TlsStream<TcpStream>> {
    let mut first = [0];
    if stream.peek(&mut first).await? > 0 && first[0] != HANDSHAKE {
        // Read first: closing on what was not read would take the answer away.
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await?;
        stream.write_all(NOT_TLS).await?;
        stream.shutdown().await?;
        return Err(std::io::Error::other("the client does not speak TLS"));
    }
    TlsAcceptor::from(config).accept(stream).await
}
