//! The one mapping of errors to answers. Bodies are the reference's; the header `Doyen-Error` has a stable code.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::answer;
use super::audit::Lacking;
use crate::api::rest::{Answer, Cause, FailureAnswer};
use crate::core::jobs::Failure;
use crate::service::{ServiceError, wait_seconds};

pub const CODE_HEADER: &str = "doyen-error";

/// Seconds after which a client may try again what failed for a passing reason.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// An error on its way to becoming an answer.
pub struct HttpError(pub ServiceError);

impl From<ServiceError> for HttpError {
    fn from(error: ServiceError) -> Self {
        Self(error)
    }
}

/// What the body says.
enum Said {
    /// `{"status":"ERROR","result":text}`
    Error(String),
    /// `{"status":text,"result":text}`
    Plain(&'static str, String),
    /// `{"status":text,"result":{message,errorClass,stack}}`
    Failure(&'static str, Failure),
    /// Plain text, as the reference's framework answers.
    Text(String),
}

fn error(text: impl Into<String>) -> Said {
    Said::Error(text.into())
}

fn decide(cause: &ServiceError) -> (StatusCode, &'static str, Said) {
    use ServiceError as E;
    use StatusCode as S;
    match cause {
        E::BadParameter { name, value, expected } => {
            let text = format!("The query parameter '{name}' was malformed:\n'{value}' is not {expected}");
            (S::BAD_REQUEST, "bad-parameter", Said::Text(text))
        }
        E::BadSetting { name, value, expected } => (
            S::BAD_REQUEST,
            "bad-setting",
            error(format!("The setting '{name}' is '{value}', which is not {expected}")),
        ),
        E::UnknownSetting { name, known, nearest } => {
            let perhaps = nearest.as_ref().map(|nearest| format!("; perhaps {nearest} is meant")).unwrap_or_default();
            let text = format!("The setting '{name}' is not known; known are {known}{perhaps}");
            (S::BAD_REQUEST, "unknown-setting", error(text))
        }
        E::BadConfig(why) => (S::BAD_REQUEST, "bad-config", error(format!("Cannot parse config: {why}"))),
        E::BadName(why) => (S::BAD_REQUEST, "bad-name", error(why)),
        E::TooLarge { limit_bytes } => {
            let text = format!("The request is too large: the limit is {limit_bytes} bytes");
            (S::PAYLOAD_TOO_LARGE, "too-large", error(text))
        }
        E::RecordTooLarge { size_bytes, limit_bytes } => {
            let text = format!(
                "The request is too large to be recorded: it makes {size_bytes} bytes, and the metadata store takes at most \
                 {limit_bytes} of them in one commit"
            );
            (S::PAYLOAD_TOO_LARGE, "too-large", error(text))
        }
        E::BodyCut(_) => (S::BAD_REQUEST, "body-cut", error("The request's body ended early; nothing was kept")),
        E::BinaryNotFound(name) => {
            (S::NOT_FOUND, "binary-not-found", error(format!("Can't find binary with name {name}")))
        }
        E::BinaryToDeleteNotFound(name) => {
            (S::NOT_FOUND, "binary-not-found", error(format!("can't find binary with name {name}")))
        }
        E::BinaryInUse(jobs) => {
            (S::FORBIDDEN, "binary-in-use", error(format!("Binary is in use by job(s): {}", jobs.join(", "))))
        }
        E::UnsupportedBinaryType(kind) => {
            (S::UNSUPPORTED_MEDIA_TYPE, "unsupported-binary-type", error(format!("Unsupported binary type {kind}")))
        }
        E::BadBinary(why) => (S::BAD_REQUEST, "bad-binary", error(why)),
        E::ContextNotFound(name) => (S::NOT_FOUND, "context-not-found", error(format!("context {name} not found"))),
        E::ContextUnknown(name) => {
            (S::NOT_FOUND, "context-not-found", error(format!("can't find context with name {name}")))
        }
        E::ContextExists(name) => (S::BAD_REQUEST, "context-exists", error(format!("context {name} exists"))),
        E::ContextInit(failure) => {
            (S::INTERNAL_SERVER_ERROR, "context-init", Said::Failure("CONTEXT INIT ERROR", failure.clone()))
        }
        E::AdHocContextInit(failure) => {
            (S::INTERNAL_SERVER_ERROR, "context-init", Said::Failure("CONTEXT INIT FAILED", failure.clone()))
        }
        E::TooManyContexts { max } => {
            let text = format!("Too many contexts ({max}); stop one, or raise contexts.max");
            (S::SERVICE_UNAVAILABLE, "too-many-contexts", error(text))
        }
        E::TooManyStreams { max } => {
            let text = format!("Too many streams of events ({max}); close one, or raise events.max-streams");
            (S::SERVICE_UNAVAILABLE, "too-many-streams", error(text))
        }
        E::ContextStopping => (S::CONFLICT, "context-stopping", error("Context stop in progress")),
        E::ContextDetached(name) => {
            let text = format!("The driver of context {name} is not attached at the moment; try again");
            (S::SERVICE_UNAVAILABLE, "context-detached", error(text))
        }
        E::JobNotFound(id) => (S::NOT_FOUND, "job-not-found", error(format!("No such job ID {id}"))),
        E::JobNotRunning(id) => (S::NOT_FOUND, "job-not-running", error(format!("No running job with ID {id}"))),
        E::AppNotFound(name) => (S::NOT_FOUND, "app-not-found", error(format!("appName {name} not found"))),
        E::JobLoading(failure) => (S::BAD_REQUEST, "job-loading", Said::Failure("JOB LOADING FAILED", failure.clone())),
        E::MalformedUrl(failure) => {
            (S::BAD_REQUEST, "malformed-url", Said::Failure("CONTEXT INIT ERROR: Malformed URL", failure.clone()))
        }
        E::InvalidJobType => (S::BAD_REQUEST, "invalid-job-type", error("Invalid job type for this context")),
        E::NoSlots { context, max_jobs } => {
            let text = format!("Too many running jobs ({max_jobs}) for job context '{context}'");
            (S::SERVICE_UNAVAILABLE, "no-slots", Said::Plain("NO SLOTS AVAILABLE", text))
        }
        E::QueueFull { context, max } => {
            let text = format!("Too many queued jobs ({max}) for job context '{context}'");
            (S::SERVICE_UNAVAILABLE, "queue-full", Said::Plain("NO SLOTS AVAILABLE", text))
        }
        E::TooManyJobs { principal, what, max } => {
            let text = format!("Too many {what} jobs ({max}) of user '{principal}'");
            (S::SERVICE_UNAVAILABLE, "too-many-jobs", Said::Plain("NO SLOTS AVAILABLE", text))
        }
        E::RetriesUnsupervised(context) => {
            let text = format!(
                "Context {context} is not supervised: its jobs are lost with its driver, and cannot run again. \
                 Submit without retries, with retry-on=any, or to a context with supervise=true"
            );
            (S::BAD_REQUEST, "retries-unsupervised", error(text))
        }
        E::SyncTimeout { job } => {
            let text = format!(
                "Request timed out. Try using the /jobs/<jobID>, /jobs APIs to get status/results. Job {job} goes on."
            );
            (S::INTERNAL_SERVER_ERROR, "sync-timeout", Said::Failure("ERROR", Failure::new("SyncTimeout", text)))
        }
        E::BadCallback(why) => (S::BAD_REQUEST, "bad-callback", error(format!("callbackUrl refused: {why}"))),
        E::BadKey(why) => (S::BAD_REQUEST, "bad-idempotency-key", error(format!("Idempotency-Key refused: {why}"))),
        E::KeyMismatch => {
            let text = "This Idempotency-Key was used for another request; each one needs a key of its own";
            (S::UNPROCESSABLE_ENTITY, "idempotency-key-reused", error(text))
        }
        E::KeyAtWork => {
            let text = "Another request with this Idempotency-Key is still at work; try again";
            (S::CONFLICT, "idempotency-key-at-work", error(text))
        }
        E::TooManyKeys => {
            let text = "Too many requests with an Idempotency-Key are at work; try again";
            (S::SERVICE_UNAVAILABLE, "too-many-idempotency-keys", error(text))
        }
        E::NoResult => (S::NOT_FOUND, "no-result", error("The job has no result")),
        E::NoAttempt { job, attempt } => {
            (S::NOT_FOUND, "no-attempt", error(format!("Job {job} has no attempt {attempt}")))
        }
        E::NoCallback(why) => (S::NOT_FOUND, "no-callback", error(format!("The job has no callback: {why}"))),
        E::CallbackNotYet => {
            (S::CONFLICT, "callback-not-yet", error("The job has not ended; its callback follows then"))
        }
        E::ResultNotKept => (S::CONFLICT, "result-not-kept", error("The job's result is no longer kept")),
        E::DataNotStored(name) => {
            (S::BAD_REQUEST, "data-not-stored", error(format!("Failed to store data file '{name}'.")))
        }
        E::DataNotFound(path) => {
            (S::BAD_REQUEST, "data-not-found", error(format!("Unable to delete data file '{path}'.")))
        }
        E::NoCredentials
        | E::BadCredentials
        | E::TooManyAttempts { .. }
        | E::TooManyLogins
        | E::NoUsers
        | E::TokenNotFound(_)
        | E::BadTokenWish(_)
        | E::TooManyTokens { .. }
        | E::TokenWasMade { .. }
        | E::Forbidden(_) => access(cause),
        E::StoreUnavailable(_) => {
            let text = "The metadata store (`store.metadata`) is unavailable at the moment; try again";
            (S::SERVICE_UNAVAILABLE, "store-unavailable", error(text))
        }
        E::FilesUnavailable { store, .. } => {
            let text = format!("The {store} is unavailable at the moment; try again");
            (S::SERVICE_UNAVAILABLE, "store-unavailable", error(text))
        }
        E::StoreUnknown(_) => {
            let text = "The metadata store (`store.metadata`) has not answered: what was asked may have been done, or may be yet. Look before you ask \
                        again, or ask again with the same Idempotency-Key";
            (S::SERVICE_UNAVAILABLE, "store-unknown", error(text))
        }
        E::ContentUnreadable { sha256, .. } => {
            let text = format!(
                "Blob {sha256} cannot be read: it is damaged where it is stored, or no machine that has it answers. \
                 The server's log says more"
            );
            (S::INTERNAL_SERVER_ERROR, "content-unreadable", error(text))
        }
        E::ResultUnreadable { job, .. } => {
            let text = format!("Job {job} has finished, but its result cannot be read now; ask for /jobs/{job} later");
            (S::INTERNAL_SERVER_ERROR, "result-unreadable", error(text))
        }
        E::StorageFull(_) => (S::INSUFFICIENT_STORAGE, "storage-full", error("The storage is full; nothing was kept")),
        E::Internal(_) => {
            let failure = Failure::new("InternalError", "see the server's log");
            (S::INTERNAL_SERVER_ERROR, "internal", Said::Failure("UNEXPECTED ERROR OCCURRED", failure))
        }
    }
}

/// What is about who asks. The first three texts are those of the reference's framework.
fn access(cause: &ServiceError) -> (StatusCode, &'static str, Said) {
    use ServiceError as E;
    use StatusCode as S;
    let text = |text: &str| Said::Text(text.into());
    match cause {
        E::NoCredentials => {
            let words = "The resource requires authentication, which was not supplied with the request";
            (S::UNAUTHORIZED, "no-credentials", text(words))
        }
        E::Forbidden(_) => {
            let words = "The supplied authentication is not authorized to access this resource";
            (S::FORBIDDEN, "forbidden", text(words))
        }
        E::TooManyAttempts { wait } => {
            let words = format!("Too many failed attempts to log in; try again in {} s", wait_seconds(*wait));
            (S::TOO_MANY_REQUESTS, "too-many-attempts", error(words))
        }
        E::TooManyLogins => {
            let words = "Too many credentials wait to be verified; try again";
            (S::SERVICE_UNAVAILABLE, "too-many-logins", error(words))
        }
        E::NoUsers => {
            let words = "This server has no users, and so no tokens (security.users-file)";
            (S::BAD_REQUEST, "no-users", error(words))
        }
        E::TokenNotFound(id) => (S::NOT_FOUND, "token-not-found", error(format!("No token with ID {id}"))),
        E::BadTokenWish(why) => (S::BAD_REQUEST, "bad-token-wish", error(format!("No token is made: {why}"))),
        E::TokenWasMade { id } => {
            let words = format!(
                "The first request of this key made token {id}, which is shown once; revoke it and use another key"
            );
            (S::CONFLICT, "token-was-made", error(words))
        }
        E::TooManyTokens { max } => {
            let words = format!("There are too many tokens ({max} of a user are good at once); revoke some");
            (S::CONFLICT, "too-many-tokens", error(words))
        }
        _ => (S::UNAUTHORIZED, "bad-credentials", text("The supplied authentication is invalid")),
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let (status, code, said) = decide(&self.0);
        if matches!(
            self.0,
            ServiceError::Internal(_)
                | ServiceError::StoreUnavailable(_)
                | ServiceError::FilesUnavailable { .. }
                | ServiceError::StoreUnknown(_)
                | ServiceError::StorageFull(_)
        ) {
            tracing::error!(code, error = %self.0, "request failed");
        }
        let mut response = match said {
            Said::Error(text) => answer::json(status, &Answer { status: "ERROR".into(), result: Some(text) }),
            Said::Plain(name, text) => answer::json(status, &Answer { status: name.into(), result: Some(text) }),
            Said::Failure(name, failure) => {
                answer::json(status, &FailureAnswer { status: name.into(), result: Cause::from(&failure) })
            }
            Said::Text(text) => answer::text(status, text),
        };
        response.headers_mut().insert(CODE_HEADER, HeaderValue::from_static(code));
        if let ServiceError::Forbidden(permission) = self.0 {
            response.extensions_mut().insert(Lacking(permission));
        }
        if let ServiceError::TooManyAttempts { wait } = self.0 {
            response.headers_mut().insert(header::RETRY_AFTER, wait_seconds(wait).into());
        }
        if status == StatusCode::SERVICE_UNAVAILABLE || matches!(self.0, ServiceError::KeyAtWork) {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}
