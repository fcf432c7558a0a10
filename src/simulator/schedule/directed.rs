//! Plans for rules that hold in one situation only, which random faults hardly ever bring about: each makes one of these, at random moments.

use doyen_cluster::ids::Millis;
use doyen_cluster::settings::Timing;

use super::{KINDS, configuration, faults, finish};
use crate::faults::{Damage, Fault, between, both_ways};
use crate::plan::{HostNo, Noise, Plan, StoreNoise, TimedFault, name};
use crate::random::Random;

/// Before it a cluster has formed, and judges have nothing left to excuse.
const FORMED_MS: u64 = 20_000;

pub fn plan(seed: u64, random: &mut Random) -> Plan {
    let makers = [
        one_way,
        namesakes,
        storeless_among_divided,
        unknown_newcomer,
        fence_back,
        owner_without_store,
        lagging_sessions,
        odd_one_out,
        silent_to_one,
        deleted_while_doubted,
        late_of_a_newcomer,
        slow_store_of_an_heir,
    ];
    // They take turns, too.
    let make = makers[(seed / KINDS) as usize % makers.len()];
    let mut plan = make(seed, random);
    plan.faults.sort_by_key(|timed| timed.at_ms);
    finish(&mut plan, random);
    plan
}

/// Nothing is amiss but what follows, and the first founds the cluster.
fn well(seed: u64, nodes: usize, random: &mut Random) -> Plan {
    let mut plan = configuration(seed, nodes, random);
    (plan.noise, plan.store, plan.timing) = (Noise::default(), StoreNoise::default(), Timing::default());
    plan.seeds = nodes;
    for (no, host) in plan.hosts.iter_mut().enumerate() {
        host.name = name(no);
        host.start_ms = Some(no as u64 * 300 + random.below(200));
        host.never_returns = false;
    }
    plan
}

impl Plan {
    fn strike(&mut self, at_ms: u64, fault: Fault) {
        self.faults.push(TimedFault { at_ms, fault });
    }
}

/// Of two, one does not hear the other any more, who hears it.
fn one_way(seed: u64, random: &mut Random) -> Plan {
    let mut plan = well(seed, 2, random);
    let at_ms = FORMED_MS + random.below(5000);
    let until_ms = at_ms + random.between(8000, 30_000);
    let links = vec![if random.chance(700) { (0, 1) } else { (1, 0) }];
    plan.strike(at_ms, Fault::Cut { links: links.clone(), rejecting: false });
    plan.strike(until_ms, Fault::Mend { links });
    plan.heal_ms = Some(until_ms);
    plan
}

/// A node is started under the name of one that lives. It is no seed, nor is that one: the first that answers it is another.
fn namesakes(seed: u64, random: &mut Random) -> Plan {
    let nodes = random.pick(&[3, 3, 4, 5]);
    let mut plan = well(seed, nodes, random);
    plan.seeds = random.between(1, nodes as u64 - 2) as usize;
    let (at_ms, last) = (FORMED_MS + random.below(5000), nodes - 1);
    plan.hosts[last].name = plan.hosts[last - 1].name.clone();
    plan.hosts[last].start_ms = Some(at_ms);
    let heal_ms = at_ms + random.between(5000, 20_000);
    if random.chance(400) {
        let soon = at_ms + random.below(5000);
        faults::coming_and_going(&mut plan, soon, heal_ms, random);
        plan.faults.retain(|timed| timed.at_ms < heal_ms);
    }
    plan.heal_ms = Some(heal_ms);
    plan
}

/// One that has been without the store for long hears all others, and none of those hears another.
fn storeless_among_divided(seed: u64, random: &mut Random) -> Plan {
    let nodes = random.pick(&[4, 4, 5]);
    let mut plan = well(seed, nodes, random);
    let node = nodes - 1;
    plan.strike(FORMED_MS, Fault::StoreCut { node });
    let at_ms = FORMED_MS + random.between(10_000, 14_000);
    let until_ms = at_ms + random.between(1000, 8000);
    let links = between(&(0..node).map(|host| vec![host]).collect::<Vec<_>>());
    plan.strike(at_ms, Fault::Cut { links: links.clone(), rejecting: false });
    plan.strike(until_ms, Fault::Mend { links });
    plan.strike(until_ms, Fault::StoreMend { node });
    plan.heal_ms = Some(until_ms);
    plan
}

