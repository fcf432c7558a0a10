//! `/v1/jobs/<id>/timeline`.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::answer;
use super::error::HttpError;
use super::params::Who;
use crate::api::rest::Answer;
use crate::api::timeline::{Attempt, Mark, Phase, Timeline};
use crate::core::jobs::JobRecord;
use crate::core::timeline::{self, SentTo};
use crate::core::timestamp;
use crate::service::{JobTimeline, Service};

/// Where a job's time went: its attempts, and what took how long
#[utoipa::path(get, path = "/v1/jobs/{id}/timeline", tag = "jobs", params(("id" = String, Path,)),
    responses((status = 200, body = Timeline), (status = 404, body = Answer)))]
pub async fn get(State(service): State<Service>, Who(who): Who, Path(id): Path<String>) -> Result<Response, HttpError> {
    Ok(answer::json(StatusCode::OK, &shown(service.job_timeline(&who, &id).await?)))
}

fn shown(found: JobTimeline) -> Timeline {
    let JobTimeline { record, timeline, after } = found;
    let mut phases = phases(timeline.phases());
    let mut server = |name: &str, us| phases.push(Phase { name: name.into(), us, by: "server".into() });
    if let Some(after) = after {
        server("store", after.store_us);
        if let Some(us) = after.answer_us {
            server("answer", us);
        }
    }
    Timeline {
        status: record.state.name().into(),
        start_time: timestamp::text(record.started_ms),
        attempts: attempts(&record, &timeline),
        marks: timeline.marks.iter().map(|(moment, us)| Mark { at: moment.name().into(), us: *us }).collect(),
        phases,
        job_id: record.id,
    }
}

fn phases(found: Vec<timeline::Phase>) -> Vec<Phase> {
    let shown = |phase: timeline::Phase| Phase { name: phase.name, us: phase.us, by: phase.by.name().into() };
    found.into_iter().map(shown).collect()
}

fn attempts(record: &JobRecord, timeline: &timeline::Timeline) -> Vec<Attempt> {
    let (node, pid) = (|to: &SentTo| to.node.clone(), |to: &SentTo| to.pid);
    // Of those that a former server saw nothing is known beyond the record.
    let unseen = record.attempts.len().saturating_sub(timeline.lost_count);
    let mut attempts: Vec<Attempt> = Vec::with_capacity(record.attempts.len() + 1);
    for (index, past) in record.attempts.iter().enumerate() {
        let course = index.checked_sub(unseen).and_then(|seen| timeline.earlier.get(seen));
        attempts.push(Attempt {
            number: attempts.len() as u32 + 1,
            attempt: past.attempt,
            node: Some(past.node.clone()),
            driver_pid: course.and_then(|course| course.sent_to.as_ref()).and_then(pid),
            start_time: timestamp::text(past.started_ms),
            end_time: Some(timestamp::text(past.ended_ms)),
            why: Some(past.why.clone()),
            log_bytes: past.log.as_ref().map(|log| log.size_bytes),
            phases: course.map(|course| phases(course.phases())).unwrap_or_default(),
        });
    }
    let start_ms = record.present_attempt_ms();
    attempts.push(Attempt {
        number: attempts.len() as u32 + 1,
        attempt: record.attempt,
        node: timeline.sent_to.as_ref().map(node),
        driver_pid: timeline.sent_to.as_ref().and_then(pid),
        start_time: timestamp::text(start_ms),
        end_time: record.ended_ms.map(timestamp::text),
        why: record.failure.as_ref().map(|failure| failure.message.clone()),
        log_bytes: record.log.as_ref().map(|log| log.size_bytes),
        phases: Vec::new(),
    });
    attempts
}
