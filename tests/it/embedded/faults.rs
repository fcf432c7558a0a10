//! Power loss, a full or failing disk, and how many flushes a batch costs.

use std::time::Duration;

use doyen::adapters::embedded::EmbeddedStore;
use doyen::ports::{Commit, CommitError, MetaStore, Precondition, ReadError, Revision, Write};
use futures::future::join_all;
use futures::poll;

use super::cursors::told;
use super::disk::{Disk, Fault};

fn put(key: &str, size: usize) -> Commit {
    Commit { preconditions: vec![], writes: vec![Write::Put(key.into(), vec![7; size].into())] }
}

/// Two keys that must come and go together.
fn pair(n: usize) -> Commit {
    let key = |half: &str| Write::Put(format!("{half}/{n:05}"), vec![n as u8; 500].into());
    Commit { preconditions: vec![], writes: vec![key("left"), key("right")] }
}

async fn numbers(store: &impl MetaStore, half: &str) -> Vec<usize> {
    let entries = store.range(half, None, false, usize::MAX).await.unwrap();
    entries.iter().map(|entry| entry.key[half.len()..].parse().unwrap()).collect()
}

/// Of what was written after the cursor, each key is told, and no other.
async fn assert_changes_are_told(store: &EmbeddedStore, cursor: Revision) {
    let entries = store.range("", None, false, usize::MAX).await.unwrap();
    let written = entries.into_iter().filter(|entry| entry.version > cursor);
    let mut told = told(store, cursor).await.unwrap();
    told.sort();
    assert_eq!(told, written.map(|entry| entry.key).collect::<Vec<_>>());
}

