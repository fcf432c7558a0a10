//! The timeline of a job: moments that the server saw, spans that shim and driver measured, and where the time went.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Microseconds by name: what was measured beside the server.
pub type Spans = BTreeMap<String, u64>;

const MAX_SPANS: usize = 16;
const MAX_SPAN_NAME_BYTES: usize = 32;
/// Of a driver that attaches again and again, the first are kept. An end finds room always.
const MAX_MARKS: usize = 32;

/// Keeps of a stranger's spans what is bounded.
pub fn bounded(spans: Spans) -> Spans {
    spans.into_iter().filter(|(name, _)| name.len() <= MAX_SPAN_NAME_BYTES).take(MAX_SPANS).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// The request was read.
    Received,
    /// Its code and its context were found (or the context made), and it got its id.
    Begun,
    /// It is durable, and assigned to a driver.
    Recorded,
    /// A server that was started later found it in the store.
    TakenUp,
    /// Its driver attached while the job was in it.
    Attached,
    Sent,
    /// The driver said that it runs.
    Accepted,
    /// The driver said how it ended.
    Heard,
    /// Its end was decided, and went to the store.
    Ended,
}

impl Moment {
    pub fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Begun => "begun",
            Self::Recorded => "recorded",
            Self::TakenUp => "taken-up",
            Self::Attached => "attached",
            Self::Sent => "sent",
            Self::Accepted => "accepted",
            Self::Heard => "heard",
            Self::Ended => "ended",
        }
    }

    /// Only the first one counts.
    fn is_single(self) -> bool {
        !matches!(self, Self::Attached | Self::Sent | Self::TakenUp)
    }
}

/// The driver that a job was sent to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentTo {
    /// Of the context.
    pub attempt: u32,
    pub node: String,
    /// Of its shim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
}

/// What stands under `job-timelines/<id>`, written with the job's end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// Moments, and µs since the first (after a restart: since the job's `started_ms`, to the ms, by the wall clock).
    pub marks: Vec<(Moment, u64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_to: Option<SentTo>,
    #[serde(default, skip_serializing_if = "Spans::is_empty")]
    pub spans: Spans,
}

/// Who measured it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Server,
    Shim,
    Driver,
}

impl By {
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Shim => "shim",
            Self::Driver => "driver",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phase {
    pub name: String,
    pub us: u64,
    pub by: By,
}

impl Timeline {
    pub fn mark(&mut self, moment: Moment, us: u64) {
        let known = moment.is_single() && self.at(moment).is_some();
        let full = self.marks.len() >= MAX_MARKS && !matches!(moment, Moment::Heard | Moment::Ended);
        if !known && !full {
            self.marks.push((moment, us));
        }
    }

    pub fn at(&self, moment: Moment) -> Option<u64> {
        self.marks.iter().rev().find(|(known, _)| *known == moment).map(|(_, us)| *us)
    }

    /// Where the time went, in order. What lies in nobody's knowledge is left out, so the sum may be less than the whole.
    pub fn phases(&self) -> Vec<Phase> {
        let mut phases = Vec::new();
        let mut server = |name: &str, from: Moment, to: Moment| {
            if let (Some(from), Some(to)) = (self.at(from), self.at(to)) {
                phases.push(Phase { name: name.into(), us: to.saturating_sub(from), by: By::Server });
            }
        };
        server("prepare", Moment::Received, Moment::Begun);
        server("record", Moment::Begun, Moment::Recorded);
        server("queue", Moment::Recorded, Moment::Sent);
        phases.extend(self.beside_the_server());
        if let (Some(heard), Some(ended)) = (self.at(Moment::Heard), self.at(Moment::Ended)) {
            phases.push(Phase { name: "finish".into(), us: ended.saturating_sub(heard), by: By::Server });
        }
        phases
    }

