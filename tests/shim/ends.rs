//! Ends: of the driver, of the shim, of what either started.

use std::time::Duration;

use doyen::ports::Launcher;
use doyen::runtime::{clock, processes};
use rustix::process::Signal;
use serde_json::json;

use crate::server::{Link, Server};
use crate::shim::{Shim, eventually, spec, with_settings};

/// The driver has ended: `exited`, its acknowledgement, and nothing is left.
async fn exited(shim: &Shim, mut link: Link) -> serde_json::Value {
    let exited = link.expect("exited").await;
    link.send(json!({"ack_exited": {}})).await;
    shim.gone().await;
    assert!(!shim.directory().exists());
    exited
}

#[tokio::test]
async fn a_graceful_stop_lets_jobs_end() {
    let mut server = Server::start().await;
    let shim = Shim::start(&server).await;
    let mut link = server.ready().await;
    link.run("a", "wait", json!({})).await;
    link.expect("accepted").await;
    link.send(json!({"stop": {"graceful": true, "grace_ms": 20_000}})).await;
    assert_eq!(link.expect("finished").await["job"], "a");
    assert_eq!(exited(&shim, link).await["status"], 0);
}

#[tokio::test]
async fn exited_repeats_in_each_attachment_until_acknowledged() {
    let mut server = Server::start().await;
    let shim = Shim::start(&server).await;
    let mut link = server.ready().await;
    link.send(json!({"stop": {"graceful": true, "grace_ms": 20_000}})).await;
    link.expect("exited").await;
    drop(link);
    let mut link = server.attachment().await;
    link.expect("exited").await;
    drop(link);
    let link = server.attachment().await;
    assert_eq!(exited(&shim, link).await["status"], 0);
}

#[tokio::test]
async fn a_deaf_driver_is_killed_after_the_grace() {
    let mut server = Server::start().await;
    let shim = Shim::with(with_settings(spec(vec![server.url()]), json!({"deaf": true}))).await;
    let mut link = server.ready().await;
    link.run("a", "wait", json!({})).await;
    link.expect("accepted").await;
    link.send(json!({"stop": {"graceful": true, "grace_ms": 100}})).await;
    let error = link.expect("failed").await["error"].take();
    assert_eq!(error["class"], "DriverExited");
    assert!(error["message"].as_str().unwrap().contains("killed by signal 9"), "{error}");
    assert_eq!(exited(&shim, link).await["signal"], 9);
}

#[tokio::test]
async fn a_forced_stop_terminates_at_once() {
    let mut server = Server::start().await;
    let shim = Shim::start(&server).await;
    let mut link = server.ready().await;
    link.send(json!({"stop": {"graceful": false, "grace_ms": 60_000}})).await;
    assert_eq!(exited(&shim, link).await["signal"], 15);
}

#[tokio::test]
async fn a_wrong_secret_ends_driver_and_shim() {
    let mut server = Server::start().await;
    let shim = Shim::start(&server).await;
    server.connection().await.close(4401).await;
    shim.gone().await;
    assert!(!shim.directory().exists());
}

#[tokio::test]
async fn a_server_that_cannot_now_is_tried_again() {
    let mut server = Server::start().await;
    let _shim = Shim::start(&server).await;
    server.connection().await.close(4503).await;
    server.connection().await.close(1000).await;
    server.ready().await;
}

#[tokio::test]
async fn a_killed_driver_fails_its_jobs_and_is_reported_with_its_signal() {
    let mut server = Server::start().await;
    let shim = Shim::start(&server).await;
    let mut link = server.ready().await;
    link.run("a", "kill", json!({})).await;
    assert_eq!(link.expect("failed").await["error"]["class"], "DriverExited");
    assert_eq!(exited(&shim, link).await["signal"], 9);
}

#[tokio::test]
async fn a_driver_that_exits_is_reported_with_status_and_last_lines() {
    let mut server = Server::start().await;
    let shim = Shim::start(&server).await;
    let mut link = server.ready().await;
    link.run("a", "exit", json!({"status": 3})).await;
    let error = link.expect("failed").await["error"].take();
    assert_eq!(error["message"], "The driver ended with status 3; its last lines:\nlast words");
    let exited = exited(&shim, link).await;
    assert_eq!(exited, json!({"status": 3, "last_lines": ["last words"]}));
}

