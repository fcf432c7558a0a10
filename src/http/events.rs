//! `/v1/events`: server-sent events.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use serde_json::json;

use super::answer;
use super::error::HttpError;
use super::params::{Params, Who};
use crate::api::rest::{Answer, Binary, Context, Job};
use crate::core::events::Kind;
use crate::service::{Event, EventsWish, Service, ServiceError};

const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

/// What happens, as server-sent events
///
/// Each event has the latest state of an object that changed: `job`, `context` or `binary` (as GET shows it), or `removed`
/// (`{type, id}`). States in between may be missing. `id:` is a cursor: with it in `Last-Event-ID`, or as `cursor`, the next
/// stream goes on there, also that of the server after a restart; an object may be told twice. RUNNING of a job is told by the server that holds its driver, and not
/// again after a resumption. Where users have contexts of their own, their events have the names that the user gave. `reset` says that the cursor is too old or not of this store: look for yourself, and go on from its id. Without a
/// cursor events begin now; with `job` its present state comes first. Removals are not told where `context` or `state` is given.
#[utoipa::path(get, path = "/v1/events", tag = "events",
    params(("types" = Option<String>, Query, description = "A list of `job`, `context`, `binary`"),
        ("context" = Option<String>, Query, description = "Name or id"), ("job" = Option<String>, Query,),
        ("state" = Option<String>, Query, description = "A list of states"),
        ("cursor" = Option<u64>, Query,), ("Last-Event-ID" = Option<u64>, Header,)),
    responses((status = 200, description = "`text/event-stream`"), (status = 400), (status = 404, body = Answer),
        (status = 503, body = Answer)))]
pub async fn get(
    State(service): State<Service>,
    Who(who): Who,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, HttpError> {
    // A browser repeats the address with the older cursor, and adds the header.
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()).filter(|last| !last.is_empty());
    let cursor = last.or_else(|| params.get("cursor")).map(cursor).transpose()?;
    let wish = EventsWish {
        types: params.owned("types"),
        context: params.owned("context"),
        job: params.owned("job"),
        states: params.owned("state"),
        cursor,
    };
    let events = service.events(&who, wish).await?;
    let parts = futures::stream::unfold(events, async |mut events| {
        let mut text = text(&events.recv().await?);
        // What waits already goes in one piece.
        while let Ok(event) = events.try_recv() {
            text += &self::text(&event);
        }
        Some((Ok::<_, std::io::Error>(Bytes::from(text)), events))
    });
    let mut response = answer::of_type(StatusCode::OK, EVENT_STREAM, Body::from_stream(parts));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Proxies that gather answers would hold events back.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

fn cursor(text: &str) -> Result<u64, ServiceError> {
    text.trim().parse().map_err(|_| ServiceError::BadParameter {
        name: "cursor".into(),
        value: text.into(),
        expected: "the id of an event".into(),
    })
}

fn text(event: &Event) -> String {
    match event {
        Event::Job(job, cursor) => message("job", &to_json(&Job::from(&**job)), *cursor),
        Event::Context(context, cursor) => message("context", &to_json(&Context::from(&**context)), *cursor),
        Event::Binary(binary, cursor) => message("binary", &to_json(&Binary::from(&**binary)), *cursor),
        Event::Removed(kind, id, cursor) => message("removed", &removed(*kind, id), *cursor),
        Event::Reset(cursor) => {
            let reason = "the cursor is too old, or of another store: events are missing";
            message("reset", &json!({"reason": reason}).to_string(), Some(*cursor))
        }
        // A comment, and an event without data: it is not dispatched, but its id counts.
        Event::Quiet(cursor) => format!(": quiet\nid: {cursor}\n\n"),
    }
}

fn removed(kind: Kind, id: &str) -> String {
    json!({"type": kind.name(), "id": id}).to_string()
}

fn to_json<T: serde::Serialize>(object: &T) -> String {
    serde_json::to_string(object).expect("plain data")
}

/// JSON text has no line ends of its own.
fn message(event: &str, data: &str, cursor: Option<u64>) -> String {
    let id = cursor.map(|cursor| format!("id: {cursor}\n")).unwrap_or_default();
    format!("{id}event: {event}\ndata: {data}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_without_a_cursor_has_no_id_and_a_quiet_one_has_no_data() {
        assert_eq!(message("job", "{}", Some(7)), "id: 7\nevent: job\ndata: {}\n\n");
        assert_eq!(message("job", "{}", None), "event: job\ndata: {}\n\n");
        assert_eq!(text(&Event::Quiet(3)), ": quiet\nid: 3\n\n");
    }

    #[test]
    fn names_with_line_ends_stay_on_their_line() {
        let text = text(&Event::Removed(Kind::Binary, "a\nb".into(), None));
        assert_eq!(text, "event: removed\ndata: {\"type\":\"binary\",\"id\":\"a\\nb\"}\n\n");
    }
}
