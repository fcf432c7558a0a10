//! What each node was at each moment.

use std::collections::BTreeSet;

use doyen_cluster::effect::Status;
use doyen_cluster::ids::{NodeId, Term};
use doyen_cluster::node::Life;
use serde::Serialize;

use super::words::Names;
use super::{Ms, Time};
use crate::plan::{HostNo, Plan};
use crate::run::Report;
use crate::trace::Note;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// No process runs.
    #[default]
    Off,
    /// It looks for the cluster.
    Seeking,
    Member,
    /// It is a member, and is not to be sent requests.
    NotReady,
    /// It runs the singleton.
    Owner,
    /// It runs the singleton of a term that is over, and does not know.
    Fenced,
    Leaving,
    /// The record is lost, as far as it can see.
    Stranded,
    /// As by SIGSTOP.
    Frozen,
}

impl State {
    pub const ALL: [Self; 9] = [
        Self::Owner,
        Self::Fenced,
        Self::Member,
        Self::NotReady,
        Self::Leaving,
        Self::Seeking,
        Self::Frozen,
        Self::Stranded,
        Self::Off,
    ];

    /// A word, a letter, and what it means.
    pub fn told(self) -> (&'static str, char, &'static str) {
        match self {
            Self::Off => ("-", '-', "no process runs"),
            Self::Seeking => ("seeking", 's', "it looks for the cluster"),
            Self::Member => ("member", 'm', "it is a member"),
            Self::NotReady => ("unready", 'u', "it is a member, and does not want requests"),
            Self::Owner => ("OWNER", 'O', "it runs the singleton"),
            Self::Fenced => ("fenced", 'F', "it runs the singleton of a term that is over: its writes are refused"),
            Self::Leaving => ("leaving", 'l', "it leaves in good order"),
            Self::Stranded => ("stranded", 'x', "for it the record is lost: it waits for an operator"),
            Self::Frozen => ("frozen", 'f', "its process stands still"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Span {
    pub from_ms: Ms,
    pub to_ms: Ms,
    pub state: State,
}

/// What is known of a host's process.
#[derive(Debug, Clone, Default)]
struct Seen {
    alive: bool,
    frozen: bool,
    status: Option<Status>,
    runs: Option<Term>,
    /// Whom it holds to be unreachable.
    misses: BTreeSet<NodeId>,
}

impl Seen {
    /// `term` is that of the record.
    fn state(&self, term: Term) -> State {
        if !self.alive {
            return State::Off;
        }
        if self.frozen {
            return State::Frozen;
        }
        match self.status.as_ref().map(|status| (status.life, status.ready)) {
            Some((Life::Stranded, _)) => State::Stranded,
            Some((Life::Leaving, _)) => State::Leaving,
            Some((Life::Member, _)) if self.runs == Some(term) => State::Owner,
            Some((Life::Member, _)) if self.runs.is_some() => State::Fenced,
            Some((Life::Member, true)) => State::Member,
            Some((Life::Member, false)) => State::NotReady,
            _ => State::Seeking,
        }
    }

    fn note(&mut self, note: &Note) {
        match note {
            Note::Started(_) | Note::Reincarnated(_) => *self = Self { alive: true, ..Self::default() },
            Note::Exited(_) | Note::Killed => *self = Self::default(),
            Note::Frozen => self.frozen = true,
            Note::Continued => self.frozen = false,
            Note::Runs(term) => self.runs = Some(*term),
            Note::Stops(_) => self.runs = None,
            Note::Status(status) => {
                self.misses = status.unreachable.iter().cloned().collect();
                self.status = Some(status.clone());
            }
            _ => {}
        }
    }
}

/// What a host was over time.
#[derive(Default)]
pub struct Followed {
    pub spans: Vec<Span>,
    /// When others held it to be unreachable.
    pub unreachable: Vec<(Ms, Ms)>,
    since: Ms,
    state: State,
    missed_since: Option<Ms>,
}

impl Followed {
    fn look(&mut self, now: Ms, state: State, missed: bool) {
        if state != self.state {
            close(&mut self.spans, self.since, now, self.state);
            (self.since, self.state) = (now, state);
        }
        match (missed, self.missed_since) {
            (true, None) => self.missed_since = Some(now),
            (false, Some(from)) => {
                self.unreachable.push((from, now));
                self.missed_since = None;
            }
            _ => {}
        }
    }

    fn end(&mut self, now: Ms) {
        close(&mut self.spans, self.since, now, self.state);
        self.unreachable.extend(self.missed_since.map(|from| (from, now)));
    }
}

/// Each host over time.
pub fn follow(plan: &Plan, report: &Report, time: &Time, names: &Names) -> Vec<Followed> {
    let mut seen = vec![Seen::default(); plan.hosts.len()];
    let begins = || Followed { since: time.ms(0), ..Followed::default() };
    let mut hosts: Vec<Followed> = plan.hosts.iter().map(|_| begins()).collect();
    let mut term = Term(0);
    for line in &report.trace {
        match (&line.note, line.host) {
            (Note::Committed(record), _) => term = record.term,
            (note, Some(host)) => seen[host].note(note),
            _ => continue,
        }
        for (no, host) in hosts.iter_mut().enumerate() {
            host.look(time.ms(line.at_us), seen[no].state(term), is_missed(&seen, no, names));
        }
    }
    hosts.iter_mut().for_each(|host| host.end(time.ms(time.end_us)));
    hosts
}

fn is_missed(seen: &[Seen], host: HostNo, names: &Names) -> bool {
    seen.iter().flat_map(|other| &other.misses).any(|id| names.host(id) == Some(host))
}

fn close(spans: &mut Vec<Span>, from_ms: Ms, to_ms: Ms, state: State) {
    match spans.last_mut() {
        // What did not last a millisecond is not seen.
        _ if from_ms == to_ms => {}
        Some(last) if last.state == state => last.to_ms = to_ms,
        _ => spans.push(Span { from_ms, to_ms, state }),
    }
}
