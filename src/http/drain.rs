//! The end of serving: requests under way are answered, and until then drivers are still let in, for their jobs need it.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::answer;
use super::error::CODE_HEADER;
use crate::api::rest::Answer;

/// Clients ask again after so long, of the next server.
const RETRY_SECONDS: &str = "5";

/// Knows which requests of clients are under way.
#[derive(Clone)]
pub struct Drain {
    serving: watch::Receiver<bool>,
    under_way: TaskTracker,
}

impl Drain {
    /// `serving` turns false when the server is to stop.
    pub fn new(serving: watch::Receiver<bool>) -> Self {
        let under_way = TaskTracker::new();
        under_way.close();
        Self { serving, under_way }
    }

    /// For a request of a client: it is under way until this is dropped. `None` when it comes too late.
    pub fn begin(&self) -> Option<TaskTrackerToken> {
        // Taken first, so that `over` waits for whoever still saw the server serve.
        let token = self.under_way.token();
        self.serves().then_some(token)
    }

    /// The answer to a request, which holds on to `held` until its last byte; during a stop the last of its connection.
    pub fn finish<T: Send + Unpin + 'static>(&self, response: Response, held: T) -> Response {
        let mut response = response.map(|body| Body::new(Holding { body, _held: held }));
        // Not for an upgrade, whose `Connection` says something else.
        if !self.serves() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Completes when the server begins to stop.
    pub async fn stopping(&self) {
        // The sender lives as long as the server.
        let _ = self.serving.clone().wait_for(|serving| !serving).await;
    }

    /// Completes when the server stops and no request of a client is under way.
    pub async fn over(&self) {
        self.stopping().await;
        self.under_way.wait().await;
    }

    fn serves(&self) -> bool {
        *self.serving.borrow()
    }
}

/// To a request that comes too late.
pub fn refusal() -> Response {
    let answer = Answer { status: "ERROR".into(), result: Some("The server is stopping".into()) };
    let mut response = answer::json(StatusCode::SERVICE_UNAVAILABLE, &answer);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response.headers_mut().insert(CODE_HEADER, HeaderValue::from_static("stopping"));
    response
}

struct Holding<T> {
    body: Body,
    _held: T,
}

impl<T: Unpin> HttpBody for Holding<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn the_drain_is_over_when_the_last_request_that_began_before_the_stop_is_answered() {
        let (stop, serving) = watch::channel(true);
        let drain = Drain::new(serving);
        let token = drain.begin();
        assert!(token.is_some());
        stop.send_replace(false);
        assert!(drain.begin().is_none());
        assert!(drain.over().now_or_never().is_none());
        let response = drain.finish(Response::new(Body::from("text")), token);
        assert_eq!(response.headers()[header::CONNECTION], "close");
        assert_eq!(response.body().size_hint().exact(), Some(4));
        assert!(drain.over().now_or_never().is_none());
        drop(response);
        assert!(drain.over().now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_server_without_requests_stops_at_once_but_not_before_it_is_told() {
        let (stop, serving) = watch::channel(true);
        let drain = Drain::new(serving);
        assert!(drain.over().now_or_never().is_none());
        stop.send_replace(false);
        assert!(drain.over().now_or_never().is_some());
    }
}
