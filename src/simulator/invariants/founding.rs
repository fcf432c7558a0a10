//! Promise: nobody joins whom members would have removed again; nobody founds who has read a record, or where fences are left; seeds found in their order; nobody takes a cluster over of which somebody
//! lives and is registered; nobody changes a record whose fence is another.

use doyen_cluster::decision::{Action, Decision};
use doyen_cluster::reachability::ENOUGH_ACCUSERS;

use crate::invariants::truth::Truth;

/// What the founder has seen.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// It has read a record.
    pub record: bool,
    /// There have been fences in the store for a while, and no record.
    pub fences: bool,
    /// For a while the fence beside the record has been another than its own.
    pub fence_differs: bool,
}

pub fn decided(truth: &Truth, now: u64, decision: &Decision, seen: Seen) -> Result<(), String> {
    if seen.fence_differs && !matches!(decision.action, Action::StandDown | Action::Strand) {
        return Err(format!("wrong change: {decision}, though the fence is another"));
    }
    match decision.action {
        Action::Found => found(truth, now, decision, seen),
        Action::TakeOver => taken_over(truth, now, decision),
        Action::Join | Action::Rejoin { .. } => joined(truth, now, decision),
        _ => Ok(()),
    }
}

fn found(truth: &Truth, now: u64, decision: &Decision, seen: Seen) -> Result<(), String> {
    let by = &decision.by;
    if seen.record {
        return Err(format!("wrong founding: {by} has read a record"));
    }
    if seen.fences {
        return Err(format!("wrong founding: {by} founds where fences are left"));
    }
    let Some(host) = truth.host_of(by) else { return Ok(()) };
    let there = &truth.hosts[host];
    let wait = truth.timing.seed_timeout.0 * (host as u64 + 1) * 998;
    if now - there.since + 5000 >= wait || there.ill.recent(now, wait) {
        return Ok(());
    }
    // All other seeds are not there, or have said that they are no members either.
    let window = truth.timing.heartbeat.0 * 6000;
    for other in (0..truth.seeds).filter(|other| *other != host) {
        let seed = &truth.hosts[other];
        let absent = seed.id.is_none() || now - seed.since <= window || truth.lies.recent(now, window);
        let cut = |from, to| truth.cut(from, to).on_for(now) > window;
        let answers = host == 0 && !cut(host, other) && !cut(other, host);
        if !absent && !answers {
            return Err(format!("wrong founding: {by} does not wait for its turn"));
        }
    }
    Ok(())
}

/// Those who would have it removed again do not let it in.
fn joined(truth: &Truth, now: u64, decision: &Decision) -> Result<(), String> {
    let Some(record) = truth.records.get(&decision.view.epoch).or(truth.record.as_ref()) else { return Ok(()) };
    let (Some(by), window) = (truth.host_of(&decision.by), truth.window()) else { return Ok(()) };
    let session = truth.timing.session_timeout.0 * 1000;
    let registered = |host: usize| {
        let there = &truth.hosts[host];
        let (cut, ill) = (there.store_cut.recent(now, session), there.ill.recent(now, session));
        !cut && !ill && there.since + session < now
    };
    let unheard = |host: usize| truth.cut(by, host).on_for(now) > window && truth.cut(host, by).on_for(now) > window;
    let out = truth.living(record).iter().filter(|(_, host)| registered(*host) && unheard(*host)).count();
    if out < ENOUGH_ACCUSERS || truth.tampered || truth.lies.recent(now, window) {
        return Ok(());
    }
    Err(format!("needless join: {} is not heard by {out} members, who will have it removed", decision.by))
}

fn taken_over(truth: &Truth, now: u64, decision: &Decision) -> Result<(), String> {
    let Some(record) = truth.records.get(&decision.view.epoch).or(truth.record.as_ref()) else { return Ok(()) };
    let window = truth.window();
    let Some(by) = truth.host_of(&decision.by) else { return Ok(()) };
    if truth.tampered || truth.lies.recent(now, window) || truth.hosts[by].store_bad.recent(now, window) {
        return Ok(());
    }
    let session = truth.timing.session_timeout.0 * 1000;
    for (id, host) in truth.living(record) {
        let there = &truth.hosts[host];
        let registered = !there.store_cut.recent(now, session) && !there.ill.recent(now, session);
        if registered && there.since + session < now && !truth.removed.contains_key(&id) {
            return Err(format!("wrong take-over: {id} lives and is registered; {decision}"));
        }
    }
    Ok(())
}
