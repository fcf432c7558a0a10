//! Several stores over one ensemble: one order of commits, and views that follow.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use doyen::adapters::zookeeper::{Options, Owner};
use doyen::ports::{Changes, Commit, CommitError, MetaStore, Precondition, ReadError, Write};
use doyen::runtime::clock;
use futures::future::join_all;

use super::{PATIENCE, hear_of, open, options, put, put_if, shared, value};
use crate::servers::proxy::{Proxy, Weather};
use crate::servers::zookeeper::Ensemble;

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

/// In an ensemble each store has a server of its own, which may lag behind that of the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_the_barrier_a_read_sees_what_another_node_was_told_also_under_load() {
    let ensemble = Ensemble::start(3);
    let direct = options(ensemble.addresses());
    let at = |server: usize| Options { servers: vec![ensemble.servers[server].address()], ..direct.clone() };
    let (one, other) = (open(&at(0)).await, open(&at(1)).await);
    let (written, ended) = (AtomicU64::new(0), AtomicBool::new(false));
    // Both stores write all the time, and many read at once.
    let load = async |store, name: &str| {
        for n in 0_u32.. {
            if ended.load(Ordering::SeqCst) {
                return;
            }
            let keys: Vec<String> = (0..4).map(|at| format!("load/{name}/{at}")).collect();
            let written = if n % 2 == 0 { "x" } else { "y" };
            let answers = join_all(keys.iter().map(|key| put(store, key, written))).await;
            assert!(answers.iter().all(Result::is_ok));
        }
    };
    let reads = async {
        let read = async || {
            while !ended.load(Ordering::SeqCst) {
                let acknowledged = written.load(Ordering::SeqCst);
                if other.barrier().await.is_err() {
                    continue;
                }
                let seen = value(&other, "n").await.map_or(0, |n| n.parse().unwrap());
                assert!(seen >= acknowledged, "{seen} after {acknowledged}");
            }
        };
        join_all((0..16).map(|_| read())).await;
    };
    let writes = async {
        for n in 1..=200 {
            put(&one, "n", &n.to_string()).await.unwrap();
            written.store(n, Ordering::SeqCst);
            // On a machine that is too busy it may have to be asked again.
            while other.barrier().await.is_err() {}
            assert_eq!(value(&other, "n").await.unwrap(), n.to_string());
        }
        ended.store(true, Ordering::SeqCst);
    };
    let all = async { tokio::join!(load(&one, "one"), load(&other, "other"), reads, writes) };
    tokio::time::timeout(PATIENCE * 2, all).await.unwrap();
}

/// With one for each the queue of commits would be full.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_that_wait_at_the_barrier_share_a_few_ways() {
    let direct = Options { commit_timeout: PATIENCE * 5, ..options(shared()) };
    let store = open(&direct).await;
    let answers = tokio::time::timeout(PATIENCE, join_all((0..5000).map(|_| store.barrier()))).await.unwrap();
    assert!(answers.iter().all(Result::is_ok));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_zookeeper_is_away_the_barrier_says_so_soon_and_it_is_free_for_who_has_the_store_alone() {
    let direct = options(shared());
    let proxy = Proxy::before(&direct.servers[0]).await;
    let directory = tempfile::tempdir().unwrap();
    let proxied = Options { servers: vec![proxy.address.to_string()], ..direct.clone() };
    let owner = Some(Owner::of(directory.path(), "alone").unwrap());
    let (store, alone) = (open(&proxied).await, open(&Options { owner, ..proxied.clone() }).await);
    while store.barrier().await.is_err() {}
    for weather in [Weather::Silent, Weather::Cut] {
        proxy.set(weather);
        let begun = clock::instant();
        let answers = join_all((0..20).map(|_| store.barrier())).await;
        assert!(answers.iter().all(|answer| matches!(answer, Err(ReadError::Unavailable(_)))), "{answers:?}");
        assert!(clock::since(begun) < Duration::from_secs(20), "{:?}", clock::since(begun));
        tokio::time::sleep(Duration::from_secs(6).saturating_sub(clock::since(begun))).await;
        // By now it is known to be away, and nobody waits.
        let begun = clock::instant();
        assert!(store.barrier().await.is_err() && clock::since(begun) < Duration::from_secs(3));
        alone.barrier().await.unwrap();
    }
    proxy.set(Weather::Fair);
    let back = async {
        while store.barrier().await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, back).await.unwrap();
}
