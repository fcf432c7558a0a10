//! What settings say of a context's life, and requests of a job's retries; over the server's defaults.

use std::borrow::Cow;
use std::time::Duration;

use super::ServiceError;
use super::settings::{BOOLEAN, boolean, parsed, shown, text, words};
use crate::config::{Config, LEAST_LIFE, MAX_RESTARTS, duration, nearest};
use crate::core::hocon::{Object, Value};
use crate::core::supervision::{Life, Relaunch, Retry, RetryOn};

const DURATION: &str = "a duration like 500ms, 30s, 10m or 8h";
const LIFETIME: &str = "a duration of at least 1s, like 30s, 10m or 8h, or 0 for never";
/// In a job's body, beside what is the job's own.
const IN_BODY: &str = "doyen";
/// What may stand there.
const KEYS_IN_BODY: [&str; 3] = ["retries", "retry-backoff", "retry-on"];

/// What a request says of retries, as it was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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
pub fn life(settings: &Object, config: &Config, supervise: bool) -> Result<Life, ServiceError> {
    let defaults = &config.contexts;
    let backoff = |text: &str| duration::parse(text).ok();
    let lifetime = |text: &str| backoff(text).filter(|time| time.is_zero() || *time >= LEAST_LIFE);
    let restarts = |text: &str| text.parse().ok().filter(|number| *number <= MAX_RESTARTS);
    let restart_backoff = parsed(settings, "restart-backoff", backoff, DURATION)?;
    let idle_timeout = parsed(settings, "idle-timeout", lifetime, LIFETIME)?;
    let max_lifetime = parsed(settings, "max-lifetime", lifetime, LIFETIME)?;
    Ok(Life {
        supervise: parsed(settings, "supervise", boolean, BOOLEAN)?.unwrap_or(supervise),
        max_restarts: parsed(settings, "max-restarts", restarts, "a whole number from 0 to 1000")?
            .unwrap_or(defaults.max_restarts),
        restart_backoff_ms: ms(restart_backoff.unwrap_or(defaults.restart_backoff)),
        relaunch: parsed(settings, "relaunch", Relaunch::of_name, "when-dead or at-once")?.unwrap_or_default(),
        idle_timeout_ms: ms(idle_timeout.unwrap_or(defaults.idle_timeout)),
        max_lifetime_ms: ms(max_lifetime.unwrap_or(defaults.max_lifetime)),
    })
}

/// What `parse` makes of a parameter of the query, or else of the same in the body.
fn asked<T>(
    query: Option<&String>,
    body: &Object,
    key: &str,
    parse: impl Fn(&str) -> Option<T>,
    expected: impl Into<Cow<'static, str>>,
) -> Result<Option<T>, ServiceError> {
    let Some(value) = query else { return parsed(body, &format!("{IN_BODY}.{key}"), parse, expected) };
    let bad = || ServiceError::BadParameter { name: key.into(), value: value.clone(), expected: expected.into() };
    parse(value).map(Some).ok_or_else(bad)
}

/// The query's word counts before the body's (`doyen.retries` and so on).
///
/// # Errors
/// With the parameter that is wrong, or one in the body that is not known: nobody else has a use for it.
pub fn retry(wished: &WishedRetry, body: &Object, config: &Config) -> Result<Retry, ServiceError> {
    let jobs = &config.jobs;
    // What most requests say.
    if !says(body)? && *wished == WishedRetry::default() {
        return Ok(Retry { retries: jobs.retries, backoff_ms: ms(jobs.retry_backoff), on: RetryOn::default() });
    }
    let most = jobs.max_retries;
    let number = |text: &str| text.parse().ok().filter(|number| *number <= most);
    let numbers = format!("a whole number from 0 to {most} (jobs.max-retries)");
    let retries = asked(wished.retries.as_ref(), body, "retries", number, numbers)?;
    let backoff = |text: &str| duration::parse(text).ok();
    let backoff = asked(wished.backoff.as_ref(), body, "retry-backoff", backoff, DURATION)?;
    let on = asked(wished.on.as_ref(), body, "retry-on", RetryOn::of_name, "loss or any")?;
    Ok(Retry {
        retries: retries.unwrap_or(jobs.retries),
        backoff_ms: ms(backoff.unwrap_or(jobs.retry_backoff)),
        on: on.unwrap_or_default(),
    })
}

/// Whether the body says anything of retries.
fn says(body: &Object) -> Result<bool, ServiceError> {
    let known = || KEYS_IN_BODY.map(|key| format!("{IN_BODY}.{key}")).join(", ");
    let ours = match body.get(IN_BODY) {
        Some(Value::Object(ours)) => ours,
        None | Some(Value::Null) => return Ok(false),
        Some(other) => {
            let (value, expected) = (shown(&words(other)), format!("an object of {}", known()).into());
            return Err(ServiceError::BadSetting { name: IN_BODY.into(), value, expected });
        }
    };
    let Some((key, _)) = ours.iter().find(|(key, _)| !KEYS_IN_BODY.contains(key)) else { return Ok(true) };
    let name = shown(&format!("{IN_BODY}.{key}"));
    let nearest = nearest(key, &KEYS_IN_BODY).map(|like| format!("{IN_BODY}.{like}"));
    Err(ServiceError::UnknownSetting { name, known: known(), nearest })
}

