//! The notation of faults: `A|BC`, `crash A`, `store cut A for 5s, flap A-B at 2s`. Nodes are `A`, `B`, … by age.

use std::str::FromStr;

use crate::faults::{Damage, Fault, Link, between, both_ways};
use crate::limits::{MOST_MESSAGES, MOST_TIMES};
use crate::plan::{HostNo, Noise, TimedFault, host_named, name};

/// What is wrong with a fault in words, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("fault {text:?}: {why}")]
pub struct BadFault {
    pub text: String,
    pub why: String,
}

/// All that can be said, for people.
pub const HELP: &str = "\
A|BC  A|B|C          sides that do not hear each other
A-B  A>B             a link cut both ways, or only from A to B; several are separated by blanks
reject A-B           a firewall that rejects
flap A-B [every 1s] [10 times]
crash AB [never]     killed at once; never: not started again
power A              the host is gone
freeze A             as SIGSTOP; suspend A: a virtual machine, its clock stops too; continue A
wedge A              its loop hangs, but it answers
start A  leave A  expire A
store cut A  store mend A  store away  store back
loss 10%  delay 50ms
clock A 60s  drift A 200
delete record  delete all  roll back [1]  damage record  newer record  equal ages  delete fence  fence back  restore
replay A 1000        messages of the past, at once; lies A 1000: as if from other runs
mend                 all is mended
Each may be followed by `at 2s` (after the beginning) and `for 5s` (then it is undone). Several are separated by commas.";

/// Reads faults. Their times count from the beginning that the caller chooses.
///
/// # Errors
/// The first fault that cannot be read, or names a node that is not there.
pub fn parse(text: &str, hosts: usize) -> Result<Vec<TimedFault>, BadFault> {
    let mut out = Vec::new();
    for part in text.split([',', ';']).map(str::trim) {
        let bad = |why: String| BadFault { text: part.into(), why };
        one(part, hosts, &mut out).map_err(bad)?;
    }
    out.sort_by_key(|timed| timed.at_ms);
    Ok(out)
}

fn one(part: &str, hosts: usize, out: &mut Vec<TimedFault>) -> Result<(), String> {
    let mut words: Vec<&str> = part.split_whitespace().collect();
    let at_ms = taken(&mut words, "at")?.unwrap_or(0);
    let lasts_ms = taken(&mut words, "for")?;
    for fault in faults(&words)? {
        if let Some(host) = fault.hosts().into_iter().find(|host| *host >= hosts) {
            return Err(format!("there is no {} among {hosts} nodes", name(host)));
        }
        if let Some(lasts_ms) = lasts_ms {
            let undone = undone(&fault).ok_or("this cannot be undone, so there is no `for`")?;
            out.push(TimedFault { at_ms: at_ms + lasts_ms, fault: undone });
        }
        out.push(TimedFault { at_ms, fault });
    }
    Ok(())
}

/// Takes `word` and the duration after it away.
fn taken(words: &mut Vec<&str>, word: &str) -> Result<Option<u64>, String> {
    let Some(at) = words.iter().position(|w| *w == word) else { return Ok(None) };
    let span = words.get(at + 1).ok_or_else(|| format!("a time is missing after `{word}`"))?;
    let ms = millis(span)?;
    words.drain(at..at + 2);
    Ok(Some(ms))
}

/// # Errors
/// It is no time like `500ms`, `2s` or `1m`, or longer than a day.
pub fn millis(text: &str) -> Result<u64, String> {
    let bad = || format!("{text:?} is no time: write 500ms, 2s or 1m");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        _ => return Err(bad()),
    };
    let number: u64 = digits.parse().map_err(|_| bad())?;
    number.checked_mul(factor).filter(|ms| *ms <= 86_400_000).ok_or_else(|| format!("{text} is more than a day"))
}

