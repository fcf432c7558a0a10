//! What a shim that was killed, or that reached no server any more, leaves of its jobs' logs.

use std::fs;

use doyen::ports::{Attempt, Launcher};
use futures::TryStreamExt;
use rustix::process::Signal;
use serde_json::json;

use crate::server::Server;
use crate::shim::{Shim, spec};

async fn left(shim: &Shim, of: &Attempt, job: &str, limit_bytes: u64) -> Option<String> {
    let log = shim.launcher.leftover_log(of, job, limit_bytes).await?;
    let parts: Vec<bytes::Bytes> = log.try_collect().await.unwrap();
    Some(String::from_utf8(parts.concat()).unwrap())
}

#[tokio::test]
async fn the_log_of_a_killed_shim_is_read_cut_and_removed() {
    let mut server = Server::start().await;
    let shim = Shim::start(&server).await;
    let mut link = server.ready().await;
    link.run("a", "print", json!({"text": "line\n", "times": 100, "wait": true})).await;
    link.expect("accepted").await;
    shim.signal(Signal::KILL);
    assert!(shim.launcher.kill(&shim.launched).await);
    let of = shim.attempt();
    assert_eq!(left(&shim, &of, "a", 500).await, Some("line\n".repeat(100)));
    assert_eq!(left(&shim, &of, "b", 500).await, None);
    let cut = left(&shim, &of, "a", 200).await.unwrap();
    assert!(cut.len() <= 200 && cut.starts_with("line\n") && cut.ends_with("line\n"), "{cut}");
    assert!(cut.contains("[doyen: log over 200 bytes, cut here]"), "{cut}");
    shim.launcher.remove(&of).await;
    assert!(!shim.directory().exists());
    assert_eq!(left(&shim, &of, "a", 500).await, None);
    shim.launcher.remove(&of).await;
}

#[tokio::test]
async fn what_a_job_put_in_the_place_of_its_log_is_not_followed_and_nobody_waits_for_it() {
    let server = Server::start().await;
    let shim = Shim::start(&server).await;
    shim.launcher.kill(&shim.launched).await;
    let secret = shim.path("secret");
    fs::write(&secret, "another's").unwrap();
    fs::create_dir_all(shim.path("logs/directory.log")).unwrap();
    std::os::unix::fs::symlink(secret, shim.path("logs/link.log")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(shim.path("logs/pipe.log")).status().unwrap().success());
    fs::write(shim.path("logs/empty.log"), "").unwrap();
    for job in ["directory", "link", "pipe", "empty"] {
        assert_eq!(left(&shim, &shim.attempt(), job, 500).await, None, "{job}");
    }
}

#[tokio::test]
async fn a_shim_that_reached_no_server_any_more_leaves_the_logs_of_its_jobs_and_its_reason_and_nothing_else() {
    let mut server = Server::start().await;
    let mut spec = spec(vec![server.url()]);
    spec.limits.orphan_timeout_ms = 1_000;
    let shim = Shim::with(spec).await;
    let mut link = server.ready().await;
    link.run("a", "print", json!({"text": "line\n", "wait": true})).await;
    link.expect("accepted").await;
    drop((link, server));
    shim.gone().await;
    let mut left_over: Vec<_> =
        fs::read_dir(shim.directory()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left_over.sort();
    assert_eq!(left_over, ["last-word", "logs"]);
    let word = "it ended itself, as no server was reached for 1 s (contexts.orphan-timeout)";
    assert_eq!(shim.launcher.how_it_ended(&shim.launched).await.as_deref(), Some(word));
    assert_eq!(left(&shim, &shim.attempt(), "a", 500).await.as_deref(), Some("line\n"));
}

#[tokio::test]
async fn how_a_shim_was_killed_is_known_to_the_server_that_started_it_and_a_forged_word_is_not_followed() {
    let mut server = Server::start().await;
    let shim = Shim::start(&server).await;
    let _link = server.ready().await;
    shim.signal(Signal::KILL);
    assert!(shim.launcher.kill(&shim.launched).await);
    std::os::unix::fs::symlink("/proc/version", shim.path("last-word")).unwrap();
    let told = shim.launcher.how_it_ended(&shim.launched).await;
    assert_eq!(told.as_deref(), Some("its shim was killed by signal 9"));
    assert_eq!(shim.launcher.how_it_ended(&shim.launched).await, None, "it is told once");
}
