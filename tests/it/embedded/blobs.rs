//! Local binaries: what is on the disk, and what is left there.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use doyen::adapters::blobs::ObjectBinaryStore;
use doyen::ports::{BinaryStore, BlobError};
use doyen::runtime::random;
use futures::StreamExt;

const LARGE: usize = 5 * 1024 * 1024;

fn files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
    found
}

#[tokio::test]
async fn blob_lies_under_the_first_digits_of_its_hash() {
    let directory = tempfile::tempdir().unwrap();
    let store = ObjectBinaryStore::open_local(directory.path()).unwrap();
    for size in [10, LARGE] {
        let mut writer = store.create().await.unwrap();
        writer.write(Bytes::from(vec![1; size])).await.unwrap();
        let (sha256, _) = writer.finish(None).await.unwrap();
        let file = directory.path().join(&sha256[..2]).join(&sha256);
        assert_eq!(file.metadata().unwrap().len(), size as u64);
    }
    assert_eq!(files(directory.path()).len(), 2);
}

#[tokio::test]
async fn dropped_and_refused_uploads_leave_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let store = ObjectBinaryStore::open_local(directory.path()).unwrap();
    let mut dropped = store.create().await.unwrap();
    dropped.write(Bytes::from(vec![1; LARGE])).await.unwrap();
    assert_eq!(files(directory.path()).len(), 1);
    drop(dropped);
    let mut refused = store.create().await.unwrap();
    refused.write(Bytes::from(vec![2; LARGE])).await.unwrap();
    assert!(matches!(refused.finish(Some("another")).await, Err(BlobError::WrongHash { .. })));
    let gone = async {
        while !files(directory.path()).is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap();
}

#[tokio::test]
async fn left_over_temporaries_are_swept_at_open_and_blobs_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let blob = "ab".repeat(32);
    std::fs::create_dir_all(directory.path().join("tmp")).unwrap();
    std::fs::create_dir_all(directory.path().join("ab")).unwrap();
    let upload = random::id();
    let left = [format!("tmp/{upload}#1"), format!("tmp/{upload}"), format!("ab/{blob}#1"), format!("ab/{blob}")];
    // Of somebody else: that the directory is the right one is not known yet.
    let others = ["tmp/notes", "tmp/#notes#", "ab/#1"].map(String::from);
    for file in left.iter().chain(&others) {
        std::fs::write(directory.path().join(file), "content").unwrap();
    }
    let store = ObjectBinaryStore::open_local(directory.path()).unwrap();
    let mut kept = files(directory.path());
    kept.sort();
    assert_eq!(kept, ["#1", "#notes#", blob.as_str(), "notes"]);
    assert_eq!(store.size(&blob).await, Ok(Some(7)));
}

#[tokio::test]
async fn directory_that_is_not_there_is_unavailable() {
    let directory = tempfile::tempdir().unwrap();
    let missing = ObjectBinaryStore::open_local(&directory.path().join("missing"));
    assert!(matches!(missing.err(), Some(BlobError::Unavailable(_))));
}

#[tokio::test]
async fn bytes_that_changed_on_the_disk_are_noticed_before_the_last_is_given() {
    let directory = tempfile::tempdir().unwrap();
    let store = ObjectBinaryStore::open_local(directory.path()).unwrap();
    for size in [10, LARGE] {
        let mut writer = store.create().await.unwrap();
        writer.write(Bytes::from(vec![1; size])).await.unwrap();
        let (sha256, _) = writer.finish(None).await.unwrap();
        let file = directory.path().join(&sha256[..2]).join(&sha256);
        std::fs::write(file, vec![2; size]).unwrap();
        let (mut reader, _) = store.read(&sha256, 0, None).await.unwrap();
        let mut came = 0;
        while let Ok(chunk) = reader.next().await.unwrap() {
            came += chunk.len();
        }
        assert!(came < size);
    }
}
