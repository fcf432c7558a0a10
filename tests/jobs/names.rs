//! Names with slashes, dots, blanks, other scripts and without end: taken or refused, never a path.

use serde_json::json;

use crate::server::{CONTEXT, Server, WHEEL};
use crate::wheel;

/// Percent-encoded.
fn encoded(name: &str) -> String {
    name.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

const GOOD: [&str; 7] = ["two words", "a/b", "a/../b", "über/straße 名前 🦀", "100%", "\"quoted\" & 'so' ?#;=", "..a"];

#[test]
fn a_binary_may_have_any_name_that_can_be_shown() {
    let server = Server::shared();
    for name in GOOD {
        let path = format!("/binaries/{}", encoded(name));
        server.upload(&encoded(name), wheel::jobs()).expect(201);
        assert_eq!(server.get(&path).expect(200)["app-name"], name);
        assert!(server.get("/binaries").expect(200)[name].is_object());
        let job = format!("/jobs?appName={}&classPath=bad.Echo&context={CONTEXT}&sync=true", encoded(name));
        assert_eq!(server.post(&job, "a = 1").expect(200)["result"], json!({"a": 1}), "{name}");
        server.delete(&path).expect(200);
        assert_eq!(server.get(&path).status, 404);
    }
}

#[test]
fn a_context_may_have_any_name_that_begins_with_a_letter() {
    let server = Server::shared();
    for name in ["two words", "a/../b", "über 名前 🦀", "x%2F"] {
        let path = format!("/contexts/{}", encoded(name));
        server.post(&format!("{path}?context-factory=python"), "").expect(200);
        assert_eq!(server.get(&path).expect(200)["name"], name);
        let result = server.run_in(&encoded(name), "bad.Echo", "a = 1").expect(200);
        assert_eq!(result["result"], json!({"a": 1}), "{name}");
        server.delete(&path).expect(200);
        assert_eq!(server.get(&path).expect(200)["state"], "FINISHED");
    }
    server.still_serves();
}

#[test]
fn names_without_end_or_of_control_characters_are_refused() {
    let server = Server::shared();
    let long = "n".repeat(10_000);
    for name in [long.as_str(), "a\nb", "a\0b", &"ü".repeat(128)] {
        let name = encoded(name);
        assert!(server.upload(&name, "").says(400).contains("name"));
        assert!(server.post(&format!("/contexts/{name}?context-factory=python"), "").says(400).contains("name"));
        assert!(server.post(&format!("/data/{name}"), "").says(400).starts_with("Failed to store data file"));
        for path in ["binaries", "contexts", "jobs"] {
            assert_eq!(server.get(&format!("/{path}/{name}")).status, 404, "{path}");
            assert_eq!(server.delete(&format!("/{path}/{name}")).status, 404, "{path}");
        }
        assert_eq!(server.delete(&format!("/data/{name}")).status, 400);
    }
    server.still_serves();
}

#[test]
fn directories_as_names_are_refused() {
    let server = Server::shared();
    for name in ["%2E%2E", "%2E"] {
        for kind in ["binaries", "contexts", "data"] {
            // Not by a client that knows about paths.
            let head = format!("POST /{kind}/{name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
            let answer = server.raw(format!("{head}Content-Type: {WHEEL}\r\nContent-Length: 0\r\n\r\n").as_bytes());
            assert!(answer.starts_with("HTTP/1.1 400 "), "{kind} {name}: {answer}");
        }
    }
    server.still_serves();
}

#[test]
fn data_files_are_kept_in_their_directory() {
    let server = Server::shared();
    for name in ["two words", "名前", "..a"] {
        let stored = server.post(&format!("/data/{}", encoded(name)), "content").expect(200);
        let path = stored["result"]["filename"].as_str().unwrap();
        assert_eq!(std::path::Path::new(path).parent(), Some(server.data_dir().join("data").as_path()), "{path}");
        assert_eq!(std::fs::read_to_string(path).unwrap(), "content");
        assert_eq!(server.delete(&format!("/data/{}", encoded(path))).text(), "OK");
    }
    for name in ["a/b", "../escaped", "/etc/escaped"] {
        assert_eq!(
            server.post(&format!("/data/{}", encoded(name)), "").says(400),
            format!("Failed to store data file '{name}'.")
        );
    }
    for path in ["/etc/passwd", "../meta.redb", &server.data_dir().join("meta.redb").to_string_lossy()] {
        assert_eq!(server.delete(&format!("/data/{}", encoded(path))).status, 400);
    }
    server.still_serves();
}

#[test]
fn odd_job_ids_are_not_found() {
    let server = Server::shared();
    for id in ["two words", "..a", "a/b", "名前", "0"] {
        for path in ["", "/config"] {
            let said = server.get(&format!("/jobs/{}{path}", encoded(id))).says(404);
            assert_eq!(said, format!("No such job ID {id}"));
        }
        assert_eq!(server.get(&format!("/v1/jobs/{}/logs", encoded(id))).status, 404);
        assert_eq!(server.delete(&format!("/jobs/{}", encoded(id))).status, 404);
    }
}

#[test]
fn names_that_are_not_utf8_are_refused() {
    let server = Server::shared();
    for path in ["/binaries/%FF", "/contexts/a%FF", "/jobs/%FF"] {
        assert_eq!(server.get(path).status, 400, "{path}");
    }
}

#[test]
fn a_missing_binary_and_context_are_named() {
    let server = Server::shared();
    let job = |app: &str, context: &str| {
        server.post(&format!("/jobs?appName={app}&classPath=bad.Echo&context={context}"), "").says(404)
    };
    assert_eq!(job("%2E%2E%2Fx", CONTEXT), "appName ../x not found");
    assert_eq!(job("jobs", "no%20such"), "context no such not found");
}
