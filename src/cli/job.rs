//! `doyen job`.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::{Map, Value};

use crate::config::duration;

use super::answer::{Job, error_text, parse, text};
use super::args::{JobCommand, SubmitArgs};
use super::client::{Answer, Request, segment};
use super::exit::Exit;
use super::failure::{Failure, note};
use super::output::{cell, details, print, table};
use super::progress::Progress;
use super::{Session, callbacks, logs, timeline};

/// What each long poll asks for.
const POLL: &str = "30s";
/// Between polls, for a server that answers at once.
const PAUSE: Duration = Duration::from_millis(100);
/// Between tries while no server can be reached.
pub const OUTAGE_PAUSE: Duration = Duration::from_secs(1);
/// Tries while no server can be reached; some two minutes.
pub const MAX_OUTAGE_TRIES: u32 = 120;

pub async fn run(session: &Session, command: &JobCommand) -> Result<(), Failure> {
    match command {
        JobCommand::Submit(args) => submit(session, args).await,
        JobCommand::List { status, limit } => list(session, status.as_deref(), *limit).await,
        JobCommand::Show { id } => {
            let answer = session.client.get(format!("/jobs/{}", segment(id)?), Vec::new()).await?;
            if session.json {
                return print(&text(&answer));
            }
            let mut job = parse::<Map<String, Value>>(&answer)?;
            if let Some(place) = place_in_queue(&job) {
                job.insert("queue".into(), place.into());
            }
            print(&details(&job))
        }
        JobCommand::Logs { id, follow, attempt } => logs::run(session, id, *follow, *attempt).await,
        JobCommand::Timeline { id } => timeline::show(session, id).await,
        JobCommand::Kill { id } => kill(session, id).await,
        JobCommand::Callbacks { id, replay } => callbacks::run(session, id, *replay).await,
    }
}

async fn submit(session: &Session, args: &SubmitArgs) -> Result<(), Failure> {
    let body = args.body.text()?;
    let mut query = vec![("cp", args.app.join(",")), ("mainClass", args.class.clone()), ("sync", "false".to_owned())];
    query.extend(args.context.iter().map(|context| ("context", context.clone())));
    query.extend(args.queue.then(|| ("queue", "true".to_owned())));
    query.extend(args.priority.map(|priority| ("priority", priority.to_string())));
    query.extend(args.retries.map(|retries| ("retries", retries.to_string())));
    let add = |request: RequestBuilder| Ok(request.header("content-type", "text/plain").body(body.clone()));
    let progress = Progress::spinner("submitting".into());
    let answer = session.client.ask(Request { method: Method::POST, path: "/jobs".into(), query, body: &add }).await;
    drop(progress);
    let answer = answer?;
    let job: Job = parse(&answer)?;
    if !args.wait {
        return print(&if session.json { text(&answer) } else { job.job_id });
    }
    note(format!("job {}", job.job_id));
    let (job, answer) = match args.timeout {
        None => wait(session, &job.job_id).await?,
        Some(limit) => tokio::time::timeout(limit, wait(session, &job.job_id)).await.map_err(|_| {
            let message = format!("job {} has not ended after {}, and goes on", job.job_id, duration::text(limit));
            Failure::new(Exit::TimedOut, message).hint(format!("`doyen job show {}` tells how it is", job.job_id))
        })??,
    };
    show_end(session, &job, &answer)
}

/// Polls until the job has ended, through outages: the job is safe with the servers.
async fn wait(session: &Session, id: &str) -> Result<(Job, Answer), Failure> {
    let progress = Progress::spinner(format!("job {id}"));
    let path = format!("/jobs/{}", segment(id)?);
    let mut tries = 0;
    loop {
        match session.client.get(path.clone(), vec![("wait", POLL.to_owned())]).await {
            Ok(answer) => {
                tries = 0;
                let job: Job = parse(&answer)?;
                if job.ended() {
                    return Ok((job, answer));
                }
                progress.say(format!("job {id} {}", job.status));
                tokio::time::sleep(PAUSE).await;
            }
            Err(failure) => {
                tries += 1;
                if tries >= MAX_OUTAGE_TRIES || !passing(&failure) {
                    return Err(failure.hint(format!("`doyen job show {id}` tells how the job is")));
                }
                progress.say(format!("job {id}: {failure}").lines().next().unwrap_or_default().to_owned());
                tokio::time::sleep(OUTAGE_PAUSE).await;
            }
        }
    }
}

