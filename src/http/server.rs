//! The listener: connections within limits, the verb of `_method`, and a stop that cuts no request.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, StatusCode, header};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::params::pairs;
use super::{answer, unread};
use crate::api::rest::Answer;
use crate::config::Http;

/// A client has this long for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause after the system refused a connection (no descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Answered however busy the server is.
const ALWAYS: [&str; 4] = ["/ping", "/readyz", "/metrics", "/v1/drivers/"];

/// Serves until `serving` turns false; then ends what is under way, within the grace.
pub async fn serve(listener: TcpListener, router: Router, settings: &Http, mut serving: watch::Receiver<bool>) {
    let tracker = TaskTracker::new();
    let connections = Arc::new(Semaphore::new(settings.max_connections));
    let requests = Arc::new(Semaphore::new(settings.max_requests));
    loop {
        let stream = tokio::select! {
            // First those that wait already, so that a stop refuses none of them.
            biased;
            accepted = accept(&listener, &connections) => accepted,
            () = stopped(&mut serving) => break,
        };
        let (stream, permit) = stream;
        // Small answers must not wait for a full packet. A socket that is dead already fails later.
        let _ = stream.set_nodelay(true);
        let (router, requests) = (router.clone(), Arc::clone(&requests));
        let service = service_fn(move |request| answer_one(router.clone(), Arc::clone(&requests), request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut stopping = serving.clone();
        tracker.spawn(async move {
            let mut connection = std::pin::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = stopped(&mut stopping) => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "connection ended");
            }
            drop(permit);
        });
    }
    drop(listener);
    tracker.close();
    if tokio::time::timeout(settings.shutdown_grace, tracker.wait()).await.is_err() {
        tracing::warn!("requests were still under way after http.shutdown-grace");
    }
}

async fn stopped(serving: &mut watch::Receiver<bool>) {
    // The sender lives as long as the server.
    let _ = serving.wait_for(|serving| !serving).await;
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> (TcpStream, tokio::sync::OwnedSemaphorePermit) {
    loop {
        let permit = Arc::clone(connections).acquire_owned().await.expect("never closed");
        match listener.accept().await {
            Ok((stream, _)) => return (stream, permit),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn answer_one(
    router: Router,
    requests: Arc<Semaphore>,
    request: Request<Incoming>,
) -> Result<Response, Infallible> {
    let mut request = unread::read_to_the_end(request);
    let always = ALWAYS.iter().any(|path| request.uri().path().starts_with(path));
    let permit = if always { None } else { requests.try_acquire().ok() };
    if permit.is_none() && !always {
        return Ok(busy());
    }
    if let Some(verb) = overridden(&request) {
        match verb {
            Some(method) => *request.method_mut() = method,
            None => return Ok(answer::text(StatusCode::NOT_IMPLEMENTED, "The verb of _method is not known.")),
        }
    }
    router.oneshot(request).await
}

/// The verb that `_method` asks for; `Some(None)` for one that there is not.
fn overridden(request: &Request<Body>) -> Option<Option<Method>> {
    let query = request.uri().query().filter(|query| query.contains("_method"))?;
    let (_, verb) = pairs(query).into_iter().find(|(key, _)| key == "_method")?;
    let known = [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::HEAD, Method::PATCH, Method::OPTIONS];
    Some(known.into_iter().find(|method| method.as_str().eq_ignore_ascii_case(&verb)))
}

fn busy() -> Response {
    let text = "The server is busy: too many requests are at work (http.max-requests)";
    let answer = Answer { status: "ERROR".into(), result: Some(text.into()) };
    let mut response = answer::json(StatusCode::SERVICE_UNAVAILABLE, &answer);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
