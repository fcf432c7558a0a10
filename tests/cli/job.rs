//! `job submit|list|show|logs|kill|callbacks`.

use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::{Body, Bytes};
use futures::{StreamExt, stream};
use tokio::sync::mpsc;

use crate::support::{Ended, Server, answer, command};

const SUBMIT: [&str; 9] = ["job", "submit", "--app", "words,util", "--class", "m.C", "--context", "c d", "--set"];

fn submit(server: &Server, more: &[&str]) -> Ended {
    server.run(&[&SUBMIT[..], &["input.n=2"], more].concat())
}

/// Takes a job, and answers the polls one after another, the last again and again.
fn polled(answers: &'static [(u16, &'static str)]) -> Server {
    let polls = AtomicUsize::new(0);
    Server::playing(move |seen| {
        if seen.line.starts_with("POST /jobs?") {
            return answer(202, r#"{"jobId":"j1","status":"STARTED","context":"c d"}"#);
        }
        assert_eq!(seen.line, "GET /jobs/j1?wait=30s");
        let poll = polls.fetch_add(1, Ordering::Relaxed).min(answers.len() - 1);
        answer(answers[poll].0, answers[poll].1)
    })
}

#[test]
fn submit_prints_the_id() {
    let server = polled(&[]);
    let ended = submit(&server, &[]);
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (0, "j1\n", ""));
    let seen = &server.seen()[0];
    assert_eq!(seen.line, "POST /jobs?cp=words%2Cutil&mainClass=m.C&sync=false&context=c+d");
    assert_eq!(String::from_utf8_lossy(&seen.body).trim(), "\"input\".\"n\" = 2");
    let json = submit(&server, &["--json"]).stdout;
    assert_eq!(json, "{\"jobId\":\"j1\",\"status\":\"STARTED\",\"context\":\"c d\"}\n");
}

