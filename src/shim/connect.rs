//! Opens a WebSocket to a server, with TLS if its URL says so.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::AUTHORIZATION;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use tokio_util::either::Either;

use crate::api::driver::MAX_MESSAGE_BYTES;
use crate::runtime::tls;

const WITHIN: Duration = Duration::from_secs(5);

pub type Stream = Either<TcpStream, TlsStream<TcpStream>>;
pub type Socket = WebSocketStream<Stream>;

/// `server` is a base URL; `secret` the attempt's; `trust` a file of those that may be trusted for `https:`.
///
/// # Errors
/// In words, with the server's URL.
pub async fn connect(server: &str, path: &str, secret: &str, trust: Option<&Path>) -> Result<Socket, String> {
    let answer = tokio::time::timeout(WITHIN, open(server, path, secret, trust)).await;
    let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {} s", WITHIN.as_secs())));
    answer.map_err(|reason| format!("{server}: {reason}"))
}

async fn open(server: &str, path: &str, secret: &str, trust: Option<&Path>) -> Result<Socket, String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let (secure, rest) = match (server.strip_prefix("https://"), server.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return Err("this is no URL that begins with http:// or https://".into()),
    };
    let scheme = if secure { "wss" } else { "ws" };
    let request = format!("{scheme}://{}{path}", rest.trim_end_matches('/')).into_client_request();
    let mut request = request.map_err(|e| text(&e))?;
    let bearer = HeaderValue::try_from(format!("Bearer {secret}")).map_err(|e| text(&e))?;
    request.headers_mut().insert(AUTHORIZATION, bearer);
    let host = request.uri().host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = request.uri().port_u16().unwrap_or(if secure { 443 } else { 80 });
    let stream = TcpStream::connect((host.as_str(), port)).await.map_err(|e| text(&e))?;
    // Messages are small, and somebody waits for them.
    let _ = stream.set_nodelay(true);
    let stream = if secure {
        let trust = trust.ok_or("the server speaks TLS, and this driver was not told whom to trust")?;
        let config = tls::client_config(trust, None).map_err(|e| text(&e))?;
        let name = ServerName::try_from(host).map_err(|e| text(&e))?;
        Either::Right(TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|e| text(&e))?)
    } else {
        Either::Left(stream)
    };
    let config = WebSocketConfig::default()
        .read_buffer_size(16 << 10)
        .write_buffer_size(32 << 10)
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES));
    let opened = client_async_with_config(request, stream, Some(config)).await;
    opened.map(|(socket, _)| socket).map_err(|e| text(&e))
}
