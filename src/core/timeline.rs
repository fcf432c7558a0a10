//! The timeline of a job: moments that the server saw, spans that shim and driver measured, and where the time went.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Microseconds by name: what was measured beside the server.
pub type Spans = BTreeMap<String, u64>;

const MAX_SPANS: usize = 16;
const MAX_SPAN_NAME_BYTES: usize = 32;
/// Of a driver that attaches again and again, the first are kept. An end finds room always.
const MAX_MARKS: usize = 32;
/// So many an attempt is sure to have.
const MARKS_OF_ATTEMPT: usize = 16;
/// Of a job with more attempts, the later ones are not told one by one.
const MAX_EARLIER: usize = 32;

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
    /// The attempt came to nothing, and it is recorded that the job is to run again.
    Lost,
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
            Self::Lost => "lost",
            Self::Ended => "ended",
        }
    }

    /// Only the first one counts, of the job or of an attempt.
    fn is_single(self) -> bool {
        !matches!(self, Self::Attached | Self::Sent | Self::TakenUp | Self::Lost)
    }

    /// It comes once for the job, whatever its attempts.
    fn is_of_job(self) -> bool {
        matches!(self, Self::Received | Self::Begun | Self::Recorded | Self::Ended)
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
    /// The attempts before the present one that this process saw, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Earlier>,
    /// When the newest of them was lost, µs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_us: Option<u64>,
    /// How many there were, told one by one or not.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lost_count: usize,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// The course of an attempt that came to nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Earlier {
    /// When the one before it was lost, or the job was taken up, µs; `None` for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_us: Option<u64>,
    /// When it was sent to the driver first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_us: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_us: Option<u64>,
    pub lost_us: u64,
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

impl Phase {
    fn server(name: &str, from: u64, to: u64) -> Self {
        Self { name: name.into(), us: to.saturating_sub(from), by: By::Server }
    }
}

impl Earlier {
    /// Where its time went: the wait before it, its driver, and how long it took until it was known to be lost.
    pub fn phases(&self) -> Vec<Phase> {
        let mut phases = Vec::new();
        if let (Some(after), Some(sent)) = (self.after_us, self.sent_us) {
            phases.push(Phase::server("retry", after, sent));
        }
        match (self.sent_us, self.heard_us) {
            (Some(sent), Some(heard)) => phases.extend(beside_the_server(Some((sent, heard)), &self.spans)),
            (Some(sent), None) => phases.push(Phase::server("driver", sent, self.lost_us)),
            (None, Some(_)) => phases.extend(beside_the_server(None, &self.spans)),
            // A former server had sent it.
            (None, None) => phases.extend(self.after_us.map(|after| Phase::server("driver", after, self.lost_us))),
        }
        phases.extend(self.heard_us.map(|heard| Phase::server("loss", heard, self.lost_us)));
        phases
    }
}

impl Timeline {
    pub fn mark(&mut self, moment: Moment, us: u64) {
        let known = moment.is_single() && self.at(moment).is_some();
        let full = self.marks.len() >= MAX_MARKS && !matches!(moment, Moment::Heard | Moment::Ended);
        if !known && !full {
            self.marks.push((moment, us));
        }
    }

    /// The attempt came to nothing, and another is to follow. Marks of earlier attempts make room for its.
    pub fn lose(&mut self, us: u64) {
        let earlier = Earlier {
            after_us: self.lost_us.or_else(|| self.at(Moment::TakenUp)),
            sent_us: self.present().iter().find(|(moment, _)| *moment == Moment::Sent).map(|(_, us)| *us),
            heard_us: self.at(Moment::Heard),
            lost_us: us,
            sent_to: self.sent_to.take(),
            spans: std::mem::take(&mut self.spans),
        };
        if self.earlier.len() < MAX_EARLIER {
            self.earlier.push(earlier);
        }
        self.lost_us = Some(us);
        self.lost_count += 1;
        if self.marks.len() + MARKS_OF_ATTEMPT > MAX_MARKS {
            let first = self.marks.first().copied();
            self.marks.retain(|mark| mark.0.is_of_job() || Some(*mark) == first);
        }
        self.marks.push((Moment::Lost, us));
    }

    /// The marks of the present attempt.
    fn present(&self) -> &[(Moment, u64)] {
        let lost = self.marks.iter().rposition(|(moment, _)| *moment == Moment::Lost);
        &self.marks[lost.map_or(0, |at| at + 1)..]
    }

    /// The last such moment, of the job or of its present attempt.
    pub fn at(&self, moment: Moment) -> Option<u64> {
        let marks = if moment.is_of_job() { &self.marks } else { self.present() };
        marks.iter().rev().find(|(known, _)| *known == moment).map(|(_, us)| *us)
    }

    /// Where the time went, in order. What lies in nobody's knowledge is left out, so the sum may be less than the whole.
    pub fn phases(&self) -> Vec<Phase> {
        let mut phases = Vec::new();
        let mut server = |name: &str, from: Option<u64>, to: Option<u64>| {
            if let (Some(from), Some(to)) = (from, to) {
                phases.push(Phase::server(name, from, to));
            }
        };
        let (recorded, sent) = (self.at(Moment::Recorded), self.at(Moment::Sent));
        server("prepare", self.at(Moment::Received), self.at(Moment::Begun));
        server("record", self.at(Moment::Begun), recorded);
        match (self.earlier.first(), self.lost_us) {
            (Some(first), Some(lost)) => {
                server("queue", recorded, first.sent_us);
                let known = if recorded.is_some() { first.sent_us.or(recorded) } else { first.after_us };
                server("earlier-attempts", known.or(first.sent_us), Some(lost));
                server("retry", Some(lost), sent.or(self.at(Moment::Ended)));
            }
            _ => server("queue", recorded, sent),
        }
        phases.extend(beside_the_server(sent.zip(self.at(Moment::Heard)), &self.spans));
        if let (Some(heard), Some(ended)) = (self.at(Moment::Heard), self.at(Moment::Ended)) {
            phases.push(Phase::server("finish", heard, ended));
        }
        phases
    }
}

/// `fetch`, `driver` and `settle` are the shim's; the rest is the driver's, and lies within `driver`. With the times at
/// which the job was sent to the driver, and heard of again.
fn beside_the_server(times: Option<(u64, u64)>, spans: &Spans) -> Vec<Phase> {
    let mut phases = Vec::new();
    let of = |name: &str| spans.get(name).copied();
    let shims = ["fetch", "driver", "settle"];
    let known: u64 = shims.iter().filter_map(|name| of(name)).sum();
    if let Some((sent, heard)) = times {
        // Without a span all of it is the driver's time.
        let name = if spans.is_empty() { "driver" } else { "transfer" };
        phases.push(Phase::server(name, sent.saturating_add(known), heard));
    }
    phases.extend(of("fetch").map(|us| Phase { name: "fetch".into(), us, by: By::Shim }));
    let order = |name: &str| DRIVER_SPANS.iter().position(|known| *known == name).unwrap_or(DRIVER_SPANS.len());
    let mut within: Vec<(&String, &u64)> = spans.iter().filter(|(name, _)| !shims.contains(&name.as_str())).collect();
    within.sort_by_key(|(name, _)| order(name));
    if let Some(driver) = of("driver") {
        let measured: u64 = within.iter().map(|(_, us)| **us).sum();
        // Where the driver measured nothing, or was lost before it could tell, nobody knows when the job began in it.
        let name = if within.is_empty() { "driver" } else { "start" };
        phases.push(Phase { name: name.into(), us: driver.saturating_sub(measured), by: By::Shim });
    }
    phases.extend(within.into_iter().map(|(name, us)| Phase { name: name.clone(), us: *us, by: By::Driver }));
    phases.extend(of("settle").map(|us| Phase { name: "settle".into(), us, by: By::Shim }));
    phases
}

/// In the order in which they happen in a worker.
const DRIVER_SPANS: [&str; 5] = ["load", "context", "validate", "run", "result"];

#[cfg(test)]
#[path = "timeline_tests.rs"]
mod tests;
