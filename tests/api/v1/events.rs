//! `/v1/events`: a stream of what happens, resumed by cursor, also by the next server.

use std::process::Stdio;

use reqwest::{Method, Response};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::fixture::{Place, Server, WHEEL, eventually, fixed_port, jobs, jobs_variant, within};

/// An open stream.
struct Events {
    response: Response,
    rest: String,
    /// The last id.
    cursor: u64,
}

/// One event: its kind, and its data.
type Event = (String, Value);

impl Events {
    async fn open(server: &Server, query: &str) -> Self {
        let response = server.request(Method::GET, &format!("/v1/events{query}")).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut events = Self { response, rest: String::new(), cursor: 0 };
        // The first thing is where the stream begins.
        assert_eq!(events.block().await.unwrap(), None);
        events
    }

    /// The next block of lines; an event, when it has data. `None` at the end.
    async fn block(&mut self) -> Option<Option<Event>> {
        loop {
            if let Some((block, rest)) = self.rest.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.rest = rest;
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                if let Some(id) = field("id: ") {
                    self.cursor = id.parse().unwrap();
                }
                let data = field("data: ").map(|data| serde_json::from_str(&data).unwrap());
                return Some(data.map(|data| (field("event: ").unwrap(), data)));
            }
            match within("a part of the stream", self.response.chunk()).await {
                Ok(Some(part)) => self.rest += std::str::from_utf8(&part).unwrap(),
                Ok(None) | Err(_) => return None,
            }
        }
    }

    async fn next(&mut self) -> Event {
        within("an event", async {
            loop {
                if let Some(event) = self.block().await.expect("the stream goes on") {
                    return event;
                }
            }
        })
        .await
    }

    /// Events up to the one that is as wanted, which is among them.
    async fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            events.push(self.next().await);
            if wanted(events.last().unwrap()) {
                return events;
            }
        }
    }
}

fn is_end_of(event: &Event, job: &str) -> bool {
    event.1["jobId"] == job && event.1["status"] == "FINISHED"
}

