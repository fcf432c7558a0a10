//! ZooKeeper refuses some changes, because of an ACL or a quota: those that need them are refused, and no others.

use doyen::adapters::zookeeper::{Options, ZooKeeperStore};
use doyen::ports::{Commit, CommitError, MetaStore, Precondition, Revision, Write};
use futures::future::join_all;
use zookeeper_client::{Acl, AuthId, Client, Permission};

use super::hands::find;
use super::{bare, node, open, options, put, put_if, shared, value};
use crate::servers::zookeeper::Ensemble;

/// Whoever made it may still change that.
async fn read_only(client: &Client, path: &str) {
    let acl = [Acl::new(Permission::READ | Permission::ADMIN, AuthId::anyone())];
    client.set_acl(path, &acl, None).await.unwrap();
}

async fn open_to_all(client: &Client, path: &str) {
    client.set_acl(path, &[Acl::new(Permission::ALL, AuthId::anyone())], None).await.unwrap();
}

/// The shard of the keys that end so, of which there is none any more.
async fn shard(store: &ZooKeeperStore, client: &Client, options: &Options, leaf: &str) -> String {
    put(store, &format!("k/{leaf}"), "1").await.unwrap();
    let cell = find(client, options, leaf).await;
    store.commit(Commit { preconditions: vec![], writes: vec![Write::Delete(format!("k/{leaf}"))] }).await.unwrap();
    cell.rsplit_once('/').unwrap().0.to_owned()
}

/// Of 64 at once these are refused, with this path, and the others are written.
async fn only_these_are_refused(store: &ZooKeeperStore, refused: &[&str], path: &str) {
    let keys: Vec<String> = (0..64 - refused.len()).map(|n| format!("good/{n}")).collect();
    let mut all: Vec<&str> = keys.iter().map(String::as_str).collect();
    for (n, key) in refused.iter().enumerate() {
        all.insert(n * 20 + 10, key);
    }
    let answers: Vec<Result<Revision, CommitError>> = join_all(all.iter().map(|key| put(store, key, "x"))).await;
    for (key, answer) in all.iter().zip(answers) {
        match answer {
            Ok(_) => assert!(!refused.contains(key), "{key}"),
            Err(CommitError::Unavailable(why)) => assert!(refused.contains(key) && why.contains(path), "{key}: {why}"),
            other => panic!("{key}: {other:?}"),
        }
    }
    assert!(store.refusing().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_acl_forbids_is_refused_alone_among_63_that_are_allowed() {
    let options = options(shared());
    let (store, client) = (open(&options).await, bare(&options).await);
    let shard = shard(&store, &client, &options, "poison").await;
    put(&store, "a/kept", "1").await.unwrap();
    let kept = find(&client, &options, "kept").await;
    assert_eq!(store.refusing(), None);
    read_only(&client, &shard).await;
    only_these_are_refused(&store, &["k/poison", "other/poison"], &shard).await;
    read_only(&client, &kept).await;
    only_these_are_refused(&store, &["a/kept"], &kept).await;
    // What is only asked for may be read.
    put_if(&store, &[Precondition::Exists("a/kept".into())], "b", "1").await.unwrap();
    for path in [&shard, &kept] {
        open_to_all(&client, path).await;
    }
    for key in ["k/poison", "a/kept"] {
        put(&store, key, "2").await.unwrap();
        assert_eq!(value(&open(&options).await, key).await.as_deref(), Some("2"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_may_be_written_all_is_refused_with_the_path_and_nothing_is_lost() {
    let options = options(shared());
    let (store, client) = (open(&options).await, bare(&options).await);
    put(&store, "a", "1").await.unwrap();
    let bucket = format!("{}/log/0000000000000000", options.chroot);
    read_only(&client, &bucket).await;
    for answer in join_all((0..8).map(|n| put(&store, if n == 0 { "a" } else { "b" }, "2"))).await {
        assert!(matches!(&answer, Err(CommitError::Unavailable(why)) if why.contains(&bucket)), "{answer:?}");
    }
    open_to_all(&client, &bucket).await;
    assert_eq!((value(&store, "a").await.as_deref(), value(&store, "b").await), (Some("1"), None));
    put(&store, "b", "2").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_quota_forbids_is_refused_alone() {
    let ensemble = Ensemble::with_quotas();
    let options = options(ensemble.addresses());
    let (store, client) = (open(&options).await, bare(&options).await);
    let shard = shard(&store, &client, &options, "poison").await;
    // The shard itself is counted, too.
    let quota = format!("/zookeeper/quota{shard}");
    client.mkdir(&quota, &node()).await.unwrap();
    for (name, data) in [
        ("zookeeper_limits", "count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=1"),
        ("zookeeper_stats", "count=1,bytes=0"),
    ] {
        client.create(&format!("{quota}/{name}"), data.as_bytes(), &node()).await.unwrap();
    }
    only_these_are_refused(&store, &["k/poison"], &shard).await;
    client.delete(&format!("{quota}/zookeeper_limits"), None).await.unwrap();
    put(&store, "k/poison", "2").await.unwrap();
}
