//! Whether what a store holds agrees with itself: records with their indexes, and both with the content they refer to.
//!
//! Each entry is judged by itself and by what it needs to have read beside it. A disagreement between two entries is told at one
//! of them only. What may be repaired is what follows from records, which count: entries of indexes are made or deleted, and what
//! belongs to a record and says nothing without it. Nothing that somebody could still want is deleted.

mod contents;
mod contexts;
mod finding;
mod jobs;
mod rest;

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use serde::de::DeserializeOwned;

pub use contents::{Contents, State};
pub use finding::{Finding, Kind, Repair};

use super::belonging::StoreIdRecord;
use super::history::catalog::Head;
use super::keys;

/// A value and the revision that wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub version: u64,
    pub value: Bytes,
}

/// What comes of judging an entry.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// These keys have to be read before.
    Read(Vec<String>),
    Told(Vec<Finding>),
    /// Of a family that this version does not know.
    Unknown,
}

/// Other entries, as far as they were read: `None` is one that is not there.
#[derive(Debug, Default)]
pub struct Around {
    known: HashMap<String, Option<Stored>>,
    asked: RefCell<BTreeSet<String>>,
}

/// Another entry, as a rule sees it.
#[derive(Debug)]
enum Seen<T> {
    Absent,
    /// It is told of by itself.
    Unreadable,
    Read(T, u64),
}

impl Around {
    pub fn add(&mut self, key: String, stored: Option<Stored>) {
        self.known.insert(key, stored);
    }

    fn look(&self, key: &str) -> Option<&Stored> {
        match self.known.get(key) {
            Some(found) => found.as_ref(),
            None => {
                self.asked.borrow_mut().insert(key.to_owned());
                None
            }
        }
    }

    fn is_there(&self, key: &str) -> bool {
        self.look(key).is_some()
    }

    fn read<T: DeserializeOwned>(&self, key: &str) -> Seen<T> {
        match self.look(key) {
            None => Seen::Absent,
            Some(stored) => match serde_json::from_slice(&stored.value) {
                Ok(record) => Seen::Read(record, stored.version),
                Err(_) => Seen::Unreadable,
            },
        }
    }
}

/// The entry that is judged, with all that its rules look at.
struct Judged<'a> {
    key: &'a str,
    /// The key without its family.
    name: &'a str,
    version: u64,
    value: &'a [u8],
    around: &'a Around,
    contents: &'a mut Contents,
    findings: Vec<Finding>,
}

impl Judged<'_> {
    fn tell(&mut self, kind: Kind, wrong: impl Into<String>, means: &'static str) {
        self.findings.push(Finding { kind, key: self.key.to_owned(), wrong: wrong.into(), means, repair: None });
    }

    fn tell_with(&mut self, kind: Kind, wrong: impl Into<String>, means: &'static str, repair: Repair) {
        let repair = Some(repair);
        self.findings.push(Finding { kind, key: self.key.to_owned(), wrong: wrong.into(), means, repair });
    }

    /// `None` when it does not read, which is told.
    fn record<T: DeserializeOwned>(&mut self) -> Option<T> {
        match serde_json::from_slice(self.value) {
            Ok(record) => Some(record),
            Err(error) => {
                let means = "who asks for it gets an error, and a server that needs it does not start";
                self.tell(Kind::Unreadable, format!("the record cannot be read: {error}"), means);
                None
            }
        }
    }

    fn no_such_key(&mut self) {
        self.tell(Kind::Unreadable, "no key of this kind reads so", "it is read in vain");
    }

    /// Whether the record stands where its own key leads to.
    fn stands_at(&mut self, own: &str) -> bool {
        if own != self.key {
            let wrong = format!("the record says that it is {own}");
            self.tell(Kind::Misplaced, wrong, "it is not found where it is looked for");
        }
        own == self.key
    }

    /// Of an index: the entry is of something that is not, or no longer, so.
    fn dangling(&mut self, wrong: impl Into<String>, means: &'static str, of: (&str, Option<u64>)) {
        let repair = Repair::new("delete the entry").seen(self.key, Some(self.version)).seen(of.0, of.1);
        self.tell_with(Kind::DanglingEntry, wrong, means, repair.delete(self.key));
    }

    /// What nobody can ask for, and what says nothing by itself.
    fn left_over(&mut self, wrong: impl Into<String>, means: &'static str, of: (&str, Option<u64>)) {
        let repair = Repair::new("delete it").seen(self.key, Some(self.version)).seen(of.0, of.1);
        self.tell_with(Kind::Orphan, wrong, means, repair.delete(self.key));
    }

    /// Of a record: an index lacks it. Entries of indexes are empty.
    fn missing(&mut self, entry: &str, means: &'static str) {
        if !self.around.is_there(entry) {
            let repair = Repair::new("add the entry").seen(self.key, Some(self.version)).seen(entry, None);
            self.tell_with(Kind::MissingEntry, format!("{entry} is missing"), means, repair.put(entry, Vec::new()));
        }
    }
}

/// Judges the entry under `key`. To be repeated with what it asks for, until it tells; content that is referred to is noted.
pub fn judge(key: &str, stored: &Stored, around: &Around, contents: &mut Contents) -> Step {
    around.asked.borrow_mut().clear();
    let family = keys::family(key);
    let name = key.get(family.len() + 1..).unwrap_or_default();
    let Stored { version, value } = stored;
    let mut judged = Judged { key, name, version: *version, value, around, contents, findings: Vec::new() };
    let it = &mut judged;
    match family {
        "jobs" => jobs::job(it),
        "jobs-active" => jobs::active(it),
        "jobs-ended" => jobs::ended(it),
        "job-configs" => jobs::of_job(it, "configuration"),
        "job-results" => jobs::result(it),
        "job-timelines" => jobs::timeline(it),
        "job-callbacks" => jobs::callback(it),
        "job-queue" => jobs::queue(it),
        "outbox" => jobs::outbox(it),
        "contexts" => contexts::context(it),
        "contexts-live" => contexts::live(it),
        "context-names" => contexts::name(it),
        "attachments" => contexts::attachment(it),
        "binaries" => rest::binary(it),
        "binary-uses" => rest::binary_use(it),
        "idempotency" => rest::idempotency(it),
        "idempotency-times" => rest::idempotency_time(it),
        "tokens" => rest::token(it),
        "history" => rest::segment(it),
        keys::HISTORY_HEAD => drop(it.record::<Head>()),
        keys::STORE_ID => drop(it.record::<StoreIdRecord>()),
        keys::STORE_IMPORT => rest::import(it),
        _ => return Step::Unknown,
    }
    let asked = std::mem::take(&mut *around.asked.borrow_mut());
    if asked.is_empty() { Step::Told(judged.findings) } else { Step::Read(asked.into_iter().collect()) }
}

#[cfg(test)]
mod tests;
