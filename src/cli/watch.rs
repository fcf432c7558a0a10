//! `doyen watch`: events as lines, through restarts of servers.

use std::time::Duration;

use serde_json::{Map, Value};

use super::Session;
use super::args::WatchArgs;
use super::exit::Exit;
use super::failure::{Failure, note};
use super::output::{cell, print};

/// Servers say something each 15 s; one that is silent for so long is gone.
const SILENCE: Duration = Duration::from_secs(60);
/// Between tries while no server can be reached.
const OUTAGE_PAUSE: Duration = Duration::from_secs(1);
/// Before a stream that ended is opened again.
const PAUSE: Duration = Duration::from_millis(200);
/// Tries while no server can be reached; some two minutes.
const MAX_OUTAGE_TRIES: u32 = 120;
/// The longest event that is taken.
const MAX_EVENT_BYTES: usize = 64 << 20;

/// One event as it came.
#[derive(Debug, Default, PartialEq, Eq)]
struct Event {
    kind: String,
    data: String,
    /// Where a reader goes on who has seen it.
    cursor: Option<u64>,
}

/// Reads server-sent events from whatever parts they come in.
#[derive(Debug, Default)]
struct Reader {
    rest: Vec<u8>,
    kind: String,
    data: String,
    id: Option<u64>,
    /// The last id of a whole event: where the next stream goes on.
    cursor: Option<u64>,
}

impl Reader {
    fn read(&mut self, part: &[u8]) -> Vec<Event> {
        self.rest.extend_from_slice(part);
        let mut events = Vec::new();
        let mut begin = 0;
        while let Some(length) = self.rest[begin..].iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&self.rest[begin..begin + length]).into_owned();
            begin += length + 1;
            events.extend(self.line(line.trim_end_matches('\r')));
        }
        self.rest.drain(..begin);
        events
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            self.cursor = self.id.take().or(self.cursor);
            let (kind, data) = (std::mem::take(&mut self.kind), std::mem::take(&mut self.data));
            let event = Event { kind, data, cursor: self.cursor };
            return Some(event).filter(|event| !event.data.is_empty());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.kind),
            "data" => self.data.push_str(value),
            "id" => self.id = value.parse().ok(),
            _ => {}
        }
        None
    }

    /// What a stream that broke has left of an event does not count.
    fn begin_anew(&mut self) {
        *self = Self { cursor: self.cursor, ..Self::default() };
    }

    fn holds_bytes(&self) -> usize {
        self.rest.len() + self.data.len()
    }
}

pub async fn run(session: &Session, args: &WatchArgs) -> Result<(), Failure> {
    let mut reader = Reader { cursor: args.cursor, ..Reader::default() };
    let mut tries = 0;
    loop {
        match session.client.stream("/v1/events".into(), query(args, reader.cursor)).await {
            Ok(mut response) => {
                tries = 0;
                reader.begin_anew();
                // Whatever ends it, the next stream goes on where this one was.
                while let Ok(Ok(Some(part))) = tokio::time::timeout(SILENCE, response.chunk()).await {
                    for event in reader.read(&part) {
                        if show(session, &event)? && args.job.is_some() {
                            return Ok(());
                        }
                    }
                    if reader.holds_bytes() > MAX_EVENT_BYTES {
                        return Err(Failure::new(Exit::ServerError, "the server sent an event without an end"));
                    }
                }
                tokio::time::sleep(PAUSE).await;
            }
            Err(failure) => {
                tries += 1;
                let passing = matches!(failure, Failure::Told { exit: Exit::Unreachable | Exit::ServerError, .. });
                if tries >= MAX_OUTAGE_TRIES || !passing {
                    let hint = reader.cursor.map(|cursor| format!("`--cursor {cursor}` goes on from here"));
                    return Err(match hint {
                        Some(hint) => failure.hint(hint),
                        None => failure,
                    });
                }
                if tries == 1 {
                    note(format!("{failure}; trying again"));
                }
                tokio::time::sleep(OUTAGE_PAUSE).await;
            }
        }
    }
}

fn query(args: &WatchArgs, cursor: Option<u64>) -> Vec<(&'static str, String)> {
    let list = |name, words: &[String]| (!words.is_empty()).then(|| (name, words.join(",")));
    let one = |name, word: &Option<String>| word.clone().map(|word| (name, word));
    [
        list("types", &args.types),
        one("context", &args.context),
        one("job", &args.job),
        list("state", &args.state),
        cursor.map(|cursor| ("cursor", cursor.to_string())),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Prints the event; true when it is the end of a job.
fn show(session: &Session, event: &Event) -> Result<bool, Failure> {
    let data: Map<String, Value> = serde_json::from_str(&event.data).unwrap_or_default();
    if session.json {
        let line = serde_json::json!({"event": event.kind, "cursor": event.cursor, "data": &data});
        print(&line.to_string())?;
    } else if event.kind == "reset" {
        note("events were missed: the list of jobs tells what there is now");
    } else {
        print(&line(&event.kind, &data))?;
    }
    let text = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default();
    let ended = event.kind == "job" && matches!(text("status"), "FINISHED" | "ERROR" | "KILLED");
    Ok(ended || (event.kind == "removed" && text("type") == "job"))
}

fn line(kind: &str, data: &Map<String, Value>) -> String {
    let text = |name: &str| cell(data.get(name));
    match kind {
        "job" => format!("job {} {} {} in {}", text("jobId"), text("status"), text("classPath"), text("context")),
        "context" => format!("context {} {} {}", text("id"), text("state"), text("name")),
        "binary" => format!("binary {} {} uploaded", text("app-name"), text("binary-type")),
        "removed" => format!("{} {} removed", text("type"), text("id")),
        other => format!("{other} {}", Value::Object(data.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_from_parts_of_any_size() {
        let text = ": quiet\nid: 3\n\nid: 4\nevent: job\ndata: {\"a\":\"ü\"}\n\nevent: job\r\ndata:{}\r\n\r\n";
        for size in [1, 2, 5, 1000] {
            let mut reader = Reader::default();
            let events: Vec<Event> = text.as_bytes().chunks(size).flat_map(|part| reader.read(part)).collect();
            let expected = [("job", "{\"a\":\"ü\"}"), ("job", "{}")];
            let expected = expected.map(|(kind, data)| Event { kind: kind.into(), data: data.into(), cursor: Some(4) });
            assert_eq!(events, expected, "parts of {size}");
            assert_eq!(reader.cursor, Some(4));
        }
    }

    #[test]
    fn the_id_of_an_event_that_broke_off_does_not_count() {
        let mut reader = Reader::default();
        reader.read(b"id: 3\n\nid: 4\nevent: job\ndata: {");
        assert_eq!(reader.cursor, Some(3));
        reader.begin_anew();
        assert_eq!(reader.read(b"id: 5\nevent: x\ndata: {}\n\n").len(), 1);
        assert_eq!(reader.cursor, Some(5));
    }

    #[test]
    fn a_line_an_event() {
        let data = |text| serde_json::from_str::<Map<String, Value>>(text).unwrap();
        let job = data(r#"{"jobId":"j","status":"RUNNING","classPath":"a.B","context":"c"}"#);
        assert_eq!(line("job", &job), "job j RUNNING a.B in c");
        assert_eq!(line("removed", &data(r#"{"type":"binary","id":"b"}"#)), "binary b removed");
    }
}
