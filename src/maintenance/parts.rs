//! The jobs of an export. What belongs to one stands in several places of the file, in each by ascending ids: they are read side by
//! side. Of a pipe they are put aside until all of them are there.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, remove_file};
use std::io::{self, BufReader, BufWriter, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::frames::{FormatError, Frame, FrameReader, FrameWriter};
use super::{Progress, ToolError};
use crate::core::jobs::JobState;
use crate::core::keys;

/// Of each place.
const BUFFER_BYTES: usize = 64 * 1024;

/// What belongs to one job.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) id: String,
    /// Its record first, if there is one.
    pub(super) entries: Vec<(String, Bytes)>,
}

/// Where entries with one prefix stand.
#[derive(Debug)]
struct Run {
    prefix: String,
    begin: u64,
    end: u64,
    /// The last.
    id: Option<String>,
    number: u64,
    /// Of all keys and values: what is read later is the same.
    hash: Sha256,
}

fn hash(hash: &mut Sha256, key: &str, value: &[u8]) {
    hash.update((key.len() as u64).to_le_bytes());
    hash.update(key);
    hash.update((value.len() as u64).to_le_bytes());
    hash.update(value);
}

#[derive(Debug)]
pub(super) struct Runs(Vec<Run>);

impl Default for Runs {
    /// The run of records comes first.
    fn default() -> Self {
        let states = [JobState::Finished, JobState::Error, JobState::Killed];
        let beside: BTreeSet<String> = states.iter().flat_map(|state| keys::of_ended_job(state.name(), "")).collect();
        let beside = beside.into_iter().filter(|prefix| prefix != keys::JOBS);
        let run = |prefix| Run { prefix, begin: 0, end: 0, id: None, number: 0, hash: Sha256::new() };
        Self([keys::JOBS.to_owned()].into_iter().chain(beside).map(run).collect())
    }
}

impl Runs {
    fn of<'k>(&self, key: &'k str) -> Option<(usize, &'k str)> {
        let leaf = |run: &Run| key.strip_prefix(&run.prefix).filter(|leaf| !leaf.contains('/'));
        self.0.iter().enumerate().find_map(|(at, run)| Some((at, leaf(run)?)))
    }

    /// Notes an entry whose frame stands there.
    ///
    /// # Errors
    /// With what is wrong, when the entries are not in the order of their keys.
    fn note(&mut self, key: &str, value: &[u8], begin: u64, end: u64) -> Result<(), String> {
        let Some((at, id)) = self.of(key) else { return Ok(()) };
        let run = &mut self.0[at];
        if run.id.as_deref().is_some_and(|last| last >= id) {
            return Err(format!("{key} does not stand in the order of keys"));
        }
        if run.number == 0 {
            run.begin = begin;
        }
        (run.end, run.id, run.number) = (end, Some(id.to_owned()), run.number + 1);
        hash(&mut run.hash, key, value);
        Ok(())
    }
}

/// The parts of all jobs, which are read once the rest of the file was.
pub(super) struct Jobs {
    runs: Runs,
    file: File,
    /// They are written to the file; else they stand there already.
    aside: Option<FrameWriter<BufWriter<File>>>,
}

impl Jobs {
    pub(super) fn of_file(path: &Path) -> Result<Self, FormatError> {
        let file = File::open(path).map_err(FormatError::Io)?;
        Ok(Self { runs: Runs::default(), file, aside: None })
    }

    /// To be put aside in a file of this directory, which has no name any more.
    pub(super) fn aside(directory: &Path) -> Result<Self, ToolError> {
        let path = directory.join("import");
        let made = || {
            // There are hashes of tokens, and what users sent, in it.
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&path)?;
            remove_file(&path)?;
            let out = BufWriter::with_capacity(BUFFER_BYTES, file.try_clone()?);
            Ok(Self { runs: Runs::default(), file, aside: Some(FrameWriter::without_header(out)) })
        };
        made().map_err(ToolError::Aside)
    }

    /// How many records there are.
    pub(super) fn records(&self) -> u64 {
        self.runs.0[0].number
    }

    /// Notes an entry of the file, whose frame stands there.
    ///
    /// # Errors
    /// With what is wrong.
    pub(super) fn note(&mut self, key: &str, value: &[u8], begin: u64, end: u64) -> Result<(), String> {
        self.runs.note(key, value, begin, end)
    }

    /// Whether the entry is a part of a job, and so comes later.
    pub(super) fn takes(&mut self, key: &str, value: &[u8]) -> Result<bool, ToolError> {
        if self.runs.of(key).is_none() {
            return Ok(false);
        }
        if let Some(aside) = &mut self.aside {
            let begin = aside.at();
            aside.entry(key, value).map_err(ToolError::Aside)?;
            let noted = self.runs.note(key, value, begin, aside.at());
            noted.map_err(|why| FormatError::Damaged { at: begin, why })?;
        }
        Ok(true)
    }

    pub(super) fn read(self) -> Result<JobReader, ToolError> {
        if let Some(aside) = self.aside {
            aside.finish().map_err(ToolError::Aside)?;
        }
        let file = Arc::new(self.file);
        let cursors = self.runs.0.into_iter().map(|run| Cursor::new(&file, run));
        Ok(JobReader(cursors.collect::<Result<_, _>>()?))
    }
}

/// Reads a file from anywhere, whoever else does.
struct Section {
    file: Arc<File>,
    at: u64,
}

