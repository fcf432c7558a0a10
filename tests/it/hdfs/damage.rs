//! What is stored has changed: who reads the whole of a blob is told, and never gets all of it.

use std::path::{Path, PathBuf};

use futures::StreamExt;

use super::uploads::write;
use super::*;

/// The file of a DataNode's block of this size, which no other block has.
pub fn block(directory: &Path, size: u64) -> Option<PathBuf> {
    std::fs::read_dir(directory).unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return block(&path, size);
        }
        (path.metadata().is_ok_and(|meta| meta.len() == size)).then_some(path)
    })
}

/// Whether a DataNode has a block that is written to.
pub fn block_at_work(directory: &Path) -> bool {
    std::fs::read_dir(directory).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        let is_at_work = path.ends_with("rbw") && std::fs::read_dir(&path).unwrap().next().is_some();
        is_at_work || (path.is_dir() && block_at_work(&path))
    })
}

/// The bytes that come before it is noticed, and what is said then.
async fn damaged(store: &Arc<dyn BinaryStore>, sha256: &str) -> (usize, BlobError) {
    let (mut reader, _) = store.read(sha256, 0, None).await.unwrap();
    let mut came = 0;
    loop {
        match reader.next().await.unwrap() {
            Ok(chunk) => came += chunk.len(),
            Err(error) => return (came, error),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_changed_on_a_datanodes_disk_are_noticed() {
    let (store, _calm) = fresh();
    let size = 2_222_333;
    let stored = upload(&store, &content(size)).await.unwrap();
    let file = block(&SERVER.data(), size as u64).unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[size / 2] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    // HDFS has checksums of its own, and the client does not tell whether all replicas are damaged or away.
    let (came, error) = damaged(&store, &stored).await;
    assert!(came < size && error.to_string().contains("hdfs fsck"), "{came}: {error}");
    assert!(matches!(&error, BlobError::Unreadable { sha256, .. } if *sha256 == stored), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn content_that_was_replaced_is_noticed_and_uploading_it_again_heals_it() {
    let settings = settings();
    let _calm = fresh().1;
    let store = open(&settings).unwrap();
    for size in [1000, LARGE] {
        let stored = upload(&store, &content(size)).await.unwrap();
        let mut changed = content(size).to_vec();
        changed[size - 1] ^= 1;
        write(&format!("{}/{}/{stored}", settings.path, &stored[..2]), &changed.into()).await;
        let (came, error) = damaged(&store, &stored).await;
        assert!(came < size, "{came}");
        assert!(matches!(&error, BlobError::Damaged { sha256, .. } if sha256 == &stored), "{error}");
        upload(&store, &content(size)).await.unwrap();
        assert!(read(&store, &stored).await.unwrap() == content(size));
    }
}
