//! What uploads cost, and what they leave in HDFS.

use std::time::Duration;

use doyen::adapters::blobs::Owned;
use doyen::runtime::{clock, random};
use futures::future::{join, join_all};
use hdfs_native::{Client, ClientBuilder, WriteOptions};
use uuid::{NoContext, Timestamp, Uuid};

use super::*;

pub fn client() -> Client {
    let url = tokio::task::block_in_place(|| SERVER.url());
    ClientBuilder::new().with_url(url).with_io_runtime(RUNTIME.handle().clone()).build().unwrap()
}

pub async fn write(path: &str, content: &Bytes) {
    let mut file = client().create(path, WriteOptions::default().overwrite(true)).await.unwrap();
    file.write_bytes(content.clone()).await.unwrap();
    file.close().await.unwrap();
}

async fn files(directory: &str) -> Vec<String> {
    let found = client().list_status(directory, true).await.unwrap();
    found.into_iter().filter(|file| !file.isdir).map(|file| file.path[directory.len() + 1..].to_owned()).collect()
}

/// Waits until no upload has a file there.
pub async fn nothing_is_left(directory: &str) {
    let left = async || files(directory).await.into_iter().filter(|file| file.starts_with("tmp/")).collect::<Vec<_>>();
    for _ in 0..300 {
        if left().await.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{:?}", left().await);
}

/// As it was made so long ago.
fn old_id(age: Duration) -> String {
    let now = clock::unix_ms() as u64 / 1000;
    Uuid::new_v7(Timestamp::from_unix(NoContext, now - age.as_secs(), 0)).to_string()
}

/// Without the care of `close`, about half of them take 500 ms and more.
#[tokio::test(flavor = "multi_thread")]
async fn small_uploads_do_not_wait_half_a_second_to_be_closed() {
    let (store, _calm) = fresh();
    let mut took = Vec::new();
    for n in 0..20 {
        let begin = clock::instant();
        upload(&store, &content(100_000 + n)).await.unwrap();
        took.push(clock::since(begin));
    }
    took.sort();
    assert!(took[10] < Duration::from_millis(500), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_off_uploads_leave_nothing_in_hdfs() {
    let settings = settings();
    let store = open(&settings).unwrap();
    let _calm = fresh().1;
    for size in [10, LARGE] {
        let mut dropped = store.create().await.unwrap();
        dropped.write(content(size)).await.unwrap();
        drop(dropped);
        let mut refused = store.create().await.unwrap();
        refused.write(content(size)).await.unwrap();
        assert!(matches!(refused.finish(Some("another")).await, Err(BlobError::WrongHash { .. })));
    }
    nothing_is_left(&settings.path).await;
    assert_eq!(files(&settings.path).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_killed_nodes_left_is_swept_when_it_is_old() {
    let settings = settings();
    let _calm = fresh().1;
    let store = blocking(async || ObjectBinaryStore::open_hdfs(&settings).await).unwrap();
    let root = &settings.path;
    let blob = "ab".repeat(32);
    let day = Duration::from_secs(25 * 3600);
    let (new, old) = (random::id(), old_id(day));
    for file in [format!("tmp/{new}"), format!("tmp/{old}"), format!("aside/{old}.{blob}"), "other".into()] {
        write(&format!("{root}/{file}"), &content(10)).await;
    }
    store.sweep().await.unwrap();
    let mut left = files(root).await;
    left.sort();
    assert_eq!(left, [format!("ab/{blob}"), "other".into(), format!("tmp/{new}")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn store_of_another_server_is_refused() {
    let settings = settings();
    let _calm = fresh().1;
    let store = || blocking(async || ObjectBinaryStore::open_hdfs(&settings).await).unwrap();
    store().claim("one").await.unwrap();
    store().claim("one").await.unwrap();
    let refused = store().claim("two").await.unwrap_err().to_string();
    assert!(
        refused.contains("store.hdfs.path") && refused.contains("another server (one; this one is two)"),
        "{refused}"
    );
    store().hand_over("two").await.unwrap();
    assert_eq!(store().owner().await.unwrap().as_deref(), Some("two"));
    store().claim("two").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_of_life_is_replaced_read_with_its_age_and_taken_away() {
    let settings = settings();
    let _calm = fresh().1;
    let store = blocking(async || ObjectBinaryStore::open_hdfs(&settings).await).unwrap();
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

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_uploads_is_there_although_another_deletes_the_older_one() {
    let settings = settings();
    let _calm = fresh().1;
    let (one, other) = (open(&settings).unwrap(), open(&settings).unwrap());
    let content = content(1000);
    for _ in 0..20 {
        let stored = upload(&one, &content).await.unwrap();
        let old = one.stat(&stored).await.unwrap().unwrap().stamp;
        let deleting = join_all((0..4).map(|_| other.delete_unchanged(&stored, old)));
        let (_, uploaded) = join(deleting, upload(&one, &content)).await;
        uploaded.unwrap();
        assert_eq!(one.size(&stored).await, Ok(Some(1000)));
    }
}
