//! `context create|list|show|stop`.

use crate::support::{Server, answer, command, end};

#[test]
fn create_sends_the_factory_the_file_and_the_keys() {
    let server = Server::playing(|_| answer(200, r#"{"status":"SUCCESS","result":"Context initialized"}"#));
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("c.conf"), "{ spark.master = local }").unwrap();
    let arguments = ["--url", &server.url, "context", "create", "c", "--factory", "python", "--config", "c.conf"];
    let ended = end(command(&directory, &[&arguments[..], &["--set", "spark.cores.max=2"]].concat()));
    assert_eq!((ended.code, ended.stderr.as_str()), (0, "c is running\n"));
    let seen = &server.seen()[0];
    assert_eq!(seen.line, "POST /contexts/c?context-factory=python&spark.cores.max=2");
    assert_eq!(String::from_utf8(seen.body.clone()).unwrap(), "{ spark.master = local }");
}

#[test]
fn what_went_wrong_at_the_start_is_told() {
    let server = Server::playing(|_| {
        answer(
            500,
            r#"{"status":"CONTEXT INIT ERROR","result":{"message":"no Java","errorClass":"ContextInitError","stack":""}}"#,
        )
    });
    let ended = server.run(&["context", "create", "c"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (6, "error: CONTEXT INIT ERROR: ContextInitError: no Java\n"));
}

#[test]
fn list_and_show() {
    let server = Server::playing(|seen| match seen.line.as_str() {
        "GET /contexts" => answer(200, r#"["a","b"]"#),
        "GET /v1/contexts/a" => answer(200, r#"{"id":"1","name":"a","state":"RUNNING","endTime":"Empty"}"#),
        _ => answer(404, r#"{"status":"ERROR","result":"can't find context with name x"}"#),
    });
    assert_eq!(server.run(&["context", "list"]).stdout, "a\nb\n");
    let shown = server.run(&["context", "show", "a"]).stdout;
    assert_eq!(shown, "id       1\nname     a\nstate    RUNNING\nendTime  Empty\n");
    let ended = server.run(&["context", "show", "x"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (4, "error: can't find context with name x\n"));
}

#[test]
fn stop_may_take_longer() {
    let server = Server::playing(|seen| match seen.line.as_str() {
        "DELETE /contexts/a" => answer(200, r#"{"status":"SUCCESS","result":"Context stopped"}"#),
        "DELETE /contexts/a?force=true" => answer(202, ""),
        other => panic!("{other}"),
    });
    assert_eq!(server.run(&["context", "stop", "a"]).stderr, "a has stopped\n");
    let ended = server.run(&["context", "stop", "a", "--force"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, "a is stopping; it takes longer\n"));
}