impl Read for Section {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(bytes, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// A run that is being read.
struct Cursor {
    reader: FrameReader<BufReader<Section>>,
    run: Run,
    read: Sha256,
    /// The entry that comes next, with its job.
    next: Option<(String, String, Vec<u8>)>,
}

impl Cursor {
    fn new(file: &Arc<File>, run: Run) -> Result<Self, FormatError> {
        let section = Section { file: Arc::clone(file), at: run.begin };
        let reader = FrameReader::within(BufReader::with_capacity(BUFFER_BYTES, section), run.begin);
        let mut this = Self { reader, run, read: Sha256::new(), next: None };
        this.advance()?;
        Ok(this)
    }

    fn advance(&mut self) -> Result<Option<(String, String, Vec<u8>)>, FormatError> {
        let mut next = None;
        while next.is_none() && self.reader.at() < self.run.end {
            let Frame::Entry { key, value } = self.reader.frame()? else {
                return Err(self.reader.damaged("it changed while it was read"));
            };
            let id = key.strip_prefix(&self.run.prefix).filter(|leaf| !leaf.contains('/')).map(str::to_owned);
            if let Some(id) = id {
                hash(&mut self.read, &key, &value);
                next = Some((id, key, value));
            }
        }
        if next.is_none() && self.read.clone().finalize() != self.run.hash.clone().finalize() {
            return Err(self.reader.damaged("it changed while it was read"));
        }
        Ok(std::mem::replace(&mut self.next, next))
    }
}

/// Gives the jobs of a file by ascending ids, each with all that belongs to it.
pub(super) struct JobReader(Vec<Cursor>);

impl JobReader {
    pub(super) fn next(&mut self, progress: Progress<'_>) -> Result<Option<Parts>, FormatError> {
        let ids = self.0.iter().filter_map(|cursor| cursor.next.as_ref().map(|(id, ..)| id));
        let Some(id) = ids.min().cloned() else { return Ok(None) };
        let mut entries = Vec::new();
        for cursor in &mut self.0 {
            if cursor.next.as_ref().is_some_and(|(next, ..)| *next == id) {
                let before = cursor.reader.at();
                entries.extend(cursor.advance()?.map(|(_, key, value)| (key, value.into())));
                progress(cursor.reader.at() - before);
            }
        }
        Ok(Some(Parts { id, entries }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aside(keys: &[&str]) -> Result<Vec<Parts>, ToolError> {
        let directory = tempfile::tempdir().unwrap();
        let mut jobs = Jobs::aside(directory.path())?;
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "it has no name");
        for key in keys {
            assert!(jobs.takes(key, key.as_bytes())?);
        }
        assert_eq!(jobs.records(), keys.iter().filter(|key| key.starts_with("jobs/")).count() as u64);
        let (mut reader, mut all) = (jobs.read()?, Vec::new());
        while let Some(parts) = reader.next(&|_| {})? {
            all.push(parts);
        }
        Ok(all)
    }

    #[test]
    fn what_belongs_to_a_job_comes_together_with_its_record_first() {
        let keys = [
            "job-callbacks/2",
            "job-configs/1",
            "job-configs/2",
            "job-results/4",
            "jobs/1",
            "jobs/2",
            "jobs/3",
            "jobs-ended/ERROR/1",
            "jobs-ended/FINISHED/2",
        ];
        let told = |parts: Parts| {
            assert!(parts.entries.iter().all(|(key, value)| key.as_bytes() == value));
            (parts.id, parts.entries.into_iter().map(|(key, _)| key).collect::<Vec<_>>().join(" "))
        };
        let all: Vec<_> = aside(&keys).unwrap().into_iter().map(told).collect();
        let expected = [
            ("1", "jobs/1 job-configs/1 jobs-ended/ERROR/1"),
            ("2", "jobs/2 job-callbacks/2 job-configs/2 jobs-ended/FINISHED/2"),
            ("3", "jobs/3"),
            ("4", "job-results/4"),
        ];
        assert_eq!(all, expected.map(|(id, keys)| (id.to_owned(), keys.to_owned())));
        assert_eq!(aside(&[]).unwrap(), []);
    }

    #[test]
    fn what_is_no_part_of_a_job_is_not_put_aside() {
        let directory = tempfile::tempdir().unwrap();
        let mut jobs = Jobs::aside(directory.path()).unwrap();
        for key in
            ["jobs-active/1", "contexts/1", "history/1", "jobs", "jobs/1/2", "job-queue/c/1/2", "jobs-ended/NEW/1"]
        {
            assert!(!jobs.takes(key, b"").unwrap(), "{key}");
        }
    }

    #[test]
    fn entries_out_of_order_are_told() {
        for keys in [["jobs/2", "jobs/1"], ["jobs/1", "jobs/1"]] {
            assert!(matches!(aside(&keys), Err(ToolError::Format(FormatError::Damaged { .. }))));
        }
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_is_told() {
        let frame = |value: &[u8]| {
            let mut bytes = Vec::new();
            FrameWriter::without_header(&mut bytes).entry("jobs/1", value).unwrap();
            bytes
        };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        for (now, is_same) in [(b"a", true), (b"b", false)] {
            std::fs::write(&path, frame(now)).unwrap();
            let mut jobs = Jobs::of_file(&path).unwrap();
            jobs.note("jobs/1", b"a", 0, frame(b"a").len() as u64).unwrap();
            let read = jobs.read().and_then(|mut reader| Ok(reader.next(&|_| {})?));
            assert_eq!(read.is_ok(), is_same, "{read:?}");
        }
    }
}
