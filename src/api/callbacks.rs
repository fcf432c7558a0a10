//! What became of a job's callback, as REST tells it.

use serde::{Deserialize, Serialize};

use crate::core::callbacks::{Attempt, CallbackRecord, CallbackState};
use crate::core::timestamp;

/// A job's callback and its newest attempts.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobCallback {
    pub job_id: String,
    /// What the header `Doyen-Delivery` says with every attempt.
    pub delivery: String,
    /// Without user, password, query and fragment.
    pub url: String,
    /// PENDING (the job has not ended), WAITING, DELIVERED or GIVEN_UP.
    pub state: String,
    /// Of all rounds; a replay by hand begins a new one.
    pub attempts: u32,
    /// While it waits; not before the first attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt: Option<String>,
    /// The newest, in order.
    pub log: Vec<CallbackAttempt>,
}

#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallbackAttempt {
    pub attempt: u32,
    /// RFC 3339, UTC.
    pub time: String,
    pub duration_ms: u64,
    /// Of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl From<&Attempt> for CallbackAttempt {
    fn from(attempt: &Attempt) -> Self {
        Self {
            attempt: attempt.number,
            time: timestamp::text(attempt.began_ms),
            duration_ms: attempt.took_ms,
            status: attempt.status,
            error: attempt.error.clone(),
        }
    }
}

impl JobCallback {
    pub fn new(job: &str, url: &str, callback: Option<&CallbackRecord>) -> Self {
        let state = match callback.map(|callback| callback.state) {
            None => "PENDING",
            Some(CallbackState::Waiting) => "WAITING",
            Some(CallbackState::Delivered) => "DELIVERED",
            Some(CallbackState::GivenUp) => "GIVEN_UP",
        };
        let later = |c: &&CallbackRecord| c.state == CallbackState::Waiting && c.round_attempts > 0;
        Self {
            job_id: job.to_owned(),
            delivery: job.to_owned(),
            url: shown(url),
            state: state.into(),
            attempts: callback.map_or(0, |callback| callback.attempts),
            next_attempt: callback.filter(later).map(|callback| timestamp::text(callback.due_ms)),
            log: callback.map(|callback| callback.log.iter().map(CallbackAttempt::from).collect()).unwrap_or_default(),
        }
    }
}

/// A query or a user may be a secret of who submitted the job.
fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        for (url, expected) in [
            ("http://user:secret@host:8/a/b?token=x#y", "http://host:8/a/b"),
            ("https://host?token=x", "https://host"),
            ("https://host/at@sign", "https://host/at@sign"),
        ] {
            assert_eq!(shown(url), expected);
        }
    }
}