fn faults(words: &[&str]) -> Result<Vec<Fault>, String> {
    let per_node = |nodes: &str, fault: &dyn Fn(HostNo) -> Fault| Ok(letters(nodes)?.into_iter().map(fault).collect());
    match words {
        [] => Err("nothing is said".into()),
        [sides] if sides.contains('|') => {
            let sides = sides.split('|').map(letters).collect::<Result<Vec<_>, _>>()?;
            distinct(&sides)?;
            Ok(vec![Fault::Cut { links: between(&sides), rejecting: false }])
        }
        ["reject", links @ ..] => Ok(vec![Fault::Cut { links: all_links(links)?, rejecting: true }]),
        ["flap", rest @ ..] => flap(rest),
        ["crash", nodes] => per_node(nodes, &|node| Fault::Crash { node, never: false }),
        ["crash", nodes, "never"] => per_node(nodes, &|node| Fault::Crash { node, never: true }),
        ["power", nodes] => per_node(nodes, &|node| Fault::PowerLoss { node }),
        ["freeze", nodes] => per_node(nodes, &|node| Fault::Freeze { node, clock_too: false }),
        ["suspend", nodes] => per_node(nodes, &|node| Fault::Freeze { node, clock_too: true }),
        ["wedge", nodes] => per_node(nodes, &|node| Fault::Wedge { node }),
        ["continue", nodes] => per_node(nodes, &|node| Fault::Continue { node }),
        ["start", nodes] => per_node(nodes, &|node| Fault::Start { node }),
        ["leave", nodes] => per_node(nodes, &|node| Fault::Leave { node }),
        ["expire", nodes] => per_node(nodes, &|node| Fault::SessionExpires { node }),
        ["store", "cut", nodes] => per_node(nodes, &|node| Fault::StoreCut { node }),
        ["store", "mend", nodes] => per_node(nodes, &|node| Fault::StoreMend { node }),
        ["store", "away"] => Ok(vec![Fault::StoreAway]),
        ["store", "back"] => Ok(vec![Fault::StoreBack]),
        ["clock", nodes, by] => {
            let ms = millis(by)?;
            per_node(nodes, &|node| Fault::ClockJump { node, ms })
        }
        ["drift", nodes, ppm] => {
            let ppm = number(ppm)?;
            per_node(nodes, &|node| Fault::ClockDrift { node, ppm })
        }
        ["replay", nodes, count] => {
            let count = messages(count)?;
            per_node(nodes, &|to| Fault::Replay { to, count, lie: false })
        }
        ["lies", nodes, count] => {
            let count = messages(count)?;
            per_node(nodes, &|to| Fault::Replay { to, count, lie: true })
        }
        _ => whole(words),
    }
}

/// Faults of no node in particular; else these are links.
fn whole(words: &[&str]) -> Result<Vec<Fault>, String> {
    let noise = |noise| Ok(vec![Fault::Noise { links: None, noise }]);
    let damage = |damage| Ok(vec![Fault::Damage(damage)]);
    match words {
        ["loss", share] => {
            let percent: u16 = number(share.trim_end_matches('%'))?;
            if percent > 100 {
                return Err(format!("{percent}% are more than all"));
            }
            noise(Noise { loss_per_mille: percent * 10, ..Noise::default() })
        }
        ["delay", span] => noise(Noise { delay_us: millis(span)? * 1000, ..Noise::default() }),
        ["delete", "record"] => damage(Damage::Delete),
        // With its fences.
        ["delete", "all"] => damage(Damage::DeleteAll),
        ["delete", "fence"] => damage(Damage::FenceDeleted),
        ["fence", "back"] => damage(Damage::FenceBack),
        ["roll", "back"] => damage(Damage::RollBack(1)),
        ["roll", "back", changes] => damage(Damage::RollBack(number(changes)?)),
        ["damage", "record"] => damage(Damage::Bytes),
        ["newer", "record"] => damage(Damage::NewerFormat),
        ["equal", "ages"] => damage(Damage::EqualAges),
        ["restore"] => Ok(vec![Fault::Restore]),
        ["mend"] => Ok(vec![Fault::MendAll]),
        links if links.iter().all(|word| word.contains(['-', '>'])) => {
            Ok(vec![Fault::Cut { links: all_links(links)?, rejecting: false }])
        }
        _ => Err("no such fault; see `doyen simulate --help`".into()),
    }
}

fn flap(words: &[&str]) -> Result<Vec<Fault>, String> {
    let mut words = words.to_vec();
    let every_ms = taken(&mut words, "every")?.unwrap_or(1000);
    let mut times = 10;
    if let [.., count, "times"] = words.as_slice() {
        times = number(count)?;
        words.truncate(words.len() - 2);
    }
    if every_ms == 0 || !(1..=MOST_TIMES).contains(&times) {
        return Err(format!("a link flaps 1 to {MOST_TIMES} times, each 1 ms or longer"));
    }
    Ok(vec![Fault::Flap { links: all_links(&words)?, every_ms, times }])
}

fn number<N: FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("{text:?} is no number that fits here"))
}

fn messages(text: &str) -> Result<u32, String> {
    Some(number(text)?)
        .filter(|count| *count <= MOST_MESSAGES)
        .ok_or_else(|| format!("{MOST_MESSAGES} messages at most"))
}

fn letters(text: &str) -> Result<Vec<HostNo>, String> {
    let each = |c: char| host_named(c).ok_or_else(|| format!("{c:?} is no node; nodes are A, B, C, …"));
    let nodes = text.chars().map(each).collect::<Result<Vec<_>, _>>()?;
    if nodes.is_empty() { Err("a side without nodes".into()) } else { Ok(nodes) }
}

