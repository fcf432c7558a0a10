//! `doyen context`.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Map, Value};

use super::Session;
use super::answer::{parse, text};
use super::args::{Body, ContextCommand};
use super::client::{Request, segment};
use super::failure::{Failure, note};
use super::output::{details, print};
use super::progress::Progress;

pub async fn run(session: &Session, command: &ContextCommand) -> Result<(), Failure> {
    match command {
        ContextCommand::Create { name, factory, body } => create(session, name, factory.as_deref(), body).await,
        ContextCommand::List => list(session).await,
        ContextCommand::Show { name } => {
            let answer = session.client.get(format!("/v1/contexts/{}", segment(name)?), Vec::new()).await?;
            if session.json { print(&text(&answer)) } else { print(&details(&parse::<Map<String, Value>>(&answer)?)) }
        }
        ContextCommand::Stop { name, force } => stop(session, name, *force).await,
    }
}

async fn create(session: &Session, name: &str, factory: Option<&str>, body: &Body) -> Result<(), Failure> {
    let text = body.file()?;
    // As parameters they count, whatever the file's form.
    let factory = factory.map(|factory| ("context-factory", factory));
    let query = factory.into_iter().chain(body.pairs()?).map(|(key, value)| (key, value.to_owned())).collect();
    let path = format!("/contexts/{}", segment(name)?);
    let progress = Progress::spinner(format!("starting {name}"));
    let add = |request: RequestBuilder| Ok(request.header("content-type", "text/plain").body(text.clone()));
    let answer = session.client.ask(Request { method: Method::POST, path, query, body: &add }).await;
    drop(progress);
    session.done(&answer?, &format!("{name} is running"))
}

async fn list(session: &Session) -> Result<(), Failure> {
    let answer = session.client.get("/contexts".into(), Vec::new()).await?;
    if session.json {
        return print(&text(&answer));
    }
    let names: Vec<String> = parse(&answer)?;
    if names.is_empty() {
        note("no contexts");
        return Ok(());
    }
    print(&names.join("\n"))
}

async fn stop(session: &Session, name: &str, force: bool) -> Result<(), Failure> {
    let query = if force { vec![("force", "true".to_owned())] } else { Vec::new() };
    let path = format!("/contexts/{}", segment(name)?);
    let progress = Progress::spinner(format!("stopping {name}"));
    let answer = session.client.ask(Request { method: Method::DELETE, path, query, body: &Ok }).await;
    drop(progress);
    let answer = answer?;
    match answer.status {
        StatusCode::ACCEPTED => session.done(&answer, &format!("{name} is stopping; it takes longer")),
        _ => session.done(&answer, &format!("{name} has stopped")),
    }
}
