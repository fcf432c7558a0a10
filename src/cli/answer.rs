//! Reading answers, in the shapes of Spark Jobserver.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use super::client::Answer;
use super::exit::Exit;
use super::failure::Failure;

/// The longest text that is repeated of an answer in a form that we do not know.
const MAX_QUOTED_CHARS: usize = 2000;

/// A job, its result unread: numbers in it pass through to the last digit.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    pub job_id: String,
    pub status: String,
    pub result: Option<Box<RawValue>>,
}

impl Job {
    pub fn ended(&self) -> bool {
        matches!(self.status.as_str(), "FINISHED" | "ERROR" | "KILLED")
    }
}

pub fn parse<T: DeserializeOwned>(answer: &Answer) -> Result<T, Failure> {
    serde_json::from_slice(&answer.body).map_err(|error| {
        let message = format!("the server's answer is not what was expected: {error}");
        Failure::new(Exit::ServerError, message).hint("is it a Doyen or Spark Jobserver, and nothing in between?")
    })
}

pub fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

/// Why the server did not do it: `result` or its `message`, after `status` where that says more than ERROR.
pub fn reason(answer: &Answer) -> String {
    let value: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    let result = value.get("result").and_then(error_text);
    match (value.get("status").and_then(Value::as_str), result) {
        (None | Some("ERROR"), Some(result)) => result,
        (Some(status), Some(result)) => format!("{status}: {result}"),
        (Some(status), None) if status != "ERROR" => status.to_owned(),
        _ => {
            let body: String = text(answer).trim().chars().take(MAX_QUOTED_CHARS).collect();
            format!("the server answered {} {body}", answer.status).trim_end().to_owned()
        }
    }
}

/// An error's own words: a text, or an object with `message`, after its class if that is not said anyway.
pub fn error_text(error: &Value) -> Option<String> {
    let text = error.as_str().or_else(|| error.get("message")?.as_str())?.trim_end();
    let class = error.get("errorClass").and_then(Value::as_str).unwrap_or_default();
    let class = class.rsplit('.').next().unwrap_or_default();
    Some(if text.contains(class) { text.to_owned() } else { format!("{class}: {text}") })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use reqwest::StatusCode;

    use super::*;

    #[test]
    fn reasons_are_the_servers_own_words() {
        for (body, expected) in [
            (r#"{"status":"ERROR","result":"context n not found"}"#, "context n not found"),
            (r#"{"status":"CONTEXT INIT ERROR","result":{"message":"no Java"}}"#, "CONTEXT INIT ERROR: no Java"),
            (
                r#"{"status":"CONTEXT INIT ERROR","result":{"message":"not ready","errorClass":"CreationTimeout"}}"#,
                "CONTEXT INIT ERROR: CreationTimeout: not ready",
            ),
            (r#"{"status":"ERROR","result":{"message":"ValueError: x","errorClass":"ValueError"}}"#, "ValueError: x"),
            (r#"{"status":"NO SLOTS AVAILABLE","result":"Too many"}"#, "NO SLOTS AVAILABLE: Too many"),
            ("<html>", "the server answered 502 Bad Gateway <html>"),
            ("", "the server answered 502 Bad Gateway"),
        ] {
            let answer = Answer { status: StatusCode::BAD_GATEWAY, body: Bytes::from(body) };
            assert_eq!(reason(&answer), expected);
        }
    }

    #[test]
    fn results_keep_every_digit() {
        let body = r#"{"jobId":"j","status":"FINISHED","result":[1e300, 123456789012345678901234567890]}"#;
        let job: Job = parse(&Answer { status: StatusCode::OK, body: Bytes::from(body) }).unwrap();
        assert_eq!(job.result.unwrap().get(), "[1e300, 123456789012345678901234567890]");
    }
}
