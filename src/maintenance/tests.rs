//! Moves between stores in memory.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::adapters::memory::{MemoryBlobs, MemoryStore};
use crate::ports::{Commit, Write};

const NO_PROGRESS: Progress<'static> = &|_| {};

fn stores(commit_bytes: usize) -> Stores {
    let (meta, blobs) = (Arc::new(MemoryStore::default()), Arc::new(MemoryBlobs::default()));
    let (meta_place, blobs_place) = ("here".into(), "there".into());
    let (belongings, scratch) = (Arc::new(Nothing), std::env::temp_dir());
    Stores { meta, blobs, meta_place, blobs_place, commit_bytes, znodes: None, belongings, packing: None, scratch }
}

struct Nothing;

#[async_trait]
impl Belongings for Nothing {
    async fn belong_to(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
}

async fn put(stores: &Stores, key: &str, value: &[u8]) {
    let writes = vec![Write::Put(key.into(), Bytes::copy_from_slice(value))];
    stores.meta.commit(Commit { preconditions: Vec::new(), writes }).await.unwrap();
}

async fn content(stores: &Stores) -> Vec<(String, Bytes)> {
    let entries = stores.meta.range("", None, false, 10_000).await.unwrap();
    let content = entries.into_iter().filter(|entry| entry.key != keys::STORE_ID);
    content.map(|entry| (entry.key, entry.value)).collect()
}

/// Its export, in a file of this directory.
async fn exported(stores: &Stores, directory: &Path) -> std::path::PathBuf {
    let mut bytes = Vec::new();
    export(stores, ExportOptions { as_lost: false, without_unreadable: false }, &mut bytes, &mut |_| {}, NO_PROGRESS)
        .await
        .unwrap();
    let file = directory.join("file");
    std::fs::write(&file, bytes).unwrap();
    file
}

#[tokio::test]
async fn what_this_version_does_not_know_is_moved_as_it_is() {
    let (from, to, directory) = (stores(1 << 20), stores(1 << 20), tempfile::tempdir().unwrap());
    for number in 0..1500 {
        put(&from, &format!("history/{number:04}"), &[0, 255, b'\n']).await;
    }
    put(&from, "alone", b"").await;
    let mut writer = from.blobs.create().await.unwrap();
    writer.write(Bytes::from(vec![7; 700_000])).await.unwrap();
    writer.finish(None).await.unwrap();
    let file = exported(&from, directory.path()).await;
    let imported = import(&to, Source::File(&file), NO_PROGRESS).await.unwrap();
    assert_eq!((imported.entries, imported.blobs, imported.resumed), (1501, 1, false));
    assert_eq!(content(&to).await, content(&from).await);
    assert_eq!(to.blob_bytes().await.unwrap(), 700_000);
}

#[tokio::test]
async fn each_is_read_once_however_all_fall_into_pages() {
    for number in [0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE] {
        let (stores, keys) = (stores(1 << 20), (0..number).map(|n| format!("x/{n:04}")).collect::<Vec<_>>());
        for key in &keys {
            put(&stores, key, b"").await;
        }
        let read: Vec<_> = stores.entries().map_ok(|entry| entry.key).try_collect().await.unwrap();
        assert_eq!(read, keys);
    }
}

#[tokio::test]
async fn a_value_that_a_store_does_not_take_is_told_before_anything_is_written() {
    let (from, to, directory) = (stores(1 << 20), stores(100_000), tempfile::tempdir().unwrap());
    put(&from, "job-configs/1", &vec![b' '; 99_000]).await;
    let file = exported(&from, directory.path()).await;
    let refused = import(&to, Source::File(&file), NO_PROGRESS).await;
    assert!(matches!(refused, Err(ToolError::TooLarge { ref key, .. }) if key == "job-configs/1"), "{refused:?}");
    assert_eq!(content(&to).await, []);
}

#[tokio::test]
async fn what_stands_there_with_another_value_is_not_replaced() {
    let (from, to, directory) = (stores(1 << 20), stores(1 << 20), tempfile::tempdir().unwrap());
    put(&from, "x/1", b"1").await;
    let file = exported(&from, directory.path()).await;
    // As if the import had been broken off, and somebody else had written.
    let bytes = std::fs::read(&file).unwrap();
    let mark = serde_json::from_slice::<serde_json::Value>(bytes.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    let mark = serde_json::json!({"export": mark["id"], "began-ms": 1}).to_string();
    put(&to, "store-import", mark.as_bytes()).await;
    put(&to, "x/1", b"2").await;
    let refused = import(&to, Source::File(&file), NO_PROGRESS).await;
    assert!(matches!(refused, Err(ToolError::Differs { ref key }) if key == "x/1"), "{refused:?}");
    put(&to, "x/1", b"1").await;
    let imported = import(&to, Source::File(&file), NO_PROGRESS).await.unwrap();
    assert_eq!((imported.entries_there, imported.resumed), (1, true));
    assert_eq!(content(&to).await, content(&from).await);
}
