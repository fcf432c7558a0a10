//! Cursors that outlive the process, those of a copy and of another store, and how many are kept.

use std::path::Path;
use std::sync::Arc;
use std::task::Poll;

use doyen::adapters::embedded::EmbeddedStore;
use doyen::ports::{Changes, Commit, MetaStore, Revision, Write};
use futures::future::join_all;
use futures::poll;
use redb::{ReadableDatabase, ReadableTableMetadata, TableDefinition};

use super::disk::{Disk, Fault};

const CHANGES: TableDefinition<u64, &[u8]> = TableDefinition::new("changes");
const COUNTERS: TableDefinition<&str, u64> = TableDefinition::new("counters");

fn open(file: &Path) -> EmbeddedStore {
    EmbeddedStore::open(file, 1 << 20).unwrap()
}

fn all(writes: impl IntoIterator<Item = Write>) -> Commit {
    Commit { preconditions: vec![], writes: writes.into_iter().collect() }
}

async fn put(store: &EmbeddedStore, key: &str) -> Revision {
    store.commit(all([Write::Put(key.into(), "v".into())])).await.unwrap()
}

/// The keys that changed after the cursor up to now, as a stream hears of them; `None` when the cursor is lost.
pub async fn told(store: &EmbeddedStore, mut cursor: Revision) -> Option<Vec<String>> {
    let mut keys = Vec::new();
    // What is known is told at once; what it waits for has not happened yet.
    while let Poll::Ready(after) = poll!(Box::pin(store.changes(cursor))) {
        let Changes::Since { changes, cursor: next } = after.unwrap() else { return None };
        assert!(next > cursor && changes.iter().all(|change| change.revision > cursor && change.revision <= next));
        keys.extend(changes.into_iter().map(|change| change.key));
        cursor = next;
    }
    Some(keys)
}

/// `told`, with a space between the keys.
async fn words(store: &EmbeddedStore, cursor: Revision) -> String {
    told(store, cursor).await.map_or("lost".into(), |keys| keys.join(" "))
}

#[tokio::test]
async fn each_revision_is_a_cursor_that_outlives_restarts() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("meta.redb");
    let mut keys: Vec<&str> = Vec::new();
    let mut cursors = vec![(Revision(0), 0)];
    for life in ["a b", "c d e", "f"] {
        let store = open(&file);
        for (cursor, known) in &cursors {
            assert_eq!(words(&store, *cursor).await, keys[*known..].join(" "));
        }
        // They share transactions.
        let put_all = join_all(life.split(' ').map(|key| put(&store, key)));
        for (revision, key) in put_all.await.into_iter().zip(life.split(' ')) {
            keys.push(key);
            cursors.push((revision, keys.len()));
        }
        let deleted = store.commit(all([Write::Delete("a".into())])).await.unwrap();
        keys.push("a");
        cursors.push((deleted, keys.len()));
        // Nothing, but a revision.
        cursors.push((store.commit(Commit::default()).await.unwrap(), keys.len()));
        for (cursor, known) in &cursors {
            assert_eq!(words(&store, *cursor).await, keys[*known..].join(" "));
        }
    }
}

#[tokio::test]
async fn cursors_of_what_a_restored_copy_does_not_hold_are_lost_however_far_it_has_come() {
    let directory = tempfile::tempdir().unwrap();
    let (file, copy) = (directory.path().join("meta.redb"), directory.path().join("copy"));
    let store = open(&file);
    let kept = put(&store, "kept").await;
    drop(store);
    std::fs::copy(&file, &copy).unwrap();
    let store = open(&file);
    let forgotten = [put(&store, "x").await, put(&store, "y").await];
    drop(store);
    std::fs::copy(&copy, &file).unwrap();
    for life in 0..3 {
        let store = open(&file);
        for n in 0..10 {
            for cursor in forgotten {
                assert_eq!(told(&store, cursor).await, None, "life {life}, after {n} commits");
            }
            put(&store, "z").await;
        }
        assert!(words(&store, kept).await.starts_with("z z"));
    }
}

#[tokio::test]
async fn a_cursor_of_another_store_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let [one, other] = ["one", "other"].map(|name| open(&directory.path().join(name)));
    for _ in 0..10 {
        let cursor = put(&one, "a").await;
        assert_eq!(told(&other, cursor).await, None);
        put(&other, "b").await;
        assert_eq!(told(&other, cursor).await, None);
    }
}

/// As a program does that knows no table of changes.
fn write_as_of_old(file: &Path, revision: u64, forget: bool) {
    let database = redb::Database::open(file).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(COUNTERS).unwrap().insert("revision", revision).unwrap();
    if forget {
        transaction.delete_table(CHANGES).unwrap();
    }
    transaction.commit().unwrap();
}

