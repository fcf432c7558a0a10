//! Servers that die, freeze and are cut off; answers that do not come.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use doyen::adapters::zookeeper::Options;
use doyen::ports::{Changes, Commit, CommitError, MetaStore, Precondition, Revision, Write};
use doyen::runtime::clock;
use futures::future::join_all;

use super::{PATIENCE, hear_of, open, options, put, put_at_last, put_if, shared, value};
use crate::servers::proxy::{Proxy, Weather};
use crate::servers::zookeeper::Ensemble;

/// The options of a store behind a proxy, and those of one beside it.
async fn behind_proxy() -> (Proxy, Options, Options) {
    let direct = options(shared());
    let proxy = Proxy::before(&direct.servers[0]).await;
    let proxied = Options { servers: vec![proxy.address.to_string()], ..direct.clone() };
    (proxy, proxied, direct)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_is_said_to_be_away_and_what_was_acknowledged_is_there_afterwards() {
    let mut ensemble = Ensemble::start(1);
    let options = Options { commit_timeout: Duration::from_secs(2), ..options(ensemble.addresses()) };
    let store = open(&options).await;
    put(&store, "kept", "1").await.unwrap();
    ensemble.servers[0].kill();
    let answers = join_all((0..20).map(|n| put(&store, if n == 0 { "a" } else { "b" }, "x"))).await;
    assert!(answers.iter().all(|answer| matches!(answer, Err(CommitError::Unavailable(_) | CommitError::Unknown(_)))));
    assert!(matches!(put(&store, "c", "x").await, Err(CommitError::Unavailable(_))));
    assert_eq!(value(&store, "kept").await.as_deref(), Some("1"));
    ensemble.servers[0].start();
    put_at_last(&store, "later", "2").await;
    // What was unavailable has not happened, and does not come later.
    let again = open(&options).await;
    for store in [&store, &again] {
        assert_eq!((value(store, "kept").await.as_deref(), value(store, "c").await), (Some("1"), None));
        assert_eq!(value(store, "later").await.as_deref(), Some("2"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_frozen_for_ten_seconds_costs_unknown_answers_which_a_later_write_settles() {
    let ensemble = Ensemble::start(1);
    let options = Options { commit_timeout: Duration::from_secs(3), ..options(ensemble.addresses()) };
    let store = open(&options).await;
    put(&store, "kept", "1").await.unwrap();
    ensemble.servers[0].freeze();
    let begun = clock::instant();
    let first = put(&store, "first", "x").await;
    assert!(matches!(first, Err(CommitError::Unknown(_) | CommitError::Unavailable(_))), "{first:?}");
    let second = put(&store, "second", "x").await;
    assert!(matches!(second, Err(CommitError::Unavailable(_))), "{second:?}");
    assert_eq!(value(&store, "kept").await.as_deref(), Some("1"));
    tokio::time::sleep(Duration::from_secs(10).saturating_sub(clock::since(begun))).await;
    ensemble.servers[0].thaw();
    put_at_last(&store, "later", "2").await;
    let settled = value(&store, "first").await;
    assert_eq!(value(&store, "second").await, None);
    for n in 0..20 {
        put(&store, "later", &n.to_string()).await.unwrap();
    }
    assert_eq!(value(&open(&options).await, "first").await, settled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_lost_after_the_commit_is_found_to_be_a_success() {
    let (proxy, proxied, direct) = behind_proxy().await;
    let (store, other) = (open(&proxied).await, open(&direct).await);
    let before = put(&store, "n", "0").await.unwrap();
    proxy.set(Weather::AnswersLost);
    let answer =
        tokio::spawn(async move { (put_if(&store, &[Precondition::Absent("a".into())], "a", "1").await, store) });
    let after = hear_of(&other, before, "a").await;
    proxy.set(Weather::Cut);
    proxy.set(Weather::Fair);
    let (answer, store) = answer.await.unwrap();
    // Not the conflict with itself that a careless repetition would end in.
    assert_eq!(answer, Ok(after));
    assert_eq!(put(&store, "n", "1").await, Ok(Revision(after.0 + 1)));
}

/// The log keeps the newest 16,384 changes, and some.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_without_an_answer_that_the_log_does_not_tell_of_any_more_is_unknown_and_not_done_again() {
    let (proxy, proxied, direct) = behind_proxy().await;
    let (store, other) = (open(&proxied).await, open(&direct).await);
    let before = put(&store, "n", "0").await.unwrap();
    proxy.set(Weather::AnswersLost);
    let answer = tokio::spawn(async move { (put(&store, "n", "1").await, store) });
    hear_of(&other, before, "n").await;
    assert_eq!(value(&other, "n").await.as_deref(), Some("1"));
    proxy.set(Weather::Cut);
    put(&other, "n", "2").await.unwrap();
    for _ in 0..14 {
        let writes = (0..1500).map(|n| Write::Put(format!("others/{n}"), vec![].into())).collect();
        other.commit(Commit { preconditions: vec![], writes }).await.unwrap();
    }
    proxy.set(Weather::Fair);
    let (answer, store) = answer.await.unwrap();
    let Err(CommitError::Unknown(why)) = answer else { panic!("{answer:?}") };
    assert!(why.contains("the log does not tell any more"), "{why}");
    put(&store, "later", "x").await.unwrap();
    for store in [&store, &other, &open(&direct).await] {
        store.barrier().await.unwrap();
        assert_eq!(value(store, "n").await.as_deref(), Some("2"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_never_arrived_is_sent_again_and_happens_once() {
    let (proxy, proxied, direct) = behind_proxy().await;
    let store = open(&proxied).await;
    let before = put(&store, "n", "0").await.unwrap();
    proxy.set(Weather::Silent);
    let answers = join_all((0..8).map(|n| {
        let (store, proxy) = (&store, &proxy);
        async move {
            if n == 7 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                proxy.set(Weather::Fair);
            }
            put_if(store, &[Precondition::Absent(format!("{n}"))], &format!("{n}"), "x").await
        }
    }));
    assert!(answers.await.iter().all(Result::is_ok));
    let other = open(&direct).await;
    let Changes::Since { changes, .. } = other.changes(before).await.unwrap() else { panic!("lost") };
    assert_eq!(changes.len(), 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_its_session_expired_the_store_goes_on_with_a_new_one() {
    let (proxy, proxied, direct) = behind_proxy().await;
    let proxied = Options { session_timeout: Duration::from_secs(1), ..proxied };
    let (store, other) = (open(&proxied).await, open(&direct).await);
    let cursor = put(&store, "a", "1").await.unwrap();
    proxy.set(Weather::Cut);
    put(&other, "b", "2").await.unwrap();
    // Three times as long as both sides keep it.
    tokio::time::sleep(Duration::from_secs(5)).await;
    proxy.set(Weather::Fair);
    hear_of(&store, cursor, "b").await;
    let cursor = put_at_last(&store, "c", "3").await;
    put(&other, "d", "4").await.unwrap();
    hear_of(&store, cursor, "d").await;
    assert_eq!(value(&other, "c").await.as_deref(), Some("3"));
}

/// The client sends no recursive watch again when it connects again: a store that trusted it would hear of nothing until it
/// looks of its own accord, each five seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_outlive_lost_connections() {
    let (proxy, proxied, direct) = behind_proxy().await;
    let (store, other) = (open(&proxied).await, open(&direct).await);
    let mut cursor = put(&store, "a", "1").await.unwrap();
    // A read that is under way when the connection breaks would cost the whole session, and with a new one all is new.
    tokio::time::sleep(Duration::from_millis(300)).await;
    proxy.set(Weather::Cut);
    put(&other, "away", "x").await.unwrap();
    proxy.set(Weather::Fair);
    cursor = hear_of(&store, cursor, "away").await;
    let begun = clock::instant();
    for n in 0..6 {
        // What comes while the last is being read would be read with it, unheard.
        tokio::time::sleep(Duration::from_millis(300)).await;
        put(&other, &format!("back-{n}"), "x").await.unwrap();
        cursor = hear_of(&store, cursor, &format!("back-{n}")).await;
    }
    // It would be some 30 s.
    assert!(clock::since(begun) < Duration::from_secs(15), "{:?}", clock::since(begun));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_and_thin_links_are_slow_and_nothing_worse() {
    let (proxy, proxied, _) = behind_proxy().await;
    let store = open(&proxied).await;
    for weather in [Weather::Slow(Duration::from_millis(300)), Weather::Throttled(20_000)] {
        proxy.set(weather);
        let answers = join_all((0..100).map(|n| put(&store, "n", if n == 0 { "first" } else { "later" }))).await;
        assert!(answers.iter().all(Result::is_ok), "{weather:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_take_ten_seconds_are_given_up_and_nobody_waits_longer_than_said() {
    let (proxy, proxied, _) = behind_proxy().await;
    let store = open(&Options { commit_timeout: Duration::from_secs(3), ..proxied }).await;
    put(&store, "a", "1").await.unwrap();
    proxy.set(Weather::Slow(Duration::from_secs(10)));
    let begun = clock::instant();
    let answer = put(&store, "b", "2").await;
    assert!(matches!(answer, Err(CommitError::Unknown(_))), "{answer:?}");
    assert!(clock::since(begun) < Duration::from_secs(9), "{:?}", clock::since(begun));
    proxy.set(Weather::Cut);
    proxy.set(Weather::Fair);
    put_at_last(&store, "c", "3").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_is_refused_here_and_harms_nobody() {
    let options = options(shared());
    let store = open(&options).await;
    let large =
        |bytes: usize| Commit { preconditions: vec![], writes: vec![Write::Put("a".into(), vec![7; bytes].into())] };
    for bytes in [900_000, 2 << 20] {
        let answer = store.commit(large(bytes)).await;
        assert!(matches!(answer, Err(CommitError::TooLarge { limit_bytes: 900_000, .. })), "{answer:?}");
    }
    store.commit(large(899_000)).await.unwrap();
    // More than fits into one transaction, at once.
    let answers = join_all((0..8).map(|_| store.commit(large(400_000)))).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    // Its log entry names each of them.
    let many = |n: u32| Write::Put(format!("a/rather/long/key/of/which/there/are/many/{n}"), vec![].into());
    let answer = store.commit(Commit { preconditions: vec![], writes: (0..1500).map(many).collect() }).await;
    assert!(answer.is_ok(), "{answer:?}");
    assert_eq!(store.range("a/rather", None, false, 9999).await.unwrap().len(), 1500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zookeeper_that_takes_less_than_is_sent_at_once_gets_less_at_once_from_then_on() {
    let ensemble = Ensemble::with_requests_of(200_000);
    let options = Options { commit_timeout: Duration::from_secs(2), ..options(ensemble.addresses()) };
    let store = open(&options).await;
    let (value, long) = ("x".repeat(60_000), "x".repeat(400_000));
    let keys = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let rounds = async { while !join_all(keys.map(|key| put(&store, key, &value))).await.iter().all(Result::is_ok) {} };
    tokio::time::timeout(PATIENCE, rounds).await.expect("each has room alone");
    // What has none alone costs its own time, and nobody else anything afterwards.
    let refused = put(&store, "long", &long).await;
    assert!(matches!(refused, Err(CommitError::Unknown(_))), "{refused:?}");
    put_at_last(&store, "later", "1").await;
    assert_eq!(super::value(&open(&options).await, "long").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_death_of_the_leader_and_the_loss_of_the_quorum_are_survived() {
    let mut ensemble = Ensemble::start(3);
    let options = options(ensemble.addresses());
    let store = open(&options).await;
    put(&store, "a", "1").await.unwrap();
    let leader = ensemble.leader();
    ensemble.servers[leader].kill();
    put_at_last(&store, "b", "2").await;
    let next = ensemble.leader();
    ensemble.servers[next].kill();
    let waits = tokio::spawn(async move { (put_at_last(&store, "c", "3").await, store) });
    tokio::time::sleep(Duration::from_secs(3)).await;
    ensemble.servers[leader].start();
    let (_, store) = waits.await.unwrap();
    for (key, expected) in [("a", "1"), ("b", "2"), ("c", "3")] {
        assert_eq!(value(&store, key).await.as_deref(), Some(expected));
        assert_eq!(value(&open(&options).await, key).await.as_deref(), Some(expected));
    }
}

/// Each is written until it is acknowledged, under a key of its own; what was acknowledged is there, and what was said not to have happened
/// has not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_the_leaders_death_and_twenty_seconds_without_a_quorum_lose_nothing() {
    let mut ensemble = Ensemble::start(3);
    let options = Options { commit_timeout: Duration::from_secs(3), ..options(ensemble.addresses()) };
    let stores = [open(&options).await, open(&options).await];
    let (acknowledged, ended) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    let write = async |at: usize| {
        for n in 0_u32.. {
            if ended.load(Ordering::SeqCst) {
                return;
            }
            let key = format!("load/{at}/{n}");
            let absent = [Precondition::Absent(key.clone())];
            match put_if(&stores[at % 2], &absent, &key, "x").await {
                Ok(_) => acknowledged.lock().unwrap().push((key, true)),
                Err(CommitError::Unavailable(_)) => acknowledged.lock().unwrap().push((key, false)),
                Err(CommitError::Unknown(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    let outages = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let leader = ensemble.leader();
        ensemble.servers[leader].kill();
        put_at_last(&stores[0], "after the leader", "1").await;
        let next = ensemble.leader();
        ensemble.servers[next].kill();
        tokio::time::sleep(Duration::from_secs(20)).await;
        for server in [leader, next] {
            tokio::task::block_in_place(|| ensemble.servers[server].start());
        }
        put_at_last(&stores[1], "after the quorum", "2").await;
        ended.store(true, Ordering::SeqCst);
    };
    tokio::join!(join_all((0..8).map(write)), outages);
    let acknowledged = acknowledged.into_inner().unwrap();
    assert!(acknowledged.iter().filter(|(_, happened)| *happened).count() > 50);
    for store in [&stores[0], &stores[1], &open(&options).await] {
        put_at_last(store, "newest", "x").await;
        for (key, happened) in &acknowledged {
            assert_eq!(value(store, key).await.is_some(), *happened, "{key}");
        }
    }
}