    /// `fetch`, `driver` and `settle` are the shim's; the rest is the driver's, and lies within `driver`.
    fn beside_the_server(&self) -> Vec<Phase> {
        let mut phases = Vec::new();
        let of = |name: &str| self.spans.get(name).copied();
        let shims = ["fetch", "driver", "settle"];
        let known: u64 = shims.iter().filter_map(|name| of(name)).sum();
        if let (Some(sent), Some(heard)) = (self.at(Moment::Sent), self.at(Moment::Heard)) {
            let us = heard.saturating_sub(sent).saturating_sub(known);
            // Without a span all of it is the driver's time.
            let name = if self.spans.is_empty() { "driver" } else { "transfer" };
            phases.push(Phase { name: name.into(), us, by: By::Server });
        }
        phases.extend(of("fetch").map(|us| Phase { name: "fetch".into(), us, by: By::Shim }));
        let order = |name: &str| DRIVER_SPANS.iter().position(|known| *known == name).unwrap_or(DRIVER_SPANS.len());
        let mut within: Vec<(&String, &u64)> =
            self.spans.iter().filter(|(name, _)| !shims.contains(&name.as_str())).collect();
        within.sort_by_key(|(name, _)| order(name));
        if let Some(driver) = of("driver") {
            let measured: u64 = within.iter().map(|(_, us)| **us).sum();
            phases.push(Phase { name: "start".into(), us: driver.saturating_sub(measured), by: By::Shim });
        }
        phases.extend(within.into_iter().map(|(name, us)| Phase { name: name.clone(), us: *us, by: By::Driver }));
        phases.extend(of("settle").map(|us| Phase { name: "settle".into(), us, by: By::Shim }));
        phases
    }
}

/// In the order in which they happen in a worker.
const DRIVER_SPANS: [&str; 5] = ["load", "context", "validate", "run", "result"];

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(spans: &[(&str, u64)]) -> Spans {
        spans.iter().map(|(name, us)| ((*name).to_owned(), *us)).collect()
    }

    fn told(timeline: &Timeline) -> Vec<(String, u64)> {
        timeline.phases().into_iter().map(|phase| (phase.name, phase.us)).collect()
    }

    fn expected(phases: &[(&str, u64)]) -> Vec<(String, u64)> {
        phases.iter().map(|(name, us)| ((*name).to_owned(), *us)).collect()
    }

    #[test]
    fn every_microsecond_of_a_whole_timeline_is_in_one_phase() {
        use Moment::{Begun, Ended, Heard, Received, Recorded, Sent};
        let marks = vec![(Received, 0), (Begun, 10), (Recorded, 500), (Sent, 520), (Heard, 2520), (Ended, 2530)];
        let spans = spans(&[("driver", 1500), ("run", 900), ("load", 100), ("fetch", 200), ("settle", 50)]);
        let timeline = Timeline { marks, spans, sent_to: None };
        let phases = told(&timeline);
        let whole = [
            ("prepare", 10),
            ("record", 490),
            ("queue", 20),
            ("transfer", 250),
            ("fetch", 200),
            ("start", 500),
            ("load", 100),
            ("run", 900),
            ("settle", 50),
            ("finish", 10),
        ];
        assert_eq!(phases, expected(&whole));
        assert_eq!(phases.iter().map(|(_, us)| us).sum::<u64>(), 2530);
    }

    #[test]
    fn a_driver_that_measures_nothing_has_one_phase() {
        use Moment::{Heard, Sent};
        let timeline = Timeline { marks: vec![(Sent, 5), (Heard, 105)], ..Timeline::default() };
        assert_eq!(told(&timeline), expected(&[("driver", 100)]));
    }

    #[test]
    fn after_a_restart_only_what_is_known_is_told() {
        use Moment::{Attached, Ended, Heard, TakenUp};
        let marks = vec![(TakenUp, 1000), (Attached, 1500), (Heard, 9000), (Ended, 9010)];
        let timeline = Timeline { marks, spans: spans(&[("driver", 8000), ("run", 7900)]), sent_to: None };
        assert_eq!(told(&timeline), expected(&[("start", 100), ("run", 7900), ("finish", 10)]));
    }

    #[test]
    fn moments_are_single_but_for_attaching_and_sending_and_never_too_many() {
        let mut timeline = Timeline::default();
        for round in 0..100 {
            timeline.mark(Moment::Received, round);
            timeline.mark(Moment::Attached, round);
        }
        timeline.mark(Moment::Heard, 200);
        timeline.mark(Moment::Ended, 201);
        assert_eq!(timeline.marks.iter().filter(|(moment, _)| *moment == Moment::Received).count(), 1);
        assert_eq!(timeline.marks.len(), MAX_MARKS + 2);
        assert_eq!(timeline.marks.last(), Some(&(Moment::Ended, 201)));
    }

    #[test]
    fn spans_of_strangers_are_bounded() {
        let many: Spans = (0..1000).map(|n| (format!("{n:04}"), n)).collect();
        assert_eq!(bounded(many).len(), MAX_SPANS);
        assert!(bounded(spans(&[(&"n".repeat(33), 1)])).is_empty());
    }
}
