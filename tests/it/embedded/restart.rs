//! Closing, opening again, and limits.

use std::time::Duration;

use doyen::adapters::embedded::{EmbeddedStore, MAX_COMMIT_BYTES, OpenError};
use doyen::ports::{Change, Changes, Commit, CommitError, MetaStore, Revision, Write};
use futures::future::join_all;
use futures::poll;

use super::disk::Disk;

fn put(key: &str, size: usize) -> Commit {
    Commit { preconditions: vec![], writes: vec![Write::Put(key.into(), vec![7; size].into())] }
}

#[tokio::test]
async fn revisions_go_on_after_a_restart_and_so_do_cursors() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("meta.redb");
    let store = EmbeddedStore::open(&file, 1 << 20).unwrap();
    let first = store.commit(put("a", 10)).await.unwrap();
    let second = store.commit(put("b", 10)).await.unwrap();
    drop(store);

    let store = EmbeddedStore::open(&file, 1 << 20).unwrap();
    assert_eq!(store.revision().await.unwrap(), second);
    assert_eq!(store.get("a").await.unwrap().unwrap().version, first);
    let expected = Changes::Since { changes: vec![Change { revision: second, key: "b".into() }], cursor: second };
    assert_eq!(store.changes(first).await.unwrap(), expected);
    let mut waiting = Box::pin(store.changes(second));
    assert!(poll!(&mut waiting).is_pending());
    let third = store.commit(put("c", 10)).await.unwrap();
    assert!(third > second);
    assert!(matches!(waiting.await.unwrap(), Changes::Since { cursor, .. } if cursor == third));
}

#[tokio::test]
async fn closing_writes_what_is_queued() {
    let disk = Disk::default();
    let store = disk.open();
    let mut commits = Box::pin(join_all((0..100).map(|n| store.commit(put(&n.to_string(), 10)))));
    assert!(poll!(&mut commits).is_pending());
    drop(commits);
    drop(store);
    let store = disk.open();
    assert_eq!(store.range("", None, false, 1000).await.unwrap().len(), 100);
    assert_eq!(store.revision().await.unwrap(), Revision(100));
}

#[tokio::test]
async fn file_in_use_and_file_of_another_kind_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("meta.redb");
    let _store = EmbeddedStore::open(&file, 1 << 20).unwrap();
    assert!(matches!(EmbeddedStore::open(&file, 1 << 20), Err(OpenError::Database(redb::Error::DatabaseAlreadyOpen))));
    let other = directory.path().join("other");
    std::fs::write(&other, vec![b'x'; 10_000]).unwrap();
    assert!(matches!(EmbeddedStore::open(&other, 1 << 20), Err(OpenError::Database(_))));
    assert!(matches!(EmbeddedStore::open(directory.path(), 1 << 20), Err(OpenError::Database(redb::Error::Io(_)))));
}

#[tokio::test]
async fn commit_over_the_limit_is_too_large() {
    let disk = Disk::default();
    let store = disk.open();
    let answer = store.commit(put("k", MAX_COMMIT_BYTES)).await;
    let size_bytes = MAX_COMMIT_BYTES + 1;
    assert_eq!(answer, Err(CommitError::TooLarge { size_bytes, limit_bytes: MAX_COMMIT_BYTES }));
    assert_eq!(store.get("k").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_the_queue_holds_waits_its_turn() {
    let disk = Disk::default();
    let store = disk.open();
    disk.hold();
    let mut small = Box::pin(join_all((0..3000).map(|n| store.commit(put(&n.to_string(), 10)))));
    let mut large = Box::pin(join_all((0..5).map(|n| store.commit(put(&format!("large {n}"), 1 << 20)))));
    assert!(poll!(&mut small).is_pending() && poll!(&mut large).is_pending());
    disk.release();
    let all = async { futures::join!(small, large) };
    let (small, large) = tokio::time::timeout(Duration::from_secs(60), all).await.unwrap();
    assert!(small.iter().chain(&large).all(Result::is_ok));
}
