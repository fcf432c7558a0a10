//! `watch` and `job timeline`.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::response::Response;

use crate::support::{DOWN, Server, answer, run};

const STARTED: &str =
    "id: 4\nevent: job\ndata: {\"jobId\":\"j1\",\"status\":\"STARTED\",\"classPath\":\"a.B\",\"context\":\"c\"}\n\n";
const RUNNING: &str =
    "event: job\ndata: {\"jobId\":\"j1\",\"status\":\"RUNNING\",\"classPath\":\"a.B\",\"context\":\"c\"}\n\n";
const FINISHED: &str =
    "id: 9\nevent: job\ndata: {\"jobId\":\"j1\",\"status\":\"FINISHED\",\"classPath\":\"a.B\",\"context\":\"c\"}\n\n";
const RESET: &str = "id: 7\nevent: reset\ndata: {\"reason\":\"too old\"}\n\n";

/// Answers the streams one after another, the last again and again.
fn streaming(streams: &'static [&'static [&'static str]]) -> Server {
    let opened = AtomicUsize::new(0);
    Server::playing(move |seen| -> Response {
        if seen.line.starts_with("GET /readyz") {
            return answer(200, "");
        }
        let stream = opened.fetch_add(1, Ordering::Relaxed).min(streams.len() - 1);
        answer(200, streams[stream].concat())
    })
}

#[test]
fn a_job_is_watched_to_its_end_a_line_an_event() {
    let server = streaming(&[&[": quiet\nid: 3\n\n", STARTED, RUNNING, FINISHED]]);
    let ended = server.run(&["watch", "--job", "j1"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.stdout, "job j1 STARTED a.B in c\njob j1 RUNNING a.B in c\njob j1 FINISHED a.B in c\n");
    assert_eq!(server.lines(), ["GET /v1/events?job=j1"]);
}

#[test]
fn a_stream_that_ends_is_resumed_where_it_was_by_the_next_server() {
    let server = streaming(&[&[STARTED, "id: 8\nevent: job\ndata: {\"jobId\""], &[FINISHED]]);
    let ended = run(&["--url", DOWN, "--url", &server.url, "watch", "--job", "j1", "--types", "job", "--cursor", "2"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.stdout, "job j1 STARTED a.B in c\njob j1 FINISHED a.B in c\n");
    let opened: Vec<String> = server.lines().into_iter().filter(|line| line.contains("events")).collect();
    let expected = [2, 4].map(|cursor| format!("GET /v1/events?types=job&job=j1&cursor={cursor}"));
    assert_eq!(opened, expected);
}

#[test]
fn missed_events_are_told_on_stderr_and_json_is_a_line_an_event() {
    let server = streaming(&[&[RESET, FINISHED]]);
    let ended = server.run(&["watch", "--job", "j1"]);
    assert_eq!(ended.stderr, "events were missed: the list of jobs tells what there is now\n");
    let json = server.run(&["watch", "--job", "j1", "--json"]).stdout;
    let lines: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["event"], &lines[0]["cursor"]), (&"reset".into(), &7.into()));
    assert_eq!((&lines[1]["data"]["status"], &lines[1]["cursor"]), (&"FINISHED".into(), &9.into()));
}

#[test]
fn what_the_server_refuses_ends_it() {
    let server = Server::playing(|_| answer(404, r#"{"status":"ERROR","result":"No such job ID j1"}"#));
    let ended = server.run(&["watch", "--job", "j1"]);
    assert_eq!((ended.stdout.as_str(), server.lines().len()), ("", 1));
    assert!(ended.code != 0 && ended.stderr.contains("No such job ID j1"), "{ended:?}");
}

#[test]
fn a_timeline_is_a_table_of_phases() {
    let server = Server::playing(|_| {
        answer(
            200,
            r#"{"jobId":"j1","status":"FINISHED","startTime":"t0","marks":[{"at":"received","us":0}],
                "attempts":[{"number":1,"attempt":1,"node":"n1","startTime":"t0","endTime":"t1","why":"lost","logBytes":9,
                             "phases":[{"name":"driver","us":2500,"by":"server"},{"name":"loss","us":7,"by":"server"}]},
                            {"number":2,"attempt":2,"node":"n2","driverPid":7,"startTime":"t1","endTime":"t2"}],
                "phases":[{"name":"record","us":480,"by":"server"},{"name":"run","us":1234567,"by":"driver"}]}"#,
        )
    });
    let ended = server.run(&["job", "timeline", "j1"]);
    assert_eq!(ended.stdout, "PHASE   MS        MEASURED BY\nrecord  0.480     server\nrun     1234.567  driver\n");
    let attempts = "attempt 1 of the job, 1 of the context, on n1, from t0 to t1, 9 bytes of log: lost\n  \
                    driver 2.500 ms, loss 0.007 ms\nattempt 2 of the job, 2 of the context, on n2, from t1 to t2\n";
    assert_eq!(ended.stderr, attempts);
    assert_eq!(server.lines(), ["GET /v1/jobs/j1/timeline"]);
}
