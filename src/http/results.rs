//! Jobs and their results as bodies: short results within, long ones streamed into the same JSON.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use bytes::Bytes;
use futures::StreamExt;

use super::error::HttpError;
use super::params::Who;
use super::{answer, logs};
use crate::api::rest::{Answer, Job, failed_job};
use crate::core::binaries::BlobRef;
use crate::core::jobs::JobState;
use crate::service::{JobView, ResultContent, Service, ServiceError};

/// J, with the result.
pub async fn job(service: &Service, view: JobView) -> Result<Response, HttpError> {
    let record = &view.record;
    let job = Job::from(record).at(record, service.position(record)).waiting_for(service.waits_for(record));
    let before = serde_json::to_string(&job).expect("plain data");
    Ok(with_result(service, &view.record.id, &before, &view.result).await?)
}

/// What a sync POST answers at the job's end.
pub async fn sync_answer(service: &Service, view: JobView) -> Result<Response, HttpError> {
    let id = &view.record.id;
    match (&view.record.failure, view.record.state) {
        (Some(failure), _) => Ok(answer::raw_json(StatusCode::OK, failed_job(id, failure))),
        (None, JobState::Finished) => {
            let before = serde_json::json!({"jobId": id}).to_string();
            let answer = with_result(service, id, &before, &view.result).await;
            // The request was carried out: to say that the store is unavailable would have it repeated.
            answer.map_err(|error| ServiceError::ResultUnreadable { job: id.clone(), why: error.to_string() }.into())
        }
        (None, state) => Err(ServiceError::Internal(format!("job {id} ended as {state:?} without a reason")).into()),
    }
}

/// A JSON object with `result` added to it.
async fn with_result(
    service: &Service,
    job: &str,
    object: &str,
    result: &ResultContent,
) -> Result<Response, ServiceError> {
    let status = StatusCode::OK;
    let open = object.strip_suffix('}').expect("it is an object");
    match result {
        ResultContent::None => Ok(answer::raw_json(status, object.to_owned())),
        ResultContent::Inline(json) => Ok(answer::raw_json(status, format!("{open},\"result\":{json}}}"))),
        ResultContent::Blob(blob) => {
            let content = service.read_blob(job, blob, 0, None).await?;
            let text = |text: String| futures::stream::iter([Ok(Bytes::from(text))]);
            let body = text(format!("{open},\"result\":")).chain(content).chain(text("}".into()));
            Ok(answer::raw_json(status, Body::from_stream(body)))
        }
    }
}

/// The result alone, as JSON
///
/// Ranges (`Range: bytes=0-99`) are served; `Repr-Digest` has the SHA-256 of the whole when it is kept as a blob.
#[utoipa::path(get, path = "/v1/jobs/{id}/result", tag = "jobs", params(("id" = String, Path,)),
    responses((status = 200, description = "The result"), (status = 206, description = "A part of it"),
        (status = 404, body = Answer), (status = 416, description = "The range is outside")))]
pub async fn get(
    State(service): State<Service>,
    Who(who): Who,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, HttpError> {
    match service.job(&who, &id, None).await?.result {
        ResultContent::None => Err(ServiceError::NoResult.into()),
        ResultContent::Inline(json) => {
            ranged(&headers, json.len() as u64, |from, to| {
                let part = Bytes::from(json).slice(usize_of(from)..usize_of(to));
                std::future::ready(Ok(Body::from(part)))
            })
            .await
        }
        ResultContent::Blob(blob) => {
            let BlobRef { sha256, size_bytes } = blob.clone();
            let mut response = ranged(&headers, size_bytes, |from, to| async move {
                Ok(Body::from_stream(service.read_blob(&id, &blob, from, Some(to - from)).await?))
            })
            .await?;
            response.headers_mut().insert("repr-digest", repr_digest(&sha256));
            Ok(response)
        }
    }
}

/// RFC 9530. The hash is in hex.
fn repr_digest(sha256: &str) -> HeaderValue {
    let byte = |at: usize| u8::from_str_radix(&sha256[at..at + 2], 16).expect("a stored hash is in hex");
    let bytes: Vec<u8> = (0..sha256.len()).step_by(2).map(byte).collect();
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    HeaderValue::from_str(&format!("sha-256=:{text}:")).expect("base64 is plain")
}

fn usize_of(offset: u64) -> usize {
    usize::try_from(offset).expect("an offset in memory")
}

async fn ranged<F, R>(headers: &HeaderMap, size: u64, part: F) -> Result<Response, HttpError>
where
    F: FnOnce(u64, u64) -> R,
    R: Future<Output = Result<Body, ServiceError>>,
{
    let Some(range) = logs::Range::of(headers) else {
        let mut response = answer::raw_json(StatusCode::OK, part(0, size).await?);
        response.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        return Ok(response);
    };
    let Some((from, to)) = range.within(size) else { return Ok(logs::not_satisfiable(size)) };
    let mut response = answer::raw_json(StatusCode::PARTIAL_CONTENT, part(from, to).await?);
    response.headers_mut().insert(header::CONTENT_RANGE, logs::content_range(from, to, size));
    Ok(response)
}
