//! Stores that are damaged by hand: what is told, what is repaired, and what is left alone.

use std::path::PathBuf;

use bytes::Bytes;
use doyen::adapters::embedded::EmbeddedStore;
use doyen::core::keys;
use doyen::ports::{Commit, MetaStore, Write};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::day::{SETTINGS, command, day, ended, store};
use crate::fixture::{Place, Server, eventually};

async fn change(place: &Place, writes: Vec<Write>) {
    let store = EmbeddedStore::open(&place.path("data/meta.redb"), 1 << 20).unwrap();
    store.commit(Commit { preconditions: Vec::new(), writes }).await.unwrap();
}

fn mark(key: &str) -> Write {
    Write::Put(key.into(), Bytes::new())
}

/// Files of blobs, by their size: the largest last.
fn blobs(place: &Place) -> Vec<PathBuf> {
    let directories = std::fs::read_dir(place.path("data/blobs")).unwrap().map(|entry| entry.unwrap().path());
    let files = directories.filter(|path| path.file_name().unwrap().len() == 2);
    let mut files: Vec<PathBuf> =
        files.flat_map(|path| std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path())).collect();
    files.sort_by_key(|path| path.metadata().unwrap().len());
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn indexes_that_disagree_are_told_in_a_line_each_and_repaired_only_when_told_to() {
    let day = day().await;
    let (place, id) = (day.copied(), &day.jobs[0]);
    let lost = keys::job_ended("FINISHED", id);
    change(
        &place,
        vec![Write::Delete(lost.clone()), mark("jobs-active/gone"), mark("binary-uses/jobs/gone"), mark("new/1")],
    )
    .await;

    let found = store(&place, &["check"], &[]).is(9);
    assert_eq!(
        found.lines(),
        [
            "dangling-entry: binary-uses/jobs/gone: there is no such job: the binary cannot be deleted; --repair would delete the entry",
            "dangling-entry: jobs-active/gone: there is no such job: it is read in vain; --repair would delete the entry",
            &format!(
                "missing-entry: jobs/{id}: {lost} is missing: lists of jobs by their state lack it; --repair would add the entry"
            ),
        ]
    );
    found.says("3 things are wrong (1 missing-entry, 2 dangling-entry); 0 of them are repaired");
    found.says("unknown kind new: 1 records");
    found.says("hint: `doyen store check --repair` repairs 3 of them");
    let machine = store(&place, &["check", "--json"], &[]).is(9).json();
    assert_eq!((&machine[0]["object"], &machine[0]["repaired"]), (&json!("binary-uses/jobs/gone"), &json!(false)));
    assert_eq!((&machine[3]["sound"], &machine[3]["unknown-kinds"]), (&json!(false), &json!({"new": 1})));
    assert_eq!(machine[3]["left"], machine[3]["findings"]);

    // Killed in the middle, and said again.
    let killed =
        command(&place, &["check", "--repair"], &[]).env("DOYEN_CRASH", "store-repair:after:1").output().unwrap();
    assert_eq!(ended(killed).code, None);
    store(&place, &["check"], &[]).is(9).says("2 things are wrong");
    store(&place, &["check", "--repair"], &[]).is(0).says("2 of them are repaired");
    store(&place, &["check"], &[]).is(0).says("the store is sound");
    let server = Server::at(place, "127.0.0.1:0", &SETTINGS);
    let finished = server.get("/jobs?status=finished").await.value();
    assert!(finished.as_array().unwrap().iter().any(|job| job["jobId"] == *id), "{finished}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_that_is_damaged_or_gone_is_told_with_whose_it_is_and_left_alone() {
    let day = day().await;
    let (place, large) = (day.copied(), &day.jobs[1]);
    let result = blobs(&place).pop().unwrap();
    let hash = result.file_name().unwrap().to_str().unwrap().to_owned();
    let mut bytes = std::fs::read(&result).unwrap();
    bytes[1_000_000] ^= 1;
    std::fs::write(&result, bytes).unwrap();
    let line = |kind: &str, how: &str| {
        format!("{kind}: jobs/{large}: its result, blob {hash}, is {how}: its result cannot be read")
    };
    assert_eq!(store(&place, &["check", "--repair"], &[]).is(9).lines(), [line("damaged-content", "damaged")]);
    store(&place, &["check", "--no-content"], &[]).is(0).says("their content not read");
    store(&place, &["export", "file"], &[]).is(1).says("hint: `doyen store check` says whose it is");
    assert!(!place.path("file").exists() && !place.path("file.part").exists());
    let rest = store(&place, &["export", "rest", "--without-unreadable"], &[]).is(0);
    rest.says(&format!("left out: blob {hash} is damaged"));
    rest.says("left out 1 blobs");
    let to = Place::new();
    store(&to, &["import", place.path("rest").to_str().unwrap()], &[]).is(0);
    assert_eq!(store(&to, &["check"], &[]).is(9).lines(), [line("missing-content", "missing")]);

    std::fs::remove_file(&result).unwrap();
    let missing = store(&place, &["check", "--repair"], &[]).is(9);
    assert_eq!(missing.lines(), [line("missing-content", "missing")]);
    missing.says("left as they are: 1 missing-content: what is gone cannot be made up; upload binaries again");
    store(&place, &["export", "file"], &[]).is(0);
    let stats = store(&place, &["stats", "--json"], &[]).is(0).json().remove(0);
    assert_eq!(stats["unreferenced-blobs"]["number"], 0, "{stats}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_jobs_in_segments_are_checked_counted_and_moved_with_what_they_refer_to() {
    let day = day().await;
    let packing = ["pack=\"on\"", "recent=1", "segment-jobs=2", "settled-after=\"0s\"", "interval=\"20ms\""];
    let packing = packing.map(|it| format!("history.{it}"));
    // The callback of one of them waits.
    let settings: Vec<&str> = SETTINGS.into_iter().chain(packing.iter().map(String::as_str)).collect();
    let server = Server::at(day.copied(), "127.0.0.1:0", &settings);
    eventually("most jobs in segments", || async {
        server.get("/metrics").await.text().contains("\ndoyen_history_packed_total 4\n")
    })
    .await;
    server.signal(Signal::INT);
    let from = server.end().await.1;
    store(&from, &["check"], &[]).is(0).says("4 packed jobs");
    let stats = store(&from, &["stats", "--json"], &[]).is(0).json().remove(0);
    assert_eq!((&stats["packed-jobs"], &stats["unreferenced-blobs"]["number"]), (&json!(4), &json!(0)), "{stats}");
    store(&from, &["export", "file"], &[]).is(0);
    let to = Place::new();
    store(&to, &["import", from.path("file").to_str().unwrap()], &[]).is(0);
    store(&to, &["check"], &[]).is(0).says("4 packed jobs");

    let manifests =
        EmbeddedStore::open(&from.path("data/meta.redb"), 1 << 20).unwrap().range("history/", None, false, 9).await;
    let manifest: Value = serde_json::from_slice(&manifests.unwrap()[0].value).unwrap();
    let segment = manifest["segment"]["sha256"].as_str().unwrap().to_owned();
    let lost = blobs(&from).into_iter().find(|path| path.ends_with(&segment)).unwrap();
    std::fs::remove_file(lost).unwrap();
    let found = store(&from, &["check", "--repair"], &[]).is(9);
    assert!(found.stdout.starts_with("missing-content: history/000000000000: its segment, blob "), "{found:?}");
    found.says("retention keeps them while 1 segments of old jobs cannot be read");

    std::fs::remove_file(blobs(&to).pop().unwrap()).unwrap();
    let found = store(&to, &["check"], &[]).is(9);
    let missing = format!("missing-content: jobs/{}: its result, blob ", day.jobs[1]);
    assert!(found.stdout.starts_with(&missing) && found.lines().len() == 1, "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_that_nothing_refers_to_is_no_harm() {
    let place = day().await.copied();
    let stray = place.path("data/blobs/e3");
    std::fs::create_dir_all(&stray).unwrap();
    std::fs::write(stray.join("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"), "").unwrap();
    let sound = store(&place, &["check"], &[]).is(0);
    sound.says("nothing is seen to refer to 1 blobs of 0 bytes; retention removes them");
    let people = store(&place, &["stats"], &[]).is(0);
    assert!(people.stdout.contains("blobs without a reference  1 "), "{people:?}");
    assert!(people.stdout.contains("jobs KILLED: 1\n"), "{people:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_do_not_read_are_told_and_left_alone() {
    let place = day().await.copied();
    change(&place, vec![Write::Put("binaries/jobs".into(), Bytes::from_static(b"{"))]).await;
    let found = store(&place, &["check", "--repair"], &[]).is(9);
    assert_eq!(found.lines().len(), 1);
    assert!(found.stdout.starts_with("unreadable: binaries/jobs: the record cannot be read:"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_what_is_left_of_lost_jobs_a_repair_keeps_what_may_be_wanted_and_says_so() {
    let day = day().await;
    let (place, id) = (day.copied(), &day.jobs[0]);
    let store_file = EmbeddedStore::open(&place.path("data/meta.redb"), 1 << 20).unwrap();
    let timeline = store_file.get(&format!("job-timelines/{id}")).await.unwrap().expect("each job has one").value;
    drop(store_file);
    let put = |key: &str, value: Bytes| Write::Put(key.into(), value);
    change(&place, vec![put("job-timelines/gone", timeline), put("job-configs/gone", Bytes::from_static(b"{}"))]).await;
    store(&place, &["check"], &[]).is(9).says("`doyen store check --repair` repairs 1 of them");
    let repaired = store(&place, &["check", "--repair"], &[]).is(9);
    assert!(repaired.lines()[1].ends_with("nobody can ask for it; repaired"), "{repaired:?}");
    repaired.says("left as they are: 1 orphan: it may be all that is left of its job");
    let left = store(&place, &["check"], &[]).is(9);
    assert!(left.lines().len() == 1 && left.stdout.starts_with("orphan: job-configs/gone: "), "{left:?}");
}
