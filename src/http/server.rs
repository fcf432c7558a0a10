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
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::authentication::Peer;
use super::browser::{self, Counts, Foreign, Names};
use super::drain::{self, Drain};
use super::params::pairs;
use super::resting::{Resting, Risen, Seat};
use super::secure::{self, ClientName};
use super::{answer, unread};
use crate::api::rest::Answer;
use crate::config::Http;
use crate::runtime::clock;
use crate::runtime::host;
use crate::runtime::tls::Renewed;

/// A client has this long for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause after the system refused a connection (no descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Asked by probes, and by drivers, which have secrets of their own: no certificate is needed, nor a known name.
const WITHOUT_CERTIFICATE: [&str; 4] = ["/ping", "/healthz", "/readyz", "/v1/drivers/"];
/// Answered however busy the server is, and while it stops.
const ALWAYS: [&str; 5] = ["/ping", "/healthz", "/readyz", "/metrics", "/v1/drivers/"];

const CERTIFICATE_MISSING: &str = "The resource requires a client certificate with a common name, which was not supplied (tls.require-client-certificate)";

/// TLS for a listener.
#[derive(Clone)]
pub struct Secure {
    pub config: Renewed,
    /// Whether requests need a client certificate.
    pub certificate_required: bool,
}

/// What every request of a connection meets.
#[derive(Clone)]
struct Door {
    router: Router,
    requests: Arc<Semaphore>,
    certificate_required: bool,
    /// By what names this server may be called, and by whom: where nothing but the network lets clients in, no page may
    /// come in through its reader's browser.
    names: Arc<Names>,
    host_counts: Counts,
    settings: Arc<Http>,
    drain: Drain,
}

/// Serves until `serving` turns false; then ends what is under way, within the grace. Drivers need the listener for that:
/// jobs end with logs and results that come over new connections. `open`: clients need not say who they are.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    settings: &Http,
    secure: Option<Secure>,
    open: bool,
    serving: watch::Receiver<bool>,
) {
    let tracker = TaskTracker::new();
    let connections = Arc::new(Semaphore::new(settings.max_connections));
    let requests = Arc::new(Semaphore::new(settings.max_requests));
    let certificate_required = secure.as_ref().is_some_and(|secure| secure.certificate_required);
    let tls = secure.map(|secure| secure.config);
    let loopback = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
    let host_counts = match (open && tls.is_none(), loopback) {
        (false, _) => Counts::Never,
        (true, true) => Counts::Always,
        (true, false) => Counts::InBrowsers,
    };
    let names = Arc::new(Names { hosts: [settings.hosts.clone(), host::names()].concat(), local: !loopback });
    let drain = Drain::new(serving);
    let settings = Arc::new(settings.clone());
    let shutdown_grace = settings.shutdown_grace;
    let door = Door { router, requests, certificate_required, names, host_counts, settings, drain: drain.clone() };
    // Cancelled when only connections at rest are left, and drivers' transfers.
    let closing = CancellationToken::new();
    let resting = Resting::default();
    let accepting = async {
        loop {
            let (stream, permit) = accept(&listener, &connections, &resting).await;
            // Small answers must not wait for a full packet. A socket that is dead already fails later.
            let _ = stream.set_nodelay(true);
            let (door, tls, closing, seat) = (door.clone(), tls.clone(), closing.clone(), resting.enter());
            tracker.spawn(async move {
                tokio::select! {
                    () = hold(stream, tls, door, closing, seat.clone()) => {}
                    () = seat.cut() => tracing::debug!("a connection at rest made room for another"),
                }
                seat.leave();
                drop(permit);
            });
        }
    };
    let left = tokio::select! {
        () = accepting => return,
        left = drained(&drain, shutdown_grace) => left,
    };
    drop(listener);
    closing.cancel();
    tracker.close();
    if tokio::time::timeout(left, tracker.wait()).await.is_err() {
        tracing::warn!("requests were still under way after http.shutdown-grace");
    }
}