fn distinct(sides: &[Vec<HostNo>]) -> Result<(), String> {
    let all: Vec<HostNo> = sides.concat();
    match all.iter().enumerate().find(|(at, host)| all[..*at].contains(host)) {
        Some((_, twice)) => Err(format!("{} is there twice", name(*twice))),
        None => Ok(()),
    }
}

fn all_links(words: &[&str]) -> Result<Vec<Link>, String> {
    if words.is_empty() {
        return Err("which link? Write A-B, or A>B for one way".into());
    }
    words.iter().map(|word| link(word)).collect::<Result<Vec<_>, _>>().map(|links| links.concat())
}

fn link(word: &str) -> Result<Vec<Link>, String> {
    let bad = || format!("{word:?} is no link; write A-B, or A>B for one way");
    let (from, to, both) = match (word.split_once('-'), word.split_once('>')) {
        (Some((from, to)), None) => (from, to, true),
        (None, Some((from, to))) => (from, to, false),
        _ => return Err(bad()),
    };
    let (from, to) = (letters(from)?, letters(to)?);
    let ([from], [to]) = (from.as_slice(), to.as_slice()) else { return Err(bad()) };
    if from == to {
        return Err(bad());
    }
    let one = [(*from, *to)];
    Ok(if both { both_ways(&one) } else { one.to_vec() })
}

fn undone(fault: &Fault) -> Option<Fault> {
    Some(match fault {
        Fault::Cut { links, .. } => Fault::Mend { links: links.clone() },
        Fault::Freeze { node, .. } => Fault::Continue { node: *node },
        Fault::PowerLoss { node } | Fault::Crash { node, never: true } => Fault::Start { node: *node },
        Fault::StoreCut { node } => Fault::StoreMend { node: *node },
        Fault::StoreAway => Fault::StoreBack,
        Fault::Damage(_) => Fault::Restore,
        Fault::Noise { links, .. } => Fault::Noise { links: links.clone(), noise: Noise::default() },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn reads(text: &str, as_: &[(u64, &str)]) {
        let faults = parse(text, 3).unwrap();
        let told: Vec<(u64, String)> = faults.iter().map(|timed| (timed.at_ms, timed.fault.to_string())).collect();
        let told: Vec<(u64, &str)> = told.iter().map(|(at, fault)| (*at, fault.as_str())).collect();
        assert_eq!(told, as_);
    }

    #[track_caller]
    fn refused(text: &str, why: &str) {
        let told = parse(text, 3).expect_err("it is no fault").to_string();
        assert!(told.contains(why), "{told}");
    }

    #[test]
    fn sides_and_links() {
        reads("A|BC", &[(0, "cut: A-B A-C")]);
        reads("A|B|C", &[(0, "cut: A-B A-C B-C")]);
        reads("A>B", &[(0, "cut: A>B")]);
        reads("A-B B-C", &[(0, "cut: A-B B-C")]);
        reads("flap A-B every 300ms 4 times", &[(0, "A-B flaps 4 times, each 300 ms")]);
    }

    #[test]
    fn times_and_what_undoes_a_fault() {
        reads("crash A at 1s, freeze B for 2s", &[(0, "B is frozen"), (1000, "A crashes"), (2000, "B continues")]);
        reads("store away for 5s at 1s", &[(1000, "the store is away"), (6000, "the store is back")]);
    }

    #[test]
    fn hands_and_the_operator_who_makes_it_good() {
        reads(
            "delete record for 2s",
            &[(0, "by hand: the record is deleted, its fences stay"), (2000, "the record is restored by the operator")],
        );
        reads("delete all", &[(0, "by hand: the record and its fence are deleted")]);
    }

    #[test]
    fn several_nodes_at_once() {
        reads("crash AB never", &[(0, "A crashes, never to return"), (0, "B crashes, never to return")]);
        reads(
            "store cut ABC",
            &[(0, "A cannot reach the store"), (0, "B cannot reach the store"), (0, "C cannot reach the store")],
        );
    }

    #[test]
    fn what_cannot_be_is_told() {
        refused("A|AB", "A is there twice");
        refused("crash D", "no D among 3 nodes");
        refused("crash a", "'a' is no node");
        refused("A|", "a side without nodes");
        refused("explode", "no such fault");
        refused("crash A at noon", "no time");
        refused("crash A at", "missing");
        refused("expire A for 3s", "cannot be undone");
        refused("A-A", "no link");
        refused("loss 101%", "more than all");
        refused("", "nothing is said");
    }
}
