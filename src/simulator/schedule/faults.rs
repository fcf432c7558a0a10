//! Random faults, most of them undone after a while.

use crate::faults::{Damage, Fault, Link, between, both_ways};
use crate::plan::{HostNo, Noise, Plan, StoreNoise, TimedFault};
use crate::random::Random;

struct Draft<'a> {
    plan: &'a mut Plan,
    at_ms: u64,
    /// When what is undone is undone.
    until_ms: u64,
}

impl Draft<'_> {
    fn strike(&mut self, fault: Fault) {
        self.plan.faults.push(TimedFault { at_ms: self.at_ms, fault });
    }

    fn strike_for_a_while(&mut self, fault: Fault, undone: Fault) {
        self.strike(fault);
        self.plan.faults.push(TimedFault { at_ms: self.until_ms, fault: undone });
    }
}

/// Adds a fault, or some that belong together.
pub fn any(plan: &mut Plan, at_ms: u64, heal_ms: u64, random: &mut Random) {
    let lasts = random.pick(&[100, 600, 1500, 3000, 6000, 9000, 20_000]);
    let until_ms = (at_ms + random.between(lasts / 2, lasts)).min(heal_ms);
    let node = random.below(plan.hosts.len() as u64) as usize;
    let mut draft = Draft { plan, at_ms, until_ms };
    match random.below(100) {
        0..=15 => crash(&mut draft, node, random),
        16 => draft.strike(Fault::Wedge { node }),
        17..=25 => freeze(&mut draft, node, random),
        26..=47 => cut(&mut draft, random),
        48..=53 => flap(&mut draft, random),
        54..=60 => noise(&mut draft, random),
        61..=65 => clock(&mut draft, node, random),
        66..=72 => draft.strike(Fault::Leave { node }),
        73..=78 => draft.strike(Fault::Start { node }),
        79..=97 => store(&mut draft, node, random),
        _ => by_hand(&mut draft, node, random),
    }
}

/// Adds the one fault of a plan that has no other.
pub fn single(plan: &mut Plan, at_ms: u64, random: &mut Random) {
    let node = random.below(plan.hosts.len() as u64) as usize;
    let until_ms = at_ms + random.between(100, 30_000);
    let mut draft = Draft { plan, at_ms, until_ms };
    match random.below(10) {
        9 => draft.strike(Fault::Wedge { node }),
        0 => draft.strike(Fault::Crash { node, never: false }),
        1 => draft.strike(Fault::PowerLoss { node }),
        2 => freeze(&mut draft, node, random),
        3 | 4 => cut(&mut draft, random),
        5 => flap(&mut draft, random),
        6 => draft.strike_for_a_while(Fault::StoreCut { node }, Fault::StoreMend { node }),
        7 => draft.strike_for_a_while(Fault::StoreAway, Fault::StoreBack),
        _ => draft.strike(Fault::SessionExpires { node }),
    }
}

fn crash(draft: &mut Draft, node: HostNo, random: &mut Random) {
    match random.below(10) {
        0..=4 => draft.strike(Fault::Crash { node, never: false }),
        5 => draft.strike(Fault::Crash { node, never: true }),
        6..=7 => draft.strike_for_a_while(Fault::PowerLoss { node }, Fault::Start { node }),
        8 => {
            // All lose power.
            for node in 0..draft.plan.hosts.len() {
                draft.strike_for_a_while(Fault::PowerLoss { node }, Fault::Start { node });
            }
        }
        _ => {
            let some = random.below(draft.plan.hosts.len() as u64) as usize + 1;
            for node in random.some_of(some, draft.plan.hosts.len()) {
                draft.strike(Fault::Crash { node, never: false });
            }
        }
    }
}

