//! The logs and results of jobs: bounded while a job runs, read on request, removed once a server has them.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::api::driver::attach::{LogPart, ReadLog};
use crate::api::driver::spec::LAST_WORD_FILE;
use crate::runtime::log_file;

/// An answer to `read_log` is no longer than this, whatever it asks for.
const MAX_PART_BYTES: u64 = 1 << 20;

pub struct JobFiles {
    logs: PathBuf,
    results: PathBuf,
    log_limit_bytes: u64,
}

impl JobFiles {
    pub fn new(directory: &Path, log_limit_bytes: u64) -> io::Result<Self> {
        let files = Self { logs: directory.join("logs"), results: directory.join("results"), log_limit_bytes };
        fs::create_dir_all(&files.logs)?;
        fs::create_dir_all(&files.results)?;
        Ok(files)
    }

    pub fn log(&self, job: &str) -> PathBuf {
        self.logs.join(format!("{job}.log"))
    }

    pub fn result(&self, job: &str) -> PathBuf {
        self.results.join(format!("{job}.json"))
    }

    /// Cuts the job's log if it has grown over its limit. Its size now, if there is one.
    pub fn bound_log(&self, job: &str) -> Option<u64> {
        let path = self.log(job);
        let size = fs::metadata(&path).ok()?.len();
        if size <= self.log_limit_bytes {
            return Some(size);
        }
        let cut =
            || log_file::cut(&OpenOptions::new().read(true).append(true).open(&path)?, size, self.log_limit_bytes);
        Some(cut().unwrap_or(size))
    }

    pub fn forget(&self, job: &str) {
        let _ = fs::remove_file(self.log(job));
        let _ = fs::remove_file(self.result(job));
    }

    pub fn read(&self, request: &ReadLog, held: bool) -> LogPart {
        let nothing = LogPart {
            request: request.request,
            offset: request.offset,
            next_offset: request.offset,
            size_bytes: 0,
            text: String::new(),
            latin1: false,
            found: held,
        };
        if !held {
            return nothing;
        }
        // A job that wrote nothing has no file.
        let Ok((part, size_bytes)) = read(&self.log(&request.job), request.offset, request.max_bytes) else {
            return nothing;
        };
        let whole = whole_characters(&part);
        let (text, latin1) = match std::str::from_utf8(whole) {
            Ok(text) => (text.to_owned(), false),
            Err(_) => (whole.iter().copied().map(char::from).collect(), true),
        };
        LogPart { next_offset: request.offset + whole.len() as u64, size_bytes, text, latin1, ..nothing }
    }
}

/// Removes all from a shim's directory but what a server that comes back asks for: the last word, and the logs of jobs.
pub fn only_for_a_server(directory: &Path) -> io::Result<()> {
    let stays = |entry: &fs::DirEntry| entry.file_name() == "logs" || entry.file_name() == LAST_WORD_FILE;
    for entry in fs::read_dir(directory)?.flatten().filter(|entry| !stays(entry)) {
        let is_directory = entry.file_type()?.is_dir();
        if is_directory { fs::remove_dir_all(entry.path())? } else { fs::remove_file(entry.path())? }
    }
    Ok(())
}

fn read(path: &Path, offset: u64, max_bytes: u64) -> io::Result<(Vec<u8>, u64)> {
    let file = fs::File::open(path)?;
    let size = file.metadata()?.len();
    let length = size.saturating_sub(offset).min(max_bytes).min(MAX_PART_BYTES);
    let mut part = vec![0; usize::try_from(length).unwrap_or(0)];
    let mut filled = 0;
    while filled < part.len() {
        match file.read_at(&mut part[filled..], offset + filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    part.truncate(filled);
    Ok((part, size))
}

/// Without the beginning of a character at the end, unless that is all there is.
fn whole_characters(part: &[u8]) -> &[u8] {
    let starts = |byte: u8| byte & 0xC0 != 0x80;
    let Some(back) = (1..=part.len().min(3)).find(|back| starts(part[part.len() - back])) else { return part };
    let (before, last) = part.split_at(part.len() - back);
    let incomplete = std::str::from_utf8(last).is_err_and(|error| error.error_len().is_none());
    if incomplete && !before.is_empty() { before } else { part }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(limit: u64) -> (tempfile::TempDir, JobFiles) {
        let directory = tempfile::tempdir().unwrap();
        let files = JobFiles::new(directory.path(), limit).unwrap();
        (directory, files)
    }

    fn part(files: &JobFiles, offset: u64, max_bytes: u64) -> LogPart {
        files.read(&ReadLog { request: 1, job: "a".into(), offset, max_bytes }, true)
    }

    #[test]
    fn a_log_over_its_limit_keeps_its_beginning_and_its_newest_part() {
        let (_directory, files) = files(1000);
        let lines: String = (0..200).map(|number| format!("line {number}\n")).collect();
        fs::write(files.log("a"), &lines).unwrap();
        let size = files.bound_log("a").unwrap();
        let text = fs::read_to_string(files.log("a")).unwrap();
        assert_eq!(size, text.len() as u64);
        assert!(size <= 1000 && text.starts_with("line 0\n") && text.ends_with("\nline 199\n"), "{text}");
        assert!(text.contains("[doyen: log over 1000 bytes, cut here]\nline 1"));
        assert_eq!(files.bound_log("a"), Some(size));
    }

    #[test]
    fn a_part_ends_at_a_characters_end_and_the_next_begins_there() {
        let (_directory, files) = files(1000);
        fs::write(files.log("a"), "aé€😀z").unwrap();
        let (mut text, mut offset) = (String::new(), 0);
        while offset < 11 {
            let part = part(&files, offset, 4);
            assert!(!part.text.contains('\u{FFFD}') && part.size_bytes == 11, "{part:?}");
            text += &part.text;
            offset = part.next_offset;
        }
        assert_eq!(text, "aé€😀z");
    }

    #[test]
    fn bytes_that_are_no_text_are_told_one_by_one_and_do_not_stop_the_reader() {
        let (_directory, files) = files(1000);
        fs::write(files.log("a"), b"a\xff\xfe\xe2\x82").unwrap();
        let first = part(&files, 0, 100);
        assert_eq!((first.text.as_str(), first.latin1, first.next_offset), ("a\u{FF}\u{FE}", true, 3));
        assert_eq!(first.into_bytes(), b"a\xff\xfe");
        let second = part(&files, 3, 100);
        assert_eq!((second.next_offset, second.into_bytes()), (5, b"\xe2\x82".to_vec()));
    }

    #[test]
    fn no_log_is_an_empty_one_and_an_unknown_job_is_not_found() {
        let (_directory, files) = files(1000);
        assert_eq!(files.bound_log("a"), None);
        assert!(part(&files, 0, 10).found && part(&files, 7, 10).text.is_empty());
        assert!(!files.read(&ReadLog { request: 1, job: "b".into(), offset: 0, max_bytes: 9 }, false).found);
    }
}