/// A small generator, so that a failing seed can be run again.
fn coin(mut seed: u64) -> impl FnMut() -> bool {
    move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 63 == 1
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_commits_survive_power_loss_whole() {
    for seed in 0..40u64 {
        let disk = Disk::default();
        let store = disk.open();
        join_all((0..20).map(|n| store.commit(pair(n)))).await;
        disk.hold();
        // Two transactions, of two flushes each.
        let mut first = Box::pin(store.commit(pair(20)));
        assert!(poll!(&mut first).is_pending());
        disk.held().await;
        let mut rest = Box::pin(join_all((21..60).map(|n| store.commit(pair(n)))));
        assert!(poll!(&mut rest).is_pending());
        disk.let_flush(seed % 4);
        disk.held().await;
        disk.lose_power(coin(seed));
        let mut answers = vec![first.await];
        answers.extend(rest.await);
        assert_eq!(answers[0].is_ok(), seed % 4 > 1, "{:?}", answers[0]);
        drop(store);

        let store = disk.open();
        let left = numbers(&store, "left/").await;
        assert_eq!(left, numbers(&store, "right/").await, "seed {seed}");
        let newest = answers.iter().flatten().max().copied().unwrap_or(Revision(20));
        assert!(store.revision().await.unwrap() >= newest, "seed {seed}");
        for n in 0..60 {
            let acknowledged = n < 20 || answers[n - 20].is_ok();
            assert!(!acknowledged || left.contains(&n), "seed {seed}: {n} was acknowledged and is gone");
        }
        assert!(store.commit(pair(99)).await.unwrap() > newest);
        assert_changes_are_told(&store, Revision(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batch_of_64_with_one_poison_costs_two_flushes() {
    let disk = Disk::default();
    let store = disk.open();
    let before = disk.flushes();
    store.commit(put("alone", 10)).await.unwrap();
    assert_eq!(disk.flushes() - before, 2);

    disk.hold();
    let mut first = Box::pin(store.commit(put("first", 10)));
    assert!(poll!(&mut first).is_pending());
    disk.held().await;
    let before = disk.flushes();
    let mut rest = Box::pin(join_all((0..64).map(|n| {
        let mut commit = put(&format!("{n:02}"), 10);
        // The poison does not hold; its neighbour needs what another of the batch has just written.
        match n {
            31 => commit.preconditions.push(Precondition::Exists("never".into())),
            32 => commit.preconditions.push(Precondition::Exists("30".into())),
            _ => {}
        }
        store.commit(commit)
    })));
    assert!(poll!(&mut rest).is_pending());
    disk.release();
    first.await.unwrap();
    let answers = rest.await;
    assert_eq!(disk.flushes() - before, 2 + 2);
    assert_eq!(answers[31], Err(CommitError::Conflict(0)));
    let revisions: Vec<_> = answers.iter().flatten().collect();
    assert!(revisions.len() == 63 && revisions.is_sorted());
    assert_eq!(store.get("31").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflicts_alone_cost_no_flush() {
    let disk = Disk::default();
    let store = disk.open();
    let before = disk.flushes();
    let mut commit = put("a", 1);
    commit.preconditions.push(Precondition::Exists("never".into()));
    assert_eq!(store.commit(commit).await, Err(CommitError::Conflict(0)));
    assert_eq!(disk.flushes(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_refuses_what_does_not_fit_and_serves_the_rest() {
    let disk = Disk::default();
    let store = disk.open();
    let before = store.commit(put("kept", 100)).await.unwrap();
    disk.fail(Some(Fault::Full));
    let answer = store.commit(put("large", 6 << 20)).await;
    let Err(CommitError::Full(text)) = &answer else { panic!("{answer:?}") };
    assert!(text.contains("no storage space"), "{text}");
    assert_eq!(store.get("large").await.unwrap(), None);
    assert!(store.get("kept").await.unwrap().is_some());
    assert!(store.commit(put("small", 100)).await.unwrap() > before);
    disk.fail(None);
    store.commit(put("large", 6 << 20)).await.unwrap();
    assert_eq!(store.get("large").await.unwrap().unwrap().value.len(), 6 << 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_comes_back_by_itself_when_the_cause_is_gone() {
    for fault in [Fault::ReadOnly, Fault::Flush, Fault::From(0)] {
        let disk = Disk::default();
        let store = disk.open();
        store.commit(put("kept", 100)).await.unwrap();
        disk.fail(Some(fault));
        for _ in 0..3 {
            let answer = store.commit(put("lost", 100)).await;
            assert!(matches!(answer, Err(CommitError::Unavailable(_) | CommitError::Unknown(_))), "{answer:?}");
            if fault != Fault::From(0) {
                assert!(store.get("kept").await.unwrap().is_some(), "what cannot be written can still be read");
            }
        }
        disk.fail(None);
        let revived = async {
            while store.get("kept").await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), revived).await.unwrap();
        store.commit(put("next", 100)).await.unwrap();
        assert_eq!(store.get("kept").await.unwrap().unwrap().value.len(), 100);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_read_is_told_and_the_next_ones_are_well() {
    let disk = Disk::default();
    let store = disk.open();
    // More than the cache holds.
    for n in 0..60 {
        store.commit(put(&format!("{n}"), 50_000)).await.unwrap();
    }
    disk.fail(Some(Fault::Read));
    let answer = store.range("", None, false, 60).await;
    assert!(matches!(answer, Err(ReadError::Unavailable(_))));
    disk.fail(None);
    let revived = async {
        while store.range("", None, false, 60).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), revived).await.unwrap();
    assert_eq!(store.range("", None, false, 100).await.unwrap().len(), 60);
}

/// Whichever operation of a commit is the first to fail, the answer tells the truth.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failure_at_any_operation_of_a_commit_is_answered_truly() {
    let mut seen = [0; 3];
    for nth in 1..1000 {
        let disk = Disk::default();
        let store = disk.open();
        store.commit(pair(0)).await.unwrap();
        disk.fail(Some(Fault::From(disk.operations() + nth)));
        let answer = store.commit(pair(1)).await;
        disk.fail(None);
        let next = loop {
            match store.commit(pair(2)).await {
                Ok(revision) => break revision,
                Err(CommitError::Unavailable(_) | CommitError::Unknown(_)) => {}
                Err(error) => panic!("{error}"),
            }
        };
        assert!(answer.as_ref().is_ok_and(|revision| *revision < next) || answer.is_err());
        let live = numbers(&store, "left/").await;
        drop(store);
        disk.lose_power(coin(nth));
        let store = disk.open();
        let left = numbers(&store, "left/").await;
        assert_eq!((&left, &left), (&numbers(&store, "right/").await, &live));
        assert_changes_are_told(&store, Revision(1)).await;
        match answer {
            Ok(_) => assert_eq!(left, [0, 1, 2]),
            Err(CommitError::Unavailable(_)) => assert_eq!(left, [0, 2], "{nth}"),
            Err(CommitError::Unknown(_)) => assert!(left.contains(&2)),
            Err(error) => panic!("{error}"),
        }
        seen[match answer {
            Ok(_) => 0,
            Err(CommitError::Unavailable(_)) => 1,
            Err(_) => 2,
        }] += 1;
        if answer.is_ok() {
            break;
        }
    }
    assert!(seen.iter().all(|count| *count > 0), "ok, unavailable, unknown: {seen:?}");
}