#[test]
fn wait_polls_to_the_end_and_prints_the_result() {
    let server = polled(&[
        (200, r#"{"jobId":"j1","status":"RUNNING"}"#),
        (503, ""),
        (200, r#"{"jobId":"j1","status":"FINISHED","result":{"b":[1.50, 12345678901234567890123], "a":"x"}}"#),
    ]);
    let ended = submit(&server, &["--wait"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.stdout, "{\"b\":[1.50, 12345678901234567890123], \"a\":\"x\"}\n");
    assert_eq!(ended.stderr, "job j1\n");
    assert_eq!(server.lines().len(), 4);
}

#[test]
fn wait_ends_with_1_when_the_job_fails() {
    let server = polled(&[(
        200,
        r#"{"jobId":"j1","status":"ERROR","result":{"message":"boom","errorClass":"E","stack":"Traceback\n  line 1\n"}}"#,
    )]);
    let ended = submit(&server, &["--wait"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
    assert_eq!(
        ended.stderr,
        "job j1\nTraceback\n  line 1\nerror: job j1 ended in ERROR: E: boom\nhint: `doyen job logs j1` shows what it wrote\n"
    );
    let json = submit(&server, &["--wait", "--json"]);
    assert!(json.stdout.starts_with(r#"{"jobId":"j1","status":"ERROR""#), "{json:?}");
}

#[test]
fn the_stack_of_sparks_own_process_is_printed_once() {
    let server = polled(&[(
        200,
        r#"{"jobId":"j1","status":"ERROR","result":{"message":"An error occurred\n\tat java.base/X.y\n","errorClass":"py4j.protocol.Py4JJavaError",
            "stack":"Traceback\npy4j.protocol.Py4JJavaError: An error occurred\n\tat java.base/X.y\n"}}"#,
    )]);
    let ended = submit(&server, &["--wait"]);
    assert_eq!(ended.stderr.matches("java.base").count(), 1, "{ended:?}");
    assert!(
        ended.stderr.contains("\nerror: job j1 ended in ERROR: Py4JJavaError: An error occurred\nhint"),
        "{ended:?}"
    );
}

#[test]
fn wait_ends_with_7_when_the_time_is_over() {
    let server = polled(&[(200, r#"{"jobId":"j1","status":"RUNNING"}"#)]);
    let ended = submit(&server, &["--wait", "--timeout", "1"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (7, ""));
    assert!(ended.stderr.contains("job j1 has not ended after 1s, and goes on"), "{ended:?}");
}

#[test]
fn a_refused_job_is_told() {
    for (status, body, code, told) in [
        (404, r#"{"status":"ERROR","result":"appName words not found"}"#, 4, "appName words not found"),
        (409, r#"{"status":"ERROR","result":"Context stop in progress"}"#, 5, "Context stop in progress"),
        (503, r#"{"status":"NO SLOTS AVAILABLE","result":"Too many"}"#, 6, "NO SLOTS AVAILABLE: Too many"),
    ] {
        let server = Server::playing(move |_| answer(status, body));
        let ended = submit(&server, &["--wait"]);
        assert_eq!((ended.code, ended.stderr), (code, format!("error: {told}\n")));
    }
}

#[test]
fn a_config_file_that_is_not_there_is_told() {
    let server = polled(&[]);
    let ended = submit(&server, &["--config", "no.conf"]);
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.starts_with("error: cannot read no.conf: "), "{ended:?}");
    assert!(server.seen().is_empty());
}

#[test]
fn list_is_a_table() {
    let server = Server::playing(|seen| match seen.line.as_str() {
        "GET /jobs?status=running&limit=2" => answer(
            200,
            r#"[{"jobId":"j1","startTime":"t","classPath":"m.C","context":"c","duration":"1 secs","status":"RUNNING"}]"#,
        ),
        "GET /jobs" => answer(200, "[]"),
        other => panic!("{other}"),
    });
    let ended = server.run(&["job", "list", "--status", "running", "--limit", "2"]);
    assert_eq!(
        ended.stdout,
        "ID  STATUS   CLASS  CONTEXT  STARTED  DURATION\nj1  RUNNING  m.C    c        t        1 secs\n"
    );
    assert_eq!(server.run(&["job", "list"]).stderr, "no jobs\n");
}

#[test]
fn show_and_kill() {
    let server = Server::playing(|seen| match seen.line.as_str() {
        "GET /jobs/j1" => answer(200, r#"{"jobId":"j1","status":"FINISHED","result":[1]}"#),
        "DELETE /jobs/j1" => answer(200, r#"{"status":"KILLED"}"#),
        "DELETE /jobs/j2" => answer(200, r#"{"status":"ERROR","ERROR":{"message":"boom"}}"#),
        _ => answer(404, r#"{"status":"ERROR","result":"No such job ID j3"}"#),
    });
    assert_eq!(server.run(&["job", "show", "j1"]).stdout, "jobId   j1\nstatus  FINISHED\nresult  [1]\n");
    assert_eq!(server.run(&["job", "kill", "j1"]).stderr, "job j1 is killed\n");
    let ended = server.run(&["job", "kill", "j2"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (1, "error: job j2 had ended in ERROR already: boom\n"));
    let ended = server.run(&["job", "logs", "j3"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (4, "error: No such job ID j3\n"));
}

#[test]
fn the_log_of_an_attempt_is_asked_for_by_its_number() {
    let server = Server::playing(|_| answer(200, "try 1\n"));
    assert_eq!(server.run(&["job", "logs", "--attempt", "1", "j1"]).stdout, "try 1\n");
    assert_eq!(server.run(&["job", "logs", "-f", "--attempt", "2", "j1"]).stdout, "try 1\n");
    assert_eq!(server.lines(), ["GET /v1/jobs/j1/logs?attempt=1", "GET /v1/jobs/j1/logs?follow=true&attempt=2"]);
}

#[test]
fn callbacks_are_shown_and_replayed() {
    const SHOWN: &str = r#"{"jobId":"j1","state":"WAITING","attempts":2,"log":[
        {"attempt":1,"time":"t1","durationMs":7,"status":503},{"attempt":2,"time":"t2","durationMs":8,"error":"late"}]}"#;
    let server = Server::playing(|seen| match seen.line.as_str() {
        "GET /v1/jobs/j1/callbacks" => answer(200, SHOWN),
        "POST /v1/jobs/j1/callbacks/replay" => answer(202, r#"{"jobId":"j1","state":"WAITING","log":[]}"#),
        _ => answer(404, r#"{"status":"ERROR","result":"No such job ID j3"}"#),
    });
    let shown = "jobId     j1\nstate     WAITING\nattempts  2\n\n\
                 ATTEMPT  TIME  MS  STATUS  ERROR\n1        t1    7   503     -\n2        t2    8   -       late\n";
    assert_eq!(server.run(&["job", "callbacks", "j1"]).stdout, shown);
    assert_eq!(server.run(&["job", "callbacks", "j1", "--json"]).stdout, format!("{SHOWN}\n"));
    let ended = server.run(&["job", "callbacks", "j1", "--replay"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "jobId  j1\nstate  WAITING\n"));
    assert_eq!(ended.stderr, "the callback of job j1 is delivered once more\n");
    assert_eq!(server.run(&["job", "callbacks", "j3"]).code, 4);
}

#[test]
fn a_job_that_waits_is_shown_with_its_place() {
    let server = Server::playing(|seen| match seen.line.as_str() {
        "POST /jobs?cp=words%2Cutil&mainClass=m.C&sync=false&context=c+d&queue=true&priority=-5&retries=2" => {
            answer(202, r#"{"jobId":"j1","status":"STARTED","queue":{"position":3,"priority":-5}}"#)
        }
        "GET /jobs/j1" => answer(200, r#"{"jobId":"j1","status":"STARTED","queue":{"position":3,"priority":-5}}"#),
        "GET /jobs" => answer(200, r#"[{"jobId":"j1","status":"STARTED","queue":{"position":3,"priority":-5}}]"#),
        other => panic!("{other}"),
    });
    assert_eq!(submit(&server, &["--queue", "--priority", "-5", "--retries", "2"]).stdout, "j1\n");
    let shown = server.run(&["job", "show", "j1"]).stdout;
    assert_eq!(shown, "jobId   j1\nstatus  STARTED\nqueue   position 3, priority -5\n");
    let listed = server.run(&["job", "list"]).stdout;
    assert!(listed.contains("j1  STARTED (queue: 3)  -"), "{listed}");
}

/// Sends what comes out of the channel as one chunked answer; an error cuts the connection.
fn following(mut lines: mpsc::Receiver<io::Result<&'static str>>) -> Server {
    let body =
        stream::poll_fn(move |context| lines.poll_recv(context).map(|line| line.map(|line| line.map(Bytes::from))));
    let body = Mutex::new(Some(Body::from_stream(body)));
    Server::playing(move |seen| {
        assert_eq!(seen.line, "GET /v1/jobs/j1/logs?follow=true");
        answer(200, body.lock().unwrap().take().unwrap())
    })
}

fn follow(server: &Server) -> Child {
    let directory = tempfile::tempdir().unwrap();
    let mut follow = command(&directory, &["--url", &server.url, "job", "logs", "j1", "-f"]);
    follow.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn finish(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn logs_come_as_they_are_written() {
    let (write, lines) = mpsc::channel(4);
    let server = following(lines);
    let mut child = follow(&server);
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    for text in ["one\n", "two\n"] {
        write.blocking_send(Ok(text)).unwrap();
        line.clear();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, text);
    }
    write.blocking_send(Ok("no end of line")).unwrap();
    drop(write);
    line.clear();
    stdout.read_to_string(&mut line).unwrap();
    assert_eq!(line, "no end of line");
    assert_eq!(finish(child), (Some(0), String::new()));
}

#[test]
fn a_reader_that_goes_away_is_a_quiet_end() {
    let (write, lines) = mpsc::channel(4);
    let server = following(lines);
    let mut child = follow(&server);
    drop(child.stdout.take());
    write.blocking_send(Ok("one\n")).unwrap();
    assert_eq!(finish(child), (Some(0), String::new()));
}

/// A part of a log, after which the connection is cut.
fn cut_after(text: &'static str) -> Body {
    let cut = async {
        // What stands before it is sent while nothing more is there.
        tokio::task::yield_now().await;
        Err(io::Error::other("cut"))
    };
    Body::from_stream(stream::iter([Ok(Bytes::from(text))]).chain(stream::once(cut)))
}

#[test]
fn a_log_that_breaks_off_is_told() {
    let server = Server::playing(|_| answer(200, cut_after("one\n")));
    let ended = server.run(&["job", "logs", "j1"]);
    assert_eq!(ended.code, 3);
    assert!(ended.stderr.starts_with("error: the log broke off before its end"), "{ended:?}");
}

/// Answers the first request with a log that breaks off, the second as a server that starts, and the next ones with the attempt
/// and the text that `next` says of a range.
fn restarting(next: fn(Option<&str>) -> (&'static str, &'static str)) -> Server {
    let requests = AtomicUsize::new(0);
    Server::playing(move |seen| {
        assert_eq!(seen.line, "GET /v1/jobs/j1/logs?follow=true");
        let (attempt, mut response) = match requests.fetch_add(1, Ordering::Relaxed) {
            0 => ("1", answer(200, cut_after("one\ntw"))),
            1 => ("", answer(503, r#"{"status":"ERROR","result":"The server starts"}"#)),
            _ => {
                let (attempt, text) = next(seen.range.as_deref());
                (attempt, answer(200, text))
            }
        };
        let headers = response.headers_mut();
        headers.insert("doyen-job-attempt", attempt.parse().unwrap());
        if attempt.is_empty() {
            headers.insert("doyen-error", "starting".parse().unwrap());
        }
        response
    })
}

#[test]
fn a_followed_log_goes_on_where_it_broke_off_when_the_server_is_back() {
    let server = restarting(|range| {
        assert_eq!(range, Some("bytes=6-"));
        ("1", "o\nthree\n")
    });
    let ended = server.run(&["job", "logs", "j1", "-f"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "one\ntwo\nthree\n"), "{ended:?}");
    assert_eq!(ended.stderr, "the log broke off before its end; trying again\n");
}

#[test]
fn a_job_that_runs_again_meanwhile_is_followed_from_the_beginning_of_its_attempt() {
    let server = restarting(|range| ("2", if range.is_some() { "d\n" } else { "second\n" }));
    let ended = server.run(&["job", "logs", "j1", "-f"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "one\ntwsecond\n"), "{ended:?}");
    assert!(ended.stderr.ends_with("attempt 2 from its beginning:\n"), "{ended:?}");
}
