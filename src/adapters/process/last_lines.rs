//! The end of a driver's output, as its shim has kept it: for a driver that is killed, and so cannot be asked.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use crate::api::driver::spec;

/// As many, and as much of each, as a shim tells of a driver that has ended.
const LINES: usize = 50;
const LINE_BYTES: usize = 1000;
/// What is read of a log.
const READ_BYTES: u64 = 64 << 10;

/// Nothing when there is no log.
pub fn last_lines(directory: &Path) -> Vec<String> {
    let mut output = tail(&directory.join(spec::DRIVER_LOG)).unwrap_or_default();
    if (output.len() as u64) < READ_BYTES {
        // It may have been turned just now.
        let mut older = tail(&directory.join(spec::ROTATED_DRIVER_LOG)).unwrap_or_default();
        older.append(&mut output);
        output = older;
    }
    let text = |line: &[u8]| String::from_utf8_lossy(&line[..line.len().min(LINE_BYTES)]).trim_end().to_owned();
    let mut lines: Vec<String> = output.split(|byte| *byte == b'\n').map(text).collect();
    if lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines.split_off(lines.len().saturating_sub(LINES))
}

/// What a job may have made of it is not followed.
fn tail(path: &Path) -> io::Result<Vec<u8>> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(Vec::new());
    }
    let length = metadata.len().min(READ_BYTES);
    let mut part = vec![0; usize::try_from(length).unwrap_or_default()];
    file.read_exact_at(&mut part, metadata.len() - length)?;
    if metadata.len() > length
        && let Some(end) = part.iter().position(|byte| *byte == b'\n')
    {
        // The rest of a line whose beginning was not read.
        part.drain(..=end);
    }
    Ok(part)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn fifty_lines_and_the_beginning_of_a_long_one() {
        let directory = tempfile::tempdir().unwrap();
        assert!(last_lines(directory.path()).is_empty());
        let mut text: String = (0..20_000).map(|number| format!("line {number}\n")).collect();
        text += &format!("\n{}\n", "é".repeat(2000));
        fs::write(directory.path().join(spec::DRIVER_LOG), text).unwrap();
        let lines = last_lines(directory.path());
        assert_eq!((lines.len(), lines[0].as_str(), lines[47].as_str()), (50, "line 19952", "line 19999"));
        assert_eq!((lines[48].as_str(), lines[49].clone()), ("", "é".repeat(500)));
    }

    #[test]
    fn lines_before_a_rotation_are_among_them() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(spec::ROTATED_DRIVER_LOG), "first\nsec").unwrap();
        fs::write(directory.path().join(spec::DRIVER_LOG), "ond\nthird").unwrap();
        assert_eq!(last_lines(directory.path()), ["first", "second", "third"]);
    }

    #[test]
    fn a_link_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", directory.path().join(spec::DRIVER_LOG)).unwrap();
        assert!(last_lines(directory.path()).is_empty());
    }
}
