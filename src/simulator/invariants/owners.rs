//! Promise: the owner stays while it lives, reaches the store and is heard; it is relieved only after the patience; who follows is the oldest that
//! reaches the store.

use doyen_cluster::decision::{Action, Decision};
use doyen_cluster::ids::NodeId;
use doyen_cluster::record::{MemberState, Reason, Record};

use crate::invariants::truth::{Spell, Truth};

pub fn decided(truth: &Truth, now: u64, decision: &Decision) -> Result<(), String> {
    of_two(truth, now, decision)?;
    let next = match &decision.action {
        Action::MoveOwner { to } => to,
        Action::Remove { members, owner } if !decision.view.owner.as_ref().is_some_and(|o| members.contains(o)) => {
            owner
        }
        _ => return Ok(()),
    };
    let (Some(owner), Some(by)) = (&decision.view.owner, truth.host_of(&decision.by)) else { return Ok(()) };
    if truth.tampered || next == owner {
        return Ok(());
    }
    let window = truth.window();
    if truth.hosts[by].ill.recent(now, window) {
        return Ok(());
    }
    let relieved = matches!(decision.action, Action::MoveOwner { .. });
    needless(truth, now, decision, owner, by)
        .and_then(|()| if relieved { hasty(truth, now, owner, by) } else { Ok(()) })
        .map_err(|why| format!("{why}; {decision}"))
}

/// Of two that do not hear each other any more, be it one way or both, and else are well, the owner is not removed.
fn of_two(truth: &Truth, now: u64, decision: &Decision) -> Result<(), String> {
    let (Action::Remove { members, .. }, Some(record)) = (&decision.action, &truth.record) else { return Ok(()) };
    let t = &truth.timing;
    let all_up = record.members.iter().all(|member| member.state == MemberState::Up);
    // Two that notice it one after the other need some of the delay for that.
    let told = t.arbiter_delay >= t.heartbeat.times(3);
    if record.epoch != decision.view.epoch || record.members.len() != 2 || !all_up || !told || truth.tampered {
        return Ok(());
    }
    let owner = record.owner.as_ref().filter(|owner| members.contains(owner));
    let (Some(host), Some(by)) = (owner.and_then(|id| truth.host_of(id)), truth.host_of(&decision.by)) else {
        return Ok(());
    };
    let (cut, way, back) = (truth.cut(host, by), truth.link(host, by), truth.link(by, host));
    let quiet = cut.on_for(now) + truth.window();
    let at_once = |spell: &Spell| spell.on && spell.began == cut.changed && spell.changed == cut.changed;
    let well = |host: usize| {
        let there = &truth.hosts[host];
        let disturbed = there.ill.recent(now, quiet) || there.store_bad.recent(now, quiet) || there.drifts;
        !disturbed && there.since + quiet < now
    };
    let same = truth.record_since + quiet < now && !truth.lies.recent(now, quiet);
    let only_cut = cut.on && at_once(way) && (!back.recent(now, quiet) || at_once(back));
    if only_cut && same && well(host) && well(by) {
        return Err(format!("wrong side: the owner reaches the store, and is preferred; {decision}"));
    }
    Ok(())
}

fn needless(truth: &Truth, now: u64, decision: &Decision, owner: &NodeId, by: usize) -> Result<(), String> {
    let Some(host) = truth.host_of(owner) else { return Ok(()) };
    let window = truth.window() + (truth.timing.store_fresh() + truth.timing.store_patience).0 * 1250;
    let good = |a, b| truth.good_between(now, a, b, window);
    let members = decision.view.members.iter().filter_map(|id| truth.host_of(id));
    let heard = good(by, host) || members.filter(|via| *via != by).any(|via| good(by, via) && good(via, host));
    if truth.hosts[host].store_bad.recent(now, window) || !heard || truth.hosts[host].since + window > now {
        return Ok(());
    }
    Err(format!("needless move: {owner} owns, lives, reaches the store and is heard"))
}

/// Patience runs from the owner's last contact with the store, and only while the claimant has contact.
fn hasty(truth: &Truth, now: u64, owner: &NodeId, by: usize) -> Result<(), String> {
    let t = &truth.timing;
    let patience = t.store_patience.0 * 950;
    let cut = &truth.hosts[by].store_cut;
    let gap = (t.store_fresh() + t.store_deadline.times(2) + t.store_poll).0 * 1000;
    if cut.recent(now, patience) && !cut.on && cut.lasted > gap {
        return Err(format!("hasty move: the claimant reaches the store for {} ms", (now - cut.changed) / 1000));
    }
    let Some(host) = truth.host_of(owner) else { return Ok(()) };
    let there = &truth.hosts[host];
    // While it stood still it reached nothing either.
    let ill = Some(there.ill.began).filter(|_| there.ill.recent(now, truth.window()));
    let began = there.store_bad.began.min(ill.unwrap_or(u64::MAX));
    let slack = (t.store_poll + t.store_deadline).0 * 1000 + 400_000;
    if now.saturating_sub(began) + slack < patience {
        return Err(format!("hasty move: {owner} was well {} ms ago", now.saturating_sub(began) / 1000));
    }
    Ok(())
}

/// Who owns after a change is the oldest that is well, and was before.
pub fn committed(truth: &Truth, now: u64, before: Option<&Record>, record: &Record) -> Result<(), String> {
    let (Some(before), Some(owner)) = (before, &record.owner) else { return Ok(()) };
    if before.owner.as_ref() == Some(owner) || before.members.is_empty() || truth.tampered {
        return Ok(());
    }
    let chosen = matches!(record.reason, Reason::Unreachable | Reason::Leaving | Reason::Left | Reason::OwnerLostStore);
    let window = truth.window();
    let all_well = |id: &NodeId| {
        let Some(host) = truth.host_of(id) else { return false };
        let there = &truth.hosts[host];
        let well = !there.store_bad.recent(now, window) && there.since + window < now;
        let heard = |other: usize| other == host || truth.good_between(now, host, other, window);
        well && truth.living(before).iter().all(|(_, other)| heard(*other))
    };
    let is_up = |id: &NodeId| record.member(id).is_some_and(|m| m.state == MemberState::Up);
    let older = record.members.iter().map(|m| &m.id).take_while(|id| *id != owner);
    if let Some(older) = older.filter(|id| is_up(id)).find(|id| chosen && all_well(id)) {
        return Err(format!("wrong heir: {older} is older than {owner}, and well ({:?})", record.reason));
    }
    // A leaver hands over to one that can write.
    let left = matches!(record.reason, Reason::Leaving | Reason::Left);
    let fresh = truth.timing.store_fresh().0 * 1250 + 1_000_000;
    let cut = truth.host_of(owner).is_some_and(|host| truth.hosts[host].store_cut.on_for(now) > fresh);
    let others = record.members.iter().map(|m| &m.id);
    match others.filter(|id| *id != owner && is_up(id)).find(|id| left && cut && all_well(id)) {
        Some(other) => Err(format!("wrong heir: {owner} cannot reach the store, {other} can")),
        None => Ok(()),
    }
}