/// Whether the request itself asks for retries of a job that is lost with its driver, be they possible or not. `retry` is what was read of it.
pub fn insists(wished: &WishedRetry, body: &Object, retry: &Retry) -> bool {
    let said = || wished.retries.is_some() || text(body, &format!("{IN_BODY}.retries")).is_some();
    !retry.is_none() && retry.on == RetryOn::Loss && said()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::hocon;

    fn object(text: &str) -> Object {
        hocon::parse(text, &hocon::Limits { max_depth: 10, max_values: 100, max_expanded_bytes: 1000 }).unwrap()
    }

    fn life_of(text: &str) -> Result<Life, String> {
        life(&object(text), &Config::default(), false).map_err(|error| error.to_string())
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
    fn a_setting_that_is_wrong_is_named_with_its_value_and_what_it_may_be() {
        let (duration, lifetime) = ("a duration like 500ms, 30s, 10m or 8h", LIFETIME);
        for (key, value, expected) in [
            ("supervise", "perhaps", "true or false"),
            ("supervise", "2", "true or false"),
            ("max-restarts", "-1", "a whole number from 0 to 1000"),
            ("max-restarts", "1001", "a whole number from 0 to 1000"),
            ("restart-backoff", "10", duration),
            ("idle-timeout", "10", lifetime),
            ("idle-timeout", "999ms", lifetime),
            ("idle-timeout", "[1]", lifetime),
            ("max-lifetime", "long", lifetime),
            ("max-lifetime", "1ms", lifetime),
            ("relaunch", "now", "when-dead or at-once"),
            ("relaunch", "{}", "when-dead or at-once"),
        ] {
            let told = format!("the setting '{key}' is '{value}', which is not {expected}");
            assert_eq!(life_of(&format!("{key} = {value}")).unwrap_err(), told);
        }
        assert_eq!(life_of("idle-timeout = null, supervise = no, max-lifetime = 0"), life_of(""));
    }

    #[test]
    fn what_is_wrong_in_a_body_is_told_as_a_setting_and_in_a_query_as_a_parameter() {
        let config = Config::default();
        for (key, value, expected) in [
            ("retries", "21", "a whole number from 0 to 20 (jobs.max-retries)"),
            ("retry-backoff", "5", "a duration like 500ms, 30s, 10m or 8h"),
            ("retry-on", "never", "loss or any"),
        ] {
            let told = retry(&WishedRetry::default(), &object(&format!("doyen.{key} = {value}")), &config);
            let told = told.unwrap_err().to_string();
            assert_eq!(told, format!("the setting 'doyen.{key}' is '{value}', which is not {expected}"));
        }
        let wished = WishedRetry { on: Some("never".into()), ..WishedRetry::default() };
        let told = retry(&wished, &object(""), &config).unwrap_err().to_string();
        assert_eq!(told, "the parameter 'retry-on' was malformed: 'never' is not loss or any");
    }

    #[test]
    fn what_is_not_known_among_our_own_settings_of_a_body_is_refused_and_what_is_the_jobs_own_is_not() {
        let told = |body: &str| retry(&WishedRetry::default(), &object(body), &Config::default()).map(|_| ());
        let unknown = |body: &str| match told(body) {
            Err(ServiceError::UnknownSetting { name, known, nearest }) => {
                assert_eq!(known, "doyen.retries, doyen.retry-backoff, doyen.retry-on");
                (name, nearest.unwrap_or_default())
            }
            other => panic!("{body}: {other:?}"),
        };
        assert_eq!(unknown("doyen.retry = 3"), ("doyen.retry".into(), "doyen.retry-on".into()));
        assert_eq!(unknown("doyen { retires = 3 }"), ("doyen.retires".into(), "doyen.retries".into()));
        assert_eq!(unknown("doyen { retry_backoff = 3s }").1, "doyen.retry-backoff");
        assert_eq!(unknown("doyen { xyz = 3 }"), ("doyen.xyz".into(), String::new()));
        let no_object = told("doyen = 7").unwrap_err().to_string();
        assert!(no_object.starts_with("the setting 'doyen' is '7', which is not an object of"), "{no_object}");
        for body in ["", "doyen = null", "doyen {}", "retires = 3, mine.doyen.retires = 4", "doyen { retries = null }"]
        {
            assert_eq!(told(body), Ok(()), "{body}");
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
