//! Promise: nobody is removed who lives, did not stand still, and is heard by all but one; and nobody sooner than the delays say, unless the
//! owner's process has really gone.

use doyen_cluster::decision::{Action, Decision};
use doyen_cluster::downing::keep_oldest::prefers_this_side;
use doyen_cluster::ids::NodeId;
use doyen_cluster::record::Record;

use crate::invariants::truth::Truth;

pub fn decided(truth: &Truth, now: u64, decision: &Decision) -> Result<(), String> {
    match &decision.action {
        Action::Remove { members, .. } => {
            let (Some(record), Some(by)) = (truth.records.get(&decision.view.epoch), truth.host_of(&decision.by))
            else {
                return Ok(());
            };
            // Who has been removed and has not read so yet claims in vain, and is judged by when it ceases.
            if truth.tampered || truth.removed.contains_key(&decision.by) {
                return Ok(());
            }
            for id in members {
                needless(truth, now, record, by, id)
                    .and_then(|()| hasty(truth, now, record, decision, by, id))
                    .map_err(|why| format!("{why}; {decision}"))?;
            }
            Ok(())
        }
        Action::Rejoin { instead_of } => in_the_place_of(truth, now, decision, instead_of),
        _ => Ok(()),
    }
}

/// A member that lives may be removed if two may accuse it, or if the claimant hears nobody.
fn needless(truth: &Truth, now: u64, record: &Record, by: usize, id: &NodeId) -> Result<(), String> {
    let Some(host) = truth.host_of(id) else { return Ok(()) };
    let window = truth.window();
    if truth.hosts[host].ill.recent(now, window) || truth.lies.recent(now, window) {
        return Ok(());
    }
    // Also one that has just ended may have accused it before.
    let was = |id: &NodeId| truth.host_of(id).or_else(|| truth.ended.get(id).map(|(_, host)| *host));
    let others = || record.members.iter().filter_map(|member| was(&member.id));
    let accusers = others().filter(|other| *other != host && !truth.good_between(now, *other, host, window)).count();
    let hears = |other: &usize| {
        let there = &truth.hosts[*other];
        !(there.id.is_none() || there.ill.recent(now, window) || truth.link(*other, by).recent(now, window))
    };
    // One that it hears may itself hear nothing of it.
    let living = truth.living(record).into_iter().map(|(_, host)| host);
    let mut heard = living.filter(|other| *other != by).filter(hears);
    let one_way = |other: usize| truth.link(by, other).recent(now, window);
    let deaf = heard.next().is_none_or(one_way) && heard.next().is_none();
    if accusers >= 2 || deaf || truth.hosts[by].ill.recent(now, window) {
        return Ok(());
    }
    Err(format!("needless removal: {id} lives, and only {accusers} could accuse it"))
}

fn hasty(truth: &Truth, now: u64, record: &Record, decision: &Decision, by: usize, id: &NodeId) -> Result<(), String> {
    let (t, window) = (&truth.timing, truth.window());
    let Action::Remove { members, .. } = &decision.action else { return Ok(()) };
    let Some(owner) = &record.owner else { return Ok(()) };
    let owner_gone = members.contains(owner) && truth.host_of(owner).is_none();
    if owner_gone || truth.lies.recent(now, window) || truth.hosts[by].ill.recent(now, window) {
        return Ok(());
    }
    let mut delay = t.stable_after.0;
    if !prefers_this_side(&record.members, owner, members, &truth.keep_oldest) {
        delay += t.arbiter_delay.0;
    }
    let ended = truth.ended.get(id).copied();
    let mut began = ended.map_or(now, |(at, _)| at);
    let lives = truth.host_of(id);
    if lives.is_some() {
        delay += t.detector.acceptable_pause.0 + t.detector.least_deviation.0 * 5;
    }
    if let Some(host) = lives.or(ended.map(|(_, host)| host)) {
        let ways = (0..truth.hosts.len()).flat_map(|other| {
            [*truth.link(host, other), *truth.link(other, host), truth.hosts[other].ill, truth.hosts[host].ill]
        });
        let recent = ways.filter(|spell| spell.recent(now, window));
        began = recent.map(|spell| spell.began).min().unwrap_or(began).min(began);
    }
    // Clocks differ a little, and a moment is a whole millisecond.
    if now.saturating_sub(began) + 5_000 < delay * 998 {
        return Err(format!(
            "hasty removal: {id} was well {} ms ago; the delays are {delay} ms",
            now.saturating_sub(began) / 1000
        ));
    }
    Ok(())
}

/// A run whose name another takes has ended, or nobody could tell.
fn in_the_place_of(truth: &Truth, now: u64, decision: &Decision, id: &NodeId) -> Result<(), String> {
    let (Some(host), Some(by)) = (truth.host_of(id), truth.host_of(&decision.by)) else { return Ok(()) };
    let window = truth.window();
    let reached = truth.good_between(now, by, host, window) && !truth.lies.recent(now, window);
    let asked = now - truth.hosts[by].since > window;
    if truth.tampered || !reached || !asked && truth.hosts[host].store_cut.recent(now, window) {
        return Ok(());
    }
    Err(format!("needless removal: {id} lives, and {} takes its place", decision.by))
}
