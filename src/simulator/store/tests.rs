//! The register keeps its promises, and lags only as far as it may.

use doyen_cluster::changes::{By, Newcomer};
use doyen_cluster::ids::ClaimId;
use doyen_cluster::versions::Versions;

use super::*;
use crate::faults::Damage;

fn newcomer(name: &str) -> Newcomer {
    let versions = Versions { major: 0, minor: 1, protocol: 1, store: 1 };
    Newcomer { id: NodeId::new(name, 1), address: name.into(), roles: Vec::new(), versions }
}

fn by(name: &str) -> By {
    By { node: NodeId::new(name, 1), claim_id: ClaimId::from("claim") }
}

fn first() -> Record {
    Record::first("cluster".into(), &newcomer("A"), by("A"))
}

/// A store with the record of A at 1 s, and A's session.
fn founded() -> (Store, SessionNo) {
    let mut store = Store::default();
    let session = store.open(0, NodeId::new("A", 1), 0);
    assert!(store.execute(1_000_000, session, &StoreOp::Create { record: first() }, 0).unwrap().1);
    (store, session)
}

fn joined(name: &str) -> StoreOp {
    let before = first();
    let record = before.joined(&newcomer(name), &std::collections::BTreeSet::new(), by(name)).unwrap();
    StoreOp::Swap { base: Version(0), fence: before.fence(), record }
}

fn answer(store: &mut Store, now: u64, session: SessionNo, op: &StoreOp) -> StoreAnswer {
    store.execute(now, session, op, 0).unwrap().0
}

fn members(answer: StoreAnswer) -> usize {
    let StoreAnswer::Read(reading) = answer else { panic!("{answer:?}") };
    reading.record.unwrap().map_or(0, |stored| stored.record.members.len())
}

#[test]
fn two_swap_upon_one_version_and_the_second_is_refused() {
    let (mut store, session) = founded();
    assert_eq!(answer(&mut store, 2, session, &joined("B")), StoreAnswer::Done { version: Version(1) });
    assert_eq!(answer(&mut store, 3, session, &joined("C")), StoreAnswer::Refused(Refusal::Conflict));
}

#[test]
fn after_a_touch_no_change_upon_the_old_version_commits() {
    let (mut store, session) = founded();
    let touched = answer(&mut store, 2, session, &StoreOp::Touch { base: Version(0), fence: first().fence() });
    assert_eq!(touched, StoreAnswer::Done { version: Version(1) });
    assert_eq!(answer(&mut store, 3, session, &joined("B")), StoreAnswer::Refused(Refusal::Conflict));
}

#[test]
fn a_follower_lags_but_not_behind_what_the_session_saw() {
    let (mut store, session) = founded();
    let other = store.open(1_100_000, NodeId::new("B", 1), 1);
    answer(&mut store, 2_000_000, session, &joined("B"));
    let read = StoreOp::Read { confirm: false };
    let lagging = |store: &mut Store, session| store.execute(2_100_000, session, &read, 500_000).unwrap().0;
    assert_eq!(members(lagging(&mut store, other)), 1, "the follower has the record before");
    assert_eq!(members(answer(&mut store, 2_100_000, other, &StoreOp::Read { confirm: true })), 2);
    assert_eq!(members(lagging(&mut store, other)), 2, "it does not go back");
    assert_eq!(members(lagging(&mut store, session)), 2, "who wrote sees it");
}

#[test]
fn fences_that_are_left_refuse_a_new_record() {
    let (mut store, session) = founded();
    assert!(store.damage(2, Damage::Delete));
    assert_eq!(
        answer(&mut store, 3, session, &StoreOp::Create { record: first() }),
        StoreAnswer::Refused(Refusal::Fence)
    );
}

#[test]
fn each_damage_but_a_rollback_is_told_from_a_record() {
    for damage in [Damage::Bytes, Damage::NewerFormat, Damage::EqualAges] {
        let (mut store, session) = founded();
        answer(&mut store, 2_000_000, session, &joined("B"));
        assert!(store.damage(3_000_000, damage), "{damage:?}");
        assert!(store.state().reads_as().is_err(), "{damage:?}");
    }
    let (mut store, session) = founded();
    answer(&mut store, 2_000_000, session, &joined("B"));
    assert!(store.damage(3_000_000, Damage::RollBack(1)));
    assert_eq!(store.record().map(|record| record.members.len()), Some(1));
}

#[test]
fn a_registration_ends_with_its_session() {
    let (mut store, session) = founded();
    assert_eq!(store.state().registered.len(), 1);
    assert!(store.end(2, session));
    assert!(store.state().registered.is_empty() && !store.end(3, session));
}
