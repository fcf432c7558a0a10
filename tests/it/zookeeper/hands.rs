//! Somebody writes into the store with ZooKeeper's own tools.

use std::time::Duration;

use doyen::adapters::zookeeper::Options;
use doyen::ports::{Commit, CommitError, MetaStore, Precondition, Write};
use zookeeper_client::Client;

use super::{bare, node, open, options, put, put_if, shared, value};

/// Where the keys stand that end so, as anybody would find it.
pub(super) async fn find(client: &Client, options: &Options, leaf: &str) -> String {
    let data = format!("{}/data", options.chroot);
    for shard in client.list_children(&data).await.unwrap() {
        let path = format!("{data}/{shard}/{leaf}");
        if client.check_stat(&path).await.unwrap().is_some() {
            return path;
        }
    }
    panic!("no {leaf} in {data}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_superseded_term_writes_nothing_whatever_hands_do_to_the_record_and_its_fences() {
    let options = options(shared());
    let (old, new) = (open(&options).await, open(&options).await);
    put(&old, "cluster", "term 1").await.unwrap();
    put(&old, "fence/1", "").await.unwrap();
    let by_old = async |key: &str| put_if(&old, &[Precondition::Exists("fence/1".into())], key, "old").await;
    by_old("allowed").await.unwrap();
    let client = bare(&options).await;
    let (record, fence) = (find(&client, &options, "cluster").await, find(&client, &options, "1").await);
    let writes = vec![
        Write::Put("cluster".into(), "term 2".into()),
        Write::Delete("fence/1".into()),
        Write::Put("fence/2".into(), "".into()),
    ];
    new.commit(Commit { preconditions: vec![Precondition::Exists("fence/1".into())], writes }).await.unwrap();
    assert_eq!(by_old("late").await, Err(CommitError::Conflict(0)));
    // The record is deleted, and made anew with versions that begin at 0, as is the old fence.
    let (data, _) = client.get_data(&record).await.unwrap();
    client.delete(&record, None).await.unwrap();
    client.create(&record, &data, &node()).await.unwrap();
    client.create(&fence, b"", &node()).await.unwrap();
    assert_eq!(by_old("late").await, Err(CommitError::Conflict(0)));
    let again = open(&options).await;
    assert_eq!(
        put_if(&again, &[Precondition::Exists("fence/1".into())], "late", "x").await,
        Err(CommitError::Conflict(0))
    );
    assert_eq!(value(&again, "cluster").await.as_deref(), Some("term 2"));
    put_if(&again, &[Precondition::Exists("fence/2".into())], "by-new", "x").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_deleted_by_hand_is_noticed_by_who_needs_it() {
    let options = options(shared());
    let store = open(&options).await;
    for key in ["k/1", "k/2", "k/3"] {
        put(&store, key, "1").await.unwrap();
    }
    let client = bare(&options).await;
    for leaf in ["1", "2", "3"] {
        client.delete(&find(&client, &options, leaf).await, None).await.unwrap();
    }
    assert_eq!(put_if(&store, &[Precondition::Exists("k/1".into())], "a", "x").await, Err(CommitError::Conflict(0)));
    // Written and deleted all the same.
    put(&store, "k/2", "2").await.unwrap();
    store.commit(Commit { preconditions: vec![], writes: vec![Write::Delete("k/3".into())] }).await.unwrap();
    assert_eq!((value(&store, "k/1").await, value(&store, "k/2").await.as_deref()), (None, Some("2")));
    assert_eq!(value(&open(&options).await, "k/2").await.as_deref(), Some("2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_made_by_hand_is_no_key_and_in_nobodys_way() {
    let options = options(shared());
    let store = open(&options).await;
    put(&store, "k/1", "1").await.unwrap();
    let client = bare(&options).await;
    let path = find(&client, &options, "1").await;
    store.commit(Commit { preconditions: vec![], writes: vec![Write::Delete("k/1".into())] }).await.unwrap();
    client.create(&path, b"by hand", &node()).await.unwrap();
    let data = format!("{}/data", options.chroot);
    for odd in ["k", "00/%zz", "00/k", "01/k"] {
        client.create(&format!("{data}/{odd}"), b"by hand", &node()).await.unwrap();
    }
    let again = open(&options).await;
    assert_eq!(again.range("", None, false, 9).await.unwrap(), []);
    for store in [store, again] {
        put_if(&store, &[Precondition::Absent("k/1".into())], "k/1", "2").await.unwrap();
        assert_eq!(value(&store, "k/1").await.as_deref(), Some("2"));
        store.commit(Commit { preconditions: vec![], writes: vec![Write::Delete("k/1".into())] }).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_below_a_cell_may_be_deleted_written_or_beside_a_cell_that_is_not_ours() {
    let options = options(shared());
    let store = open(&options).await;
    let (client, long) = (bare(&options).await, "x".repeat(5000));
    for key in ["k/1", "k/2", "k/3", "k/4"] {
        put(&store, key, &long).await.unwrap();
        put(&store, &format!("beside/{}", &key[2..]), "1").await.unwrap();
    }
    let below = async |leaf: &str| format!("{}/k%2f", find(&client, &options, leaf).await);
    put(&store, "k/5", &long).await.unwrap();
    for leaf in ["1", "5"] {
        client.delete(&below(leaf).await, None).await.unwrap();
    }
    client.set_data(&below("2").await, b"by hand", None).await.unwrap();
    client.set_data(&find(&client, &options, "3").await, b"by hand", None).await.unwrap();
    client.set_data(&find(&client, &options, "4").await, b"by hand", None).await.unwrap();
    let again = open(&options).await;
    for (key, expected) in
        [("k/1", None), ("k/2", None), ("k/3", None), ("k/5", None), ("beside/1", Some("1")), ("beside/3", None)]
    {
        assert_eq!(value(&again, key).await.as_deref(), expected, "{key}");
    }
    for key in ["k/1", "k/2", "k/3", "k/5"] {
        put(&again, key, &long).await.unwrap();
        assert_eq!(value(&again, key).await.as_deref(), Some(&*long), "{key}");
    }
    put(&again, "beside/4", "2").await.unwrap();
    for key in ["k/1", "k/2", "k/3", "k/5", "beside/1", "beside/2", "beside/4"] {
        again.commit(Commit { preconditions: vec![], writes: vec![Write::Delete(key.into())] }).await.unwrap();
    }
    for store in [again, open(&options).await] {
        assert_eq!(store.range("", None, false, 9).await.unwrap(), []);
    }
    for leaf in 1..=5 {
        let data = format!("{}/data", options.chroot);
        for shard in client.list_children(&data).await.unwrap() {
            assert!(client.check_stat(&format!("{data}/{shard}/{leaf}")).await.unwrap().is_none(), "{leaf}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_was_wiped_is_read_from_memory_and_takes_nothing() {
    let options = Options { commit_timeout: Duration::from_secs(2), ..options(shared()) };
    let store = open(&options).await;
    put(&store, "a", "1").await.unwrap();
    let client = bare(&options).await;
    wipe(&client, &options.chroot).await;
    for _ in 0..2 {
        let refused = put(&store, "a", "2").await;
        assert!(matches!(refused, Err(CommitError::Unavailable(_) | CommitError::Unknown(_))), "{refused:?}");
        assert_eq!(value(&store, "a").await.as_deref(), Some("1"));
    }
    assert!(client.check_stat(&options.chroot).await.unwrap().is_none(), "nothing was made there");
}

pub(super) async fn wipe(client: &Client, path: &str) {
    for name in client.list_children(path).await.unwrap() {
        Box::pin(wipe(client, &format!("{path}/{name}"))).await;
    }
    client.delete(path, None).await.unwrap();
}
