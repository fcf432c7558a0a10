//! The doors for drivers: the WebSocket of `docs/driver-protocol.md`, and blobs.

use std::time::Duration;

use axum::body::Body;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use tokio::sync::mpsc;

use super::error::HttpError;
use super::{answer, body};
use crate::api::driver::MAX_MESSAGE_BYTES;
use crate::api::driver::attach::{
    FromShim, HELLO_WITHIN_MS, Hello, MAX_STRANGER_BYTES, PING_EVERY_MS, SILENT_AFTER_MS, close,
};
use crate::service::{AttachRefusal, Attached, Frame, Service, ServiceError};

/// Frames for one driver that wait to be sent; beyond, the connection is given up.
const FRAMES: usize = 8192;
/// A peer that was told that the connection closes has this long to close it too.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);
/// Frames that are gathered before the socket is flushed.
const BATCH: usize = 256;

pub async fn attach(
    State(service): State<Service>,
    Path(context): Path<String>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    // A message is held in memory while it comes: from strangers, who may be many, only a small one.
    let known = secret(&headers).is_ok_and(|secret| service.knows_driver(&context, secret));
    let most = if known { MAX_MESSAGE_BYTES } else { MAX_STRANGER_BYTES };
    upgrade.max_message_size(most).max_frame_size(most).on_upgrade(move |socket| hold(service, context, socket))
}

async fn hold(service: Service, context: String, mut socket: WebSocket) {
    let hello = tokio::time::timeout(Duration::from_millis(HELLO_WITHIN_MS), read_hello(&mut socket)).await;
    let Ok(Some(hello)) = hello else { return refuse(socket, close::MALFORMED).await };
    if hello.context != context {
        return refuse(socket, close::MALFORMED).await;
    }
    let (sender, frames) = mpsc::channel(FRAMES);
    match service.attach_driver(&context, hello, sender).await {
        Ok(attached) => {
            let (sink, stream) = socket.split();
            let mut receiving = std::pin::pin!(receive(stream, &attached));
            tokio::select! {
                () = send(sink, frames, &attached) => {
                    // What was sent is lost if the socket closes on what was not read.
                    let _ = tokio::time::timeout(CLOSE_PATIENCE, receiving).await;
                }
                () = &mut receiving => {}
            }
        }
        Err(refusal) => refuse(socket, close_code(refusal)).await,
    }
}

fn close_code(refusal: AttachRefusal) -> u16 {
    match refusal {
        AttachRefusal::Malformed => close::MALFORMED,
        AttachRefusal::WrongSecret => close::WRONG_SECRET,
        AttachRefusal::NoContext => close::NO_CONTEXT,
        AttachRefusal::Superseded => close::SUPERSEDED,
        AttachRefusal::NotNow => close::NOT_NOW,
    }
}

async fn read_hello(socket: &mut WebSocket) -> Option<Hello> {
    loop {
        match socket.recv().await?.ok()? {
            Message::Text(text) => {
                return match serde_json::from_str(&text).ok()? {
                    FromShim::Hello(hello) => Some(hello),
                    _ => None,
                };
            }
            Message::Ping(_) | Message::Pong(_) => {}
            Message::Binary(_) | Message::Close(_) => return None,
        }
    }
}

async fn refuse(mut socket: WebSocket, code: u16) {
    // The shim may be gone; then it does not need to know.
    let _ = socket.send(Message::Close(Some(CloseFrame { code, reason: Utf8Bytes::default() }))).await;
    let _ = tokio::time::timeout(CLOSE_PATIENCE, socket.recv()).await;
}

/// Gathers what is there before it flushes, so that many small messages share a write.
async fn send(mut sink: SplitSink<WebSocket, Message>, mut frames: mpsc::Receiver<Frame>, attached: &Attached) {
    let mut ping = tokio::time::interval(Duration::from_millis(PING_EVERY_MS));
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            // All that waits goes out before the connection closes.
            biased;
            count = frames.recv_many(&mut batch, BATCH) => {
                if count == 0 {
                    let _ = sink.send(Message::Close(None)).await;
                    return;
                }
                for frame in batch.drain(..) {
                    let message = match frame {
                        Frame::Text(text) => Message::Text(text.into()),
                        Frame::Close(code) => {
                            let reason = Utf8Bytes::default();
                            let _ = sink.send(Message::Close(Some(CloseFrame { code, reason }))).await;
                            return;
                        }
                    };
                    if sink.feed(message).await.is_err() {
                        return;
                    }
                }
            }
            () = attached.closing() => {
                let _ = sink.send(Message::Close(None)).await;
                return;
            }
            _ = ping.tick() => {
                if sink.feed(Message::Ping(bytes::Bytes::new())).await.is_err() {
                    return;
                }
            }
        }
        if sink.flush().await.is_err() {
            return;
        }
    }
}

async fn receive(mut stream: SplitStream<WebSocket>, attached: &Attached) {
    loop {
        let next = tokio::time::timeout(Duration::from_millis(SILENT_AFTER_MS), stream.next()).await;
        let Ok(Some(Ok(message))) = next else { return };
        match message {
            Message::Text(text) => match serde_json::from_str::<FromShim>(&text) {
                Ok(message) => {
                    if !attached.receive(message).await {
                        return;
                    }
                }
                // Kinds that a newer shim knows are ignored.
                Err(error) => tracing::debug!(%error, "a message of a driver is not understood"),
            },
            Message::Close(_) => return,
            Message::Ping(_) | Message::Pong(_) | Message::Binary(_) => {}
        }
    }
}

fn secret(headers: &HeaderMap) -> Result<&str, ServiceError> {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    value.and_then(|value| value.strip_prefix("Bearer ")).ok_or(ServiceError::Forbidden("a driver's blobs"))
}

pub async fn get_blob(
    State(service): State<Service>,
    Path((context, sha256)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, HttpError> {
    let (content, size) = service.driver_blob(&context, secret(&headers)?, &sha256).await?;
    let kind = header::HeaderValue::from_static("application/octet-stream");
    let mut response = answer::of_type(StatusCode::OK, kind, Body::from_stream(content));
    response.headers_mut().insert(header::CONTENT_LENGTH, size.into());
    Ok(response)
}

pub async fn put_blob(
    State(service): State<Service>,
    Path((context, sha256)): Path<(String, String)>,
    headers: HeaderMap,
    content: Body,
) -> Result<Response, HttpError> {
    let content = body::upload(content);
    let new = service.store_driver_blob(&context, secret(&headers)?, &sha256, content).await?;
    Ok(answer::success(if new { StatusCode::CREATED } else { StatusCode::OK }, None))
}
