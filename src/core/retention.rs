//! Retention: which records have had their time, and which content nobody refers to. docs/adr/0015 says why so.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::contexts::ContextRecord;
use super::jobs::{JobRecord, ResultPlace};

/// What is kept, and for how long; `None` is for ever. Times in ms of the wall clock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    pub jobs_age_ms: Option<i64>,
    pub jobs_count: Option<u64>,
    pub results_age_ms: Option<i64>,
    pub logs_age_ms: Option<i64>,
    pub contexts_age_ms: Option<i64>,
    pub binaries_unused_age_ms: Option<i64>,
}

/// What becomes of a job's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Keep,
    /// Its result or its log goes, the record stays.
    Trim {
        result: bool,
        log: bool,
    },
    Remove,
}

impl Fate {
    /// Whether a callback of the job could not be delivered any more.
    pub fn takes_result(self) -> bool {
        matches!(self, Self::Remove | Self::Trim { result: true, .. })
    }

    /// What becomes of a job whose callback waits: its record and its result are still to be told.
    pub fn while_callback_waits(self) -> Self {
        match self {
            Self::Trim { log: true, .. } => Self::Trim { result: false, log: true },
            Self::Keep | Self::Remove | Self::Trim { log: false, .. } => Self::Keep,
        }
    }
}

pub fn is_over(ended_ms: i64, age_ms: Option<i64>, now_ms: i64) -> bool {
    age_ms.is_some_and(|age| now_ms.saturating_sub(ended_ms) > age)
}

impl Policy {
    /// `newer` is the number of kept jobs that were submitted later. A job that has not ended is never touched.
    pub fn job(&self, job: &JobRecord, newer: u64, now_ms: i64) -> Fate {
        let (true, Some(ended)) = (job.state.has_ended(), job.ended_ms) else { return Fate::Keep };
        if is_over(ended, self.jobs_age_ms, now_ms) || self.jobs_count.is_some_and(|most| newer >= most) {
            return Fate::Remove;
        }
        let result = job.result.is_some() && is_over(ended, self.results_age_ms, now_ms);
        let log = job.logs().next().is_some() && is_over(ended, self.logs_age_ms, now_ms);
        if result || log { Fate::Trim { result, log } } else { Fate::Keep }
    }

    /// Whether an ended context's record goes.
    pub fn removes_context(&self, context: &ContextRecord, now_ms: i64) -> bool {
        let ended = context.ended_ms.filter(|_| context.state.has_ended());
        ended.is_some_and(|ended| is_over(ended, self.contexts_age_ms, now_ms))
    }
}

/// Hashes of the content that a job's record refers to: its result and its logs, and its code until it has ended.
pub fn contents(job: &JobRecord) -> impl Iterator<Item = &str> {
    let result = match &job.result {
        Some(ResultPlace::Blob(blob)) => Some(blob),
        _ => None,
    };
    let code = job.binaries.iter().filter(|_| !job.state.has_ended()).map(|used| &used.content);
    result.into_iter().chain(job.logs()).chain(code).map(|blob| blob.sha256.as_str())
}

/// When binaries were last used, as far as the history of jobs tells.
#[derive(Debug, Default)]
pub struct Uses {
    /// By name, ms.
    last: HashMap<String, i64>,
    /// When the oldest of the ended jobs ended, ms.
    oldest: Option<i64>,
    jobs: u64,
}

impl Uses {
    pub fn saw(&mut self, job: &JobRecord, now_ms: i64) {
        self.jobs += 1;
        let used = job.ended_ms.unwrap_or(now_ms);
        self.oldest = Some(self.oldest.map_or(used, |oldest| oldest.min(used)));
        for binary in job.binaries.iter().filter(|binary| binary.uploaded) {
            match self.last.get_mut(&binary.name) {
                Some(last) => *last = used.max(*last),
                None => drop(self.last.insert(binary.name.clone(), used)),
            }
        }
    }