/// Waits for the stop, and then for the requests under way, at most the grace. What is left of it.
async fn drained(drain: &Drain, grace: Duration) -> Duration {
    drain.stopping().await;
    let began = clock::instant();
    // Whoever is late is told of when the connections are cut.
    let _ = tokio::time::timeout(grace, drain.over()).await;
    grace.saturating_sub(clock::since(began))
}

/// One connection, until either side ends it.
async fn hold(stream: TcpStream, tls: Option<Renewed>, door: Door, closing: CancellationToken, seat: Seat) {
    let peer = stream.peer_addr().ok().map(|address| Peer(address.ip()));
    let opened = tokio::select! {
        opened = secure::open(stream, tls.as_ref()) => opened,
        // Nothing was asked yet.
        () = closing.cancelled(), if tls.is_some() => return,
    };
    let (stream, client) = match opened {
        Ok(opened) => opened,
        Err(error) => return tracing::debug!(%error, "no TLS with a client"),
    };
    let service = service_fn(move |mut request: Request<Incoming>| {
        peer.map(|peer| request.extensions_mut().insert(peer));
        if let Some(client) = &client {
            request.extensions_mut().insert(client.clone());
        }
        let (door, risen) = (door.clone(), seat.rise());
        answer_one(door, request, risen)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
    resting: &Resting,
) -> (TcpStream, OwnedSemaphorePermit) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place(connections, resting).await),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A place for a new connection: a free one, or that of one at rest. While all are at work it waits for either.
async fn place(connections: &Arc<Semaphore>, resting: &Resting) -> OwnedSemaphorePermit {
    let wait = async || Arc::clone(connections).acquire_owned().await.expect("never closed");
    loop {
        // Made before the look, so that who comes to rest between the look and the wait is not missed.
        let rested = resting.rested();
        if connections.available_permits() > 0 || resting.make_room() {
            return wait().await;
        }
        tokio::select! {
            permit = wait() => return permit,
            () = rested => {}
        }
    }
}

/// The connection is not at rest, and the request under way, until the last byte of the answer.
async fn answer_one(door: Door, request: Request<Incoming>, risen: Risen) -> Result<Response, Infallible> {
    let request = unread::read_to_the_end(request, door.settings.body_timeout);
    let always = is_for(&request, &ALWAYS);
    let under_way = if always { None } else { door.drain.begin() };
    if under_way.is_none() && !always {
        return Ok(drain::refusal());
    }
    let drain = door.drain.clone();
    let response = answer_in_time(door, request).await?;
    Ok(drain.finish(response, (under_way, risen)))
}

async fn answer_in_time(door: Door, mut request: Request<Body>) -> Result<Response, Infallible> {
    let named = request.extensions().get::<ClientName>().is_some();
    if door.certificate_required && !named && !is_for(&request, &WITHOUT_CERTIFICATE) {
        return Ok(answer::text(StatusCode::UNAUTHORIZED, CERTIFICATE_MISSING));
    }
    let always = is_for(&request, &ALWAYS);
    let permit = if always { None } else { door.requests.try_acquire().ok() };
    if permit.is_none() && !always {
        return Ok(busy());
    }
    let asked = request.method().clone();
    if let Some(verb) = overridden(&request) {
        match verb {
            Some(method) => *request.method_mut() = method,
            None => return Ok(answer::text(StatusCode::NOT_IMPLEMENTED, "The verb of _method is not known.")),
        }
    }
    let checked = check_page(&door, &asked, &request);
    if let Err(foreign) = checked {
        return Ok(answer::text(StatusCode::FORBIDDEN, foreign.text()));
    }
    door.router.oneshot(request).await
}

/// `asked` is the verb of the request line.
fn check_page(door: &Door, asked: &Method, request: &Request<Body>) -> Result<(), Foreign> {
    let (method, headers) = (request.method(), request.headers());
    if !is_for(request, &WITHOUT_CERTIFICATE) {
        browser::check_host(headers, &door.names, door.host_counts)?;
    }
    if asked == Method::GET {
        browser::check_disguise(method, headers)?;
    }
    browser::check(method, headers, &door.settings.cors_origins, &door.names)
}

fn is_for(request: &Request<Body>, paths: &[&str]) -> bool {
    paths.iter().any(|path| request.uri().path().starts_with(path))
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
