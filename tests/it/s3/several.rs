//! Several stores on one bucket.

use doyen::adapters::blobs::Owned;
use futures::future::{join, join_all};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_one_store_uploads_is_there_although_another_deletes_the_older_one() {
    let settings = settings();
    let (ours, others) = (open(&settings).await.unwrap(), open(&settings).await.unwrap());
    for size in [100, LARGE] {
        for _ in 0..if size == LARGE { 3 } else { 25 } {
            let content = content(size);
            let stored = upload(&ours, &content).await.unwrap();
            let old = others.stat(&stored).await.unwrap().unwrap().stamp;
            let deleting = join_all((0..4).map(|_| others.delete_unchanged(&stored, old)));
            let (deleted, uploaded) = join(deleting, upload(&ours, &content)).await;
            uploaded.unwrap();
            assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
            assert_eq!(others.size(&stored).await, Ok(Some(size as u64)));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refreshed_while_others_delete_it_is_there_or_told_to_be_gone() {
    let settings = settings();
    let (ours, others) = (open(&settings).await.unwrap(), open(&settings).await.unwrap());
    let content = content(100);
    for _ in 0..25 {
        let stored = upload(&ours, &content).await.unwrap();
        let old = others.stat(&stored).await.unwrap().unwrap().stamp;
        let (refreshed, deleted) = join(ours.refresh(&stored), others.delete_unchanged(&stored, old)).await;
        deleted.unwrap();
        assert_eq!(others.size(&stored).await.unwrap(), refreshed.unwrap());
        // Who reads meanwhile finds the newer one. S3 lists as of one moment; s3proxy looks at one file after the other, and may see
        // the old one gone and the new one not there yet.
        let stored = upload(&ours, &content).await.unwrap();
        let (read, refreshed) = join(read(&others, &stored), ours.refresh(&stored)).await;
        assert_eq!(refreshed, Ok(Some(100)));
        assert!(
            matches!(read, Ok(ref read) if *read == content) || read == Err(BlobError::NotFound(stored)),
            "{read:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_of_the_same_content_at_once_leave_one_object_after_the_next() {
    let settings = settings();
    let (ours, others) = (open(&settings).await.unwrap(), open(&settings).await.unwrap());
    let content = content(100);
    let at_once = (0..8).map(|n| upload(if n % 2 == 0 { &ours } else { &others }, &content));
    let stored = join_all(at_once).await.into_iter().map(Result::unwrap).next().unwrap();
    assert_eq!(ours.list(None, 10).await.unwrap().len(), 1);
    others.refresh(&stored).await.unwrap();
    let stamp = ours.stat(&stored).await.unwrap().unwrap().stamp;
    assert_eq!(others.delete_unchanged(&stored, stamp).await, Ok(true));
    assert_eq!(ours.size(&stored).await, Ok(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn store_of_another_server_is_refused() {
    let settings = settings();
    let store = open(&settings).await.unwrap();
    let claims = join(store.claim("one"), store.claim("one")).await;
    assert!(claims.0.is_ok() && claims.1.is_ok());
    let other = open(&settings).await.unwrap();
    other.claim("one").await.unwrap();
    match other.claim("two").await {
        Err(OpenBlobsError::Wrong(error)) => {
            says(&error, &["another server (one; this one is two)", "store.s3.path", "`doyen store adopt`"])
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(store.list(None, 10).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_of_life_is_replaced_read_with_its_age_and_taken_away() {
    let store = open(&settings()).await.unwrap();
    assert_eq!(store.signed().await.unwrap(), None);
    for life in ["one", "two"] {
        store.sign(Some(life)).await.unwrap();
        let (found, age) = store.signed().await.unwrap().unwrap();
        assert!(found == life && age < Duration::from_secs(60), "{found} {age:?}");
    }
    assert_eq!(store.list(None, 10).await.unwrap(), []);
    store.sign(None).await.unwrap();
    store.sign(None).await.unwrap();
    assert_eq!(store.signed().await.unwrap(), None);
}