#[tokio::test]
async fn a_driver_that_cannot_be_understood_is_ended_one_with_news_is_not() {
    let mut server = Server::start().await;
    let shim = Shim::start(&server).await;
    let mut link = server.ready().await;
    link.run("a", "say", json!({"line": r#"{"invented_later":{"x":1}}"#})).await;
    link.run("b", "say", json!({"line": r#"{"progress":{"job":"b","done":1.0,"total":2.0}}"#})).await;
    assert_eq!(link.expect("progress").await["job"], "b");
    link.run("c", "say", json!({"line": "nonsense"})).await;
    for _ in 0..3 {
        link.expect("failed").await;
    }
    exited(&shim, link).await;
}

#[tokio::test]
async fn a_context_that_cannot_be_built_says_why() {
    let mut server = Server::start().await;
    let shim = Shim::with(with_settings(spec(vec![server.url()]), json!({"unable": "no master"}))).await;
    let mut link = server.attachment().await;
    assert_eq!(link.expect("unable").await["message"], "no master");
    assert_eq!(exited(&shim, link).await["status"], 1);
}

#[tokio::test]
async fn a_missing_executable_is_named_with_the_key_that_sets_it() {
    let mut server = Server::start().await;
    let mut spec = spec(vec![server.url()]);
    spec.executable = "no-such-program".into();
    let shim = Shim::with(spec).await;
    let mut link = server.attachment().await;
    let message = link.expect("unable").await["message"].as_str().unwrap().to_owned();
    assert!(message.contains("`no-such-program`") && message.contains("`drivers.test.executable`"), "{message}");
    assert_eq!(exited(&shim, link).await, json!({"last_lines": []}));
}

#[tokio::test]
async fn a_grandchild_in_a_session_of_its_own_is_killed_too() {
    let mut server = Server::start().await;
    let _shim = Shim::start(&server).await;
    let mut link = server.ready().await;
    link.run("a", "orphan", json!({})).await;
    let pid = u32::try_from(link.expect("finished").await["result"].as_u64().unwrap()).unwrap();
    let orphan = processes::find(pid).unwrap();
    link.run("b", "exit", json!({"status": 1})).await;
    link.expect("failed").await;
    link.expect("exited").await;
    assert!(!processes::alive(orphan), "exited is told when all is gone");
}

#[tokio::test]
async fn when_the_directory_disappears_all_ends() {
    let mut server = Server::start().await;
    let mut spec = spec(vec![server.url()]);
    // The directory is looked at four times in this, at least every 5 s.
    spec.limits.orphan_timeout_ms = 4_000;
    let shim = Shim::with(spec).await;
    let _link = server.ready().await;
    std::fs::remove_dir_all(shim.directory()).unwrap();
    shim.gone().await;
}

#[tokio::test]
async fn a_shim_that_reaches_no_server_ends_itself_and_its_driver() {
    let mut spec = spec(vec!["http://127.0.0.1:9".into()]);
    spec.limits.orphan_timeout_ms = 500;
    let started = clock::instant();
    let shim = Shim::with(spec).await;
    shim.gone().await;
    assert!(clock::since(started) >= Duration::from_millis(500));
    let word = shim.launcher.how_it_ended(&shim.launched).await.unwrap();
    assert!(word.starts_with("it ended itself, as no server was reached"), "{word}");
}

#[tokio::test]
async fn a_driver_ends_when_its_shim_is_killed() {
    let mut server = Server::start().await;
    let shim = Shim::start(&server).await;
    let _link = server.ready().await;
    shim.signal(Signal::KILL);
    shim.gone().await;
}

#[tokio::test]
async fn sigterm_stops_the_driver_gracefully() {
    let mut server = Server::start().await;
    let shim = Shim::start(&server).await;
    let link = server.ready().await;
    shim.signal(Signal::TERM);
    assert_eq!(exited(&shim, link).await["status"], 0);
}

#[tokio::test]
async fn the_launcher_kills_shim_driver_and_orphans() {
    let mut server = Server::start().await;
    let shim = Shim::start(&server).await;
    let mut link = server.ready().await;
    link.run("a", "orphan", json!({})).await;
    link.expect("finished").await;
    assert!(shim.launcher.alive(&shim.launched));
    shim.launcher.kill(&shim.launched).await;
    shim.launcher.remove(&shim.attempt()).await;
    assert!(!shim.launcher.alive(&shim.launched) && shim.below().is_empty() && !shim.directory().exists());
}

#[tokio::test]
async fn the_launcher_finds_what_a_dead_shim_left() {
    let mut server = Server::start().await;
    let shim = Shim::start(&server).await;
    let mut link = server.ready().await;
    link.run("a", "orphan", json!({})).await;
    link.expect("finished").await;
    shim.signal(Signal::KILL);
    eventually("an end of the shim", || !shim.launcher.alive(&shim.launched)).await;
    assert!(!shim.below().is_empty());
    shim.launcher.kill(&shim.launched).await;
    shim.launcher.remove(&shim.attempt()).await;
    assert!(shim.below().is_empty() && !shim.directory().exists());
}

#[tokio::test]
async fn the_same_attempt_is_not_launched_twice_and_its_files_are_the_owners() {
    use std::os::unix::fs::PermissionsExt;
    let server = Server::start().await;
    let shim = Shim::start(&server).await;
    let error = shim.launcher.launch(&spec(vec![server.url()])).await.unwrap_err();
    assert!(error.to_string().contains("context-3"), "{error}");
    let mode = |path: std::path::PathBuf| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(shim.directory().into()), mode(shim.path("spec.json"))), (0o700, 0o600));
}
