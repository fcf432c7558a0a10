//! `/v1/tokens`.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

use super::audit::Object;
use super::error::HttpError;
use super::idempotency::{IdempotencyKey, Once};
use super::params::Who;
use super::{answer, body};
use crate::api::rest::Answer;
use crate::api::tokens::{Token, TokenWish};
use crate::config::duration;
use crate::service::{NewToken, Service, ServiceError};

/// Tokens that are good: one's own, or with `tokens:all` everybody's
#[utoipa::path(get, path = "/v1/tokens", tag = "tokens",
    responses((status = 200, body = Vec<Token>), (status = 400, body = Answer), (status = 403)))]
pub async fn list(State(service): State<Service>, Who(who): Who) -> Result<Response, HttpError> {
    let tokens = service.list_tokens(&who).await?;
    Ok(answer::json(StatusCode::OK, &tokens.iter().map(Token::from).collect::<Vec<_>>()))
}

/// Makes a token; the answer is the only place where it is shown
#[utoipa::path(post, path = "/v1/tokens", tag = "tokens", params(IdempotencyKey), request_body = TokenWish,
    responses((status = 201, body = Token), (status = 400, body = Answer), (status = 403), (status = 409, body = Answer)))]
pub async fn post(
    State(service): State<Service>,
    Who(who): Who,
    Once(once): Once,
    content: Body,
) -> Result<Response, HttpError> {
    let text = body::text(&service, content).await?;
    let text = if text.trim().is_empty() { "{}" } else { &text };
    let wrong = ServiceError::BadTokenWish;
    let wish: TokenWish = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let life = wish.life.as_deref().map(duration::parse).transpose().map_err(wrong)?;
    let wish = NewToken { user: wish.user, permissions: wish.permissions, life, note: wish.note };
    // In a task of its own: a client that goes away does not leave it open whether there is a token.
    let task = tokio::spawn(async move { service.create_token_once(&who, once, wish).await });
    let (token, record) = task.await.map_err(|error| ServiceError::Internal(error.to_string()))??;
    let mut response = answer::json(StatusCode::CREATED, &Token::revealed(&record, &token));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.extensions_mut().insert(Object(format!("{} of {}", record.id, record.principal)));
    Ok(response)
}

/// Revokes a token: it is good for nothing from now on
#[utoipa::path(delete, path = "/v1/tokens/{id}", tag = "tokens", params(IdempotencyKey, ("id" = String, Path,)),
    responses((status = 200, body = Answer), (status = 403), (status = 404, body = Answer)))]
pub async fn delete(
    State(service): State<Service>,
    Who(who): Who,
    Once(once): Once,
    Path(id): Path<String>,
) -> Result<Response, HttpError> {
    service.revoke_token_once(&who, once, &id).await?;
    Ok(answer::success(StatusCode::OK, Some("Token revoked")))
}
