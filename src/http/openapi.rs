//! The API's description, made from the handlers.

use utoipa::OpenApi;

use super::{binaries, callbacks, contexts, data, events, health, jobs, logs, results, timeline, tokens};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Doyen",
        description = "A job server for Apache Spark. Routes outside /v1 are those of Spark Jobserver.\n\n\
            Errors have a stable code in the header `Doyen-Error`. While the metadata store is away, reads are answered from what \
            the server knows, with the header `Age`: so many seconds ago at most it was the newest. Changes are then answered with \
            503 and `Retry-After`: `store-unavailable` if nothing was done, `store-unknown` if nobody knows; repeated with the \
            same `Idempotency-Key` they are made once."
    ),
    paths(
        binaries::list,
        binaries::get,
        binaries::post,
        binaries::delete,
        contexts::list,
        contexts::get,
        contexts::details,
        contexts::post,
        contexts::delete,
        contexts::reset,
        jobs::list,
        jobs::get,
        jobs::details,
        jobs::config,
        jobs::post,
        jobs::delete,
        results::get,
        logs::get,
        callbacks::get,
        callbacks::replay,
        events::get,
        timeline::get,
        data::list,
        data::post,
        data::delete,
        data::reset,
        tokens::list,
        tokens::post,
        tokens::delete,
        health::ping,
        health::healthz,
        health::readyz,
        health::metrics,
    )
)]
struct Document;

/// JSON text, pretty, with a final newline.
pub fn document() -> String {
    let mut text = Document::openapi().to_pretty_json().expect("the description is plain data");
    text.push('\n');
    text
}
