//! What may happen to nodes, links, clocks and the store.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::plan::{HostNo, Noise, StoreNoise, name};

/// From whom to whom messages go.
pub type Link = (HostNo, HostNo);

/// What an operator's hand may do to the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Damage {
    /// The record is deleted, its fences stay.
    Delete,
    /// The record is deleted, and its fences as well.
    DeleteAll,
    /// The record is as it was so many changes ago.
    RollBack(u8),
    /// One byte is another.
    Bytes,
    NewerFormat,
    EqualAges,
    FenceDeleted,
    /// The fence of the term before lies beside the owner's again.
    FenceBack,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The process is killed; its supervisor starts it again unless `never`.
    Crash {
        node: HostNo,
        never: bool,
    },
    /// The host is gone as well: nobody answers there, not even with a refusal.
    PowerLoss {
        node: HostNo,
    },
    /// Starts a process where none runs.
    Start {
        node: HostNo,
    },
    /// As SIGSTOP; a virtual machine that is suspended also stops its clock.
    Freeze {
        node: HostNo,
        clock_too: bool,
    },
    Continue {
        node: HostNo,
    },
    /// Its timers stand still, but it takes messages: a loop that hangs. Its watchdog ends it in the end.
    Wedge {
        node: HostNo,
    },
    Leave {
        node: HostNo,
    },
    /// Messages of these links do not arrive. A rejecting firewall answers as a host without the process.
    Cut {
        links: Vec<Link>,
        rejecting: bool,
    },
    Mend {
        links: Vec<Link>,
    },
    /// Cut and mended in turn, this often.
    Flap {
        links: Vec<Link>,
        every_ms: u64,
        times: u32,
    },
    /// None: all links.
    Noise {
        links: Option<Vec<Link>>,
        noise: Noise,
    },
    /// Its clock leaps ahead.
    ClockJump {
        node: HostNo,
        ms: u64,
    },
    ClockDrift {
        node: HostNo,
        ppm: i64,
    },
    StoreCut {
        node: HostNo,
    },
    StoreMend {
        node: HostNo,
    },
    StoreNoise {
        node: HostNo,
        noise: StoreNoise,
    },
    /// The whole store: it has lost its quorum.
    StoreAway,
    StoreBack,
    /// Though its node lives and reaches the store.
    SessionExpires {
        node: HostNo,
    },
    /// From now on sessions live this much longer than their timeout.
    SessionsLinger {
        ms: u64,
    },
    Damage(Damage),
    /// The operator's command, which makes an empty record above all that were.
    Restore,
    /// This many messages of the past come again at once; with `lie`, as if from other incarnations.
    Replay {
        to: HostNo,
        count: u32,
        lie: bool,
    },
    MendAll,
}

impl Fault {
    pub fn tampers(&self) -> bool {
        matches!(self, Self::Damage(_) | Self::Restore)
    }

    /// The hosts that it names.
    pub fn hosts(&self) -> Vec<HostNo> {
        match self {
            Self::Crash { node, .. }
            | Self::PowerLoss { node }
            | Self::Start { node }
            | Self::Freeze { node, .. }
            | Self::Continue { node }
            | Self::Wedge { node }
            | Self::Leave { node }
            | Self::ClockJump { node, .. }
            | Self::ClockDrift { node, .. }
            | Self::StoreCut { node }
            | Self::StoreMend { node }
            | Self::StoreNoise { node, .. }
            | Self::SessionExpires { node }
            | Self::Replay { to: node, .. } => vec![*node],
            Self::Cut { links, .. } | Self::Mend { links } | Self::Flap { links, .. } => ends(links),
            Self::Noise { links, .. } => links.as_deref().map(ends).unwrap_or_default(),
            _ => Vec::new(),
        }
    }
}

fn ends(links: &[Link]) -> Vec<HostNo> {
    links.iter().flat_map(|(from, to)| [*from, *to]).collect()
}

/// All links between different sides, both ways.
pub fn between(sides: &[Vec<HostNo>]) -> Vec<Link> {
    let side_of = |host: HostNo| sides.iter().position(|side| side.contains(&host));
    let all = || sides.iter().flatten();
    let pairs = all().flat_map(|from| all().map(move |to| (*from, *to)));
    pairs.filter(|(from, to)| side_of(*from) != side_of(*to)).collect()
}

