//! Bodies that were refused before their end: read on and thrown away, within bounds. Were the connection closed at once,
//! the client, which still sends, would get a reset instead of the answer.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody};
use axum::http::{Request, header};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use hyper::body::Incoming;

/// A client that sends more after the answer than this is cut off.
const MOST_BYTES: usize = 64 << 20;
const LONGEST: Duration = Duration::from_secs(10);

struct ReadToTheEnd(Option<BodyDataStream>);

impl Stream for ReadToTheEnd {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(content) = &mut self.0 else { return Poll::Ready(None) };
        let polled = content.poll_next_unpin(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.0 = None;
        }
        polled
    }
}

impl Drop for ReadToTheEnd {
    fn drop(&mut self) {
        // Without a runtime the process ends.
        if let (Some(content), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(tokio::time::timeout(LONGEST, throw_away(content)));
        }
    }
}

async fn throw_away(mut content: BodyDataStream) {
    let mut left = MOST_BYTES;
    while let Some(Ok(part)) = content.next().await {
        let Some(rest) = left.checked_sub(part.len()) else { return };
        left = rest;
    }
}

/// The request with such a body.
pub fn read_to_the_end(request: Request<Incoming>) -> Request<Body> {
    // A client that waits for `100 Continue` does not send before; reading would ask for it.
    let waits = request.headers().contains_key(header::EXPECT);
    request.map(|incoming| {
        if waits || incoming.is_end_stream() {
            return Body::new(incoming);
        }
        Body::from_stream(ReadToTheEnd(Some(Body::new(incoming).into_data_stream())))
    })
}
