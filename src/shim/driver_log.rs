//! The driver's output: into `driver.log`, bounded by one rotation; the last lines are kept for `exited`.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;

use crate::api::driver::spec::{DRIVER_LOG, ROTATED_DRIVER_LOG};

const LINES: usize = 50;
const LINE_BYTES: usize = 1000;
const READ_BYTES: usize = 8 << 10;

/// The newest lines of the driver's output.
#[derive(Debug, Default)]
pub struct Tail {
    lines: VecDeque<String>,
    partial: Vec<u8>,
}

impl Tail {
    fn push(&mut self, output: &[u8]) {
        for piece in output.split_inclusive(|byte| *byte == b'\n') {
            let line = piece.strip_suffix(b"\n").unwrap_or(piece);
            let room = LINE_BYTES - self.partial.len();
            self.partial.extend_from_slice(&line[..line.len().min(room)]);
            if piece.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&self.partial).trim_end().to_owned();
        self.partial.clear();
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    pub fn lines(&mut self) -> Vec<String> {
        if !self.partial.is_empty() {
            self.end_line();
        }
        self.lines.iter().cloned().collect()
    }
}

/// Copies the pipe into the log until its writers are gone.
pub struct DriverLog {
    tail: Arc<Mutex<Tail>>,
    pump: JoinHandle<()>,
}

impl DriverLog {
    pub fn start(directory: &Path, limit_bytes: u64, output: OwnedFd) -> io::Result<Self> {
        let tail = Arc::new(Mutex::new(Tail::default()));
        let log = Rotating::open(directory, limit_bytes)?;
        let pump = tokio::spawn(pump(pipe::Receiver::from_owned_fd(output)?, log, Arc::clone(&tail)));
        Ok(Self { tail, pump })
    }

    /// Waits for the end of the output; a second at most, should somebody still hold the pipe.
    pub async fn last_lines(self) -> Vec<String> {
        let _ = tokio::time::timeout(std::time::Duration::from_secs(1), self.pump).await;
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).lines()
    }
}

async fn pump(mut output: pipe::Receiver, mut log: Rotating, tail: Arc<Mutex<Tail>>) {
    let mut buffer = vec![0; READ_BYTES];
    while let Ok(count @ 1..) = output.read(&mut buffer).await {
        log.write(&buffer[..count]);
        tail.lock().unwrap_or_else(PoisonError::into_inner).push(&buffer[..count]);
    }
}

struct Rotating {
    directory: PathBuf,
    file: File,
    written: u64,
    /// Of one of the two parts.
    limit_bytes: u64,
}

impl Rotating {
    fn open(directory: &Path, limit_bytes: u64) -> io::Result<Self> {
        let file = append(directory)?;
        let written = file.metadata()?.len();
        Ok(Self { directory: directory.to_owned(), file, written, limit_bytes: limit_bytes / 2 })
    }

    /// A full disk must not stop the driver: then its output is lost.
    fn write(&mut self, output: &[u8]) {
        if self.written > 0 && self.written + output.len() as u64 > self.limit_bytes {
            let _ = fs::rename(self.directory.join(DRIVER_LOG), self.directory.join(ROTATED_DRIVER_LOG));
            if let Ok(file) = append(&self.directory) {
                self.file = file;
                self.written = 0;
            }
        }
        let _ = self.file.write_all(output);
        self.written += output.len() as u64;
    }
}

fn append(directory: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(directory.join(DRIVER_LOG))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_keeps_fifty_lines_and_the_beginning_of_a_long_one() {
        let mut tail = Tail::default();
        for number in 0..60 {
            tail.push(format!("line {number}\n").as_bytes());
        }
        tail.push("é".repeat(2000).as_bytes());
        tail.push(b" end");
        let lines = tail.lines();
        assert_eq!((lines.len(), lines[0].as_str()), (50, "line 11"));
        assert_eq!(lines[49], "é".repeat(500));
    }

    #[tokio::test]
    async fn the_log_is_bounded_with_one_rotation() {
        let directory = tempfile::tempdir().unwrap();
        let (reader, mut writer) = io::pipe().unwrap();
        let log = DriverLog::start(directory.path(), 20_000, reader.into()).unwrap();
        let writing = tokio::task::spawn_blocking(move || {
            for number in 0..10_000 {
                writeln!(writer, "line {number}").unwrap();
            }
        });
        writing.await.unwrap();
        assert_eq!(log.last_lines().await.last().unwrap(), "line 9999");
        let size = |name| fs::metadata(directory.path().join(name)).unwrap().len();
        assert!(size(DRIVER_LOG) + size(ROTATED_DRIVER_LOG) <= 20_000);
        assert!(fs::read_to_string(directory.path().join(DRIVER_LOG)).unwrap().ends_with("line 9999\n"));
    }
}
