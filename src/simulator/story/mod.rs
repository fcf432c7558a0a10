//! A run as people read it: what each node was at each moment, what happened, and how long nobody could write.

mod lanes;
pub mod picture;
mod summary;
pub mod text;
mod words;

use std::collections::BTreeMap;

use doyen_cluster::ids::{Epoch, Term};
use serde::Serialize;

use crate::invariants::{Number, Violation};
use crate::measures::{GAP_US, Gap};
use crate::plan::Plan;
use crate::run::Report;
use crate::trace::Note;
pub use lanes::{Span, State};

/// What is shorter is no time without an owner that can write.
const LEAST_GAP_MS: Ms = (GAP_US / 1000).cast_signed();

/// Milliseconds since the story's beginning: that of the faults, or of the run.
pub type Ms = i64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Fault,
    Accusation,
    /// A broken link for which nobody is removed.
    Indirect,
    Claim,
    /// A change of the record is committed.
    Change,
    Refusal,
    Start,
    Stop,
    Owner,
    /// Somebody writes again.
    Writes,
    Other,
    Violation,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moment {
    pub at_ms: Ms,
    /// Whom it happened to; none if it was the whole.
    pub node: Option<String>,
    pub kind: Kind,
    pub what: String,
}

/// A time in which nobody could write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Silence {
    pub from_ms: Ms,
    pub to_ms: Ms,
    /// It had not ended at the end.
    pub open: bool,
}

impl Silence {
    pub fn ms(&self) -> Ms {
        self.to_ms - self.from_ms
    }
}

/// A node over time, and at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lane {
    pub node: String,
    pub spans: Vec<Span>,
    /// When others held it to be unreachable.
    pub unreachable: Vec<(Ms, Ms)>,
    pub at_the_end: State,
    /// So often it ended by itself, so often it was killed.
    pub stops: usize,
    pub crashes: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cluster {
    pub epoch: Epoch,
    pub term: Term,
    pub members: Vec<String>,
    pub owner: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Story {
    /// What was played, in one line.
    pub title: String,
    pub seed: u64,
    pub begins_ms: Ms,
    pub ends_ms: Ms,
    pub lanes: Vec<Lane>,
    /// Runs of nodes: what they are called in dumps, and here.
    pub runs: BTreeMap<String, String>,
    pub moments: Vec<Moment>,
    pub silences: Vec<Silence>,
    pub first_write_ms: Option<Ms>,
    /// The longest time without an owner that could write, since the first fault.
    pub gap_ms: Ms,
    /// The record at the end.
    pub record: Option<Cluster>,
    /// Invariants that were checked in each step.
    pub checked: Vec<Number>,
    pub violations: Vec<Violation>,
    /// Events that nodes were given.
    pub events: u64,
    pub changes: u64,
}

impl Story {
    /// `zero_ms` is the moment of the run that the story counts from. The report has to have all its lines.
    pub fn new(title: &str, plan: &Plan, report: &Report, zero_ms: u64) -> Self {
        let time = Time { zero_us: zero_ms * 1000, end_us: report.simulated_ms * 1000 };
        let names = words::Names::of(&report.trace);
        let lanes = lanes::follow(plan, report, &time, &names);
        let mut moments = words::moments(plan, &report.trace, &time, &names);
        moments.extend(report.measures.gaps.iter().map(|gap| writes_again(gap, &time)));
        // What happened at the same moment stays in its order.
        moments.sort_by_key(|moment| moment.at_ms);
        let record = report.record.as_ref().map(|record| Cluster {
            epoch: record.epoch,
            term: record.term,
            members: record.members.iter().map(|member| names.short(&member.id)).collect(),
            owner: record.owner.as_ref().map(|id| names.short(id)),
        });
        let lanes = lanes.into_iter().zip(&report.ends).enumerate().map(|(no, (lane, end))| Lane {
            node: crate::plan::name(no),
            at_the_end: lane.spans.last().map_or(State::Off, |span| span.state),
            spans: lane.spans,
            unreachable: lane.unreachable,
            stops: end.exits.len(),
            crashes: end.crashes,
        });
        Self {
            title: title.into(),
            seed: plan.seed,
            begins_ms: time.ms(0),
            ends_ms: time.ms(time.end_us),
            lanes: lanes.collect(),
            runs: names.all(),
            moments,
            silences: silences(report, &time),
            first_write_ms: first_write(report, &time),
            gap_ms: signed(report.measures.longest_gap_ms(time.end_us)),
            record,
            checked: checked(plan),
            violations: report.violations.clone(),
            events: report.measures.steps,
            changes: report.measures.commits,
        }
    }

    /// Without what was before this moment.
    pub fn since(mut self, from_ms: Ms) -> Self {
        self.begins_ms = self.begins_ms.max(from_ms);
        self.moments.retain(|moment| moment.at_ms >= from_ms);
        self.silences.retain(|silence| silence.to_ms > from_ms);
        for lane in &mut self.lanes {
            lane.spans.retain(|span| span.to_ms > from_ms);
            for span in &mut lane.spans {
                span.from_ms = span.from_ms.max(from_ms);
            }
        }
        self
    }

    /// What a run is called here, by its name in dumps.
    pub fn run_of(&self, id: &str) -> String {
        self.runs.get(id).cloned().unwrap_or_else(|| id.into())
    }

    pub fn is_silent(&self, at_ms: Ms) -> bool {
        self.silences.iter().any(|silence| silence.from_ms <= at_ms && at_ms < silence.to_ms)
    }
}

/// Moments of the run as moments of the story.
struct Time {
    zero_us: u64,
    end_us: u64,
}

impl Time {
    fn ms(&self, at_us: u64) -> Ms {
        signed(at_us / 1000) - signed(self.zero_us / 1000)
    }
}

fn writes_again(gap: &Gap, time: &Time) -> Moment {
    let what = format!("writes; nobody could for {}", seconds(signed(gap.ms())));
    let node = crate::plan::name(gap.after);
    Moment { at_ms: time.ms(gap.to_us), what: format!("{node} {what}"), node: Some(node), kind: Kind::Writes }
}

fn silences(report: &Report, time: &Time) -> Vec<Silence> {
    let closed = report.measures.gaps.iter();
    let mut all: Vec<Silence> =
        closed.map(|gap| Silence { from_ms: time.ms(gap.from_us), to_ms: time.ms(gap.to_us), open: false }).collect();
    if let Some((last, ..)) = report.measures.last_write
        && time.end_us.saturating_sub(last) > GAP_US
    {
        all.push(Silence { from_ms: time.ms(last), to_ms: time.ms(time.end_us), open: true });
    }
    all
}

fn first_write(report: &Report, time: &Time) -> Option<Ms> {
    let first = report.trace.iter().find(|line| matches!(line.note, Note::Writes(_)));
    first.map(|line| time.ms(line.at_us))
}

/// Whether all is well at the end is only judged if all faults end, and whether one node survives only if there is but one fault.
fn checked(plan: &Plan) -> Vec<Number> {
    let mut all = vec![1, 2, 5, 6];
    all.extend(plan.heal_ms.map(|_| 8));
    all.extend(plan.survive_from_ms.map(|_| 9));
    all
}

/// Like `3.2 s`.
pub fn seconds(ms: Ms) -> String {
    match ms {
        0 => "0 s".into(),
        _ if ms < 1000 => format!("{ms} ms"),
        _ => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
    }
}

fn signed(ms: u64) -> Ms {
    Ms::try_from(ms).unwrap_or(Ms::MAX)
}
