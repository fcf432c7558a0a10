//! `/contexts`.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::error::HttpError;
use super::idempotency::{IdempotencyKey, Once};
use super::params::{Params, Who};
use super::{answer, body};
use crate::api::rest::{Answer, Context, ContextDetails, FailureAnswer};
use crate::service::{Service, ServiceError, Stopped};

/// Names of the contexts that run
#[utoipa::path(get, path = "/contexts", tag = "contexts", responses((status = 200, body = Vec<String>)))]
pub async fn list(State(service): State<Service>, Who(who): Who) -> Result<Response, HttpError> {
    Ok(answer::json(StatusCode::OK, &service.list_contexts(&who)?))
}

/// One context, also after it ended
#[utoipa::path(get, path = "/contexts/{name}", tag = "contexts", params(("name" = String, Path,)),
    responses((status = 200, body = Context), (status = 404, body = Answer)))]
pub async fn get(
    State(service): State<Service>,
    Who(who): Who,
    Path(name): Path<String>,
) -> Result<Response, HttpError> {
    Ok(answer::json(StatusCode::OK, &Context::from(&service.context(&who, &name).await?)))
}

/// One context with its kind, settings, and why it failed
#[utoipa::path(get, path = "/v1/contexts/{name}", tag = "contexts", params(("name" = String, Path,)),
    responses((status = 200, body = ContextDetails), (status = 404, body = Answer)))]
pub async fn details(
    State(service): State<Service>,
    Who(who): Who,
    Path(name): Path<String>,
) -> Result<Response, HttpError> {
    Ok(answer::json(StatusCode::OK, &ContextDetails::from(&service.context(&who, &name).await?)))
}

/// Opens a context; its settings are query parameters, or HOCON in the body
#[utoipa::path(post, path = "/contexts/{name}", tag = "contexts",
    params(IdempotencyKey, ("name" = String, Path,), ("context-factory" = Option<String>, Query,)),
    request_body(content = String, content_type = "text/plain"),
    responses((status = 200, body = Answer), (status = 400, body = Answer), (status = 413, body = Answer),
        (status = 500, body = FailureAnswer)))]
pub async fn post(
    State(service): State<Service>,
    Who(who): Who,
    Once(once): Once,
    Path(name): Path<String>,
    params: Params,
    content: Body,
) -> Result<Response, HttpError> {
    let text = body::text(&service, content).await?;
    service.create_context_once(&who, once, &name, &params.0, &text).await?;
    Ok(answer::success(StatusCode::OK, Some("Context initialized")))
}

/// Stops a context and its jobs
#[utoipa::path(delete, path = "/contexts/{name}", tag = "contexts",
    params(IdempotencyKey, ("name" = String, Path,), ("force" = Option<bool>, Query,)),
    responses((status = 200, body = Answer), (status = 202, description = "It takes long; see Location"),
        (status = 404, body = Answer)))]
pub async fn delete(
    State(service): State<Service>,
    Who(who): Who,
    Once(once): Once,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, HttpError> {
    let force = params.bool("force")?.unwrap_or(false);
    match service.stop_context_once(&who, once, &name, force).await? {
        Stopped::Done => Ok(answer::success(StatusCode::OK, Some("Context stopped"))),
        Stopped::UnderWay => {
            let mut response = answer::raw_json(StatusCode::ACCEPTED, "");
            let location = format!("/contexts/{}", utf8_percent_encode(&name, NON_ALPHANUMERIC));
            let location = HeaderValue::from_str(&location).expect("encoded names are ASCII");
            response.headers_mut().insert(header::LOCATION, location);
            Ok(response)
        }
    }
}

/// Stops all contexts
#[utoipa::path(put, path = "/contexts", tag = "contexts",
    params(IdempotencyKey, ("reset" = String, Query, description = "`reboot`"), ("sync" = Option<bool>, Query,)),
    responses((status = 200, body = Answer), (status = 400)))]
pub async fn reset(
    State(service): State<Service>,
    Who(who): Who,
    Once(once): Once,
    params: Params,
) -> Result<Response, HttpError> {
    let wait = reset_wanted(&params)?;
    service.reset_contexts_once(&who, once, wait).await?;
    Ok(answer::success(StatusCode::OK, Some(if wait { "Context reset" } else { "Context reset requested" })))
}

/// `reset=reboot`, and whether to wait.
pub fn reset_wanted(params: &Params) -> Result<bool, ServiceError> {
    match params.get("reset") {
        Some("reboot") => Ok(params.bool("sync")?.unwrap_or(true)),
        other => Err(ServiceError::BadParameter {
            name: "reset".into(),
            value: other.unwrap_or_default().into(),
            expected: "'reboot', which is the only reset there is".into(),
        }),
    }
}
