//! What settings say of a context's life, and requests of a job's retries; over the server's defaults.

use std::time::Duration;

use super::ServiceError;
use super::settings::{invalid, text};
use crate::config::{Config, duration};
use crate::core::hocon::Object;
use crate::core::jobs::Failure;
use crate::core::supervision::{Life, Relaunch, Retry, RetryOn};

/// The most restarts in a row that a context may ask for.
const MAX_RESTARTS: u32 = 1000;
/// In a job's body, beside what is the job's own.
const IN_BODY: &str = "doyen";

/// What a request says of retries, as it was written.
#[derive(Debug, Clone, Default)]
pub struct WishedRetry {
    pub retries: Option<String>,
    pub backoff: Option<String>,
    pub on: Option<String>,
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// `supervise` is what a context gets that does not say.
///
/// # Errors
/// With the setting that is wrong.
pub fn life(settings: &Object, config: &Config, supervise: bool) -> Result<Life, Failure> {
    let defaults = &config.contexts;
    let time = |key, default| match text(settings, key) {
        None => Ok(ms(default)),
        Some(text) => duration::parse(&text).map(ms).map_err(|_| invalid(key, "A duration like 30s, 10m or 8h")),
    };
    let supervise = match text(settings, "supervise").map(|text| text.to_ascii_lowercase()).as_deref() {
        None => supervise,
        Some("true") => true,
        Some("false") => false,
        Some(_) => return Err(invalid("supervise", "true or false")),
    };
    let max_restarts = match text(settings, "max-restarts").map(|text| text.parse()) {
        None => defaults.max_restarts,
        Some(Ok(number @ 0..=MAX_RESTARTS)) => number,
        Some(_) => return Err(invalid("max-restarts", "a whole number from 0 to 1000")),
    };
    let relaunch = match text(settings, "relaunch") {
        None => Relaunch::default(),
        Some(name) => Relaunch::of_name(&name).ok_or_else(|| invalid("relaunch", "when-dead or at-once"))?,
    };
    Ok(Life {
        supervise,
        max_restarts,
        restart_backoff_ms: time("restart-backoff", defaults.restart_backoff)?,
        relaunch,
        idle_timeout_ms: time("idle-timeout", defaults.idle_timeout)?,
        max_lifetime_ms: time("max-lifetime", defaults.max_lifetime)?,
    })
}

/// The query's word counts before the body's (`doyen.retries` and so on).
///
/// # Errors
/// With the parameter that is wrong.
pub fn retry(wished: &WishedRetry, body: &Object, config: &Config) -> Result<Retry, ServiceError> {
    let given = |query: &Option<String>, key: &str| query.clone().or_else(|| text(body, &format!("{IN_BODY}.{key}")));
    let bad = |name: &str, value: &str, expected| ServiceError::BadParameter {
        name: name.into(),
        value: value.into(),
        expected,
    };
    let jobs = &config.jobs;
    let retries = match given(&wished.retries, "retries") {
        None => jobs.retries,
        Some(text) => match text.parse::<u32>() {
            Ok(number) if number <= jobs.max_retries => number,
            _ => return Err(bad("retries", &text, "a whole number up to jobs.max-retries")),
        },
    };
    let backoff = match given(&wished.backoff, "retry-backoff") {
        None => jobs.retry_backoff,
        Some(text) => {
            duration::parse(&text).map_err(|_| bad("retry-backoff", &text, "a duration like 30s or 500ms"))?
        }
    };
    let on = match given(&wished.on, "retry-on") {
        None => RetryOn::default(),
        Some(name) => RetryOn::of_name(&name).ok_or_else(|| bad("retry-on", &name, "'loss' or 'any'"))?,
    };
    Ok(Retry { retries, backoff_ms: ms(backoff), on })
}

/// Whether the request itself asks for retries of a job that is lost with its driver, be they possible or not. `retry` is what was read of it.
pub fn insists(wished: &WishedRetry, body: &Object, retry: &Retry) -> bool {
    let said = wished.retries.is_some() || text(body, &format!("{IN_BODY}.retries")).is_some();
    said && !retry.is_none() && retry.on == RetryOn::Loss
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::hocon;

    fn object(text: &str) -> Object {
        hocon::parse(text, &hocon::Limits { max_depth: 10, max_values: 100, max_expanded_bytes: 1000 }).unwrap()
    }

    fn life_of(text: &str) -> Result<Life, String> {
        life(&object(text), &Config::default(), false).map_err(|failure| failure.message)
    }

    #[test]
    fn settings_count_before_the_servers_defaults() {
        let set = life_of("supervise = true, max-restarts = 5, idle-timeout = 10m, relaunch = at-once").unwrap();
        let expected = Life {
            supervise: true,
            max_restarts: 5,
            restart_backoff_ms: 1000,
            relaunch: Relaunch::AtOnce,
            idle_timeout_ms: 600_000,
            max_lifetime_ms: 0,
        };
        assert_eq!(set, expected);
    }

    #[test]
    fn a_setting_that_is_wrong_is_named() {
        for (text, key) in [
            ("supervise = perhaps", "supervise"),
            ("max-restarts = -1", "max-restarts"),
            ("idle-timeout = 10", "idle-timeout"),
            ("max-lifetime = long", "max-lifetime"),
            ("relaunch = now", "relaunch"),
        ] {
            let message = life_of(text).unwrap_err();
            assert!(message.starts_with(&format!("Context error: {key} has invalid value. ")), "{message}");
        }
    }

    #[test]
    fn retries_of_the_query_count_before_those_of_the_body() {
        let body = object("doyen { retries = 3, retry-on = any }, retries = 9");
        let wished = WishedRetry { retries: Some("2".into()), ..WishedRetry::default() };
        let expected = Retry { retries: 2, backoff_ms: 1000, on: RetryOn::Any };
        assert_eq!(retry(&wished, &body, &Config::default()), Ok(expected));
        for wrong in ["21", "-1", "x"] {
            let wished = WishedRetry { retries: Some(wrong.into()), ..WishedRetry::default() };
            assert!(retry(&wished, &body, &Config::default()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_the_request_itself_insists_on_retries_after_a_loss() {
        let mut config = Config::default();
        config.jobs.retries = 4;
        let asks = |query: &str, body: &str| {
            let wished = WishedRetry { retries: (!query.is_empty()).then(|| query.into()), ..WishedRetry::default() };
            let body = object(body);
            insists(&wished, &body, &retry(&wished, &body, &config).unwrap())
        };
        assert!(asks("1", "") && asks("", "doyen.retries = 1"));
        assert!(!asks("", "") && !asks("0", "") && !asks("1", "doyen.retry-on = any") && !asks("", "retries = 1"));
    }
}