pub fn passing(failure: &Failure) -> bool {
    matches!(failure, Failure::Told { exit: Exit::Unreachable | Exit::ServerError, .. })
}

fn show_end(session: &Session, job: &Job, answer: &Answer) -> Result<(), Failure> {
    if session.json {
        print(&text(answer))?;
    }
    let result = job.result.as_ref().map_or("null", |result| result.get());
    if job.status == "FINISHED" {
        return if session.json { Ok(()) } else { print(result) };
    }
    let error: Value = serde_json::from_str(result).unwrap_or(Value::Null);
    let mut text = error_text(&error);
    if let Some(stack) = error.get("stack").and_then(Value::as_str).filter(|stack| !stack.trim().is_empty()) {
        note(stack.trim_end());
        // The rest of it, as of an error of Spark the stack of its JVM, is in the stack that was shown.
        text = text.and_then(|text| text.lines().next().map(str::to_owned));
    }
    let reason = text.map(|text| format!(": {text}")).unwrap_or_default();
    let message = format!("job {} ended in {}{reason}", job.job_id, job.status);
    Err(Failure::new(Exit::Failed, message).hint(format!("`doyen job logs {}` shows what it wrote", job.job_id)))
}

/// In words, of a job that waits.
fn place_in_queue(job: &Map<String, Value>) -> Option<String> {
    let queue = job.get("queue")?;
    Some(format!("position {}, priority {}", cell(queue.get("position")), cell(queue.get("priority"))))
}

/// With its position, when it waits.
fn state(job: &Map<String, Value>) -> String {
    let state = cell(job.get("status"));
    match job.get("queue").and_then(|queue| queue.get("position")) {
        Some(position) => format!("{state} (queue: {position})"),
        None => state,
    }
}

async fn list(session: &Session, status: Option<&str>, limit: Option<u32>) -> Result<(), Failure> {
    let status = status.map(|status| ("status", status.to_owned()));
    let limit = limit.map(|limit| ("limit", limit.to_string()));
    let answer = session.client.get("/jobs".into(), status.into_iter().chain(limit).collect()).await?;
    if session.json {
        return print(&text(&answer));
    }
    let jobs: Vec<Map<String, Value>> = parse(&answer)?;
    let members = ["jobId", "status", "classPath", "context", "startTime", "duration"];
    let shown = |job: &Map<String, Value>, member: &str| match member {
        "status" => state(job),
        _ => cell(job.get(member)),
    };
    let row = |job: &Map<String, Value>| members.iter().map(|member| shown(job, member)).collect();
    if jobs.is_empty() {
        note("no jobs");
    }
    let head = ["ID", "STATUS", "CLASS", "CONTEXT", "STARTED", "DURATION"];
    print(&table(&head, &jobs.iter().map(row).collect::<Vec<_>>()))
}

async fn kill(session: &Session, id: &str) -> Result<(), Failure> {
    let path = format!("/jobs/{}", segment(id)?);
    let answer = session.client.ask(Request { method: Method::DELETE, path, query: Vec::new(), body: &Ok }).await?;
    let value: Value = parse(&answer)?;
    if value.get("status").and_then(Value::as_str) == Some("ERROR") {
        let reason = value.get("ERROR").and_then(error_text).map(|text| format!(": {text}")).unwrap_or_default();
        return Err(Failure::new(Exit::Failed, format!("job {id} had ended in ERROR already{reason}")));
    }
    session.done(&answer, &format!("job {id} is killed"))
}
