//! Imports that are broken off, go on, or must not begin; files that are cut or changed.

use std::path::Path;

use doyen::runtime::random;

use super::day::{SETTINGS, command, copy, day, ended, exported, frames, store};
use crate::fixture::{Place, Server};

fn import(file: &Path) -> [&str; 2] {
    ["import", file.to_str().unwrap()]
}

/// No server serves what is there.
#[track_caller]
fn is_not_served(place: &Place) {
    let refused = ended(place.refused("127.0.0.1:0")).is(69);
    refused.says("an import into");
    refused.says("hint: `doyen store import` of the same file goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_is_killed_anywhere_goes_on_and_is_not_served_before() {
    let day = day().await;
    let (from, to) = (day.copied(), Place::new());
    let file = exported(&from, &to);
    let points =
        ["store-import-begin:after:1", "blob-put:after:1", "store-import:before:1", "store-import-end:before:1"];
    for point in points {
        let killed = command(&to, &import(&file), &[]).env("DOYEN_CRASH", point).output().unwrap();
        assert_eq!(ended(killed).code, None, "{point}");
        is_not_served(&to);
        store(&to, &["check", "--no-content"], &[]).is(9);
        store(&to, &["export", "half"], &[]).is(1).says("has not come to its end");
    }
    store(&to, &import(&file), &[]).is(0).says("gone on with an import");
    store(&to, &["check"], &[]).is(0);
    store(&to, &import(&file), &[]).is(1).says("is not empty");

    let server = Server::at(from, "127.0.0.1:0", &SETTINGS);
    let before = day.answers(&server).await;
    drop(server);
    assert_eq!(day.answers(&Server::at(to, "127.0.0.1:0", &SETTINGS)).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_at_random_moments_do_no_harm() {
    let day = day().await;
    let (from, to) = (day.copied(), Place::new());
    let file = exported(&from, &to);
    for _ in 0..15 {
        let mut child = command(&to, &import(&file), &[]).stderr(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(random::below(64)));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // It may have come to its end before the last was killed.
    let last = store(&to, &import(&file), &[]);
    assert!(last.code == Some(0) || last.stderr.contains("is not empty"), "{last:?}");
    store(&to, &["check"], &[]).is(0);
    let again = to.path("again");
    store(&to, &["export", again.to_str().unwrap()], &[]).is(0);
    assert!(frames(&file) == frames(&again));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_file_that_is_not_whole_nothing_is_imported() {
    let (from, to) = (day().await.copied(), Place::new());
    let file = exported(&from, &to);
    let whole = std::fs::read(&file).unwrap();
    for _ in 0..8 {
        let at = usize::try_from(random::below(1 << 40)).unwrap() % whole.len();
        std::fs::write(&file, &whole[..at]).unwrap();
        store(&to, &import(&file), &[]).is(1).says(&format!("{}: it is cut", file.display()));
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        std::fs::write(&file, &flipped).unwrap();
        assert_ne!(store(&to, &import(&file), &[]).code, Some(0), "byte {at}");
        store(&to, &["check"], &[]).is(0).says("read 0 records, 0 packed jobs and 0 blobs");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipe_that_is_cut_leaves_what_another_try_completes() {
    let (from, to) = (day().await.copied(), Place::new());
    let file = exported(&from, &to);
    let whole = std::fs::read(&file).unwrap();
    let cut = to.path("cut");
    std::fs::write(&cut, &whole[..whole.len() - 1]).unwrap();
    let input = std::fs::File::open(&cut).unwrap();
    ended(command(&to, &["import", "-"], &[]).stdin(input).output().unwrap()).is(1).says("standard input: it is cut");
    is_not_served(&to);

    // Of another export it is not.
    let other = to.path("other");
    store(&from, &["export", other.to_str().unwrap()], &[]).is(0);
    store(&to, &import(&other), &[]).is(1).says("an import of another file");
    store(&to, &import(&file), &[]).is(0);
    store(&to, &["check"], &[]).is(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_not_empty_is_not_imported_into() {
    let (from, to) = (day().await.copied(), Place::new());
    let file = exported(&from, &to);
    copy(&from.path("data"), &to.path("data"));
    let refused = store(&to, &import(&file), &[]).is(1);
    refused.says("is not empty: it holds");
    refused.says("hint: an import fills an empty store");
    store(&to, &["check"], &[]).is(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_that_is_killed_leaves_no_file_under_its_name() {
    let place = day().await.copied();
    for _ in 0..5 {
        let mut child = command(&place, &["export", "file"], &[]).stderr(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(random::below(32)));
        child.kill().unwrap();
        if child.wait().unwrap().success() {
            std::fs::remove_file(place.path("file")).unwrap();
        } else {
            assert!(!place.path("file").exists());
        }
    }
    store(&place, &["export", "file"], &[]).is(0);
}
