//! A term that is over writes nothing, whatever hands do to znodes.

use doyen::adapters::zookeeper::{Options, ZooKeeperStore};
use doyen::core::cluster::record::{FenceKey, Record};
use doyen::core::cluster::store::StoreOp;
use doyen::ports::{ClusterStore, Commit, CommitError, MetaStore, Precondition, Revision, Write};
use futures::future::join_all;

use super::super::{bare, node, open, value};
use super::{CONFLICT, FENCE, as_node, done, empty, first, joined, owned, read, swap, touch};

/// A write of the singleton of this term.
async fn by_term(store: &ZooKeeperStore, fence: &FenceKey, key: &str) -> Result<Revision, CommitError> {
    let preconditions = vec![Precondition::Absent(key.into()), Precondition::Fence(fence.clone())];
    store.commit(Commit { preconditions, writes: vec![Write::Put(key.into(), "x".into())] }).await
}

/// A store with the record of A and B, in term 1, at version 0.
async fn founded() -> (Options, Record) {
    let options = empty().await;
    let record = joined(&first(), "B");
    assert_eq!(as_node(&options, "A").execute(&StoreOp::Create { record: record.clone() }).await, done(0));
    (options, record)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_superseded_term_writes_nothing_not_even_once_its_fence_and_record_are_put_back_by_hand() {
    let (options, term1) = founded().await;
    let (store, other, claimant) = (open(&options).await, open(&options).await, as_node(&options, "B"));
    let hand = bare(&options).await;
    let old = hand.get_data(&format!("{}/cluster", options.chroot)).await.unwrap().0;
    let (one, two) = (term1.fence().key, owned(&term1, "B").fence().key);
    by_term(&store, &one, "allowed").await.unwrap();
    assert_eq!(by_term(&store, &two, "early").await, Err(CommitError::Conflict(1)));
    // A change within the term leaves its fence.
    let within = joined(&term1, "C");
    assert_eq!(claimant.execute(&swap(0, &term1, within.clone())).await, done(1));
    by_term(&store, &one, "allowed too").await.unwrap();
    let term2 = owned(&within, "B");
    assert_eq!(claimant.execute(&swap(1, &within, term2.clone())).await, done(2));
    // At once, together with others whom it does not concern, and by a store that has heard of nothing.
    let batch = join_all((0..20).map(|n| {
        let (store, one, two) = (&store, &one, &two);
        async move {
            let key = format!("batch-{n}");
            match n % 3 {
                0 => (by_term(store, one, &key).await, Err(CommitError::Conflict(1))),
                1 => (by_term(store, two, &key).await, Ok(())),
                _ => (super::super::put(store, &key, "x").await, Ok(())),
            }
        }
    }));
    for (answer, expected) in batch.await {
        assert_eq!(answer.map(|_| ()), expected);
    }
    assert_eq!(by_term(&other, &one, "late").await, Err(CommitError::Conflict(1)));
    // All is deleted, and made anew as it was in term 1; versions begin at 0 again.
    let root = &options.chroot;
    for path in ["fence/2#cluster/4", "fence/2#cluster", "fence", "cluster"] {
        hand.delete(&format!("{root}/{path}"), None).await.unwrap();
    }
    for (path, data) in [("cluster", &old[..]), ("fence", b""), ("fence/1#cluster", b""), ("fence/1#cluster/2", b"")] {
        hand.create(&format!("{root}/{path}"), data, &node()).await.unwrap();
    }
    for store in [&store, &other, &open(&options).await] {
        assert_eq!(by_term(store, &one, "late").await, Err(CommitError::Conflict(1)));
        // Nor does the later one, whose fence is not there.
        assert_eq!(by_term(store, &two, "lost").await, Err(CommitError::Conflict(1)));
        assert_eq!((value(store, "late").await, value(store, "lost").await), (None, None));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_was_put_back_by_hand_is_changed_by_nobody() {
    let (options, before) = founded().await;
    let (late, other) = (as_node(&options, "A"), as_node(&options, "B"));
    let (hand, path) = (bare(&options).await, format!("{}/cluster", options.chroot));
    let old = hand.get_data(&path).await.unwrap().0;
    let now = joined(&before, "C");
    assert_eq!(other.execute(&swap(0, &before, now.clone())).await, done(1));
    hand.delete(&path, None).await.unwrap();
    assert_eq!(late.execute(&swap(0, &before, joined(&before, "D"))).await, CONFLICT);
    assert_eq!(late.execute(&StoreOp::Create { record: first() }).await, FENCE);
    // Of the version that a claim was made for, and within its term: only the epoch is another.
    hand.create(&path, &old, &node()).await.unwrap();
    assert_eq!(late.execute(&swap(0, &before, joined(&before, "D"))).await, FENCE);
    assert_eq!(late.execute(&touch(0, &before)).await, FENCE);
    let reading = read(&late).await;
    assert_eq!((reading.record.unwrap().unwrap().record, reading.fences), (before, vec![now.fence()]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_next_term_whose_fence_is_there_already_and_a_fence_without_an_epoch_are_refused() {
    let (options, before) = founded().await;
    let (store, hand) = (as_node(&options, "A"), bare(&options).await);
    let next = owned(&before, "B");
    hand.create(&format!("{}/fence/2#cluster", options.chroot), b"", &node()).await.unwrap();
    assert_eq!(store.execute(&swap(0, &before, next.clone())).await, FENCE);
    assert_eq!(read(&store).await.fences.len(), 2);
    hand.delete(&format!("{}/fence/2#cluster", options.chroot), None).await.unwrap();
    assert_eq!(store.execute(&swap(0, &before, next.clone())).await, done(1));
    hand.delete(&format!("{}/fence/2#cluster/3", options.chroot), None).await.unwrap();
    assert_eq!(store.execute(&touch(1, &next)).await, FENCE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_whose_chroot_was_deleted_is_not_made_anew_by_the_cluster() {
    let options = super::super::options(super::shared());
    let store = doyen::adapters::zookeeper::ZooKeeperCluster::open(
        options.clone(),
        doyen::core::cluster::ids::NodeId::new("A", 1),
        std::time::Duration::from_secs(2),
    );
    let answer = store.execute(&StoreOp::Create { record: first() }).await;
    assert_eq!(answer, doyen::core::cluster::store::StoreAnswer::Lost);
    assert!(bare(&options).await.check_stat(&options.chroot).await.unwrap().is_none());
}
