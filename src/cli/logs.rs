//! `doyen job logs`: followed through restarts of servers.

use reqwest::Response;

use super::Session;
use super::client::segment;
use super::exit::Exit;
use super::failure::{Failure, note};
use super::job::{MAX_OUTAGE_TRIES, OUTAGE_PAUSE, passing};
use super::output::write;

/// Tells of which attempt of the job the log is.
const ATTEMPT_HEADER: &str = "doyen-job-attempt";

/// What was printed: so many bytes of the log of an attempt.
#[derive(Default)]
struct Printed {
    attempt: String,
    bytes: u64,
}

pub async fn run(session: &Session, id: &str, follow: bool, attempt: Option<u32>) -> Result<(), Failure> {
    let mut printed = Printed::default();
    let mut tries = 0;
    loop {
        let broke_off = match open(session, id, follow, attempt, &mut printed).await {
            Ok(mut response) => loop {
                match response.chunk().await {
                    Ok(Some(chunk)) => {
                        write(&chunk)?;
                        printed.bytes += chunk.len() as u64;
                        tries = 0;
                    }
                    Ok(None) => return Ok(()),
                    Err(_) => break Failure::new(Exit::Unreachable, "the log broke off before its end"),
                }
            },
            // Of the first try it is told.
            Err(failure) if printed.attempt.is_empty() || !passing(&failure) => return Err(failure),
            Err(failure) => failure,
        };
        tries += 1;
        if !follow || tries >= MAX_OUTAGE_TRIES {
            return Err(broke_off.hint(format!(
                "`doyen job logs {id}` shows it from the beginning; if it breaks off again, the server's log says why"
            )));
        }
        if tries == 1 {
            note(format!("{broke_off}; trying again"));
        }
        tokio::time::sleep(OUTAGE_PAUSE).await;
    }
}

/// From where it broke off; the log of another attempt from its beginning.
async fn open(
    session: &Session,
    id: &str,
    follow: bool,
    attempt: Option<u32>,
    printed: &mut Printed,
) -> Result<Response, Failure> {
    let query = || {
        let attempt = attempt.map(|number| ("attempt", number.to_string()));
        follow.then(|| ("follow", "true".to_owned())).into_iter().chain(attempt).collect()
    };
    let path = format!("/v1/jobs/{}/logs", segment(id)?);
    let response = session.client.stream_from(path.clone(), query(), printed.bytes).await?;
    let of = attempt_of(&response);
    if printed.attempt == of || printed.bytes == 0 {
        printed.attempt = of;
        return Ok(response);
    }
    let response = session.client.stream(path, query()).await?;
    *printed = Printed { attempt: attempt_of(&response), bytes: 0 };
    note(format!("attempt {} from its beginning:", printed.attempt));
    Ok(response)
}

fn attempt_of(response: &Response) -> String {
    let header = response.headers().get(ATTEMPT_HEADER);
    header.and_then(|value| value.to_str().ok()).unwrap_or("1").to_owned()
}
