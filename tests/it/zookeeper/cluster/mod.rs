//! The cluster's record, fence and registrations in real ZooKeepers.

mod contract;
mod fences;
mod sessions;

use std::collections::BTreeSet;
use std::time::Duration;

use doyen::adapters::zookeeper::{Options, ZooKeeperCluster};
use doyen::core::cluster::changes::{By, Newcomer};
use doyen::core::cluster::ids::{ClaimId, NodeId, Version};
use doyen::core::cluster::record::Record;
use doyen::core::cluster::store::{Reading, Refusal, StoreAnswer, StoreOp};
use doyen::core::cluster::versions::Versions;
use doyen::ports::ClusterStore;
use futures::future::join_all;

use super::{PATIENCE, open, options, shared};
use crate::servers::zookeeper::Ensemble;

const CONFIRMED: StoreOp = StoreOp::Read { confirm: true };
const CONFLICT: StoreAnswer = StoreAnswer::Refused(Refusal::Conflict);
const FENCE: StoreAnswer = StoreAnswer::Refused(Refusal::Fence);

fn done(version: u64) -> StoreAnswer {
    StoreAnswer::Done { version: Version(version) }
}

/// As the run number 1 of this node, with a deadline that no healthy server misses.
fn as_node(options: &Options, name: &str) -> ZooKeeperCluster {
    ZooKeeperCluster::open(options.clone(), NodeId::new(name, 1), PATIENCE)
}

/// A store without a record.
async fn empty() -> Options {
    let options = options(shared());
    drop(open(&options).await);
    options
}

fn newcomer(name: &str) -> Newcomer {
    let versions = Versions { major: 0, minor: 1, protocol: 1, store: 1 };
    Newcomer { id: NodeId::new(name, 1), address: name.into(), roles: Vec::new(), versions }
}

fn by(name: &str) -> By {
    By { node: NodeId::new(name, 1), claim_id: ClaimId::from(format!("{name}/claim").as_str()) }
}

fn first() -> Record {
    Record::first("cluster".into(), &newcomer("A"), by("A"))
}

fn joined(before: &Record, name: &str) -> Record {
    before.joined(&newcomer(name), &BTreeSet::new(), by(name)).unwrap()
}

fn owned(before: &Record, name: &str) -> Record {
    before.owned_by(&NodeId::new(name, 1), by(name))
}

fn swap(base: u64, before: &Record, record: Record) -> StoreOp {
    StoreOp::Swap { base: Version(base), fence: before.fence(), record }
}

fn touch(base: u64, before: &Record) -> StoreOp {
    StoreOp::Touch { base: Version(base), fence: before.fence() }
}

async fn read(store: &ZooKeeperCluster) -> Reading {
    let StoreAnswer::Read(reading) = store.execute(&CONFIRMED).await else { panic!("lost") };
    *reading
}

/// Waits until the registered runs are these.
async fn registered(store: &ZooKeeperCluster, expected: &[NodeId]) {
    let waits = async {
        while read(store).await.registered != expected {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waits).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_claims_upon_one_version_one_is_done_and_the_others_are_refused() {
    let options = empty().await;
    let nodes: Vec<String> = (0..8).map(|n| format!("N{n}")).collect();
    let stores: Vec<_> = nodes.iter().map(|name| as_node(&options, name)).collect();
    let founds = join_all(stores.iter().zip(&nodes).map(|(store, name)| async move {
        let record = Record::first(name.as_str().into(), &newcomer(name), by(name));
        store.execute(&StoreOp::Create { record }).await
    }));
    let founded = founds.await;
    assert_eq!(founded.iter().filter(|answer| **answer == done(0)).count(), 1, "{founded:?}");
    assert_eq!(founded.iter().filter(|answer| **answer == CONFLICT).count(), 7, "{founded:?}");
    for round in 0..25 {
        let stored = read(&stores[0]).await.record.unwrap().unwrap();
        assert_eq!(stored.version, Version(round));
        let claims = join_all(stores.iter().enumerate().map(|(n, store)| {
            let record = joined(&stored.record, &format!("J{round}-{n}"));
            let claim = swap(round, &stored.record, record);
            async move { store.execute(&claim).await }
        }));
        let answers = claims.await;
        assert_eq!(answers.iter().filter(|answer| **answer == done(round + 1)).count(), 1, "{answers:?}");
        assert_eq!(answers.iter().filter(|answer| **answer == CONFLICT).count(), 7, "{answers:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_an_ensemble_a_confirmed_reading_is_the_newest_and_each_reading_of_one_moment() {
    let ensemble = Ensemble::start(3);
    let direct = options(ensemble.addresses());
    drop(open(&direct).await);
    let at = |server: usize| Options { servers: vec![ensemble.servers[server].address()], ..direct.clone() };
    let (writer, reader) = (as_node(&at(0), "A"), as_node(&at(1), "B"));
    let mut record = joined(&first(), "B");
    assert_eq!(writer.execute(&StoreOp::Create { record: record.clone() }).await, done(0));
    let reads = async {
        let mut seen = 0;
        while seen < 200 {
            let StoreAnswer::Read(reading) = reader.execute(&StoreOp::Read { confirm: false }).await else {
                panic!("lost")
            };
            let Some(stored) = reading.record.unwrap() else { continue };
            assert_eq!(reading.fences, [stored.record.fence()]);
            assert!(stored.version.0 >= seen);
            seen = stored.version.0;
        }
    };
    let writes = async {
        for base in 0..200 {
            let next = owned(&record, if base % 2 == 0 { "B" } else { "A" });
            assert_eq!(writer.execute(&swap(base, &record, next.clone())).await, done(base + 1));
            record = next;
            if base % 4 == 0 {
                assert_eq!(read(&reader).await.record.unwrap().unwrap().version, Version(base + 1));
            }
        }
    };
    tokio::time::timeout(PATIENCE, async { tokio::join!(reads, writes) }).await.unwrap();
}