/// Processes that start, leave, crash and stand still, while requests to the store get lost.
pub fn coming_and_going(plan: &mut Plan, at_ms: u64, heal_ms: u64, random: &mut Random) {
    let node = random.below(plan.hosts.len() as u64) as usize;
    let until_ms = (at_ms + random.between(500, 5000)).min(heal_ms);
    let mut draft = Draft { plan, at_ms, until_ms };
    match random.below(19) {
        0..=1 => draft.strike_for_a_while(Fault::Leave { node }, Fault::Start { node }),
        2..=3 => draft.strike_for_a_while(Fault::Crash { node, never: true }, Fault::Start { node }),
        4 => draft.strike_for_a_while(Fault::PowerLoss { node }, Fault::Start { node }),
        5 => freeze(&mut draft, node, random),
        10..=13 => joining(&mut draft, node, random),
        14 => lagging(&mut draft, node),
        15..=16 => alone(&mut draft, node),
        17 => without_heir(&mut draft, node),
        18 => {
            for node in random.some_of(2, draft.plan.hosts.len()) {
                draft.until_ms = (at_ms + 15_000).min(heal_ms);
                draft.strike_for_a_while(Fault::PowerLoss { node }, Fault::Start { node });
            }
        }
        6 => draft.strike(Fault::Replay { to: node, count: random.pick(&[10, 300, 2000]), lie: false }),
        _ => {
            let noise = StoreNoise {
                lost_before_per_mille: random.pick(&[0, 200, 500]),
                lost_after_per_mille: random.pick(&[200, 500]),
                late_per_mille: random.pick(&[0, 500, 1000]),
                late_ms: random.pick(&[500, 3000]),
                ..StoreNoise::default()
            };
            let usual = draft.plan.store;
            draft.strike_for_a_while(Fault::StoreNoise { node, noise }, Fault::StoreNoise { node, noise: usual });
            draft.strike(Fault::Crash { node, never: false });
        }
    }
}

/// A node loses the store, and perhaps its peers, about when it joins.
fn joining(draft: &mut Draft, node: HostNo, random: &mut Random) {
    let others = (0..draft.plan.hosts.len()).filter(|other| *other != node);
    let links = both_ways(&others.map(|other| (node, other)).collect::<Vec<_>>());
    let starts_ms = draft.plan.hosts[node].restart_ms.unwrap_or(0);
    let (usual, began_ms) = (draft.plan.store, draft.at_ms);
    draft.until_ms = began_ms + starts_ms + random.between(4000, 12_000);
    let noise = StoreNoise { delay_us: 100_000, ..StoreNoise::default() };
    draft.strike_for_a_while(Fault::StoreNoise { node, noise }, Fault::StoreNoise { node, noise: usual });
    draft.strike(Fault::Crash { node, never: false });
    draft.at_ms = began_ms + starts_ms + random.between(200, 1000);
    draft.strike_for_a_while(Fault::StoreCut { node }, Fault::StoreMend { node });
    if random.chance(500) {
        draft.strike_for_a_while(Fault::Cut { links: links.clone(), rejecting: false }, Fault::Mend { links });
    }
}

/// A node's session ends while its follower lags and the record changes.
fn lagging(draft: &mut Draft, node: HostNo) {
    let (usual, began_ms) = (draft.plan.store, draft.at_ms);
    let noise = StoreNoise { lag_ms: 3000, ..StoreNoise::default() };
    draft.until_ms = began_ms + 8000;
    draft.strike_for_a_while(Fault::StoreNoise { node, noise }, Fault::StoreNoise { node, noise: usual });
    let other = (node + 1) % draft.plan.hosts.len();
    draft.strike(Fault::Crash { node: other, never: false });
    for after_ms in [700, 1500, 2500] {
        draft.at_ms = began_ms + after_ms;
        draft.strike(Fault::SessionExpires { node });
    }
}

/// A node is cut off, and starts again.
fn alone(draft: &mut Draft, node: HostNo) {
    let others = (0..draft.plan.hosts.len()).filter(|other| *other != node);
    let links = both_ways(&others.map(|other| (node, other)).collect::<Vec<_>>());
    draft.until_ms = draft.at_ms + 20_000;
    draft.strike_for_a_while(Fault::Cut { links: links.clone(), rejecting: false }, Fault::Mend { links });
    draft.strike(Fault::Crash { node, never: false });
}

