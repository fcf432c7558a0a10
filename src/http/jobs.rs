//! `/jobs`.

use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::error::HttpError;
use super::idempotency::{IdempotencyKey, Once};
use super::params::{Params, Who};
use super::{answer, body, results};
use crate::api::rest::{Answer, Cause, FailureAnswer, Job, JobDetails};
use crate::core::queue::Priority;
use crate::service::{Code, Service, ServiceError, Submission, Submitted, WishedRetry};

/// Jobs, newest first
#[utoipa::path(get, path = "/jobs", tag = "jobs",
    params(("limit" = Option<i32>, Query, description = "50; negative is no limit"), ("status" = Option<String>, Query,)),
    responses((status = 200, body = Vec<Job>), (status = 400)))]
pub async fn list(State(service): State<Service>, Who(who): Who, params: Params) -> Result<Response, HttpError> {
    let limit = match params.int("limit")? {
        None => Some(service.config.jobs.list_limit),
        Some(limit) => usize::try_from(limit).ok(),
    };
    let jobs = service.list_jobs(&who, params.get("status"), limit).await?;
    let told = |job| Job::from(job).at(job, service.position(job)).waiting_for(service.waits_for(job));
    let jobs: Vec<Job> = jobs.iter().map(told).collect();
    Ok(answer::json(StatusCode::OK, &jobs))
}

/// One job; its result when it has finished
#[utoipa::path(get, path = "/jobs/{id}", tag = "jobs",
    params(("id" = String, Path,),
        ("wait" = Option<String>, Query, description = "Answer at the job's end, or after this time: `30s`")),
    responses((status = 200, body = Job), (status = 404, body = Answer)))]
pub async fn get(
    State(service): State<Service>,
    Who(who): Who,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, HttpError> {
    let wait = params.duration("wait")?.map(|wait| wait.min(service.config.jobs.max_wait));
    let view = service.job(&who, &id, wait).await?;
    results::job(&service, view).await
}

/// One job with its binaries, progress and more, without its result
#[utoipa::path(get, path = "/v1/jobs/{id}", tag = "jobs", params(("id" = String, Path,)),
    responses((status = 200, body = JobDetails), (status = 404, body = Answer)))]
pub async fn details(
    State(service): State<Service>,
    Who(who): Who,
    Path(id): Path<String>,
) -> Result<Response, HttpError> {
    let (record, progress) = service.job_details(&who, &id).await?;
    let mut details = JobDetails::new(&record, progress);
    details.job = details.job.at(&record, service.position(&record)).waiting_for(service.waits_for(&record));
    Ok(answer::json(StatusCode::OK, &details))
}

/// The configuration that the job was posted with
#[utoipa::path(get, path = "/jobs/{id}/config", tag = "jobs", params(("id" = String, Path,)),
    responses((status = 200, description = "JSON"), (status = 404, body = Answer)))]
pub async fn config(
    State(service): State<Service>,
    Who(who): Who,
    Path(id): Path<String>,
) -> Result<Response, HttpError> {
    let config = service.job_config(&who, &id).await?;
    let value: serde_json::Value =
        serde_json::from_str(&config).map_err(|e| ServiceError::Internal(format!("config of job {id}: {e}")))?;
    let mut text = Vec::new();
    let four = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut writer = serde_json::Serializer::with_formatter(&mut text, four);
    serde::Serialize::serialize(&value, &mut writer).expect("JSON is plain data");
    text.push(b'\n');
    Ok(answer::raw_json(StatusCode::OK, text))
}

/// Kills a job
#[utoipa::path(delete, path = "/jobs/{id}", tag = "jobs", params(IdempotencyKey, ("id" = String, Path,)),
    responses((status = 200, description = "`{\"status\":\"KILLED\"}`"), (status = 404, body = Answer)))]
pub async fn delete(
    State(service): State<Service>,
    Who(who): Who,
    Once(once): Once,
    Path(id): Path<String>,
) -> Result<Response, HttpError> {
    let answer = match service.kill_job_once(&who, once, &id).await? {
        None => serde_json::json!({"status": "KILLED"}),
        Some(failed) => {
            let cause = failed.failure.as_ref().map(Cause::from);
            serde_json::json!({"status": "ERROR", "ERROR": cause})
        }
    };
    Ok(answer::json(StatusCode::OK, &answer))
}

