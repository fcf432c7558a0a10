//! Logs that grew too long: the beginning and the newest part are kept.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

/// A cut keeps no more than this of the newest output.
const MAX_TAIL_BYTES: u64 = 1 << 20;

/// Keeps the first half of `limit` bytes, says so, and keeps what was written last; the size that is left. `file` is open for
/// reading and appending. Who writes at this moment may lose a little: it appends, so it goes on after what is kept.
///
/// # Errors
/// When the file cannot be read or written.
pub fn cut(mut file: &File, size: u64, limit: u64) -> io::Result<u64> {
    let tail_bytes = (limit / 4).min(MAX_TAIL_BYTES);
    let mut tail = vec![0; usize::try_from(tail_bytes).unwrap_or(0)];
    file.read_exact_at(&mut tail, size - tail_bytes)?;
    let line = tail.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let mut newest = format!("\n[doyen: log over {limit} bytes, cut here]\n").into_bytes();
    newest.extend_from_slice(&tail[line..]);
    file.set_len(limit / 2)?;
    file.write_all(&newest)?;
    Ok(file.metadata()?.len())
}
