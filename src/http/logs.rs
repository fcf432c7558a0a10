//! `/v1/jobs/<id>/logs`: a job's own log, while it runs and after.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures::Stream;

use super::answer;
use super::error::HttpError;
use super::params::{Params, Who};
use crate::api::rest::Answer;
use crate::service::{LogChunk, Principal, Service, ServiceError};

/// Read at once from a driver or the store.
const PART_BYTES: u64 = 64 << 10;
/// Between two looks at a log that is followed.
const FOLLOW_EVERY: Duration = Duration::from_millis(250);

/// Tells whose log it is.
const ATTEMPT: HeaderName = HeaderName::from_static("doyen-job-attempt");

/// One range of bytes of a `Range` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// From here, up to and without there.
    From(u64, Option<u64>),
    /// So many at the end.
    Last(u64),
}

impl Range {
    /// Several ranges, or what is no range, count as none: the whole is served, as HTTP allows.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(header::RANGE)?.to_str().ok()?.strip_prefix("bytes=")?.trim();
        let (from, to) = text.split_once('-')?;
        if from.is_empty() {
            return Some(Self::Last(to.parse().ok()?));
        }
        let from: u64 = from.parse().ok()?;
        let to = if to.is_empty() { None } else { Some(to.parse::<u64>().ok()?.checked_add(1)?) };
        to.is_none_or(|to| to > from).then_some(Self::From(from, to))
    }

    /// Begin and end within `size`; `None` when it lies outside.
    pub fn within(self, size: u64) -> Option<(u64, u64)> {
        match self {
            Self::From(from, to) => (from < size).then(|| (from, to.unwrap_or(size).min(size))),
            Self::Last(count) => (count > 0 && size > 0).then(|| (size.saturating_sub(count), size)),
        }
    }
}

pub fn content_range(from: u64, to: u64, size: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("bytes {from}-{}/{size}", to.saturating_sub(1))).expect("ASCII")
}

pub fn not_satisfiable(size: u64) -> Response {
    let mut response = answer::text(StatusCode::RANGE_NOT_SATISFIABLE, "");
    let range = HeaderValue::from_str(&format!("bytes */{size}")).expect("ASCII");
    response.headers_mut().insert(header::CONTENT_RANGE, range);
    response
}

/// A job's own log: what it printed, so far
///
/// `Range: bytes=…` gives a part; `follow=true` goes on until the job has ended, with the attempts that follow. `attempt=1` is
/// the log of the job's first attempt; without it, it is that of the last one that has written something, which
/// the header `Doyen-Job-Attempt` tells.
#[utoipa::path(get, path = "/v1/jobs/{id}/logs", tag = "jobs",
    params(("id" = String, Path,), ("follow" = Option<bool>, Query,), ("attempt" = Option<u32>, Query,)),
    responses((status = 200, description = "Text"), (status = 206, description = "A part of it"),
        (status = 404, body = Answer), (status = 416, description = "The range is outside")))]
