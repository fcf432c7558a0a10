//! Several stores over one ensemble: one order of commits, and views that follow.

use doyen::ports::{Changes, Commit, CommitError, MetaStore, Precondition, Write};
use futures::future::join_all;

use super::{hear_of, open, options, put, put_if, shared, value};
use crate::servers::proxy::{Proxy, Weather};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_increments_through_three_stores_lose_nothing() {
    let options = options(shared());
    let stores = [open(&options).await, open(&options).await, open(&options).await];
    put(&stores[0], "n", "0").await.unwrap();
    let increment = async |store| loop {
        let Some(entry) = MetaStore::get(store, "n").await.unwrap() else {
            tokio::task::yield_now().await;
            continue;
        };
        let next = str::from_utf8(&entry.value).unwrap().parse::<u32>().unwrap() + 1;
        match put_if(store, &[Precondition::At("n".into(), entry.version)], "n", &next.to_string()).await {
            Ok(_) => return,
            Err(CommitError::Conflict(0)) => {}
            Err(error) => panic!("{error}"),
        }
    };
    join_all((0..30).map(|n| increment(&stores[n % 3]))).await;
    let last = stores[1].commit(Commit::default()).await.unwrap();
    assert_eq!(value(&stores[1], "n").await.as_deref(), Some("30"), "{last:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_store_was_told_no_other_denies() {
    let options = options(shared());
    let (one, other) = (open(&options).await, open(&options).await);
    for n in 0..100 {
        let key = format!("{n}");
        put(&one, &key, "x").await.unwrap();
        // At once: its view knows nothing of the key yet.
        let exists = Commit { preconditions: vec![Precondition::Exists(key.clone())], writes: vec![] };
        assert!(other.commit(exists).await.is_ok(), "{n}");
        let absent = Commit { preconditions: vec![Precondition::Absent(key.clone())], writes: vec![] };
        assert_eq!(one.commit(absent).await, Err(CommitError::Conflict(0)));
        one.commit(Commit { preconditions: vec![], writes: vec![Write::Delete(key.clone())] }).await.unwrap();
        let under = Commit { preconditions: vec![Precondition::NoneUnder(key)], writes: vec![] };
        assert!(other.commit(under).await.is_ok(), "{n}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cursors_outlive_their_store_and_hold_in_any_other() {
    let options = options(shared());
    let one = open(&options).await;
    let begin = put(&one, "a", "1").await.unwrap();
    let second = put(&one, "b", "1").await.unwrap();
    drop(one);
    let other = open(&options).await;
    hear_of(&other, begin, "b").await;
    put(&other, "c", "1").await.unwrap();
    let Changes::Since { changes, .. } = other.changes(second).await.unwrap() else { panic!("lost") };
    assert_eq!(changes.iter().map(|change| change.key.as_str()).collect::<Vec<_>>(), ["c"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_was_away_for_longer_than_the_log_reads_all_anew() {
    let direct = options(shared());
    let proxy = Proxy::before(&direct.servers[0]).await;
    let mut proxied = direct.clone();
    proxied.servers = vec![proxy.address.to_string()];
    let (away, busy) = (open(&proxied).await, open(&direct).await);
    let cursor = put(&away, "gone", "1").await.unwrap();
    proxy.set(Weather::Cut);
    for _ in 0..12 {
        let many = (0..2500).map(|n| Write::Put(format!("{}", n % 50), vec![].into())).collect();
        busy.commit(Commit { preconditions: vec![], writes: many }).await.unwrap();
    }
    // A few at a time, the oldest entries go.
    for _ in 0..10 {
        busy.commit(Commit { preconditions: vec![], writes: vec![Write::Delete("gone".into())] }).await.unwrap();
    }
    proxy.set(Weather::Fair);
    let told = tokio::time::timeout(super::PATIENCE, away.changes(cursor)).await.unwrap().unwrap();
    assert!(matches!(told, Changes::Lost { .. }), "{told:?}");
    assert_eq!(value(&away, "gone").await, None);
    assert_eq!(away.range("", None, false, 100).await, busy.range("", None, false, 100).await);
    put(&away, "back", "1").await.unwrap();
}
