//! What is stored has changed: who reads the whole of a blob is told, and never gets all of it.

use futures::StreamExt;

use super::*;
use crate::servers::s3::files;

#[tokio::test(flavor = "multi_thread")]
async fn content_that_was_changed_is_noticed_and_uploading_it_again_heals_it() {
    let settings = settings();
    let store = open(&settings).await.unwrap();
    for size in [1000, LARGE] {
        for shorter in [0, 1] {
            let stored = upload(&store, &content(size)).await.unwrap();
            let directory = SERVER.bucket().join(&settings.path).join(&stored[..2]).join(&stored);
            let file = files(&directory).remove(0);
            let mut changed = content(size - shorter).to_vec();
            changed[size / 2] ^= 1;
            std::fs::write(&file, changed).unwrap();
            let (mut reader, _) = store.read(&stored, 0, None).await.unwrap();
            let mut came = 0;
            let error = loop {
                match reader.next().await.unwrap() {
                    Ok(chunk) => came += chunk.len(),
                    Err(error) => break error,
                }
            };
            assert!(came < size - shorter, "{came}");
            assert!(matches!(&error, BlobError::Damaged { sha256, .. } if sha256 == &stored), "{error}");
            upload(&store, &content(size)).await.unwrap();
            assert!(read(&store, &stored).await.unwrap() == content(size));
            assert_eq!(files(&directory).len(), 1);
        }
    }
}
