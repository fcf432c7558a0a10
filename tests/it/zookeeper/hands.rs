//! Somebody writes into the store with ZooKeeper's own tools.

use doyen::adapters::zookeeper::Options;
use doyen::ports::{Commit, CommitError, MetaStore, Precondition, Write};
use zookeeper_client::Client;

use super::{bare, node, open, options, put, put_if, shared, value};

/// Where the key stands, as anybody would find it.
async fn find(client: &Client, options: &Options, family: &str, leaf: &str) -> String {
    let family = format!("{}/data/{family}", options.chroot);
    for shard in client.list_children(&family).await.unwrap() {
        let path = format!("{family}/{shard}/{leaf}");
        if client.check_stat(&path).await.unwrap().is_some() {
            return path;
        }
    }
    panic!("no {leaf} in {family}");
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
    let (record, fence) = (find(&client, &options, "cluster", "%%").await, find(&client, &options, "fence", "1").await);
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
        client.delete(&find(&client, &options, "k", leaf).await, None).await.unwrap();
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
    let path = find(&client, &options, "k", "1").await;
    store.commit(Commit { preconditions: vec![], writes: vec![Write::Delete("k/1".into())] }).await.unwrap();
    client.create(&path, b"by hand", &node()).await.unwrap();
    client.create(&format!("{}/data/k/odd", options.chroot), b"by hand", &node()).await.unwrap();
    let again = open(&options).await;
    assert_eq!(again.range("", None, false, 9).await.unwrap(), []);
    for store in [store, again] {
        put_if(&store, &[Precondition::Absent("k/1".into())], "k/1", "2").await.unwrap();
        assert_eq!(value(&store, "k/1").await.as_deref(), Some("2"));
        store.commit(Commit { preconditions: vec![], writes: vec![Write::Delete("k/1".into())] }).await.unwrap();
    }
}
