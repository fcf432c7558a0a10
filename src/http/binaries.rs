//! `/binaries`, and `/jars` for old clients.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::error::HttpError;
use super::idempotency::{IdempotencyKey, Once};
use super::params::Who;
use super::{answer, body};
use crate::api::rest::{Answer, Binary, ListedBinary};
use crate::service::Service;

/// All binaries by name
#[utoipa::path(get, path = "/binaries", tag = "binaries",
    responses((status = 200, description = "By name", body = BTreeMap<String, ListedBinary>)))]
pub async fn list(State(service): State<Service>, Who(who): Who) -> Result<Response, HttpError> {
    let binaries = service.list_binaries(&who).await?;
    let by_name: BTreeMap<&str, ListedBinary> = binaries.iter().map(|b| (b.name.as_str(), b.into())).collect();
    Ok(answer::json(StatusCode::OK, &by_name))
}

/// One binary
#[utoipa::path(get, path = "/binaries/{name}", tag = "binaries", params(("name" = String, Path,)),
    responses((status = 200, body = Binary), (status = 404, body = Answer)))]
pub async fn get(
    State(service): State<Service>,
    Who(who): Who,
    Path(name): Path<String>,
) -> Result<Response, HttpError> {
    Ok(answer::json(StatusCode::OK, &Binary::from(&service.binary(&who, &name).await?)))
}

/// Uploads a binary; one of that name is replaced
///
/// The content type tells the kind: `application/java-archive`, `application/python-egg` or `application/python-wheel`.
#[utoipa::path(post, path = "/binaries/{name}", tag = "binaries", params(IdempotencyKey, ("name" = String, Path,)),
    request_body(content = Vec<u8>, content_type = "application/python-wheel"),
    responses((status = 201, body = Answer), (status = 400, body = Answer), (status = 413, body = Answer),
        (status = 415, body = Answer), (status = 507, body = Answer)))]
pub async fn post(
    State(service): State<Service>,
    Who(who): Who,
    Once(once): Once,
    Path(name): Path<String>,
    headers: HeaderMap,
    content: Body,
) -> Result<Response, HttpError> {
    let content = body::upload_within(&service, &headers, content)?;
    service.upload_binary_once(&who, once, &name, &body::media_type(&headers), content).await?;
    Ok(answer::success(StatusCode::CREATED, None))
}

/// Deletes a binary that no job uses
#[utoipa::path(delete, path = "/binaries/{name}", tag = "binaries", params(IdempotencyKey, ("name" = String, Path,)),
    responses((status = 200, body = Answer), (status = 403, body = Answer), (status = 404, body = Answer)))]
pub async fn delete(
    State(service): State<Service>,
    Who(who): Who,
    Once(once): Once,
    Path(name): Path<String>,
) -> Result<Response, HttpError> {
    service.delete_binary_once(&who, once, &name).await?;
    Ok(answer::success(StatusCode::OK, None))
}
