//! The contract of BinaryStore.

use std::sync::Arc;

use bytes::Bytes;
use doyen::ports::{BinaryStore, BlobError};
use futures::TryStreamExt;
use futures::future::{join, join_all};
use sha2::{Digest, Sha256};

use crate::fixture::content;

type Store = Arc<dyn BinaryStore>;

/// Of several parts, and not a multiple of any.
const LARGE: usize = 3 * 1024 * 1024 + 12_345;

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

pub async fn blobs_are_listed_by_hash_in_pages(store: Store) {
    let mut expected = Vec::new();
    for n in 0..40_usize {
        expected.push((upload(&store, &content(n), 1024, None).await.unwrap().0, n as u64));
    }
    // In use by uploads, and no blobs.
    let mut writer = store.create().await.unwrap();
    writer.write(content(LARGE)).await.unwrap();
    expected.sort();
    for limit in [1, 7, 40, 1000] {
        let mut found: Vec<(String, u64)> = Vec::new();
        loop {
            let page = store.list(found.last().map(|(sha256, _)| sha256.as_str()), limit).await.unwrap();
            assert!(page.len() <= limit);
            if page.is_empty() {
                break;
            }
            found.extend(page.into_iter().map(|blob| (blob.sha256, blob.size_bytes)));
        }
        assert_eq!(found, expected, "{limit} at once");
    }
}

pub async fn uploading_again_and_refreshing_change_the_stamp(store: Store) {
    for size in [10, LARGE] {
        let content = content(size);
        let mut stamps = Vec::new();
        for round in 0..6 {
            if round % 2 == 0 {
                upload(&store, &content, 1 << 20, None).await.unwrap();
            } else {
                assert_eq!(store.refresh(&hash(&content)).await, Ok(Some(size as u64)));
            }
            let blob = store.stat(&hash(&content)).await.unwrap().unwrap();
            assert!(!stamps.contains(&blob.stamp), "round {round}");
            stamps.push(blob.stamp);
        }
        let listed = store.list(None, 10).await.unwrap();
        assert!(listed.iter().any(|blob| blob.sha256 == hash(&content) && Some(&blob.stamp) == stamps.last()));
    }
    assert_eq!(store.refresh(&hash(b"nothing")).await, Ok(None));
    assert_eq!(store.refresh("../x").await, Ok(None));
    assert_eq!(store.stat(&hash(b"nothing")).await, Ok(None));
}

pub async fn what_was_uploaded_or_refreshed_since_is_not_deleted(store: Store) {
    let content = content(100);
    let sha256 = hash(&content);
    let stamp = async || store.stat(&sha256).await.unwrap().unwrap().stamp;
    upload(&store, &content, 100, None).await.unwrap();
    let first = stamp().await;
    upload(&store, &content, 100, None).await.unwrap();
    assert_eq!(store.delete_unchanged(&sha256, first).await, Ok(false));
    let second = stamp().await;
    store.refresh(&sha256).await.unwrap();
    assert_eq!(store.delete_unchanged(&sha256, second).await, Ok(false));
    assert_eq!(read(&store, &sha256, 0, None).await.0, content);
    assert_eq!(store.delete_unchanged(&sha256, stamp().await).await, Ok(true));
    assert_eq!(store.delete_unchanged(&sha256, second).await, Ok(false));
    assert_eq!(store.size(&sha256).await, Ok(None));
}

pub async fn uploads_that_race_with_deletions_are_there_when_they_answer(store: Store) {
    for size in [100, 1024 * 1024 + 100] {
        let content = content(size);
        let sha256 = hash(&content);
        for _ in 0..20 {
            upload(&store, &content, 1 << 20, None).await.unwrap();
            let old = store.stat(&sha256).await.unwrap().unwrap().stamp;
            let deleting = join_all((0..4).map(|_| store.delete_unchanged(&sha256, old)));
            let (_, uploaded) = join(deleting, upload(&store, &content, 1 << 20, None)).await;
            uploaded.unwrap();
            assert_eq!(read(&store, &sha256, 0, None).await.0.len(), size);
        }
    }
}
