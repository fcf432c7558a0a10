//! Jobs that fail, however they do, say why, and nobody else notices.

use serde_json::json;

use crate::server::{APP, CONTEXT, Server};
use crate::wheel::wheel;

/// The message of a job that must end in ERROR, while a job of the same context and binary runs on.
#[track_caller]
fn fails(class: &str, body: &str) -> String {
    let server = Server::shared();
    let directory = tempfile::tempdir().unwrap();
    let gate = directory.path().join("gate");
    let beside = server.submit(CONTEXT, APP, "bad.Waits", &json!({"file": gate}).to_string());
    server.until_written(&beside, "waiting");

    let sync = server.run(class, body.to_owned()).expect(200);
    let async_ = server.end_of(&server.submit(CONTEXT, APP, class, body));
    assert_eq!((&sync["status"], &async_["status"]), (&json!("ERROR"), &json!("ERROR")), "{sync} {async_}");
    let message = sync["result"]["message"].as_str().unwrap();
    assert!(!message.is_empty() && sync["result"]["errorClass"].is_string() && sync["result"]["stack"].is_string());

    assert_eq!(server.job(&beside)["status"], "RUNNING");
    std::fs::write(&gate, "").unwrap();
    assert_eq!(server.end_of(&beside)["result"], "came");
    server.still_serves();
    message.to_owned()
}

#[track_caller]
fn fails_with(class: &str, body: &str, words: &[&str]) {
    let message = fails(class, body);
    assert!(words.iter().all(|word| message.contains(word)), "{words:?} are not all in: {message}");
}

#[test]
fn no_such_class_or_module() {
    fails_with("bad.NoSuchClass", "", &["bad.NoSuchClass", "has no attribute 'NoSuchClass'"]);
    fails_with("nosuchmodule.Job", "", &["nosuchmodule"]);
}

#[test]
fn a_name_that_is_no_class() {
    fails_with("Echo", "", &["write package.module.Class"]);
    fails_with("bad.os", "", &["bad.os is no class"]);
}

#[test]
fn a_class_that_raises_in_validate() {
    fails_with("bad.RaisesInValidate", "", &["in validate", "ValueError", "validate says no"]);
}

#[test]
fn a_class_that_refuses_with_problems() {
    fails_with("bad.Refuses", "", &["first problem", "second problem"]);
}

#[test]
fn a_class_that_raises_in_run_job() {
    fails_with("bad.RaisesInRun", "", &["in run_job", "KeyError", "run_job says no"]);
}

#[test]
fn a_module_that_raises_at_import() {
    fails_with("broken.Job", "", &["OSError", "this module is broken"]);
}

#[test]
fn a_module_that_exits_at_import() {
    fails_with("leaving.Job", "", &["exit code 9"]);
}

#[test]
fn a_class_that_calls_os_exit() {
    fails_with("bad.Exits", "status = 0", &["exit code 0"]);
    fails_with("bad.Exits", "status = 77", &["exit code 77"]);
    fails_with("bad.ExitsInValidate", "", &["exit code 3"]);
}

#[test]
fn a_class_that_is_killed_by_a_signal() {
    fails_with("bad.KillsItself", "signal = SIGKILL", &["SIGKILL"]);
    fails_with("bad.KillsItself", "signal = SIGSEGV", &["SIGSEGV"]);
    fails_with("bad.KillsItself", "signal = SIGTERM", &["SIGTERM"]);
}

#[test]
fn a_result_that_is_a_cycle() {
    fails_with("bad.ReturnsCycle", "", &["result", "cycle"]);
}

#[test]
fn two_wheels_with_the_same_module_do_not_meet() {
    let server = Server::shared();
    let module = |word: &str| {
        let job = "class Job:\n    def validate(self, c, r, config): pass\n";
        wheel(&[("same.py", format!("{job}    def run_job(self, c, r, data): return '{word}'\n"))])
    };
    server.upload("one", module("one")).expect(201);
    server.upload("two", module("two")).expect(201);
    let run = |app: &str| {
        let path = format!("/jobs?cp={app}&mainClass=same.Job&context={CONTEXT}&sync=true&timeout=100");
        server.post(&path, "").expect(200)["result"].clone()
    };
    assert_eq!([run("one"), run("two"), run("one")], ["one", "two", "one"]);
    server.upload("one", module("newer")).expect(201);
    assert_eq!([run("one"), run("two")], ["newer", "two"]);
}