#[tokio::test]
async fn a_file_of_a_program_without_a_table_of_changes_opens_and_only_its_cursors_are_lost() {
    for forget in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("meta.redb");
        let store = open(&file);
        let (first, second) = (put(&store, "a").await, put(&store, "b").await);
        drop(store);
        // In one case the file was never another program's; in the other that program took it over for a while.
        let now = Revision(if forget { second.0 } else { second.0 + 3 });
        write_as_of_old(&file, now.0, forget);

        let store = open(&file);
        assert_eq!(store.revision().await.unwrap(), now);
        assert_eq!(told(&store, first).await, None);
        assert!(poll!(&mut Box::pin(store.changes(now))).is_pending());
        put(&store, "c").await;
        drop(store);
        let store = open(&file);
        assert_eq!((told(&store, first).await, words(&store, now).await), (None, "c".into()));
        if !forget {
            assert_eq!((told(&store, second).await, told(&store, Revision(now.0 - 1)).await), (None, None));
        }
        assert!(store.get("a").await.unwrap().is_some());
    }
}

/// A thousand changes of a kilobyte each.
fn megabyte(n: usize) -> Commit {
    all((0..1000).map(|key| Write::Delete(format!("{n}/{key}/{}", "k".repeat(1000)))))
}

#[tokio::test]
async fn some_16_mib_of_changes_are_kept_and_a_commit_is_never_told_in_part() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("meta.redb");
    let store = open(&file);
    let mut cursors = vec![store.revision().await.unwrap()];
    for n in 0..40 {
        cursors.push(store.commit(megabyte(n)).await.unwrap());
    }
    for _ in 0..2 {
        assert_eq!(told(&store, cursors[22]).await, None);
        assert_eq!(told(&store, cursors[25]).await.unwrap().len(), 15_000);
        let Changes::Since { changes, cursor } = store.changes(cursors[25]).await.unwrap() else { panic!("lost") };
        assert!(changes.len().is_multiple_of(1000) && cursors.contains(&cursor));
    }
    drop(store);
    let database = redb::Database::open(&file).unwrap();
    let read = database.begin_read().unwrap();
    let table = read.open_table(CHANGES).unwrap();
    assert!((16..=18).contains(&table.len().unwrap()), "{:?}", table.len());
    let bytes: usize = table.range::<u64>(..).unwrap().map(|row| row.unwrap().1.value().len()).sum();
    assert!(bytes < 18 << 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_failed_flush_leaves_behind_is_told_if_it_is_there() {
    let disk = Disk::default();
    let store = disk.open();
    let begin = put(&store, "a").await;
    disk.hold();
    let trouble = async {
        disk.held().await;
        disk.fail(Some(Fault::Flush));
        // What waits already passes: the transaction is in the file, and the answer is that nobody knows.
        disk.release();
    };
    let unsure = store.commit(all([Write::Put("b".into(), "v".into())]));
    let (answer, ()) = futures::join!(unsure, trouble);
    assert!(answer.is_err());
    disk.fail(None);
    while store.commit(all([Write::Put("c".into(), "v".into())])).await.is_err() {}
    assert_eq!(words(&store, begin).await, "b c");
}

/// Comes from that cursor, again and again, until it has heard of the key `end`. Where it is led is never lost. All it heard.
async fn until_end(store: Arc<EmbeddedStore>, begin: Revision) -> Vec<String> {
    loop {
        let Changes::Since { changes, cursor } = store.changes(begin).await.unwrap() else {
            panic!("lost at the begin")
        };
        if changes.last().is_some_and(|last| last.key == "end") {
            return changes.into_iter().map(|change| change.key).collect();
        }
        let next = poll!(Box::pin(store.changes(cursor)));
        assert!(!matches!(next, Poll::Ready(Ok(Changes::Lost { .. }))), "lost after {} changes", changes.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_comes_from_before_a_restart_is_never_ahead_of_the_store() {
    let disk = Disk::default();
    let store = disk.open();
    put(&store, "0").await;
    drop(store);
    let store = Arc::new(disk.open());
    let reader = tokio::spawn(until_end(Arc::clone(&store), Revision(0)));
    for n in 1..300 {
        put(&store, &n.to_string()).await;
    }
    put(&store, "end").await;
    let expected: Vec<String> = (0..300).map(|n| n.to_string()).chain(["end".into()]).collect();
    assert_eq!(reader.await.unwrap(), expected);
}
