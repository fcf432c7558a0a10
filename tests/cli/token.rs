//! `doyen token`, and how every command says who asks.

use std::process::Command;

use doyen::core::access::encode_basic;

use crate::support::{DOWN, Ended, Server, answer, command, end};

const TOKEN: &str = r#"{"id":"0123","user":"ann","permissions":["jobs"],"created":"2026-01-01T00:00:00.000Z","expires":"2026-04-01T00:00:00.000Z","token":"doyen_0123_4567"}"#;

fn with(url: &str, arguments: &[&str], set: impl FnOnce(&mut Command)) -> Ended {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("token"), "doyen_1_2\n").unwrap();
    let mut command = command(&directory, &[&["--url", url], arguments].concat());
    set(&mut command);
    end(command)
}

#[test]
fn create_prints_the_token_alone_on_stdout() {
    let server = Server::playing(|_| answer(201, TOKEN));
    let arguments = ["token", "create", "--permission", "jobs", "--life", "30d", "--of", "ann", "--note", "n"];
    let ended = server.run(&arguments);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "doyen_0123_4567\n"));
    assert_eq!(ended.stderr, "0123 of ann, good until 2026-04-01T00:00:00.000Z; it is not shown again\n");
    let seen = server.seen().pop().unwrap();
    assert_eq!(seen.line, "POST /v1/tokens");
    let wish: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
    assert_eq!(wish, serde_json::json!({"user": "ann", "permissions": ["jobs"], "life": "30d", "note": "n"}));
}

#[test]
fn list_and_revoke() {
    let server = Server::playing(|seen| match seen.line.as_str() {
        "GET /v1/tokens" => answer(200, format!("[{}]", TOKEN.replace(",\"token\":\"doyen_0123_4567\"", ""))),
        _ => answer(200, r#"{"status":"SUCCESS","result":"Token revoked"}"#),
    });
    let listed = server.run(&["token", "list"]);
    assert_eq!(
        listed.stdout,
        "ID    USER  EXPIRES                   PERMISSIONS  NOTE\n0123  ann   2026-04-01T00:00:00.000Z  jobs         -\n"
    );
    assert_eq!(server.run(&["token", "revoke", "0123"]).stderr, "revoked 0123\n");
    assert_eq!(server.lines(), ["GET /v1/tokens", "DELETE /v1/tokens/0123"]);
}

#[test]
fn who_asks_comes_from_flags_or_else_from_the_environment() {
    let server = Server::playing(|_| answer(200, "[]"));
    let basic = encode_basic("ann", "hush");
    let list = ["job", "list"];
    let set = |pairs: &'static [(&str, &str)]| {
        move |command: &mut Command| {
            command.envs(pairs.iter().copied());
        }
    };
    let with = |arguments: &[&str], pairs| assert_eq!(with(&server.url, arguments, set(pairs)).code, 0);
    with(&[&list[..], &["--user", "ann"]].concat(), &[("DOYEN_PASSWORD", "hush"), ("DOYEN_TOKEN", "t")]);
    with(&[&list[..], &["--token-file", "token"]].concat(), &[("DOYEN_USER", "bob")]);
    with(&list, &[("DOYEN_TOKEN", "t"), ("DOYEN_USER", "bob")]);
    with(&list, &[("DOYEN_USER", "ann"), ("DOYEN_PASSWORD", "hush")]);
    with(&list, &[]);
    let seen: Vec<String> = server.seen().into_iter().map(|seen| seen.authorization).collect();
    assert_eq!(seen, [basic.as_str(), "Bearer doyen_1_2", "Bearer t", &basic, ""]);
}

#[test]
fn refusals_say_what_to_do() {
    let server = Server::playing(|seen| match seen.line.as_str() {
        "GET /jobs" => answer(401, "The supplied authentication is invalid"),
        "GET /binaries" => answer(403, "The supplied authentication is not authorized to access this resource"),
        _ => answer(403, r#"{"status":"ERROR","result":"Binary is in use by job(s): x"}"#),
    });
    let unknown = server.run(&["job", "list"]);
    assert_eq!(unknown.code, 5);
    assert!(unknown.stderr.contains("The supplied authentication is invalid\nhint: say who you are with --user"));
    let forbidden = server.run(&["binary", "list"]);
    assert!(forbidden.code == 5 && forbidden.stderr.contains("\nhint: your roles do not permit it"), "{forbidden:?}");
    let in_use = server.run(&["binary", "rm", "b"]);
    assert_eq!((in_use.code, in_use.stderr.as_str()), (5, "error: Binary is in use by job(s): x\n"));
}

#[test]
fn secrets_are_not_shown_and_a_missing_one_is_told() {
    let server = Server::playing(|_| answer(401, "The supplied authentication is invalid"));
    let ended = with(&server.url, &["job", "list", "--user", "ann"], |command| {
        command.env("DOYEN_PASSWORD", "hush hush");
    });
    assert!(!format!("{ended:?}").contains("hush"), "{ended:?}");
    let missing = with(DOWN, &["job", "list", "--token-file", "none"], |_| {});
    assert!(missing.code == 2 && missing.stderr.contains("cannot read none"), "{missing:?}");
    let both = with(DOWN, &["job", "list", "--token-file", "token", "--user", "ann"], |_| {});
    assert_eq!(both.code, 2, "{both:?}");
}
