//! Which server is asked, and what is said when none answers.

use std::io::{Read, Write};
use std::net::TcpListener;

use crate::support::{DOWN, Server, answer, command, end, run};

#[test]
fn no_server_there() {
    let ended = run(&["--url", DOWN, "job", "list"]);
    assert_eq!(ended.code, 3);
    assert_eq!(ended.stdout, "");
    assert_eq!(
        ended.stderr,
        "error: no server at http://127.0.0.1:1: Connection refused (os error 111)\n\
         hint: `doyen server` starts one; --url or DOYEN_URL names another\n"
    );
}

#[test]
fn several_servers_all_down_are_each_told_without_passwords() {
    let ended = run(&["--url", "http://me:secret@127.0.0.1:1", "--url", DOWN, "context", "stop", "c"]);
    assert_eq!(ended.code, 3);
    assert_eq!(ended.stderr.matches("http://127.0.0.1:1: Connection refused").count(), 2, "{ended:?}");
    assert!(!ended.stderr.contains("secret"), "{ended:?}");
}

#[test]
fn first_down_second_up() {
    let up = Server::playing(|_| answer(200, "[]"));
    let ended = run(&["--url", DOWN, "--url", &up.url, "--json", "job", "list"]);
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (0, "[]\n", ""));
    assert_eq!(up.lines(), ["GET /readyz", "GET /jobs"]);
}

#[test]
fn first_not_ready_second_up_and_a_change_goes_there_alone() {
    let waiting = Server::playing(|_| answer(503, ""));
    let up = Server::playing(|_| answer(200, r#"{"status":"SUCCESS"}"#));
    let ended = run(&["--url", &format!("{},{}", waiting.url, up.url), "binary", "rm", "b"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(waiting.lines(), ["GET /readyz"]);
    assert_eq!(up.lines(), ["GET /readyz", "DELETE /binaries/b"]);
}

/// A server that waits for its stores, or stops.
fn unready(code: &'static str) -> Server {
    Server::playing(move |_| {
        let mut response = answer(503, r#"{"status":"ERROR","result":"it waits for ZooKeeper"}"#);
        response.headers_mut().insert("doyen-error", code.parse().unwrap());
        response
    })
}

#[test]
fn a_server_that_is_not_ready_is_one_exit_code_whether_one_is_named_or_two() {
    let (starting, stopping) = (unready("starting"), unready("stopping"));
    for arguments in [&["job", "list"][..], &["context", "stop", "c"]] {
        let one = starting.run(arguments);
        assert_eq!(one.code, 3, "{one:?}");
        let said =
            format!("error: the server is not ready, {}: it waits for ZooKeeper\nhint: it has not begun", starting.url);
        assert!(one.stderr.starts_with(&said), "{one:?}");
        let two = run(&[&["--url", &starting.url, "--url", &stopping.url], arguments].concat());
        assert_eq!(two.code, 3, "{two:?}");
        assert!(two.stderr.starts_with("error: no server is ready:\n"), "{two:?}");
        assert_eq!(two.stderr.matches("it waits for ZooKeeper").count(), 2, "{two:?}");
    }
}

#[test]
fn the_environment_names_servers_and_none_is_an_error() {
    let up = Server::playing(|_| answer(200, "[]"));
    let directory = tempfile::tempdir().unwrap();
    let mut list = command(&directory, &["context", "list"]);
    list.env("DOYEN_URL", format!("{DOWN},{}", up.url));
    assert_eq!(end(list).code, 0);
    let ended = run(&["--url", "localhost:8090", "job", "list"]);
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("hint: write one like http://127.0.0.1:8090"), "{ended:?}");
}

#[test]
fn plain_http_works_where_the_system_has_no_certificates() {
    let up = Server::playing(|_| answer(200, "[]"));
    let directory = tempfile::tempdir().unwrap();
    let mut list = command(&directory, &["--url", &up.url, "job", "list"]);
    list.env("SSL_CERT_FILE", "none").env("SSL_CERT_DIR", "none");
    assert_eq!(end(list).code, 0);
}

/// Takes one request, and hangs up instead of answering; its text.
fn hanging_up() -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        loop {
            let (mut connection, _) = listener.accept().unwrap();
            let mut bytes = [0; 4096];
            let length = connection.read(&mut bytes).unwrap();
            if !bytes[..length].starts_with(b"GET /readyz") {
                return String::from_utf8_lossy(&bytes[..length]).into_owned();
            }
            connection.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").unwrap();
        }
    });
    (url, thread)
}

#[test]
fn a_change_whose_answer_was_lost_goes_to_the_next_with_its_key() {
    let (url, thread) = hanging_up();
    let other = Server::playing(|_| answer(200, r#"{"status":"SUCCESS"}"#));
    let ended = run(&["--url", &url, "--url", &other.url, "context", "stop", "c"]);
    let first = thread.join().unwrap();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(other.lines(), ["GET /readyz", "DELETE /contexts/c"]);
    let key = other.seen()[1].idempotency_key.clone().unwrap();
    assert!(first.contains(&format!("idempotency-key: {key}\r\n")), "{first}");
}

#[test]
fn a_change_whose_answer_is_lost_everywhere_may_have_been_done() {
    let (url, thread) = hanging_up();
    let ended = run(&["--url", &url, "context", "stop", "c"]);
    thread.join().unwrap();
    assert_eq!(ended.code, 8, "{ended:?}");
    assert!(ended.stderr.contains("whether it was done is unknown"), "{ended:?}");
}

#[test]
fn a_change_that_the_server_is_still_at_work_on_is_asked_for_again() {
    let tries = std::sync::atomic::AtomicUsize::new(0);
    let server = Server::playing(move |_| {
        if tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 0 {
            return answer(200, r#"{"status":"SUCCESS"}"#);
        }
        let mut at_work = answer(409, r#"{"status":"ERROR","result":"at work"}"#);
        at_work.headers_mut().insert("doyen-error", "idempotency-key-at-work".parse().unwrap());
        at_work
    });
    assert_eq!(server.run(&["binary", "rm", "b"]).code, 0);
    let keys: Vec<_> = server.seen().into_iter().map(|seen| seen.idempotency_key.unwrap()).collect();
    assert!(keys.len() == 2 && keys[0] == keys[1], "{keys:?}");
}

#[test]
fn each_change_has_a_key_of_its_own_and_a_read_has_none() {
    let server = Server::playing(|_| answer(200, "{}"));
    for command in [["binary", "rm", "b"], ["binary", "rm", "b"], ["job", "show", "j"]] {
        server.run(&command);
    }
    let keys: Vec<_> = server.seen().into_iter().map(|seen| seen.idempotency_key).collect();
    assert!(keys[0].is_some() && keys[0] != keys[1] && keys[2].is_none(), "{keys:?}");
}

#[test]
fn a_read_whose_answer_was_lost_goes_to_the_next() {
    let (url, thread) = hanging_up();
    let other = Server::playing(|_| answer(200, "[]"));
    let ended = run(&["--url", &url, "--url", &other.url, "job", "list"]);
    thread.join().unwrap();
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[test]
fn what_is_no_job_server_is_told() {
    let other = Server::playing(|_| answer(200, "<html>hello</html>"));
    let ended = other.run(&["job", "list"]);
    assert_eq!(ended.code, 6);
    assert!(ended.stderr.starts_with("error: the server's answer is not what was expected"), "{ended:?}");
}
