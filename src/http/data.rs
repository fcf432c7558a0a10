//! `/data`.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;

use super::contexts::reset_wanted;
use super::error::HttpError;
use super::idempotency::{IdempotencyKey, Once};
use super::params::{Params, Who};
use super::{answer, body};
use crate::api::rest::Answer;
use crate::service::Service;

/// Paths of the data files
#[utoipa::path(get, path = "/data", tag = "data", responses((status = 200, body = Vec<String>)))]
pub async fn list(State(service): State<Service>, Who(who): Who) -> Result<Response, HttpError> {
    Ok(answer::json(StatusCode::OK, &service.list_data(&who).await?))
}

/// Uploads a data file; the answer has the path that jobs open
#[utoipa::path(post, path = "/data/{name}", tag = "data", params(IdempotencyKey, ("name" = String, Path,)),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, description = "`{\"result\":{\"filename\":path}}`"), (status = 400, body = Answer)))]
pub async fn post(
    State(service): State<Service>,
    Who(who): Who,
    Once(once): Once,
    Path(name): Path<String>,
    headers: HeaderMap,
    content: Body,
) -> Result<Response, HttpError> {
    let content = body::upload_within(&service, &headers, content)?;
    let path = service.upload_data_once(&who, once, &name, content).await?;
    Ok(answer::json(StatusCode::OK, &json!({"result": {"filename": path}})))
}

/// Deletes a data file by its path, percent-encoded
#[utoipa::path(delete, path = "/data/{name}", tag = "data",
    params(IdempotencyKey, ("name" = String, Path, description = "The path that the upload answered")),
    responses((status = 200, description = "`OK`"), (status = 400, body = Answer)))]
pub async fn delete(
    State(service): State<Service>,
    Who(who): Who,
    Once(once): Once,
    Path(path): Path<String>,
) -> Result<Response, HttpError> {
    service.delete_data_once(&who, once, &path).await?;
    Ok(answer::raw_json(StatusCode::OK, "OK"))
}

/// Deletes all data files
#[utoipa::path(put, path = "/data", tag = "data",
    params(IdempotencyKey, ("reset" = String, Query, description = "`reboot`"), ("sync" = Option<bool>, Query,)),
    responses((status = 200, body = Answer), (status = 400)))]
pub async fn reset(
    State(service): State<Service>,
    Who(who): Who,
    Once(once): Once,
    params: Params,
) -> Result<Response, HttpError> {
    let wait = reset_wanted(&params)?;
    service.reset_data_once(&who, once, wait).await?;
    Ok(answer::success(StatusCode::OK, Some(if wait { "Data reset" } else { "Data reset requested" })))
}
