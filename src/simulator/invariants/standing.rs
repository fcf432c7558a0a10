//! Promises on how things stand: who cannot reach the store while another can is not ready, and nobody is unready for it when nobody can; who
//! was removed or relieved ceases soon; who runs the singleton begins its term by a write, and who has lost the record does not run it; and when nothing changes any more, those who are
//! gone are no members, and no owner is without the store.

use doyen_cluster::detector::longest_silence;
use doyen_cluster::ids::Term;
use doyen_cluster::node::Life;

use crate::invariants::truth::Truth;
use crate::plan::HostNo;

/// A process, as it is seen from outside.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    pub host: HostNo,
    pub life: Life,
    pub ready: bool,
    pub running: Option<Term>,
    /// Since when it runs the singleton, if it has committed nothing of it yet.
    pub unbegun: Option<u64>,
    pub frozen: bool,
}

pub fn judged(truth: &Truth, now: u64, seen: &[Seen]) -> Result<(), String> {
    let stranded = seen.iter().any(|process| process.life == Life::Stranded);
    for process in seen.iter().filter(|process| !process.frozen) {
        if process.life == Life::Stranded && process.running.is_some() {
            return Err(format!("goes on: host {} has lost the record, and runs the singleton", process.host));
        }
        if !truth.tampered {
            ready(truth, now, process)?;
            ceases(truth, now, process)?;
            begins(truth, now, process)?;
        }
    }
    if stranded || truth.tampered { Ok(()) } else { settled(truth, now) }
}

fn ready(truth: &Truth, now: u64, process: &Seen) -> Result<(), String> {
    let (Some(record), there) = (&truth.record, &truth.hosts[process.host]) else { return Ok(()) };
    let (t, window) = (&truth.timing, truth.window());
    let bound = (t.store_fresh() + t.store_deadline + t.heartbeat.times(6)).0 * 1250 + 1_000_000;
    let is_member = there.id.as_ref().is_some_and(|id| record.contains(id)) && process.life == Life::Member;
    if !is_member || there.ill.recent(now, window) || now - truth.record_since < bound || there.since + bound > now {
        return Ok(());
    }
    let cut = |host: HostNo| truth.hosts[host].store_cut.on_for(now) > bound;
    let living = truth.living(record);
    let reaches =
        |host: HostNo| !truth.hosts[host].store_bad.recent(now, bound) && truth.hosts[host].since + bound < now;
    let heard = |host: HostNo| host != process.host && truth.good_between(now, host, process.host, window);
    if process.ready && cut(process.host) && living.iter().any(|(_, host)| reaches(*host) && heard(*host)) {
        return Err(format!("wrongly ready: host {} cannot reach the store, a peer can", process.host));
    }
    // A clock that stood still makes what is old look new.
    let ran = |host: HostNo| !truth.hosts[host].ill.recent(now, window);
    // Who has just ended may have reached it, and is believed to until that is too long ago.
    let ended = record.members.iter().filter_map(|member| truth.ended.get(&member.id));
    let lately = ended.filter(|(at, _)| at + bound > now).map(|(_, host)| *host);
    let mut reached_it = living.iter().map(|(_, host)| *host).chain(lately).filter(|host| !(cut(*host) && ran(*host)));
    if !process.ready && reached_it.next().is_none() {
        return Err(format!("wrongly unready: nobody reaches the store, host {} no more than others", process.host));
    }
    Ok(())
}

/// Who is no member any more, or no owner, knows it soon if it reaches the store.
fn ceases(truth: &Truth, now: u64, process: &Seen) -> Result<(), String> {
    let (Some(record), there) = (&truth.record, &truth.hosts[process.host]) else { return Ok(()) };
    let bound = truth.read_within();
    if there.store_bad.recent(now, bound) || there.ill.recent(now, bound) || there.since + bound > now {
        return Ok(());
    }
    let Some(id) = &there.id else { return Ok(()) };
    if truth.removed.get(id).is_some_and(|at| at + bound < now) {
        return Err(format!("goes on: {id} was removed, and is {:?}", process.life));
    }
    if process.running.is_some_and(|term| term < record.term) && truth.record_since + bound < now {
        return Err(format!("goes on: {id} runs term {:?}, and it is term {}", process.running, record.term));
    }
    Ok(())
}

/// Whoever runs the singleton and reaches the store has soon committed something in its term: until then only a fence keeps its predecessor from writing.
fn begins(truth: &Truth, now: u64, process: &Seen) -> Result<(), String> {
    let (there, bound) = (&truth.hosts[process.host], truth.read_within());
    let well = !there.store_bad.recent(now, bound) && !there.ill.recent(now, bound);
    match process.unbegun {
        Some(since) if well && since + bound < now => {
            Err(format!("not begun: host {} runs {:?} and has committed nothing in it", process.host, process.running))
        }
        _ => Ok(()),
    }
}

/// Nothing has changed for long: then nobody is a member who is cut off or dead, if all others are well.
fn settled(truth: &Truth, now: u64) -> Result<(), String> {
    let Some(record) = &truth.record else { return Ok(()) };
    let t = &truth.timing;
    let asked = t.store_deadline.times(2) + t.store_poll + t.heartbeat.times(6);
    let found_out = (longest_silence(t) + t.stable_after + t.arbiter_delay + asked).0 * 1100;
    let relieved = (t.store_patience.max(t.store_fresh()) + t.store_fresh() + asked).0 * 1100;
    let still = now - truth.still_since;
    if still < found_out.min(relieved) {
        return Ok(());
    }
    let living = truth.living(record);
    if living.iter().any(|(_, host)| truth.hosts[*host].drifts) {
        return Ok(());
    }
    let steady = |host: HostNo| !truth.hosts[host].ill.on;
    let reaches = |host: HostNo| !truth.hosts[host].store_bad.on || truth.hosts[host].store_slow;
    let well: Vec<HostNo> = living.iter().map(|(_, host)| *host).filter(|h| steady(*h) && reaches(*h)).collect();
    let linked = |a: HostNo, b: HostNo| a == b || (!truth.link(a, b).on && !truth.link(b, a).on);
    let cut_off = |a: HostNo, b: HostNo| truth.cut(a, b).on && truth.cut(b, a).on;
    if well.is_empty() || !well.iter().all(|a| well.iter().all(|b| linked(*a, *b))) {
        return Ok(());
    }
    let (mut out, mut relieves) = (None, false);
    for member in &record.members {
        let Some(host) = truth.host_of(&member.id) else {
            out = Some(member.id.clone());
            continue;
        };
        if well.contains(&host) || (steady(host) && well.iter().all(|other| linked(*other, host))) {
            let storeless = truth.hosts[host].store_cut.on;
            if storeless && record.is_owner(&member.id) && still > relieved {
                (out, relieves) = (Some(member.id.clone()), true);
                break;
            }
            continue;
        }
        if steady(host) && !well.iter().all(|other| cut_off(*other, host)) {
            // Neither in nor out: nobody has to agree on it.
            return Ok(());
        }
        out = Some(member.id.clone());
    }
    match out {
        Some(id) if relieves || still > found_out => {
            Err(format!("not settled: after {} ms without a change {id} is still there", still / 1000))
        }
        _ => Ok(()),
    }
}