/// Of two, one cannot read that the other has joined anew, but hears it.
fn unknown_newcomer(seed: u64, random: &mut Random) -> Plan {
    let mut plan = well(seed, 2, random);
    let node: HostNo = 1;
    let at_ms = FORMED_MS + random.below(5000);
    plan.strike(at_ms, Fault::StoreCut { node });
    plan.strike(at_ms + random.between(300, 4000), Fault::Crash { node: 0, never: false });
    let until_ms = at_ms + random.between(25_000, 35_000);
    if random.chance(300) {
        let (hears, links) = (at_ms + random.between(500, 20_000), both_ways(&[(0, 1)]));
        plan.strike(hears, Fault::Cut { links: links.clone(), rejecting: false });
        plan.strike(hears + random.between(100, 3000), Fault::Mend { links });
    }
    plan.strike(until_ms, Fault::StoreMend { node });
    plan.heal_ms = Some(until_ms);
    plan
}

/// The owner is relieved while it is without the store, a hand puts its fence back, and it reaches the store again.
fn fence_back(seed: u64, random: &mut Random) -> Plan {
    let nodes = random.pick(&[2, 2, 3]);
    let mut plan = well(seed, nodes, random);
    let node: HostNo = 0;
    let at_ms = FORMED_MS + random.below(5000);
    // Its session lasts as long.
    let mended_ms = at_ms + random.between(3200, 4400);
    plan.strike(at_ms, Fault::StoreCut { node });
    plan.strike(mended_ms - random.between(20, 700), Fault::Damage(Damage::FenceBack));
    plan.strike(mended_ms, Fault::StoreMend { node });
    let restored_ms = mended_ms + random.between(2000, 8000);
    plan.strike(restored_ms, Fault::Restore);
    plan.heal_ms = Some(restored_ms + 1000);
    plan
}

/// The owner is without the store for long, and that is all.
fn owner_without_store(seed: u64, random: &mut Random) -> Plan {
    let nodes = random.pick(&[2, 3, 4]);
    let mut plan = well(seed, nodes, random);
    let at_ms = FORMED_MS + random.below(5000);
    let until_ms = at_ms + random.between(15_000, 25_000);
    plan.strike(at_ms, Fault::StoreCut { node: 0 });
    plan.strike(until_ms, Fault::StoreMend { node: 0 });
    plan.heal_ms = Some(until_ms);
    plan
}

/// The record changes while a node loses its session again and again, and each new one begins at a follower that lags.
fn lagging_sessions(seed: u64, random: &mut Random) -> Plan {
    let nodes = random.pick(&[2, 3]);
    let mut plan = well(seed, nodes, random);
    let (node, other) = if random.chance(500) { (0, 1) } else { (1, 0) };
    let (usual, at_ms) = (plan.store, FORMED_MS + random.below(5000));
    plan.strike(at_ms, Fault::StoreNoise { node, noise: StoreNoise { lag_ms: 3000, ..usual } });
    plan.strike(at_ms, Fault::Crash { node: other, never: false });
    for after_ms in [700, 1500, 2500] {
        plan.strike(at_ms + after_ms + random.below(500), Fault::SessionExpires { node });
    }
    plan.strike(at_ms + 8000, Fault::StoreNoise { node, noise: usual });
    plan.heal_ms = Some(at_ms + 8000);
    plan
}

/// While the store is away, one loses its links to all others but one; then the store is back.
fn odd_one_out(seed: u64, random: &mut Random) -> Plan {
    let nodes = random.pick(&[4, 5]);
    let mut plan = well(seed, nodes, random);
    let (odd, still) = if random.chance(500) { (nodes - 1, 0) } else { (1, 0) };
    plan.strike(FORMED_MS, Fault::StoreAway);
    let at_ms = FORMED_MS + random.between(1000, 3000);
    let until_ms = at_ms + random.between(14_000, 20_000);
    let lost: Vec<_> = (0..nodes).filter(|other| *other != odd && *other != still).map(|other| (odd, other)).collect();
    let links = both_ways(&lost);
    plan.strike(at_ms, Fault::Cut { links: links.clone(), rejecting: false });
    plan.strike(at_ms + random.between(10_000, 13_000), Fault::StoreBack);
    if random.chance(500) {
        // It is the first to notice.
        let (usual, noise) = (plan.store, StoreNoise { delay_us: 100_000, ..plan.store });
        for node in (0..nodes).filter(|other| *other != odd) {
            plan.strike(at_ms, Fault::StoreNoise { node, noise });
            plan.strike(until_ms, Fault::StoreNoise { node, noise: usual });
        }
    }
    plan.strike(until_ms, Fault::Mend { links });
    plan.heal_ms = Some(until_ms);
    plan
}

