//! A seed becomes a plan: a configuration, faults for a while, then a time in which all is healed.

mod directed;
mod faults;

use doyen_cluster::ids::Millis;
use doyen_cluster::settings::{KeepOldest, Timing};

use crate::faults::Fault;
use crate::plan::{HostPlan, Noise, Plan, StoreNoise};
use crate::random::Random;

/// Kinds of plans take turns.
const KINDS: u64 = 12;

/// The plan of a seed.
pub fn plan(seed: u64) -> Plan {
    let mut random = Random::new(seed);
    match seed % KINDS {
        // A single fault, which may not stop all nodes.
        0 | 6 => single(seed, &mut random),
        3 => quiet(seed, &mut random, faults::any),
        9 => quiet(seed, &mut random, faults::coming_and_going),
        10 => quiet(seed, &mut random, faults::with_hands),
        7 => forming(seed, &mut random),
        11 => directed::plan(seed, &mut random),
        _ => several(seed, &mut random),
    }
}

fn several(seed: u64, random: &mut Random) -> Plan {
    let nodes = random.pick(&[1, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 7, 8, 9]);
    let mut plan = configuration(seed, nodes, random);
    let heal_ms = random.between(10_000, 50_000);
    plan.heal_ms = Some(heal_ms);
    let count = random.between(1, 14);
    for _ in 0..count {
        // Some strike while the cluster forms.
        let at_ms = random.below(heal_ms);
        faults::any(&mut plan, at_ms, heal_ms, random);
    }
    plan.faults.sort_by_key(|timed| timed.at_ms);
    finish(&mut plan, random);
    plan
}

fn single(seed: u64, random: &mut Random) -> Plan {
    let nodes = random.pick(&[2, 2, 3, 3, 4, 5]);
    let mut plan = configuration(seed, nodes, random);
    // Nothing but the fault: what the ways lose would be another.
    (plan.noise, plan.store) = (Noise::default(), StoreNoise::default());
    for (no, host) in plan.hosts.iter_mut().enumerate() {
        host.name = crate::plan::name(no);
        host.start_ms.get_or_insert(0);
    }
    let forms_ms = 3000 + plan.timing.seed_timeout.0 + 1500 * nodes as u64;
    let at_ms = forms_ms + random.below(5000);
    faults::single(&mut plan, at_ms, random);
    plan.survive_from_ms = Some(forms_ms);
    plan.heal_ms = Some(at_ms + random.between(2000, 35_000));
    finish(&mut plan, random);
    plan
}

/// Whether what nodes do in this seed follows from a few faults alone, so that it tells more than noise.
pub fn is_telling(seed: u64) -> bool {
    matches!(seed % KINDS, 0 | 3 | 6 | 7 | 9 | 10 | 11)
}

/// A few faults on good ways: what nodes do then follows from the faults alone.
fn quiet(seed: u64, random: &mut Random, add: fn(&mut Plan, u64, u64, &mut Random)) -> Plan {
    let nodes = random.pick(&[2, 2, 3, 3, 4, 4, 5]);
    let mut plan = configuration(seed, nodes, random);
    plan.noise = Noise::default();
    plan.store = if random.chance(700) { StoreNoise::default() } else { plan.store };
    let forms_ms = 3000 + plan.timing.seed_timeout.0;
    let heal_ms = forms_ms + random.between(20_000, 50_000);
    for _ in 0..random.between(2, 4) {
        let at_ms = forms_ms + random.below(heal_ms - forms_ms);
        add(&mut plan, at_ms, heal_ms, random);
        // Often another at about the same time.
        if random.chance(500) {
            let soon = (at_ms + random.below(3000)).min(heal_ms - 1);
            add(&mut plan, soon, heal_ms, random);
        }
    }
    plan.faults.retain(|timed| timed.at_ms < heal_ms || timed.fault == Fault::Restore);
    plan.faults.sort_by_key(|timed| timed.at_ms);
    plan.heal_ms = Some(heal_ms);
    finish(&mut plan, random);
    plan
}

/// A cluster is to form, and the first of its seeds cannot found it.
fn forming(seed: u64, random: &mut Random) -> Plan {
    let nodes = random.pick(&[2, 2, 3, 3, 4, 5]);
    let mut plan = configuration(seed, nodes, random);
    plan.noise = Noise::default();
    plan.store = if random.chance(700) { StoreNoise::default() } else { plan.store };
    plan.seeds = random.between(2, nodes as u64) as usize;
    let turn_ms = plan.timing.seed_timeout.0;
    for host in &mut plan.hosts {
        host.start_ms = Some(random.below(turn_ms));
    }
    let unable = random.between(1, plan.seeds as u64 - 1) as usize;
    let heal_ms = turn_ms * (unable as u64 + 1) + random.between(2000, 20_000);
    faults::first_seeds(&mut plan, unable, heal_ms, random);
    if random.chance(500) {
        let at_ms = random.below(heal_ms);
        faults::any(&mut plan, at_ms, heal_ms, random);
    }
    plan.faults.sort_by_key(|timed| timed.at_ms);
    plan.heal_ms = Some(heal_ms);
    finish(&mut plan, random);
    plan
}

