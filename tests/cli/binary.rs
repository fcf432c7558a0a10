//! `binary push|list|rm`.

use crate::support::{Ended, Server, answer, command, end};

fn push(server: &Server, name: &str, file: &str, content: &[u8], more: &[&str]) -> Ended {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(file), content).unwrap();
    let arguments = [&["--url", &server.url, "binary", "push", name, file], more].concat();
    end(command(&directory, &arguments))
}

fn created() -> Server {
    Server::playing(|_| answer(201, r#"{"status":"SUCCESS"}"#))
}

#[test]
fn push_streams_the_file_with_its_length_and_type() {
    let server = created();
    let content: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let ended = push(&server, "a b/ü", "x-1.0.whl", &content, &[]);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, ""));
    assert_eq!(ended.stderr, "pushed a b/ü, 3000000 bytes\n");
    let seen = &server.seen()[0];
    assert_eq!(seen.line, "POST /binaries/a%20b%2F%C3%BC");
    assert_eq!(seen.content_type, "application/python-wheel");
    assert_eq!(seen.content_length, Some(3_000_000));
    assert!(seen.body == content);
}

#[test]
fn the_type_is_told_by_the_name_or_said() {
    let server = created();
    for (file, more) in [("x.egg", &[][..]), ("x.JAR", &[]), ("x", &["--type", "wheel"])] {
        assert_eq!(push(&server, "b", file, b"PK", more).code, 0);
    }
    let types: Vec<String> = server.seen().into_iter().map(|seen| seen.content_type).collect();
    assert_eq!(types, ["application/python-egg", "application/java-archive", "application/python-wheel"]);
    let ended = push(&server, "b", "x.zip", b"PK", &[]);
    assert_eq!(ended.code, 2);
    assert_eq!(ended.stderr, "error: cannot tell from its name what x.zip is\nhint: say --type wheel, egg or jar\n");
}

#[test]
fn a_file_that_cannot_be_read_is_told_before_anything_is_sent() {
    let server = created();
    let ended = server.run(&["binary", "push", "b", "no.whl"]);
    assert_eq!(ended.code, 2);
    assert_eq!(ended.stderr, "error: cannot read no.whl: No such file or directory (os error 2)\n");
    let ended = server.run(&["binary", "push", "b", ".", "--type", "egg"]);
    assert_eq!(ended.stderr, "error: cannot read .: not a regular file\n");
    assert!(server.seen().is_empty());
}

#[test]
fn a_refusal_is_in_the_servers_words() {
    let server = Server::playing(|_| answer(400, r#"{"status":"ERROR","result":"Binary is not of the right format"}"#));
    let ended = push(&server, "b", "x.whl", b"no zip", &[]);
    assert_eq!((ended.code, ended.stderr.as_str()), (5, "error: Binary is not of the right format\n"));
}

#[test]
fn a_refusal_before_the_end_of_a_small_upload_is_seen() {
    let server = Server::hasty(413, r#"{"status":"ERROR","result":"too large"}"#);
    let ended = push(&server, "b", "x.whl", b"PK", &[]);
    assert_eq!((ended.code, ended.stderr.as_str()), (5, "error: too large\n"));
}

#[test]
fn list_is_a_table_or_the_servers_json() {
    let json = r#"{"words":{"binary-type":"Wheel","upload-time":"now"},"a":{"binary-type":"Egg","upload-time":"t"}}"#;
    let server = Server::playing(move |_| answer(200, json));
    let ended = server.run(&["binary", "list"]);
    assert_eq!(ended.code, 0);
    assert_eq!(ended.stdout, "NAME   TYPE   UPLOADED\nwords  Wheel  now\na      Egg    t\n");
    assert_eq!(server.run(&["--json", "binary", "list"]).stdout, format!("{json}\n"));
}

#[test]
fn rm_of_what_is_not_there() {
    let server = Server::playing(|_| answer(404, r#"{"status":"ERROR","result":"can't find binary with name b"}"#));
    let ended = server.run(&["binary", "rm", "b"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (4, "error: can't find binary with name b\n"));
    assert_eq!(server.lines(), ["DELETE /binaries/b"]);
    assert_eq!(server.run(&["binary", "rm", ".."]).code, 2);
}
