//! `doyen job callbacks`.

use reqwest::Method;
use serde_json::{Map, Value};

use super::Session;
use super::answer::{parse, text};
use super::client::{Request, segment};
use super::failure::{Failure, note};
use super::output::{cell, details, print, table};

/// Shows what became of a job's callback, after asking for it once more with `replay`.
pub async fn run(session: &Session, id: &str, replay: bool) -> Result<(), Failure> {
    let path = format!("/v1/jobs/{}/callbacks", segment(id)?);
    let answer = if replay {
        let path = format!("{path}/replay");
        session.client.ask(Request { method: Method::POST, path, query: Vec::new(), body: &Ok }).await?
    } else {
        session.client.get(path, Vec::new()).await?
    };
    if session.json {
        return print(&text(&answer));
    }
    let mut callback: Map<String, Value> = parse(&answer)?;
    let log = callback.remove("log");
    let attempts: Vec<&Map<String, Value>> =
        log.as_ref().and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object).collect();
    if replay {
        note(format!("the callback of job {id} is delivered once more"));
    }
    print(&details(&callback))?;
    if attempts.is_empty() {
        return Ok(());
    }
    let members = ["attempt", "time", "durationMs", "status", "error"];
    let row = |attempt: &&Map<String, Value>| members.iter().map(|member| cell(attempt.get(*member))).collect();
    print("")?;
    print(&table(&["ATTEMPT", "TIME", "MS", "STATUS", "ERROR"], &attempts.iter().map(row).collect::<Vec<_>>()))
}