/// Both ways of each.
pub fn both_ways(links: &[Link]) -> Vec<Link> {
    links.iter().flat_map(|(a, b)| [(*a, *b), (*b, *a)]).collect()
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delete => f.write_str("the record is deleted, its fences stay"),
            Self::RollBack(changes) => write!(f, "the record is as it was {changes} changes ago"),
            Self::Bytes => f.write_str("a byte of the record is another"),
            Self::NewerFormat => f.write_str("the record has a newer format"),
            Self::EqualAges => f.write_str("members of the record have equal ages"),
            Self::FenceDeleted => f.write_str("the fence is deleted"),
            Self::FenceBack => f.write_str("the fence of the term before is back"),
            Self::DeleteAll => f.write_str("the record and its fence are deleted"),
        }
    }
}

impl fmt::Display for Noise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to_us = self.delay_us + self.jitter_us;
        write!(f, "{} to {} ms", self.delay_us as f64 / 1000.0, to_us as f64 / 1000.0)?;
        shares(
            f,
            &[
                ("lost", self.loss_per_mille),
                ("twice", self.twice_per_mille),
                ("overtaking", self.overtaking_per_mille),
            ],
        )
    }
}

impl fmt::Display for StoreNoise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {} ms", self.delay_us as f64 / 1000.0, self.delay_us as f64 / 500.0)?;
        if self.lag_ms > 0 {
            write!(f, ", followers lag up to {} ms", self.lag_ms)?;
        }
        shares(
            f,
            &[
                ("of requests lost", self.lost_before_per_mille),
                ("of answers lost", self.lost_after_per_mille),
                ("of lost requests late", self.late_per_mille),
                ("of watches lost", self.watch_lost_per_mille),
            ],
        )
    }
}

/// In percent, those that are not nothing.
fn shares(f: &mut fmt::Formatter<'_>, all: &[(&str, u16)]) -> fmt::Result {
    all.iter()
        .filter(|(_, per_mille)| *per_mille > 0)
        .try_for_each(|(what, per_mille)| write!(f, ", {} % {what}", f64::from(*per_mille) / 10.0))
}

struct Links<'a>(&'a [Link]);

impl fmt::Display for Links<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no link");
        }
        let mut first = true;
        for (from, to) in self.0 {
            let back = self.0.contains(&(*to, *from));
            if back && from > to {
                continue;
            }
            let (space, arrow) = (if first { "" } else { " " }, if back { "-" } else { ">" });
            write!(f, "{space}{}{arrow}{}", name(*from), name(*to))?;
            first = false;
        }
        Ok(())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash { node, never } => {
                write!(f, "{} crashes{}", name(*node), if *never { ", never to return" } else { "" })
            }
            Self::PowerLoss { node } => write!(f, "{} loses power", name(*node)),
            Self::Start { node } => write!(f, "{} is started", name(*node)),
            Self::Freeze { node, clock_too } => {
                write!(f, "{} is frozen{}", name(*node), if *clock_too { " with its clock" } else { "" })
            }
            Self::Continue { node } => write!(f, "{} continues", name(*node)),
            Self::Wedge { node } => write!(f, "{} hangs", name(*node)),
            Self::Leave { node } => write!(f, "{} is told to leave", name(*node)),
            Self::Cut { links, rejecting } => {
                write!(f, "{} {}", if *rejecting { "rejected:" } else { "cut:" }, Links(links))
            }
            Self::Mend { links } => write!(f, "mended: {}", Links(links)),
            Self::Flap { links, every_ms, times } => {
                write!(f, "{} flaps {times} times, each {every_ms} ms", Links(links))
            }
            Self::Noise { links: None, noise } => write!(f, "all links: {noise}"),
            Self::Noise { links: Some(links), noise } => write!(f, "{}: {noise}", Links(links)),
            Self::ClockJump { node, ms } => write!(f, "the clock of {} leaps {ms} ms", name(*node)),
            Self::ClockDrift { node, ppm } => write!(f, "the clock of {} drifts by {ppm} ppm", name(*node)),
            Self::StoreCut { node } => write!(f, "{} cannot reach the store", name(*node)),
            Self::StoreMend { node } => write!(f, "{} can reach the store again", name(*node)),
            Self::StoreNoise { node, noise } => write!(f, "{} to the store: {noise}", name(*node)),
            Self::StoreAway => f.write_str("the store is away"),
            Self::StoreBack => f.write_str("the store is back"),
            Self::SessionExpires { node } => write!(f, "the session of {} expires", name(*node)),
            Self::SessionsLinger { ms } => write!(f, "sessions linger for {ms} ms"),
            Self::Damage(damage) => write!(f, "by hand: {damage}"),
            Self::Restore => f.write_str("the record is restored by the operator"),
            Self::Replay { to, count, lie } => {
                write!(f, "{count} messages of the past for {}{}", name(*to), if *lie { ", with lies" } else { "" })
            }
            Self::MendAll => f.write_str("all is mended"),
        }
    }
}
