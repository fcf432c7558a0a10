//! The contract of BinaryStore.

use std::sync::Arc;

use bytes::Bytes;
use doyen::ports::{BinaryStore, BlobError};
use futures::TryStreamExt;
use futures::future::join_all;
use sha2::{Digest, Sha256};

type Store = Arc<dyn BinaryStore>;

/// Of several parts, and not a multiple of any.
const LARGE: usize = 3 * 1024 * 1024 + 12_345;

fn content(size: usize) -> Bytes {
    (0..size as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn hash(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn upload(
    store: &Store,
    content: &Bytes,
    chunk: usize,
    expected: Option<&str>,
) -> Result<(String, u64), BlobError> {
    let mut writer = store.create().await?;
    for part in content.chunks(chunk) {
        writer.write(content.slice_ref(part)).await?;
    }
    writer.finish(expected).await
}

async fn read(store: &Store, sha256: &str, offset: u64, length: Option<u64>) -> (Vec<u8>, u64) {
    let (reader, size) = store.read(sha256, offset, length).await.unwrap();
    (reader.try_collect::<Vec<_>>().await.unwrap().concat(), size)
}

pub async fn content_comes_back_whole(store: Store) {
    for size in [0, 1, 1024, 1024 * 1024, 1024 * 1024 + 1, LARGE] {
        let content = content(size);
        let (sha256, stored) = upload(&store, &content, 64 * 1024, None).await.unwrap();
        assert_eq!((&sha256, stored), (&hash(&content), size as u64));
        assert_eq!(store.size(&sha256).await.unwrap(), Some(size as u64));
        assert!(read(&store, &sha256, 0, None).await == (content.to_vec(), size as u64), "{size} bytes");
    }
}

pub async fn parts_are_read_by_offset_and_length(store: Store) {
    let content = content(LARGE);
    let (sha256, size) = upload(&store, &content, 64 * 1024, None).await.unwrap();
    for (offset, length) in [(0, 10), (5, 1), (1_000_000, 1_500_000), (size - 3, 3), (size - 3, 100), (7, 0), (size, 1)]
    {
        let (part, whole) = read(&store, &sha256, offset, Some(length)).await;
        let end = (offset + length).min(size);
        assert!(part == content[offset as usize..end as usize] && whole == size, "{offset} {length}");
    }
    assert_eq!(read(&store, &sha256, size + 5, None).await, (vec![], size));
    assert_eq!(read(&store, &sha256, 1, Some(u64::MAX)).await.0.len() as u64, size - 1);
}

pub async fn chunks_of_any_size_make_the_same_blob(store: Store) {
    let content = content(LARGE);
    for chunk in [777, 1024 * 1024, 1024 * 1024 - 1, LARGE] {
        assert_eq!(upload(&store, &content, chunk, Some(&hash(&content))).await, Ok((hash(&content), LARGE as u64)));
        assert!(read(&store, &hash(&content), 0, None).await.0 == content, "{chunk}");
        store.delete(&hash(&content)).await.unwrap();
    }
}

pub async fn same_content_twice_is_one_blob(store: Store) {
    for size in [100, LARGE] {
        let content = content(size);
        let first = upload(&store, &content, 64 * 1024, None).await.unwrap();
        assert_eq!(upload(&store, &content, 64 * 1024, None).await, Ok(first.clone()));
        assert!(read(&store, &first.0, 0, None).await.0 == content);
    }
}

pub async fn same_content_at_once_is_one_blob(store: Store) {
    for size in [100, LARGE] {
        let content = content(size);
        let answers = join_all((0..8).map(|_| upload(&store, &content, 64 * 1024, None))).await;
        assert!(answers.iter().all(|answer| answer == &Ok((hash(&content), size as u64))), "{answers:?}");
        assert!(read(&store, &hash(&content), 0, None).await.0 == content);
    }
}

pub async fn wrong_hash_is_refused_and_leaves_nothing(store: Store) {
    for size in [100, LARGE] {
        let content = content(size);
        let (expected, found) = (hash(b"another"), hash(&content));
        let answer = upload(&store, &content, 64 * 1024, Some(&expected)).await;
        assert_eq!(answer, Err(BlobError::WrongHash { expected: expected.clone(), found: found.clone() }));
        assert_eq!((store.size(&expected).await, store.size(&found).await), (Ok(None), Ok(None)));
    }
}

pub async fn dropped_upload_leaves_nothing(store: Store) {
    let content = content(LARGE);
    let mut writer = store.create().await.unwrap();
    writer.write(content.clone()).await.unwrap();
    drop(writer);
    assert_eq!(store.size(&hash(&content)).await, Ok(None));
}

pub async fn what_is_not_there_is_not_found(store: Store) {
    for name in [hash(b"nothing").as_str(), "", "abc", "../../../../etc/passwd", &hash(b"nothing").to_uppercase()] {
        assert_eq!(store.read(name, 0, None).await.err(), Some(BlobError::NotFound(name.into())));
        assert_eq!(store.size(name).await, Ok(None));
        assert_eq!(store.delete(name).await, Ok(()));
    }
}

pub async fn deleted_blob_is_gone_and_can_come_back(store: Store) {
    let content = content(1000);
    let (sha256, _) = upload(&store, &content, 1000, None).await.unwrap();
    store.delete(&sha256).await.unwrap();
    assert_eq!(store.size(&sha256).await, Ok(None));
    upload(&store, &content, 1000, None).await.unwrap();
    assert_eq!(read(&store, &sha256, 0, None).await.0, content);
}
