//! What broken-off uploads left is removed, and only once it is old.

use doyen::runtime::clock;
use object_store::ObjectStoreExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::{SignedUrlOptions, Signer};
use reqwest::Method;
use uuid::{NoContext, Timestamp, Uuid};

use super::*;
use crate::servers::s3::{BUCKET, KEY_ID, S3, SECRET};

const HOUR: u64 = 3600;

/// As uploads are named that began so long ago.
fn id(hours: u64) -> String {
    let seconds = u64::try_from(clock::unix_ms()).unwrap() / 1000 - hours * HOUR;
    Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, 0)).to_string()
}

fn bare(s3: &S3) -> AmazonS3 {
    let builder = AmazonS3Builder::new().with_endpoint(s3.endpoint()).with_bucket_name(BUCKET).with_allow_http(true);
    builder.with_access_key_id(KEY_ID).with_secret_access_key(SECRET).build().unwrap()
}

/// What the bucket tells of uploads in parts that are not complete.
async fn uploads(bare: &AmazonS3) -> String {
    let query = SignedUrlOptions::new().with_query([("uploads", "")]);
    let url = bare.signed_url_opts(Method::GET, &Path::default(), SOON, &query).await.unwrap();
    reqwest::get(url).await.unwrap().text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_began_over_a_day_ago_are_removed_in_both_forms() {
    // This server fails to list uploads while others write parts.
    let s3 = start();
    let settings = s3.settings("swept");
    let store = open(&settings).await.unwrap();
    let bare = bare(&s3);
    let temporary = |hours| Path::from(format!("{}/tmp/{}", settings.path, id(hours)));
    let (old, young) = (temporary(25), temporary(23));
    let mut unfinished = Vec::new();
    for path in [&old, &young] {
        bare.put(path, "left".into()).await.unwrap();
        let upload = bare.create_multipart(path).await.unwrap();
        bare.put_part(path, &upload, 0, "part".into()).await.unwrap();
        unfinished.push(upload);
    }
    assert!(uploads(&bare).await.contains(&unfinished[0]));
    let stored = upload(&store, &content(1000)).await.unwrap();
    let mut writer = store.create().await.unwrap();
    writer.write(content(LARGE)).await.unwrap();
    store.sweep().await.unwrap();
    assert!(bare.head(&old).await.is_err());
    bare.head(&young).await.unwrap();
    let left = uploads(&bare).await;
    assert_eq!([0, 1].map(|n: usize| left.contains(&unfinished[n])), [false, true], "{left}");
    assert_eq!(writer.finish(None).await.unwrap().1, LARGE as u64);
    assert_eq!(read(&store, &stored).await.unwrap(), content(1000));
}