/// Of three, the owner and the next oldest do not hear each other any more, and pauses are taken for usual that are longer than patience.
fn silent_to_one(seed: u64, random: &mut Random) -> Plan {
    let mut plan = well(seed, 3, random);
    plan.timing.heartbeat = Millis(random.pick(&[250, 500]));
    plan.timing.detector.acceptable_pause = Millis(2000);
    (plan.timing.store_poll, plan.timing.store_deadline) = (Millis(200), Millis(500));
    plan.timing.store_patience = Millis(500);
    let at_ms = FORMED_MS + random.below(5000);
    let until_ms = at_ms + random.between(5000, 15_000);
    let links = both_ways(&[(0, 1)]);
    plan.strike(at_ms, Fault::Cut { links: links.clone(), rejecting: false });
    plan.strike(until_ms, Fault::Mend { links });
    plan.heal_ms = Some(until_ms);
    plan
}

/// A hand damages the record, and then deletes it with its fences. The first seed starts between, and its follower lags.
fn deleted_while_doubted(seed: u64, random: &mut Random) -> Plan {
    let nodes = random.pick(&[2, 2, 3]);
    let mut plan = well(seed, nodes, random);
    let (node, usual, at_ms): (HostNo, _, _) = (0, plan.store, FORMED_MS + random.below(5000));
    plan.hosts[node].restart_ms = Some(1000);
    plan.strike(at_ms, Fault::StoreNoise { node, noise: StoreNoise { lag_ms: 1000, ..usual } });
    plan.strike(at_ms, Fault::Crash { node, never: false });
    plan.strike(at_ms, Fault::Damage(random.pick(&[Damage::FenceDeleted, Damage::Bytes, Damage::NewerFormat])));
    plan.strike(at_ms + random.between(500, 990), Fault::Damage(Damage::DeleteAll));
    let restored_ms = at_ms + random.between(4000, 10_000);
    plan.strike(restored_ms, Fault::StoreNoise { node, noise: usual });
    plan.strike(restored_ms, Fault::Restore);
    plan.heal_ms = Some(restored_ms + 1000);
    plan
}

/// The first two do not hear each other, and the younger learns late that another has joined, which hears both.
fn late_of_a_newcomer(seed: u64, random: &mut Random) -> Plan {
    let mut plan = well(seed, 3, random);
    plan.timing.store_deadline = Millis(3000);
    let (node, usual, at_ms): (HostNo, _, _) = (1, plan.store, FORMED_MS + random.below(5000));
    let until_ms = at_ms + random.between(6000, 15_000);
    let links = both_ways(&[(0, node)]);
    plan.hosts[2].start_ms = Some(at_ms + random.between(300, 2000));
    plan.strike(at_ms, Fault::StoreNoise { node, noise: StoreNoise { delay_us: 400_000, ..usual } });
    plan.strike(at_ms, Fault::Cut { links: links.clone(), rejecting: false });
    plan.strike(until_ms, Fault::Mend { links });
    plan.strike(until_ms, Fault::StoreNoise { node, noise: usual });
    plan.heal_ms = Some(until_ms);
    plan
}

/// The owner is gone for good, and to the only other each answer of the store takes longer than it waits between two looks.
fn slow_store_of_an_heir(seed: u64, random: &mut Random) -> Plan {
    let mut plan = well(seed, 2, random);
    plan.timing.store_poll = Millis(200);
    let at_ms = FORMED_MS + random.below(5000);
    let noise = StoreNoise { delay_us: random.between(110_000, 200_000), ..plan.store };
    plan.strike(at_ms - 2000, Fault::StoreNoise { node: 1, noise });
    plan.strike(
        at_ms,
        if random.chance(500) { Fault::Crash { node: 0, never: true } } else { Fault::PowerLoss { node: 0 } },
    );
    plan.heal_ms = Some(at_ms + random.between(14_000, 20_000));
    plan
}
