//! What happened, for people; and a sum over every event, to see that two runs were the same.

use std::collections::VecDeque;
use std::fmt;

use doyen_cluster::decision::Decision;
use doyen_cluster::effect::{Exit, Status, Warning};
use doyen_cluster::ids::{NodeId, Term};
use doyen_cluster::record::Record;
use serde::{Deserialize, Serialize};

use crate::plan::{HostNo, name};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Note {
    Started(NodeId),
    Reincarnated(NodeId),
    Exited(Exit),
    /// Its process was killed, or its host is gone.
    Killed,
    Frozen,
    Continued,
    /// Whom it accuses from now on.
    Accuses(Vec<NodeId>),
    Decided(Box<Decision>),
    Status(Status),
    Warned(Warning),
    /// The node's change of the record is committed.
    Committed(Box<Record>),
    /// Its change of the record was refused.
    Refused(String),
    Runs(Term),
    Stops(Term),
    /// The first write of the singleton in a term.
    Writes(Term),
    /// The session of an earlier process, or of this one, is over.
    SessionOver(NodeId),
    Struck(String),
    Healed,
    Violated(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    pub at_us: u64,
    /// Whom it happened to; none if it was the whole.
    pub host: Option<HostNo>,
    pub note: Note,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = self.host.map(name).unwrap_or_default();
        write!(f, "{:>9.3} s  {who:<3} ", self.at_us as f64 / 1e6)?;
        match &self.note {
            Note::Started(id) => write!(f, "starts as {id}"),
            Note::Reincarnated(id) => write!(f, "begins anew as {id}"),
            Note::Exited(exit) => write!(f, "ends: {exit:?}"),
            Note::Killed => f.write_str("is killed"),
            Note::Frozen => f.write_str("is frozen"),
            Note::Continued => f.write_str("continues"),
            Note::Accuses(whom) => write!(f, "accuses {whom:?}"),
            Note::Decided(d) => write!(f, "decides {:?} because {:?}, stable {}", d.action, d.because, d.stable),
            Note::Status(s) => write!(
                f,
                "{:?}, epoch {}, owner {:?}{}{}, unreachable {:?}",
                s.life,
                s.epoch,
                s.owner,
                if s.ready { ", ready" } else { "" },
                if s.store_reached { "" } else { ", no store" },
                s.unreachable
            ),
            Note::Warned(warning) => write!(f, "warns: {warning:?}"),
            Note::Committed(record) => write!(f, "committed {}", brief(record)),
            Note::Refused(why) => write!(f, "refused: {why}"),
            Note::Runs(term) => write!(f, "runs the singleton of term {term}"),
            Note::Stops(term) => write!(f, "stops the singleton of term {term}"),
            Note::Writes(term) => write!(f, "writes in term {term}"),
            Note::SessionOver(id) => write!(f, "the session of {id} is over"),
            Note::Struck(fault) => write!(f, "*** {fault}"),
            Note::Healed => f.write_str("*** all is healed"),
            Note::Violated(what) => write!(f, "VIOLATED: {what}"),
        }
    }
}

/// A record in one line.
pub fn brief(record: &Record) -> String {
    let owner = |id: &NodeId| if record.is_owner(id) { "*" } else { "" };
    let members: Vec<String> =
        record.members.iter().map(|m| format!("{}{}:{:?}", m.id, owner(&m.id), m.state)).collect();
    let by = &record.decided_by.name;
    format!("epoch {} term {} [{}] ({:?} by {by})", record.epoch, record.term, members.join(" "), record.reason)
}

/// How many lines are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    Nothing,
    Newest(usize),
    All,
}

pub struct Trace {
    keep: Keep,
    lines: VecDeque<Line>,
    sum: u64,
}

impl Trace {
    pub fn new(keep: Keep) -> Self {
        Self { keep, lines: VecDeque::new(), sum: 0xcbf2_9ce4_8422_2325 }
    }

    /// Adds to the sum.
    pub fn mix(&mut self, number: u64) {
        self.sum = (self.sum ^ number).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    }

    /// Keeps a line, if lines are kept.
    pub fn note(&mut self, at_us: u64, host: Option<HostNo>, note: impl FnOnce() -> Note) {
        let room = match self.keep {
            Keep::Nothing => return,
            Keep::Newest(room) => room,
            Keep::All => usize::MAX,
        };
        if self.lines.len() >= room {
            self.lines.pop_front();
        }
        self.lines.push_back(Line { at_us, host, note: note() });
    }

    /// Whether lines are kept.
    pub fn keeps(&self) -> bool {
        self.keep != Keep::Nothing
    }

    pub fn sum(&self) -> u64 {
        self.sum
    }

    pub fn into_lines(self) -> Vec<Line> {
        self.lines.into()
    }
}
