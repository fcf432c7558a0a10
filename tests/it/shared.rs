//! A shared directory, used by two processes at once.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use doyen::adapters::blobs::ObjectBinaryStore;
use doyen::ports::{BinaryStore, Stamp};
use doyen::runtime::clock;

const DIRECTORY: &str = "DOYEN_TEST_SHARED_DIRECTORY";
const READY: &str = "ready";

fn open(directory: &Path) -> Arc<dyn BinaryStore> {
    Arc::new(ObjectBinaryStore::open_shared(directory).unwrap())
}

async fn upload(store: &Arc<dyn BinaryStore>) -> String {
    let mut writer = store.create().await.unwrap();
    writer.write(Bytes::from_static(b"content")).await.unwrap();
    writer.finish(None).await.unwrap().0
}

/// What the other process does: it deletes what is unchanged since the stamp that each line of its input names.
#[tokio::test]
async fn the_other_process() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let store = open(Path::new(&directory));
    println!("\n{READY}");
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let (sha256, stamp) = line.split_once(' ').unwrap();
        for _ in 0..20 {
            store.delete_unchanged(sha256, Stamp(stamp.parse().unwrap())).await.unwrap();
        }
        println!("\n{READY}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_process_uploads_is_there_although_another_deletes_the_older_one() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let mut other = Command::new(std::env::current_exe().unwrap());
    other.args(["--exact", "shared::the_other_process", "--nocapture"]).env(DIRECTORY, directory.path());
    let mut other = other.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(other.stdout.take().unwrap()).lines();
    let mut ready = || assert!(lines.any(|line| line.unwrap() == READY), "the other process ended");
    let mut input = other.stdin.take().unwrap();
    ready();
    for _ in 0..50 {
        let sha256 = upload(&store).await;
        let old = store.stat(&sha256).await.unwrap().unwrap().stamp;
        writeln!(input, "{sha256} {}", old.0).unwrap();
        upload(&store).await;
        ready();
        assert_eq!(store.size(&sha256).await, Ok(Some(7)));
    }
    drop(input);
    assert!(other.wait().unwrap().success());
}

#[tokio::test]
async fn uploads_of_another_process_outlive_an_opening_and_old_ones_do_not() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let mut writer = store.create().await.unwrap();
    writer.write(Bytes::from(vec![1; 3 << 20])).await.unwrap();
    let old = directory.path().join(format!("tmp/{}#1", doyen::runtime::random::id()));
    let file = std::fs::File::create(&old).unwrap();
    file.set_modified(clock::system_time() - Duration::from_secs(25 * 3600)).unwrap();
    let other = open(directory.path());
    assert!(!old.exists());
    let (sha256, _) = writer.finish(None).await.unwrap();
    assert_eq!(other.size(&sha256).await, Ok(Some(3 << 20)));
}
