//! Two processes of which each takes the store for its own.

use std::time::Duration;

use doyen::adapters::zookeeper::{OpenError, Options, Owner, ZooKeeperStore};
use doyen::ports::{CommitError, MetaStore};
use tempfile::TempDir;

use super::{bare, open, options, put, put_at_last, shared, value};
use crate::servers::proxy::{Proxy, Weather};

/// Two data directories, of which one is a copy of the other.
fn copies() -> (TempDir, TempDir) {
    let (first, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    Owner::of(first.path(), "a").unwrap();
    std::fs::copy(first.path().join("identity"), copy.path().join("identity")).unwrap();
    (first, copy)
}

fn of(directory: &TempDir, options: &Options) -> Options {
    Options { owner: Some(Owner::of(directory.path(), "a").unwrap()), ..options.clone() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_a_living_server_a_copy_of_its_data_directory_is_refused_with_its_name() {
    let (first, copy) = copies();
    let options = options(shared());
    let store = open(&of(&first, &options)).await;
    put(&store, "a", "1").await.unwrap();
    let Err(refused) = ZooKeeperStore::open(of(&copy, &options)).await else { panic!("it opened") };
    let said = refused.to_string();
    assert!(matches!(refused, OpenError::Held { .. }) && said.contains(&first.path().display().to_string()), "{said}");
    assert!(said.contains(&format!("process {}", std::process::id())), "{said}");
    put(&store, "a", "2").await.unwrap();
    drop(store);
    let store = open(&of(&copy, &options)).await;
    assert_eq!(value(&store, "a").await.as_deref(), Some("2"));
    put(&store, "a", "3").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_cut_off_for_longer_than_its_session_writes_nothing_while_another_holds_the_store() {
    let (first, copy) = copies();
    let direct = Options { commit_timeout: Duration::from_secs(3), ..options(shared()) };
    let proxy = Proxy::before(&direct.servers[0]).await;
    let old = open(&of(&first, &Options { servers: vec![proxy.address.to_string()], ..direct.clone() })).await;
    put(&old, "a", "old").await.unwrap();
    proxy.set(Weather::Cut);
    // Waits until the session of the first is over.
    let new = open(&of(&copy, &direct)).await;
    put(&new, "a", "new").await.unwrap();
    proxy.set(Weather::Fair);
    for _ in 0..3 {
        let refused = put(&old, "a", "late").await;
        assert!(matches!(refused, Err(CommitError::Unavailable(_) | CommitError::Unknown(_))), "{refused:?}");
    }
    assert_eq!(value(&new, "a").await.as_deref(), Some("new"));
    // Once nobody does, it is its own again, and knows what was written meanwhile.
    drop(new);
    put_at_last(&old, "b", "old").await;
    assert_eq!(value(&old, "a").await.as_deref(), Some("new"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_that_hands_deleted_is_taken_again_before_anything_is_written() {
    let (first, _copy) = copies();
    let options = options(shared());
    let store = open(&of(&first, &options)).await;
    put(&store, "a", "1").await.unwrap();
    let (client, above) = (bare(&options).await, format!("{}/holder", options.chroot));
    for with_parent in [false, true] {
        for run in client.list_children(&above).await.unwrap() {
            client.delete(&format!("{above}/{run}"), None).await.unwrap();
        }
        if with_parent {
            client.delete(&above, None).await.unwrap();
        }
        let before = store.revision().await.unwrap();
        put(&store, "a", "2").await.unwrap();
        assert!(store.revision().await.unwrap() > before);
        assert_eq!(client.list_children(&above).await.unwrap().len(), 1);
    }
}

/// Of a data directory that takes the store over from its owner.
fn taking_over(directory: &TempDir, options: &Options) -> Options {
    Options { owner: Some(Owner::of(directory.path(), "b").unwrap().taking_over()), ..options.clone() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_was_cut_off_while_the_store_was_adopted_never_takes_it_back_also_when_nobody_holds_it() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let direct = Options { commit_timeout: Duration::from_secs(3), ..options(shared()) };
    let proxy = Proxy::before(&direct.servers[0]).await;
    let old = open(&of(&first, &Options { servers: vec![proxy.address.to_string()], ..direct.clone() })).await;
    old.claim().await.unwrap();
    put(&old, "a", "old").await.unwrap();
    proxy.set(Weather::Cut);
    let new = open(&taking_over(&second, &direct)).await;
    assert_eq!(old.possession().lost(), None);
    new.claim().await.unwrap();
    drop(new);
    proxy.set(Weather::Fair);
    let why = tokio::time::timeout(Duration::from_secs(60), old.possession().until_lost()).await.unwrap();
    assert!(why.contains("is that of node \"b\"") && why.contains(&second.path().display().to_string()), "{why}");
    let refused = put(&old, "a", "late").await;
    assert!(matches!(refused, Err(CommitError::Unavailable(_))), "{refused:?}");
    let new = open(&Options { owner: Some(Owner::of(second.path(), "b").unwrap()), ..direct.clone() }).await;
    assert_eq!(value(&new, "a").await.as_deref(), Some("old"));
    put(&new, "a", "new").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_adoption_that_was_asked_for_too_long_takes_nothing_from_who_holds_the_store_by_then() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let direct = options(shared());
    let proxy = Proxy::before(&direct.servers[0]).await;
    open(&of(&first, &direct)).await.claim().await.unwrap();
    let slow =
        open(&taking_over(&second, &Options { servers: vec![proxy.address.to_string()], ..direct.clone() })).await;
    proxy.set(Weather::Cut);
    let owner = open(&of(&first, &direct)).await;
    proxy.set(Weather::Fair);
    assert!(slow.claim().await.is_err());
    put_at_last(&owner, "a", "1").await;
    assert_eq!(owner.possession().lost(), None);
}
