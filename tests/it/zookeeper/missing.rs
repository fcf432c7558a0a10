//! Somebody deletes one of the znodes that every store has: it is told which, and nothing is mended that would lose what was written.

use std::time::Duration;

use doyen::adapters::zookeeper::{OpenError, Options, Owner, ZooKeeperStore};
use doyen::ports::{CommitError, MetaStore};

use super::hands::{find, wipe};
use super::{PATIENCE, bare, open, options, put, put_at_last, shared, value};

fn quick() -> Options {
    Options { commit_timeout: Duration::from_secs(2), ..options(shared()) }
}

async fn damage(options: &Options) -> String {
    match ZooKeeperStore::open(options.clone()).await {
        Err(error @ OpenError::Damaged { .. }) => error.to_string(),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it opened"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_log_or_data_a_store_is_read_from_memory_and_not_opened_again() {
    for (name, words) in [("log", "is missing"), ("data", "all records with it")] {
        let options = quick();
        let (store, client) = (open(&options).await, bare(&options).await);
        put(&store, "a", "1").await.unwrap();
        let path = format!("{}/{name}", options.chroot);
        wipe(&client, &path).await;
        let refused = put(&store, "b", "2").await;
        assert!(matches!(refused, Err(CommitError::Unavailable(_) | CommitError::Unknown(_))), "{refused:?}");
        assert_eq!(value(&store, "a").await.as_deref(), Some("1"));
        let said = damage(&options).await;
        assert!(said.contains(&path) && said.contains(words) && said.contains("doyen store import"), "{said}");
        assert!(client.check_stat(&path).await.unwrap().is_none(), "it was made again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_entry_in_its_log_a_store_is_not_opened() {
    let options = quick();
    drop(open(&options).await);
    let client = bare(&options).await;
    wipe(&client, &format!("{}/log/0000000000000000", options.chroot)).await;
    let said = damage(&options).await;
    assert!(said.contains("/log holds no entry"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_format_that_is_missing_is_made_again_by_hand_as_it_is_told() {
    let options = quick();
    let (store, client) = (open(&options).await, bare(&options).await);
    put(&store, "a", "1").await.unwrap();
    let path = format!("{}/format", options.chroot);
    client.delete(&path, None).await.unwrap();
    put(&store, "a", "2").await.unwrap();
    let said = damage(&options).await;
    assert!(said.contains(&format!("`create {path} 2`")), "{said}");
    client.create(&path, b"2", &super::node()).await.unwrap();
    assert_eq!(value(&open(&options).await, "a").await.as_deref(), Some("2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_holder_and_owner_may_be_deleted_and_are_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { owner: Some(Owner::of(directory.path(), "a").unwrap()), ..options(shared()) };
    let (store, client) = (open(&options).await, bare(&options).await);
    store.claim().await.unwrap();
    put(&store, "a", "1").await.unwrap();
    let [holder, owner] = ["holder", "owner"].map(|name| format!("{}/{name}", options.chroot));
    wipe(&client, &holder).await;
    client.delete(&owner, None).await.unwrap();
    put_at_last(&store, "b", "2").await;
    assert_eq!(client.list_children(&holder).await.unwrap().len(), 1);
    store.claim().await.unwrap();
    assert!(client.check_stat(&owner).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_is_made_again_and_only_what_it_held_is_gone() {
    let options = options(shared());
    let (store, client) = (open(&options).await, bare(&options).await);
    for key in ["k/1", "k/2"] {
        put(&store, key, "1").await.unwrap();
    }
    let cell = find(&client, &options, "1").await;
    let shard = cell.rsplit_once('/').unwrap().0;
    assert!(!find(&client, &options, "2").await.starts_with(shard), "chosen to be in another");
    wipe(&client, shard).await;
    put(&store, "k/1", "2").await.unwrap();
    for store in [store, open(&options).await] {
        assert_eq!(
            (value(&store, "k/1").await.as_deref(), value(&store, "k/2").await.as_deref()),
            (Some("2"), Some("1"))
        );
    }
    wipe(&client, shard).await;
    let again = open(&options).await;
    assert_eq!((value(&again, "k/1").await, value(&again, "k/2").await.as_deref()), (None, Some("1")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_closed_takes_nothing_and_is_held_by_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { owner: Some(Owner::of(directory.path(), "a").unwrap()), ..options(shared()) };
    let (store, client) = (open(&options).await, bare(&options).await);
    put(&store, "a", "1").await.unwrap();
    for _ in 0..2 {
        store.close().await;
    }
    let refused = put(&store, "a", "2").await;
    assert!(matches!(refused, Err(CommitError::Unavailable(_) | CommitError::Unknown(_))), "{refused:?}");
    let holder = format!("{}/holder", options.chroot);
    let left = async { while !client.list_children(&holder).await.unwrap().is_empty() {} };
    tokio::time::timeout(PATIENCE, left).await.unwrap();
}