fn configuration(seed: u64, nodes: usize, random: &mut Random) -> Plan {
    let mut plan = Plan::calm(seed, nodes);
    let together = random.chance(400);
    let restart_ms = random.pick(&[100, 1000, 1000, 3000, 8000]);
    for host in 0..nodes {
        let mut one = HostPlan::new(host, Some(if together { 0 } else { random.below(4000) }));
        one.clock_ms = random.pick(&[0, 0, 3_600_000, 86_400_000]) + random.below(1000);
        one.drift_ppm = random.below(401) as i64 - 200;
        one.restart_ms = Some(restart_ms);
        one.never_returns = random.chance(60);
        plan.hosts[host] = one;
    }
    if random.chance(60) && nodes > 1 {
        // A host that only joins when a fault starts it.
        plan.hosts[nodes - 1].start_ms = None;
    }
    if random.chance(60) && nodes > 2 {
        plan.hosts[nodes - 1].name = plan.hosts[nodes - 2].name.clone();
    }
    if random.chance(300) {
        plan.seeds = random.between(1, nodes as u64) as usize;
    }
    plan.keep_oldest = KeepOldest { role: None, down_if_alone: random.chance(700) };
    plan.timing = if random.chance(600) { Timing::default() } else { timing(random) };
    plan.links_hold = random.chance(500);
    plan.noise = noise(random);
    plan.store = store_noise(random);
    plan
}

fn timing(random: &mut Random) -> Timing {
    let mut timing = Timing {
        heartbeat: Millis(random.pick(&[100, 250, 250, 500, 1000])),
        seed_timeout: Millis(random.pick(&[1000, 3000, 5000])),
        arbiter_delay: Millis(random.pick(&[0, 300, 800, 2000])),
        store_patience: Millis(random.pick(&[500, 2000, 4000])),
        store_poll: Millis(random.pick(&[200, 500, 2000])),
        store_deadline: Millis(random.pick(&[500, 2000, 3000])),
        session_timeout: Millis(random.pick(&[3000, 6000, 10_000])),
        ..Timing::default()
    };
    timing.detector.acceptable_pause = Millis(timing.heartbeat.0.max(random.pick(&[300, 750, 2000])));
    timing.stable_after = Millis((2 * timing.heartbeat.0).max(random.pick(&[500, 1000, 3000])));
    timing
}

fn noise(random: &mut Random) -> Noise {
    if random.chance(500) {
        return Noise::default();
    }
    Noise {
        delay_us: random.pick(&[50, 200, 1000, 10_000]),
        jitter_us: random.pick(&[100, 1000, 20_000]),
        loss_per_mille: random.pick(&[0, 0, 1, 10]),
        twice_per_mille: random.pick(&[0, 0, 5, 50]),
        overtaking_per_mille: random.pick(&[0, 0, 10, 100]),
    }
}

fn store_noise(random: &mut Random) -> StoreNoise {
    if random.chance(400) {
        return StoreNoise::default();
    }
    StoreNoise {
        delay_us: random.pick(&[500, 2000, 10_000]),
        lost_before_per_mille: random.pick(&[0, 5, 30]),
        lost_after_per_mille: random.pick(&[0, 5, 30]),
        late_per_mille: random.pick(&[0, 300, 800]),
        late_ms: random.pick(&[100, 2000, 6000]),
        lag_ms: random.pick(&[0, 50, 500, 2000]),
        watch_lost_per_mille: random.pick(&[0, 100, 1000]),
    }
}

/// How long the cluster may take after the healing, by what its settings add up to.
fn finish(plan: &mut Plan, random: &mut Random) {
    let heal_ms = plan.heal_ms.unwrap_or(0);
    let timing = &plan.timing;
    let restart = plan.hosts.iter().filter_map(|host| host.restart_ms).max().unwrap_or(0);
    let noticed = 4 * timing.heartbeat.0 + timing.detector.acceptable_pause.0 + 1500;
    let claimed = timing.stable_after.0 + timing.arbiter_delay.0 + 2 * timing.store_deadline.0 + timing.store_poll.0;
    let session = timing.session_timeout.0 * 4 / 3 + 1000;
    let founded = timing.seed_timeout.0 * plan.seeds as u64;
    plan.owner_within_ms = restart + noticed + claimed + session + founded;
    plan.well_within_ms = plan.owner_within_ms + noticed + claimed + session + timing.leave_timeout.0;
    plan.end_ms = heal_ms + plan.well_within_ms + random.between(3000, 10_000);
}