/// Starts a job
///
/// The body is the job's configuration, in HOCON, JSON or as a form. The code is `appName` and `classPath`, or `cp`
/// (names and URIs) and `mainClass`; these may stand in the body too. Without `context` the job gets one of its own.
/// With `queue=true` a job that finds no free place in its context waits for one, and is answered with its `queue`.
#[utoipa::path(post, path = "/jobs", tag = "jobs",
    params(IdempotencyKey, ("appName" = Option<String>, Query,), ("classPath" = Option<String>, Query,),
        ("cp" = Option<String>, Query,), ("mainClass" = Option<String>, Query,),
        ("context" = Option<String>, Query,), ("sync" = Option<bool>, Query,),
        ("timeout" = Option<i32>, Query, description = "Seconds that a sync request waits: 10"),
        ("callbackUrl" = Option<String>, Query,), ("spark.proxy.user" = Option<String>, Query,),
        ("retries" = Option<u32>, Query, description = "How often it runs again when it is lost with its driver"),
        ("retry-backoff" = Option<String>, Query, description = "Time before the first retry; doubles: `1s`"),
        ("retry-on" = Option<String>, Query, description = "`loss`, or `any`: also when it fails by itself"),
        ("queue" = Option<bool>, Query, description = "Wait for a place in the context instead of a 503"),
        ("priority" = Option<i32>, Query, description = "-100 to 100, the higher first: 0")),
    request_body(content = String, content_type = "text/plain"),
    responses((status = 200, description = "sync: `{jobId, result}`"), (status = 202, body = Job),
        (status = 400, body = Answer), (status = 404, body = Answer), (status = 409, body = Answer),
        (status = 413, body = Answer), (status = 500, body = FailureAnswer), (status = 503, body = Answer)))]
pub async fn post(
    State(service): State<Service>,
    Who(who): Who,
    Once(once): Once,
    params: Params,
    request: Request,
) -> Result<Response, HttpError> {
    let sync = sync(&service, &params)?;
    let submission = Submission {
        code: Code {
            app_name: params.owned("appName"),
            class_path: params.owned("classPath"),
            cp: params.owned("cp"),
            main_class: params.owned("mainClass"),
        },
        context: params.owned("context"),
        body: body::config(&service, request).await?,
        callback: params.owned("callbackUrl"),
        proxy_user: params.owned("spark.proxy.user"),
        sync,
        claim: None,
        retry: WishedRetry {
            retries: params.owned("retries"),
            backoff: params.owned("retry-backoff"),
            on: params.owned("retry-on"),
        },
        queue: params.bool("queue")?,
        priority: priority(&params)?,
    };
    // In a task of its own: a client that goes away does not leave a job half submitted.
    let task = {
        let service = service.clone();
        tokio::spawn(async move { service.submit_once(&who, once, submission).await })
    };
    match task.await.map_err(|e| ServiceError::Internal(e.to_string()))?? {
        Submitted::Started(record) => {
            let position = service.position(&record);
            let mut response = answer::json(StatusCode::ACCEPTED, &Job::from(&record).at(&record, position));
            response.extensions_mut().insert(super::audit::Object(record.id));
            Ok(response)
        }
        Submitted::Ended(view) => results::sync_answer(&service, view).await,
    }
}

fn priority(params: &Params) -> Result<Priority, ServiceError> {
    let Some(number) = params.int("priority")? else { return Ok(Priority::default()) };
    Priority::new(number).ok_or_else(|| ServiceError::BadParameter {
        name: "priority".into(),
        value: number.to_string(),
        expected: "a whole number from -100 to 100".into(),
    })
}

/// How long the request waits for the job's end, when it is to wait.
fn sync(service: &Service, params: &Params) -> Result<Option<Duration>, ServiceError> {
    let sync = params.bool("sync")?.unwrap_or(false);
    let timeout = match params.int("timeout")? {
        None => service.config.jobs.sync_timeout,
        Some(seconds) => match u64::try_from(seconds) {
            Ok(seconds @ 1..) => Duration::from_secs(seconds).min(service.config.jobs.max_wait),
            _ => {
                return Err(ServiceError::BadParameter {
                    name: "timeout".into(),
                    value: seconds.to_string(),
                    expected: "a number of seconds above 0".into(),
                });
            }
        },
    };
    Ok(sync.then_some(timeout))
}
