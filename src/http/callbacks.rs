//! `/v1/jobs/<id>/callbacks`: what became of a job's callback; delivering it once more.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::answer;
use super::error::HttpError;
use super::idempotency::{IdempotencyKey, Once};
use super::params::Who;
use crate::api::callbacks::JobCallback;
use crate::api::rest::Answer;
use crate::service::{CallbackView, Service};

fn shown(view: &CallbackView) -> JobCallback {
    JobCallback::new(&view.job.id, view.job.callback.as_deref().unwrap_or_default(), view.callback.as_ref())
}

/// What became of a job's callback, with its newest attempts
#[utoipa::path(get, path = "/v1/jobs/{id}/callbacks", tag = "jobs", params(("id" = String, Path,)),
    responses((status = 200, body = JobCallback), (status = 404, body = Answer)))]
pub async fn get(State(service): State<Service>, Who(who): Who, Path(id): Path<String>) -> Result<Response, HttpError> {
    let view = service.callback(&who, &id).await?;
    Ok(answer::json(StatusCode::OK, &shown(&view)))
}

/// Delivers a job's callback once more, under the same delivery id
#[utoipa::path(post, path = "/v1/jobs/{id}/callbacks/replay", tag = "jobs", params(IdempotencyKey, ("id" = String, Path,)),
    responses((status = 202, body = JobCallback), (status = 404, body = Answer), (status = 409, body = Answer)))]
pub async fn replay(
    State(service): State<Service>,
    Who(who): Who,
    Once(once): Once,
    Path(id): Path<String>,
) -> Result<Response, HttpError> {
    let view = service.replay_callback_once(&who, once, &id).await?;
    Ok(answer::json(StatusCode::ACCEPTED, &shown(&view)))
}
