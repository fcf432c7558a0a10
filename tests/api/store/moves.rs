//! From a data directory to ZooKeeper and back: all is there, and what lives is not lost by mistake.

use reqwest::Method;
use rustix::process::Signal;
use serde_json::json;

use super::day::{SETTINGS, cursor, day, keyed, store};
use crate::fixture::{Place, Server, WHEEL, jobs};
use crate::servers::zookeeper::Ensemble;

fn all<'a>(more: &[&'a str]) -> Vec<&'a str> {
    SETTINGS.into_iter().chain(more.iter().copied()).collect()
}

async fn stopped(server: Server) -> Place {
    server.signal(Signal::INT);
    server.end().await.1
}

/// What the stream of events begins with for a reader with this cursor.
async fn first_event(server: &Server, cursor: u64) -> String {
    let mut response = server.request(Method::GET, &format!("/v1/events?cursor={cursor}")).send().await.unwrap();
    let mut text = String::new();
    while !text.contains("event: ") {
        text += std::str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap();
    }
    text.lines().find_map(|line| line.strip_prefix("event: ")).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_is_there_after_a_move_to_zookeeper_and_back() {
    let day = day().await;
    let server = Server::at(day.copied(), "127.0.0.1:0", &SETTINGS);
    let before = day.answers(&server).await;
    let old = stopped(server).await;
    store(&old, &["check"], &[]).is(0).says("the store is sound");
    store(&old, &["export", "file"], &[]).is(0);

    let ensemble = Ensemble::start(1);
    let servers = format!("zookeeper.servers={:?}", ensemble.addresses());
    let (place, file) = (Place::new(), old.path("file"));
    let directory = format!("store.shared.directory={:?}", place.path("shared"));
    let shared = ["store.metadata=\"zookeeper\"", servers.as_str(), "store.binaries=\"shared\"", directory.as_str()];
    std::fs::create_dir(place.path("shared")).unwrap();
    store(&place, &["import", file.to_str().unwrap()], &shared).is(0);
    store(&place, &["check"], &shared).is(0).says("the store is sound");
    let server = Server::at(place, "127.0.0.1:0", &all(&shared));
    assert_eq!(day.answers(&server).await, before);
    let again = keyed(&server).await;
    assert_eq!((again.header("idempotency-replayed"), &again.value()["jobId"]), ("true", &json!(day.keyed)));
    assert_eq!(first_event(&server, day.cursor).await, "reset");
    let later = cursor(&server).await;
    let place = stopped(server).await;

    let stats = store(&place, &["stats", "--json"], &shared).is(0).json().remove(0);
    assert_eq!(stats["jobs"], json!({"ERROR": 1, "FINISHED": 5, "KILLED": 1}));
    assert!(stats["znodes"].as_u64().unwrap() > stats["records"]["jobs"]["number"].as_u64().unwrap(), "{stats}");
    store(&place, &["export", "back"], &shared).is(0);
    // One of another data directory is refused.
    store(&Place::new(), &["import", "-"], &shared).is(64).says("in ZooKeeper is that of node");
    let home = Place::new();
    store(&home, &["import", place.path("back").to_str().unwrap()], &[]).is(0);
    store(&home, &["check"], &[]).is(0);
    let server = Server::at(home, "127.0.0.1:0", &SETTINGS);
    assert_eq!(day.answers(&server).await, before);
    assert_eq!(first_event(&server, later).await, "reset");
    stopped(server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_a_pipe_it_is_the_same() {
    let day = day().await;
    let (from, to) = (day.copied(), Place::new());
    let exported = super::day::command(&from, &["export", "-"], &[]).output().unwrap();
    assert!(exported.status.success());
    std::fs::write(to.path("file"), exported.stdout).unwrap();
    let input = std::fs::File::open(to.path("file")).unwrap();
    let imported = super::day::command(&to, &["import", "-", "--json"], &[]).stdin(input).output().unwrap();
    let imported = super::day::ended(imported).is(0).json().remove(0);
    assert_eq!((&imported["resumed"], imported["blobs"].as_u64().unwrap() > 2), (&json!(false), true), "{imported}");
    store(&to, &["check"], &[]).is(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_runs_is_named_and_what_lives_is_exported_only_as_lost() {
    let server = Server::with(&["contexts.restart-backoff=\"50ms\""]);
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    let query = "/contexts/c?supervise=true&max-jobs-per-context=1";
    server.post(query, "").await.says(200, "SUCCESS", "Context initialized");
    let gate = server.gate("gate");
    let running = server.waiting(&gate).await;
    let queued = server.job_with("Echo", &json!({"still": "here"}), "&queue=true").await;
    for arguments in [&["check", "--repair"][..], &["stats"], &["export", "file"], &["import", "-"]] {
        store(server.place(), arguments, &[]).is(66).says("hint: stop that server first");
    }
    server.signal(Signal::TERM);
    let (_, old) = server.end().await;
    store(&old, &["check"], &[]).is(0);
    let refused = store(&old, &["export", "file"], &[]).is(1);
    refused.says("1 contexts live, and 2 jobs have not ended (1 of them wait in a queue)");
    refused.says("--as-lost");
    assert!(!old.path("file").exists() && !old.path("file.part").exists());
    store(&old, &["export", "file", "--as-lost"], &[]).is(0);

    // Elsewhere: the context is started again, what ran is lost, and what waited runs.
    let place = Place::new();
    store(&place, &["import", old.path("file").to_str().unwrap()], &[]).is(0);
    store(&place, &["check"], &[]).is(0);
    let elsewhere = Server::at(place, "127.0.0.1:0", &["contexts.restart-backoff=\"50ms\""]);
    assert_eq!(elsewhere.ended(&running).await["status"], "ERROR");
    assert_eq!(elsewhere.ended(&queued).await["result"], json!({"still": "here"}));

    // And the drivers of the store that was exported are none of its business.
    let server = Server::at(old, "127.0.0.1:0", &[]);
    gate.open();
    assert_eq!(server.ended(&running).await["result"], "went on");
    server.reset().await;
    elsewhere.reset().await;
}