    /// The same of many ended jobs, that used these binaries until then, ms.
    pub fn saw_all<'a>(&mut self, jobs: u64, oldest: i64, uses: impl Iterator<Item = &'a (String, i64)>) {
        self.jobs += jobs;
        self.oldest = Some(self.oldest.map_or(oldest, |known| known.min(oldest)));
        for (name, used) in uses {
            let last = self.last.entry(name.clone()).or_insert(*used);
            *last = (*used).max(*last);
        }
    }

    /// Whether a binary has had no user for long enough. Where the number of jobs cuts the history shorter than that, nobody
    /// knows, and none goes.
    pub fn is_unused(&self, name: &str, uploaded_ms: i64, policy: &Policy, now_ms: i64) -> bool {
        let Some(age) = policy.binaries_unused_age_ms else { return false };
        let is_cut = policy.jobs_count.is_some_and(|most| self.jobs >= most);
        if is_cut && self.oldest.is_some_and(|oldest| !is_over(oldest, Some(age), now_ms)) {
            return false;
        }
        let last = self.last.get(name).copied().unwrap_or(i64::MIN).max(uploaded_ms);
        is_over(last, Some(age), now_ms)
    }
}

/// Content that records refer to. Keeps eight bytes of each hash: two that agree in these only keep one too many.
#[derive(Debug, Default)]
pub struct Referenced {
    short: HashSet<u64>,
    /// Something that refers to content could not be read.
    unknown: bool,
}

impl Referenced {
    pub fn add(&mut self, sha256: &str) {
        self.short.extend(shortened(sha256));
    }

    /// Of hashes that were shortened already.
    pub fn add_all(&mut self, short: &[u64]) {
        self.short.extend(short);
    }

    /// Nobody knows what else is referred to: from now on, everything is.
    pub fn add_unknown(&mut self) {
        self.unknown = true;
    }

    /// What is no hash counts as referenced: it is not ours to delete.
    pub fn has(&self, sha256: &str) -> bool {
        self.unknown || shortened(sha256).is_none_or(|short| self.short.contains(&short))
    }
}

/// The first eight bytes of a hash; `None`: it is none.
pub fn shortened(sha256: &str) -> Option<u64> {
    u64::from_str_radix(sha256.get(..16)?, 16).ok()
}

#[derive(Debug)]
struct Suspect {
    stamp: i64,
    /// How long the process had run.
    since: Duration,
    /// The last pass that found it.
    pass: u64,
}

/// Content without a reference, and since when this process knows. It may go when references that were read `age` later
/// do not name it either, and it was not uploaded again meanwhile: `age` is longer than an upload can be on its way to
/// its record. Time is that in which the process ran, outside of passes: neither the wall clock nor a process that was
/// frozen makes it jump, and after a restart all begins anew.
#[derive(Debug)]
pub struct Suspects {
    age: Duration,
    most: usize,
    seen: HashMap<String, Suspect>,
    pass: u64,
}

impl Suspects {
    /// Remembers at most so many; others wait for a later pass.
    pub fn new(age: Duration, most: usize) -> Self {
        Self { age, most, seen: HashMap::new(), pass: 0 }
    }

    /// Whether the blob with this stamp, which this pass found without a reference, is to be deleted. The process had run for
    /// so long when the pass began.
    pub fn is_due(&mut self, sha256: &str, stamp: i64, ran: Duration) -> bool {
        let pass = self.pass;
        let full = self.seen.len() >= self.most;
        match self.seen.get_mut(sha256) {
            Some(suspect) if suspect.stamp == stamp => {
                suspect.pass = pass;
                ran.saturating_sub(suspect.since) >= self.age
            }
            Some(suspect) => {
                *suspect = Suspect { stamp, since: ran, pass };
                false
            }
            None if full => false,
            None => {
                self.seen.insert(sha256.to_owned(), Suspect { stamp, since: ran, pass });
                false
            }
        }
    }

    /// Ends a pass that has looked at all content: what it did not find without a reference is above suspicion.
    pub fn end_pass(&mut self) {
        let pass = self.pass;
        self.seen.retain(|_, suspect| suspect.pass == pass);
        self.pass += 1;
    }

    pub fn count(&self) -> usize {
        self.seen.len()
    }
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