/// From the beginning on each of the first seeds cannot found: it has no store, is cut off, stands still, or is not there.
pub fn first_seeds(plan: &mut Plan, unable: usize, heal_ms: u64, random: &mut Random) {
    for node in 0..unable {
        let until_ms = random.between(heal_ms / 2, heal_ms);
        let mut draft = Draft { plan, at_ms: 0, until_ms };
        match random.below(6) {
            0..=2 => draft.strike_for_a_while(Fault::StoreCut { node }, Fault::StoreMend { node }),
            3 => {
                let others = (0..draft.plan.hosts.len()).filter(|other| *other != node);
                let links = both_ways(&others.map(|other| (node, other)).collect::<Vec<_>>());
                draft.strike_for_a_while(Fault::Cut { links: links.clone(), rejecting: false }, Fault::Mend { links });
                draft.strike_for_a_while(Fault::StoreCut { node }, Fault::StoreMend { node });
            }
            4 => {
                draft.at_ms = draft.plan.hosts[node].start_ms.unwrap_or(0) + random.below(500);
                freeze(&mut draft, node, random);
            }
            _ => draft.plan.hosts[node].start_ms = Some(until_ms),
        }
    }
}

/// The oldest leaves, and another cannot reach the store.
fn without_heir(draft: &mut Draft, node: HostNo) {
    draft.until_ms = draft.at_ms + 12_000;
    draft.strike_for_a_while(Fault::StoreCut { node }, Fault::StoreMend { node });
    draft.at_ms += 6000;
    draft.strike_for_a_while(Fault::Leave { node: 0 }, Fault::Start { node: 0 });
}

/// Somebody changes the store by hand, and nodes come and go.
pub fn with_hands(plan: &mut Plan, at_ms: u64, heal_ms: u64, random: &mut Random) {
    let node = random.below(plan.hosts.len() as u64) as usize;
    let until_ms = (at_ms + random.between(2000, 25_000)).min(heal_ms);
    let mut draft = Draft { plan, at_ms, until_ms };
    match random.below(4) {
        0 => draft.strike(Fault::Crash { node, never: false }),
        1 => draft.strike(Fault::Replay { to: node, count: random.pick(&[10, 300, 2000]), lie: random.chance(500) }),
        _ => {
            by_hand(&mut draft, node, random);
            draft.strike(Fault::Crash { node, never: false });
        }
    }
}

fn freeze(draft: &mut Draft, node: HostNo, random: &mut Random) {
    let clock_too = random.chance(300);
    draft.strike_for_a_while(Fault::Freeze { node, clock_too }, Fault::Continue { node });
}

/// One link or some, one way or both, or sides.
fn links(hosts: usize, random: &mut Random) -> Vec<Link> {
    if hosts < 2 {
        return Vec::new();
    }
    let mut pair = || {
        let from = random.below(hosts as u64) as usize;
        (from, (from + 1 + random.below(hosts as u64 - 1) as usize) % hosts)
    };
    let (first, second) = (pair(), pair());
    match random.below(10) {
        0 => vec![first],
        1 => vec![first, second],
        2..=3 => both_ways(&[first]),
        4 => both_ways(&[first, second]),
        5 => {
            // A node that hears all and is heard by none, or the other way round.
            let others = (0..hosts).filter(|other| *other != first.0);
            let deaf = random.chance(500);
            others.map(|other| if deaf { (other, first.0) } else { (first.0, other) }).collect()
        }
        6 => between(&(0..hosts).map(|host| vec![host]).collect::<Vec<_>>()),
        _ => {
            let mut sides = vec![Vec::new(), Vec::new(), Vec::new()];
            let many = if random.chance(800) { 2 } else { 3 };
            for host in 0..hosts {
                sides[random.below(many) as usize].push(host);
            }
            between(&sides)
        }
    }
}

