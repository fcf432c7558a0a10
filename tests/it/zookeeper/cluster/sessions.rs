//! Answers that are lost, sessions that end, and watches.

use std::time::Duration;

use doyen::adapters::zookeeper::{Options, ZooKeeperCluster};
use doyen::core::cluster::ids::{NodeId, Version};
use doyen::core::cluster::record::Record;
use doyen::core::cluster::store::{StoreAnswer, StoreOp};
use doyen::ports::ClusterStore;
use tokio::time::timeout;

use super::super::bare;
use super::{CONFLICT, PATIENCE, as_node, done, empty, first, joined, read, registered, swap, touch};
use crate::servers::proxy::{Proxy, Weather};

/// A store with a record, a proxy, and the node A whose requests are lost after a second.
async fn behind_proxy() -> (Options, Proxy, ZooKeeperCluster, Record) {
    let direct = empty().await;
    let proxy = Proxy::before(&direct.servers[0]).await;
    let proxied = Options { servers: vec![proxy.address.to_string()], ..direct.clone() };
    let store = ZooKeeperCluster::open(proxied, NodeId::new("A", 1), Duration::from_secs(1));
    let record = first();
    as_node(&direct, "founder").execute(&StoreOp::Create { record: record.clone() }).await;
    while store.execute(&StoreOp::Read { confirm: true }).await == StoreAnswer::Lost {}
    (direct, proxy, store, record)
}

/// As the core asks again and again until it is answered.
async fn at_last(store: &ZooKeeperCluster, op: &StoreOp) -> StoreAnswer {
    let asks = async {
        loop {
            match store.execute(op).await {
                StoreAnswer::Lost => tokio::time::sleep(Duration::from_millis(100)).await,
                answer => return answer,
            }
        }
    };
    tokio::time::timeout(PATIENCE, asks).await.unwrap()
}

fn heal(proxy: &Proxy) {
    proxy.set(Weather::Cut);
    proxy.set(Weather::Fair);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_whose_answer_was_lost_after_the_commit_is_found_by_a_write_that_is_refused() {
    let (direct, proxy, store, before) = behind_proxy().await;
    let next = joined(&before, "B");
    proxy.set(Weather::AnswersLost);
    assert_eq!(store.execute(&swap(0, &before, next.clone())).await, StoreAnswer::Lost);
    heal(&proxy);
    assert_eq!(at_last(&store, &touch(0, &before)).await, CONFLICT);
    let stored = read(&as_node(&direct, "B")).await.record.unwrap().unwrap();
    // It happened once: nobody has sent it again.
    assert_eq!((stored.record, stored.version), (next, Version(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_never_arrived_is_made_impossible_by_a_write_that_is_done() {
    let (direct, proxy, store, before) = behind_proxy().await;
    proxy.set(Weather::Silent);
    assert_eq!(store.execute(&swap(0, &before, joined(&before, "B"))).await, StoreAnswer::Lost);
    heal(&proxy);
    assert_eq!(at_last(&store, &touch(0, &before)).await, done(1));
    let stored = read(&as_node(&direct, "B")).await.record.unwrap().unwrap();
    assert_eq!((stored.record.clone(), stored.version), (before.clone(), Version(1)));
    assert_eq!(store.execute(&swap(0, &before, joined(&before, "B"))).await, CONFLICT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_store_is_away_each_request_is_lost_at_its_deadline() {
    let (_direct, proxy, store, before) = behind_proxy().await;
    for weather in [Weather::Silent, Weather::Cut] {
        proxy.set(weather);
        for op in [StoreOp::Read { confirm: false }, touch(0, &before), StoreOp::Create { record: first() }] {
            let answer = tokio::time::timeout(PATIENCE, store.execute(&op)).await;
            assert_eq!(answer.unwrap(), StoreAnswer::Lost, "{weather:?} {op:?}");
        }
    }
    proxy.set(Weather::Fair);
    // None of it has happened, and the first that is answered is the next version.
    assert_eq!(at_last(&store, &touch(0, &before)).await, done(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_session_takes_away_the_registration_of_that_run_and_of_no_other() {
    let (direct, proxy, store, _) = behind_proxy().await;
    let [a, b, again] = [NodeId::new("A", 1), NodeId::new("B", 1), NodeId::new("A", 2)];
    let other = as_node(&direct, "B");
    registered(&other, &[a.clone(), b.clone()]).await;
    let restarted = ZooKeeperCluster::open(direct.clone(), again.clone(), PATIENCE);
    registered(&other, &[a.clone(), again.clone(), b.clone()]).await;
    proxy.set(Weather::Cut);
    registered(&other, &[again.clone(), b.clone()]).await;
    // A new session, in which it is registered anew.
    proxy.set(Weather::Fair);
    registered(&other, &[a, again.clone(), b.clone()]).await;
    drop(store);
    registered(&other, &[again, b.clone()]).await;
    drop(restarted);
    registered(&other, &[b]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_that_hands_deleted_comes_back_and_another_run_of_the_process_takes_its_place() {
    let options = empty().await;
    let (one, other) = (as_node(&options, "A"), as_node(&options, "B"));
    let [a, again, b] = [NodeId::new("A", 1), NodeId::new("A", 2), NodeId::new("B", 1)];
    registered(&other, &[a.clone(), b.clone()]).await;
    let hand = bare(&options).await;
    let nodes = format!("{}/nodes", options.chroot);
    // One that was deleted first may be there again.
    let deleted = async {
        while hand.delete(&nodes, None).await.is_err() {
            for node in hand.list_children(&nodes).await.unwrap() {
                hand.delete(&format!("{nodes}/{node}"), None).await.unwrap();
            }
        }
    };
    timeout(PATIENCE, deleted).await.expect("deleted");
    registered(&other, &[a, b.clone()]).await;
    one.reincarnate(again.clone());
    registered(&other, &[again, b]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_record_is_told_also_after_the_connection_was_lost() {
    let (direct, proxy, store, mut record) = behind_proxy().await;
    let other = as_node(&direct, "B");
    let told = async |version: u64| {
        let waits = async {
            loop {
                store.changed().await;
                if let StoreAnswer::Read(reading) = at_last(&store, &StoreOp::Read { confirm: false }).await
                    && reading.record.unwrap().is_some_and(|stored| stored.version == Version(version))
                {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, waits).await.unwrap();
    };
    for version in 0..6 {
        if version == 3 {
            heal(&proxy);
        }
        let next = joined(&record, &format!("N{version}"));
        assert_eq!(other.execute(&swap(version, &record, next.clone())).await, done(version + 1));
        told(version + 1).await;
        record = next;
    }
}