pub async fn get(
    State(service): State<Service>,
    Who(who): Who,
    Path(id): Path<String>,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, HttpError> {
    let follow = params.bool("follow")?.unwrap_or(false);
    let asked = asked(&params)?;
    let range = Range::of(&headers);
    let attempt = service.log_attempt(&who, &id, asked).await?;
    let size = service.job_log(&who, &id, attempt, 0, 0).await?.size_bytes;
    let (from, to) = match range {
        None => (0, size),
        // Following may begin where nothing is yet.
        Some(Range::From(from, None)) if follow => (from, size.max(from)),
        Some(range) => match range.within(size) {
            Some(part) => part,
            None => return Ok(not_satisfiable(size)),
        },
    };
    let end = (!follow).then_some(to);
    // Before the status is sent: what cannot be read is told by it.
    let first = match most(from, end) {
        0 => None,
        most => Some(service.job_log(&who, &id, attempt, from, most).await?),
    };
    let body = Body::from_stream(parts(service, who, Reading { id, attempt, offset: from, end, asked, first }));
    let mut response = answer::text(StatusCode::OK, body);
    response.headers_mut().insert(ATTEMPT, attempt.into());
    if range.is_some() && !follow {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        response.headers_mut().insert(header::CONTENT_RANGE, content_range(from, to, size));
    }
    Ok(response)
}

/// The number of the attempt whose log is wanted.
fn asked(params: &Params) -> Result<Option<u32>, ServiceError> {
    let Some(number) = params.int("attempt")? else { return Ok(None) };
    let of_attempt = u32::try_from(number).ok().filter(|number| *number > 0);
    of_attempt.map(Some).ok_or_else(|| ServiceError::BadParameter {
        name: "attempt".into(),
        value: number.to_string(),
        expected: "a number from 1 on".into(),
    })
}

/// What of a job's logs is read.
struct Reading {
    id: String,
    attempt: u32,
    offset: u64,
    /// Where to end; without it, the log is followed.
    end: Option<u64>,
    asked: Option<u32>,
    /// What was read already.
    first: Option<LogChunk>,
}

/// To be read at once, from this offset on.
fn most(offset: u64, end: Option<u64>) -> u64 {
    end.map_or(PART_BYTES, |end| end.saturating_sub(offset).min(PART_BYTES))
}

/// The log from the offset to the end; when it is followed and no attempt was asked for, also those of the attempts after it.
fn parts(service: Service, who: Principal, reading: Reading) -> impl Stream<Item = Result<Bytes, std::io::Error>> {
    let Reading { id, mut attempt, mut offset, end, asked, mut first } = reading;
    async_stream::stream! {
        let mut new = false;
        loop {
            let most = most(offset, end);
            if most == 0 {
                return;
            }
            let chunk = match first.take() {
                Some(chunk) => Ok(chunk),
                None => service.job_log(&who, &id, attempt, offset, most).await,
            };
            let LogChunk { bytes, next_offset, size_bytes, over, followed } =
                match chunk {
                    Ok(chunk) => chunk,
                    Err(error) => {
                        yield Err(std::io::Error::other(error));
                        return;
                    }
                };
            // A log that was cut because it grew too long is shorter than what was read of it.
            offset = next_offset.min(size_bytes.max(offset));
            if !bytes.is_empty() {
                offset = next_offset;
                if std::mem::take(&mut new) {
                    yield Ok(Bytes::from(format!("\n[doyen: attempt {attempt}]\n")));
                }
                yield Ok(Bytes::from(bytes));
                continue;
            }
            if size_bytes < offset && !over {
                offset = size_bytes;
            }
            if end.is_some() {
                return;
            }
            if over {
                if asked.is_some() || !followed {
                    return;
                }
                (attempt, offset, new) = (attempt + 1, 0, true);
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep(FOLLOW_EVERY) => {}
                // A clean end would say that this was all.
                () = service.stopping() => {
                    yield Err(std::io::Error::other("the server stops"));
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Option<Range> {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_str(text).expect("ASCII"));
        Range::of(&headers)
    }

    #[test]
    fn ranges_are_read_as_http_says() {
        assert_eq!(range("bytes=0-9"), Some(Range::From(0, Some(10))));
        assert_eq!(range("bytes=5-"), Some(Range::From(5, None)));
        assert_eq!(range("bytes=-3"), Some(Range::Last(3)));
        assert_eq!(range("bytes=9-5"), None);
        assert_eq!(range("lines=1-2"), None);
    }

    #[test]
    fn a_range_is_cut_to_the_size_and_refused_beyond() {
        assert_eq!(Range::From(2, Some(100)).within(10), Some((2, 10)));
        assert_eq!(Range::Last(3).within(10), Some((7, 10)));
        assert_eq!(Range::From(10, None).within(10), None);
    }
}
