//! Bodies of requests: given up when nothing comes any more; and when they were refused before their end, read on and
//! thrown away, within bounds. Were the connection closed at once, the client, which still sends, would get a reset
//! instead of the answer.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody};
use axum::http::{Request, header};
use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt};
use hyper::body::Incoming;
use tokio::time::Sleep;

use crate::runtime::clock;

/// A client that sends more after the answer than this is cut off.
const MOST_BYTES: usize = 64 << 20;
const LONGEST: Duration = Duration::from_secs(10);

struct Content {
    /// `None` after its end.
    stream: Option<BodyDataStream>,
    /// How long it may be silent, and since it last was not.
    patience: Duration,
    silence: Pin<Box<Sleep>>,
    /// Whether what is left is read when nobody wants it.
    to_the_end: bool,
}

impl Stream for Content {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(None) };
        let polled = stream.poll_next_unpin(context);
        match &polled {
            Poll::Ready(Some(Ok(_))) => {
                let until = clock::instant() + self.patience;
                self.silence.as_mut().reset(until.into());
            }
            Poll::Ready(_) => self.stream = None,
            Poll::Pending if self.silence.poll_unpin(context).is_ready() => {
                self.stream = None;
                return Poll::Ready(Some(Err(axum::Error::new("nothing came for too long (http.body-timeout)"))));
            }
            Poll::Pending => {}
        }
        polled
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        // Without a runtime the process ends.
        if let (true, Some(stream), Ok(runtime)) =
            (self.to_the_end, self.stream.take(), tokio::runtime::Handle::try_current())
        {
            runtime.spawn(tokio::time::timeout(LONGEST, throw_away(stream)));
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
pub fn read_to_the_end(request: Request<Incoming>, patience: Duration) -> Request<Body> {
    // A client that waits for `100 Continue` does not send before; reading would ask for it.
    let waits = request.headers().contains_key(header::EXPECT);
    request.map(|incoming| {
        if incoming.is_end_stream() {
            return Body::new(incoming);
        }
        let silence = Box::pin(tokio::time::sleep(patience));
        let stream = Some(Body::new(incoming).into_data_stream());
        Body::from_stream(Content { stream, patience, silence, to_the_end: !waits })
    })
}