fn states(events: &[Event], job: &str) -> Vec<String> {
    let of_job = events.iter().filter(|(_, data)| data["jobId"] == job);
    of_job.map(|(_, data)| data["status"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn uploads_contexts_and_jobs_are_told_as_they_happen() {
    let server = Server::start();
    let mut events = Events::open(&server, "").await;
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    let (kind, binary) = events.next().await;
    assert_eq!(
        (kind.as_str(), &binary["app-name"], &binary["binary-type"]),
        ("binary", &json!("jobs"), &json!("Wheel"))
    );
    server.open("c").await;
    let context = events.until(|(kind, data)| kind == "context" && data["state"] == "RUNNING").await;
    assert_eq!(context.last().unwrap().1, server.get("/contexts/c").await.json(200));
    let gate = server.gate("gate");
    let id = server.waiting(&gate).await;
    let running = events.until(|(_, data)| data["jobId"] == *id && data["status"] == "RUNNING").await;
    assert!(running.iter().all(|(kind, _)| kind == "job"), "{running:?}");
    gate.open();
    let ended = events.until(|event| is_end_of(event, &id)).await;
    assert_eq!(ended.last().unwrap().1["context"], "c");
    server.delete("/contexts/c").await.says(200, "SUCCESS", "Context stopped");
    events.until(|(kind, data)| kind == "context" && data["state"] == "FINISHED").await;
    server.delete("/binaries/jobs").await.is_success(200);
    assert_eq!(events.next().await, ("removed".into(), json!({"type": "binary", "id": "jobs"})));
}

#[tokio::test]
async fn a_stream_that_broke_is_resumed_without_a_gap() {
    let server = Server::with_context(&[]).await;
    let mut events = Events::open(&server, "?types=job").await;
    let first = server.sync("Echo", &json!({})).await.json(200)["jobId"].as_str().unwrap().to_owned();
    events.until(|event| is_end_of(event, &first)).await;
    let cursor = events.cursor;
    drop(events);
    let mut missed = Vec::new();
    for _ in 0..5 {
        missed.push(server.sync("Echo", &json!({})).await.json(200)["jobId"].as_str().unwrap().to_owned());
    }
    let mut by_query = Events::open(&server, &format!("?types=job&cursor={cursor}")).await;
    let told = by_query.until(|event| is_end_of(event, &missed[4])).await;
    for job in &missed {
        // States in between may be missing; the last one is not.
        assert_eq!(states(&told, job).last().map(String::as_str), Some("FINISHED"), "{told:?}");
    }
    assert!(states(&told, &first).is_empty(), "{told:?}");
    // The header is what a browser adds to an address with an older cursor.
    let path = format!("/v1/events?types=job&cursor={cursor}");
    let request = server.request(Method::GET, &path).header("last-event-id", by_query.cursor.to_string());
    let mut by_header = Events { response: request.send().await.unwrap(), rest: String::new(), cursor: 0 };
    let last = server.sync("Echo", &json!({})).await.json(200)["jobId"].as_str().unwrap().to_owned();
    let told = by_header.until(|event| is_end_of(event, &last)).await;
    assert!(missed.iter().all(|job| states(&told, job).is_empty()), "{told:?}");
}

#[tokio::test]
async fn filters_leave_out_everything_else() {
    let server = Server::with_context(&[]).await;
    server.open("d").await;
    let (mut of_c, mut errors) =
        (Events::open(&server, "?context=c").await, Events::open(&server, "?state=error,killed").await);
    let gate = server.gate("gate");
    let id = server.waiting(&gate).await;
    let mut of_job = Events {
        cursor: 0,
        rest: String::new(),
        response: { server.request(Method::GET, &format!("/v1/events?job={id}")).send().await.unwrap() },
    };
    // Its present state comes first.
    assert_eq!(of_job.next().await.1["status"], "RUNNING");
    let other =
        server.post("/jobs?appName=jobs&classPath=jobs.Echo&context=d&sync=true&timeout=60", "").await.json(200);
    server.upload("other", WHEEL, jobs_variant("x")).await.is_success(201);
    let failed = server.sync("Fails", &json!({})).await.json(200);
    gate.open();
    let told = of_c.until(|event| is_end_of(event, &id)).await;
    assert!(told.iter().all(|(_, data)| data["context"] == "c"), "{told:?}");
    assert!(states(&told, other["jobId"].as_str().unwrap()).is_empty());
    let (_, error) = errors.next().await;
    assert_eq!((&error["jobId"], &error["status"]), (&failed["jobId"], &json!("ERROR")));
    assert_eq!(of_job.next().await.1["status"], "FINISHED");
}

#[tokio::test]
async fn wishes_that_make_no_sense_are_refused() {
    let server = Server::start();
    for query in ["types=jobs", "state=asleep", "cursor=x", "cursor=-1"] {
        let reply = server.get(&format!("/v1/events?{query}")).await;
        assert_eq!(reply.status, 400, "{query}");
    }
    server.get("/v1/events?job=nosuch").await.refuses(404, "No such job ID nosuch");
}

#[tokio::test]
async fn a_cursor_that_is_too_old_or_from_elsewhere_is_told_so() {
    let server = Server::start();
    let mut events = Events::open(&server, "?cursor=999999999").await;
    let (kind, data) = events.next().await;
    assert_eq!(kind, "reset");
    assert!(data["reason"].as_str().unwrap().contains("too old"), "{data}");
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    assert_eq!(events.next().await.0, "binary");
    assert_ne!(events.cursor, 999_999_999);
}

#[tokio::test]
async fn beyond_the_number_of_streams_there_is_no_more_until_one_is_closed() {
    let server = Server::with(&["events.max-streams=2", "events.heartbeat=\"50ms\""]);
    let first = Events::open(&server, "").await;
    let _second = Events::open(&server, "").await;
    server
        .get("/v1/events")
        .await
        .refuses(503, "Too many streams of events (2); close one, or raise events.max-streams");
    drop(first);
    eventually("a place", || async { server.request(Method::GET, "/v1/events").send().await.unwrap().status() == 200 })
        .await;
}

#[tokio::test]
async fn a_quiet_stream_shows_signs_of_life_and_moves_its_cursor() {
    let server = Server::with(&["events.heartbeat=\"50ms\""]);
    let mut events = Events::open(&server, "?types=job").await;
    let before = events.cursor;
    // Nothing that this stream tells.
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    while events.cursor == before {
        assert_eq!(events.block().await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_stop_does_not_wait_for_open_streams_and_ends_them_well() {
    let server = Server::with(&["http.shutdown-grace=\"10m\""]);
    let mut events = Events::open(&server, "").await;
    server.signal(Signal::TERM);
    assert_eq!(events.block().await, None);
    let (code, _place) = server.end().await;
    assert_eq!(code, Some(0));
}

#[tokio::test]
async fn after_a_kill_the_next_server_tells_all_that_was_missed_before_and_after() {
    let listen = format!("127.0.0.1:{}", fixed_port());
    let server = Server::at(Place::new(), &listen, &[]);
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    server.open("c").await;
    let gate = server.gate("gate");
    let running = server.waiting(&gate).await;
    let mut events = Events::open(&server, "").await;
    server.upload("heard", WHEEL, jobs()).await.is_success(201);
    events.until(|(_, data)| data["app-name"] == "heard").await;
    let cursor = events.cursor;
    drop(events);
    let ended = server.sync("Echo", &json!({})).await.json(200)["jobId"].as_str().unwrap().to_owned();
    server.upload("missed", WHEEL, jobs()).await.is_success(201);
    server.delete("/binaries/heard").await.is_success(200);
    server.signal(Signal::KILL);
    let (_, place) = server.end().await;

    let server = Server::at(place, &listen, &[]);
    let mut resumed = Events::open(&server, &format!("?cursor={cursor}")).await;
    server.upload("last", WHEEL, jobs()).await.is_success(201);
    let mut told = resumed.until(|(_, data)| data["app-name"] == "last").await;
    gate.open();
    told.extend(resumed.until(|event| is_end_of(event, &running)).await);
    assert_eq!(states(&told, &ended).last().map(String::as_str), Some("FINISHED"), "{told:?}");
    assert!(told.iter().any(|(_, data)| data["app-name"] == "missed"), "{told:?}");
    assert!(told.contains(&("removed".into(), json!({"type": "binary", "id": "heard"}))), "{told:?}");
    assert!(told.iter().all(|(kind, _)| kind != "reset"), "{told:?}");
    server.reset().await;
}

#[tokio::test]
async fn a_cursor_of_what_a_restored_directory_does_not_hold_is_reset_however_far_that_has_come() {
    let again = async |server: Server, between: &dyn Fn(&Place)| {
        server.signal(Signal::TERM);
        let (_, place) = server.end().await;
        between(&place);
        Server::at(place, "127.0.0.1:0", &[])
    };
    let upload = async |server: &Server, name: &str| {
        server.upload(name, WHEEL, jobs()).await.is_success(201);
    };
    let copy = |from: &str, to: &str| {
        let (from, to) = (from.to_owned(), to.to_owned());
        move |place: &Place| assert!(std::fs::copy(place.path(&from), place.path(&to)).unwrap() > 0)
    };
    let server = Server::at(Place::new(), "127.0.0.1:0", &[]);
    upload(&server, "kept").await;
    let server = again(server, &copy("data/meta.redb", "copy")).await;
    let mut events = Events::open(&server, "?cursor=0").await;
    assert_eq!(events.next().await.1["app-name"], "kept");
    let kept = events.cursor;
    upload(&server, "forgotten").await;
    events.next().await;
    let forgotten = events.cursor;
    drop(events);

    let server = again(server, &copy("copy", "data/meta.redb")).await;
    for _ in 0..3 {
        upload(&server, "other").await;
        let mut events = Events::open(&server, &format!("?cursor={forgotten}")).await;
        assert_eq!(events.next().await.0, "reset");
    }
    let mut events = Events::open(&server, &format!("?cursor={kept}")).await;
    assert_eq!(events.next().await.1["app-name"], "other");
}

#[tokio::test]
async fn doyen_watch_misses_nothing_when_the_server_is_killed_and_started_again() {
    let listen = format!("127.0.0.1:{}", fixed_port());
    let mut server = Server::at(Place::new(), &listen, &[]);
    let mut watch = tokio::process::Command::new(env!("CARGO_BIN_EXE_doyen"));
    watch.args(["--url", &server.url, "--json", "watch", "--types", "binary", "--cursor", "0"]);
    let mut watch = watch.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    for life in 0..3 {
        let names = ["first", "then", "last"].map(|name| format!("{name}-{life}"));
        for name in &names {
            server.upload(name, WHEEL, jobs()).await.is_success(201);
        }
        // Whether it has heard of them by now or not.
        server.signal(Signal::KILL);
        let (_, place) = server.end().await;
        server = Server::at(place, &listen, &[]);
        let mut missing = names.to_vec();
        while !missing.is_empty() {
            let line = within("a line", lines.next_line()).await.unwrap().expect("it goes on");
            let event: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(event["event"], "binary", "{event}");
            missing.retain(|name| event["data"]["app-name"] != **name);
        }
    }
}

#[tokio::test]
async fn of_a_job_that_lost_its_driver_the_last_that_is_told_is_that_it_waits() {
    let server = Server::with_context(&["contexts.supervise=true"]).await;
    let gate = server.gate("gate");
    let mut events = Events::open(&server, "?types=job").await;
    let mut until = async |state: &str, id: &str| {
        events.until(|(_, data)| data["jobId"] == id && data["status"] == state).await;
    };
    let waits = server.job_with("WaitsOnce", &gate.config(), "&retries=1&retry-backoff=1m").await;
    gate.reached().await;
    until("RUNNING", &waits).await;
    server.place().driver().kill_main();
    // What memory knew of it was told instead, sometimes, and nothing after it.
    until("RESTARTING", &waits).await;
    assert_eq!(server.delete(&format!("/jobs/{waits}")).await.json(200)["status"], "KILLED");
    until("KILLED", &waits).await;
}

#[tokio::test]
async fn a_reader_that_takes_nothing_costs_nothing_and_catches_up() {
    let server = Server::with_context(&[]).await;
    let mut slow = Events::open(&server, "?types=job").await;
    let mut last = String::new();
    for _ in 0..200 {
        last = server.sync("Echo", &json!({"text": "x".repeat(100)})).await.json(200)["jobId"].as_str().unwrap().into();
    }
    let told = slow.until(|event| is_end_of(event, &last)).await;
    assert!(told.iter().filter(|(_, data)| data["status"] == "FINISHED").count() >= 200);
}
