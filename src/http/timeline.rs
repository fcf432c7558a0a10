//! `/v1/jobs/<id>/timeline`.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::answer;
use super::error::HttpError;
use super::params::Who;
use crate::api::rest::Answer;
use crate::api::timeline::{Attempt, Mark, Phase, Timeline};
use crate::core::timestamp;
use crate::service::{JobTimeline, Service};

/// Where a job's time went: its attempts, and what took how long
#[utoipa::path(get, path = "/v1/jobs/{id}/timeline", tag = "jobs", params(("id" = String, Path,)),
    responses((status = 200, body = Timeline), (status = 404, body = Answer)))]
pub async fn get(State(service): State<Service>, Who(who): Who, Path(id): Path<String>) -> Result<Response, HttpError> {
    Ok(answer::json(StatusCode::OK, &shown(service.job_timeline(&who, &id).await?)))
}

fn shown(found: JobTimeline) -> Timeline {
    let JobTimeline { record, timeline, after, past } = found;
    let mut phases: Vec<Phase> = timeline
        .phases()
        .into_iter()
        .map(|phase| Phase { name: phase.name, us: phase.us, by: phase.by.name().into() })
        .collect();
    let mut server = |name: &str, us| phases.push(Phase { name: name.into(), us, by: "server".into() });
    if let Some(after) = after {
        server("store", after.store_us);
        if let Some(us) = after.answer_us {
            server("answer", us);
        }
    }
    let mut attempts: Vec<Attempt> = past
        .into_iter()
        .map(|past| Attempt {
            attempt: past.attempt,
            node: Some(past.node),
            driver_pid: None,
            start_time: timestamp::text(past.started_ms),
            end_time: Some(timestamp::text(past.ended_ms)),
            why: Some(past.why),
        })
        .collect();
    let start_ms = attempts
        .last()
        .map_or_else(|| timestamp::text(record.started_ms), |last| last.end_time.clone().unwrap_or_default());
    attempts.push(Attempt {
        attempt: record.attempt,
        node: timeline.sent_to.as_ref().map(|to| to.node.clone()),
        driver_pid: timeline.sent_to.as_ref().and_then(|to| to.pid),
        start_time: start_ms,
        end_time: record.ended_ms.map(timestamp::text),
        why: record.failure.as_ref().map(|failure| failure.message.clone()),
    });
    Timeline {
        job_id: record.id,
        status: record.state.name().into(),
        start_time: timestamp::text(record.started_ms),
        attempts,
        marks: timeline.marks.iter().map(|(moment, us)| Mark { at: moment.name().into(), us: *us }).collect(),
        phases,
    }
}