fn cut(draft: &mut Draft, random: &mut Random) {
    let links = links(draft.plan.hosts.len(), random);
    let rejecting = random.chance(100);
    draft.strike_for_a_while(Fault::Cut { links: links.clone(), rejecting }, Fault::Mend { links });
}

fn flap(draft: &mut Draft, random: &mut Random) {
    let links = links(draft.plan.hosts.len(), random);
    let every_ms = random.pick(&[50, 300, 1000, 2500, 5000]);
    let times = ((draft.until_ms - draft.at_ms) / (2 * every_ms)).clamp(1, 50) as u32;
    draft.strike(Fault::Flap { links, every_ms, times });
}

fn noise(draft: &mut Draft, random: &mut Random) {
    let noise = Noise {
        delay_us: random.pick(&[200, 5000, 50_000, 400_000]),
        jitter_us: random.pick(&[200, 10_000, 300_000]),
        loss_per_mille: random.pick(&[0, 20, 200, 500]),
        twice_per_mille: random.pick(&[0, 100, 500]),
        overtaking_per_mille: random.pick(&[0, 100, 500]),
    };
    let links = random.chance(600).then(|| links(draft.plan.hosts.len(), random));
    let usual = draft.plan.noise;
    draft.strike_for_a_while(Fault::Noise { links: links.clone(), noise }, Fault::Noise { links, noise: usual });
}

fn clock(draft: &mut Draft, node: HostNo, random: &mut Random) {
    if random.chance(600) {
        draft.strike(Fault::ClockJump { node, ms: random.pick(&[500, 3000, 30_000, 3_600_000]) });
    } else {
        let ppm = random.pick(&[-200_000, -20_000, 20_000, 200_000]);
        let usual = draft.plan.hosts[node].drift_ppm;
        draft.strike_for_a_while(Fault::ClockDrift { node, ppm }, Fault::ClockDrift { node, ppm: usual });
    }
}

fn store(draft: &mut Draft, node: HostNo, random: &mut Random) {
    match random.below(10) {
        0..=2 => draft.strike_for_a_while(Fault::StoreCut { node }, Fault::StoreMend { node }),
        3..=4 => draft.strike_for_a_while(Fault::StoreAway, Fault::StoreBack),
        5..=7 => {
            let noise = StoreNoise {
                delay_us: random.pick(&[1000, 100_000, 700_000, 1_500_000]),
                lost_before_per_mille: random.pick(&[0, 100, 500]),
                lost_after_per_mille: random.pick(&[0, 100, 500]),
                late_per_mille: random.pick(&[0, 500, 1000]),
                late_ms: random.pick(&[500, 3000, 8000]),
                lag_ms: random.pick(&[0, 500, 3000]),
                watch_lost_per_mille: random.pick(&[0, 500, 1000]),
            };
            let usual = draft.plan.store;
            draft.strike_for_a_while(Fault::StoreNoise { node, noise }, Fault::StoreNoise { node, noise: usual });
        }
        8 => draft.strike(Fault::SessionExpires { node }),
        _ => draft.strike(Fault::SessionsLinger { ms: random.pick(&[1000, 5000, 20_000]) }),
    }
}

/// Old and false messages; rarely an operator's hand, which is made good by the operator's command.
fn by_hand(draft: &mut Draft, node: HostNo, random: &mut Random) {
    if random.chance(700) {
        let (count, lie) = (random.pick(&[10, 300, 10_000]), random.chance(500));
        return draft.strike(Fault::Replay { to: node, count, lie });
    }
    let damage = random.pick(&[
        Damage::Delete,
        Damage::DeleteAll,
        Damage::RollBack(1),
        Damage::RollBack(3),
        Damage::Bytes,
        Damage::NewerFormat,
        Damage::EqualAges,
        Damage::FenceDeleted,
    ]);
    draft.strike_for_a_while(Fault::Damage(damage), Fault::Restore);
}
