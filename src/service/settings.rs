//! Settings of a context: from the kind's configuration, the request's body and its query, the later winning.

use std::borrow::Cow;

use super::ServiceError;
use crate::config::Driver;
use crate::core::contexts::is_memory_size;
use crate::core::hocon::{Object, Value};
use crate::core::jobs::Failure;

/// Where the reference keeps them in a body.
const IN_BODY: &str = "spark.context-settings";
const FACTORY: &str = "context-factory";
const MAX_JOBS: [&str; 2] = ["max-jobs-per-context", "spark.jobserver.max-jobs-per-context"];
const QUEUE: &str = "queue";
/// What a setting that is on or off may be.
pub const BOOLEAN: &str = "true or false";
/// Of a wrong value, in characters: the longest part that is told.
const SHOWN_CHARS: usize = 100;
/// Query parameters that are about the request, not the context.
const NOT_SETTINGS: [&str; 2] = ["_method", "timeout"];
/// Settings that Spark refuses in words that nobody understands.
const MEMORY: [&str; 4] =
    ["launcher.spark.driver.memory", "spark.driver.memory", "spark.executor.memory", "memory-per-node"];

/// What a request says of a context: `spark.context-settings` of its body, or the whole body where that is not there; over
/// it the query.
///
/// # Errors
/// When the name of a parameter is no path.
pub fn wished(query: &[(String, String)], body: &Object) -> Result<Object, ServiceError> {
    let mut settings = match body.get_path(IN_BODY) {
        Some(Value::Object(inner)) => inner.clone(),
        _ => body.clone(),
    };
    for (key, value) in query.iter().filter(|(key, _)| !NOT_SETTINGS.contains(&key.as_str())) {
        settings.set_path(key, Value::String(value.clone())).map_err(|_| ServiceError::BadParameter {
            name: key.clone(),
            value: value.clone(),
            expected: "the value of a setting: its name is no path of keys".into(),
        })?;
    }
    Ok(settings)
}

/// What a job's body, which is the job's own but for this, says of the context that is made for it.
pub fn wished_by_job(body: &Object) -> Object {
    match body.get_path(IN_BODY) {
        Some(Value::Object(inner)) => inner.clone(),
        _ => Object::default(),
    }
}

pub fn factory(settings: &Object) -> Option<String> {
    text(settings, FACTORY)
}

/// # Errors
/// When it is not a number that is possible.
pub fn max_jobs(settings: &Object, default: u32) -> Result<u32, ServiceError> {
    for key in MAX_JOBS {
        let number = |text: &str| text.parse().ok().filter(|number| (1..=10_000).contains(number));
        if let Some(number) = parsed(settings, key, number, "a whole number from 1 to 10000")? {
            return Ok(number);
        }
    }
    Ok(default)
}

/// Whether the context's jobs wait for a place when they do not say.
///
/// # Errors
/// When it is neither true nor false.
pub fn queue(settings: &Object) -> Result<Option<bool>, ServiceError> {
    parsed(settings, QUEUE, boolean, BOOLEAN)
}

/// What `parse` makes of a setting, if it is there.
///
/// # Errors
/// When it is not what `parse` takes, which is `expected`: it completes "which is not …".
pub fn parsed<T>(
    settings: &Object,
    key: &str,
    parse: impl Fn(&str) -> Option<T>,
    expected: impl Into<Cow<'static, str>>,
) -> Result<Option<T>, ServiceError> {
    let text = match settings.get_path(key) {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => words(value),
    };
    let wrong = || ServiceError::BadSetting { name: key.into(), value: shown(&text), expected: expected.into() };
    parse(&text).map(Some).ok_or_else(wrong)
}

pub fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => serde_json::to_string(other).expect("settings are plain data"),
    }
}

/// What is told of a wrong value.
pub fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS).collect()
}

/// The words of a parameter or setting that is on or off, in any case.
pub fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// The settings with the kind's below and the context's own names in them.
pub fn complete(mut wished: Object, driver: Option<&Driver>, name: &str, factory: &str) -> Object {
    let mut settings = Object::default();
    for (key, value) in driver.into_iter().flat_map(|driver| &driver.settings) {
        // A key of the configuration that is no path was refused when it was loaded.
        let _ = settings.set_path(key, from_toml(value));
    }
    wished.insert(FACTORY, Value::String(factory.into()));
    wished.set_path("context.name", Value::String(name.into())).expect("it is a path");
    settings.merge(wished);
    settings
}

/// What is wrong with settings of Spark, when it can be told before a JVM is started in vain. As with the reference, the
/// context has failed then.
pub fn objection(settings: &Object) -> Option<Failure> {
    let wrong = |key: &&str| text(settings, key).is_some_and(|text| !is_memory_size(&text));
    let invalid = |key: &&str| {
        let message = format!("Context error: {key} has invalid value. Accepted formats 1024k, 2g, 512m");
        Failure::new("InvalidSetting", message)
    };
    MEMORY.iter().find(|key| wrong(key)).map(invalid)
}

pub fn text(settings: &Object, path: &str) -> Option<String> {
    match settings.get_path(path)? {
        Value::String(text) => Some(text.clone()),
        Value::Int(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn from_toml(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text.clone()),
        toml::Value::Integer(number) => Value::Int(*number),
        toml::Value::Float(number) => Value::Float(*number),
        toml::Value::Boolean(yes) => Value::Bool(*yes),
        toml::Value::Datetime(time) => Value::String(time.to_string()),
        toml::Value::Array(items) => Value::Array(items.iter().map(from_toml).collect()),
        toml::Value::Table(table) => {
            let mut object = Object::default();
            for (key, value) in table {
                object.insert(key, from_toml(value));
            }
            Value::Object(object)
        }
    }
}
