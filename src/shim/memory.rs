//! Gives back the program's pages that only the start needed: a shim stands beside each driver for a long time.

use std::fs;

use rustix::mm::{Advice, madvise};

/// Unmaps all that can be read from its file again: the parts of the program and of libraries that hold nothing of our own. What is
/// needed comes back, page by page, from the page cache. Where the kernel tells nothing, nothing happens.
#[allow(unsafe_code, reason = "only the kernel can drop pages")]
pub fn forget_the_start() {
    let Ok(maps) = fs::read_to_string("/proc/self/smaps") else { return };
    for (start, end) in of_files_alone(&maps) {
        // SAFETY: the mapping is of a file, cannot be written to, and has no page that differs from the file.
        let _ = unsafe { madvise(start as *mut _, end - start, Advice::LinuxDontNeed) };
    }
}

/// Address ranges that are mapped from files, read-only, and hold no page of the process's own, as relocated data does.
fn of_files_alone(smaps: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut current = None;
    for line in smaps.lines() {
        if let Some(range) = header(line) {
            current = range;
        } else if line.split_whitespace().eq(["Anonymous:", "0", "kB"]) {
            found.extend(current.take());
        }
    }
    found
}

/// `None` for a line that begins no mapping, `Some(None)` for a mapping that is to stay.
fn header(line: &str) -> Option<Option<(usize, usize)>> {
    let mut words = line.split_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let range = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    let permissions = words.next()?;
    let path = words.nth(3).unwrap_or_default();
    Some((path.starts_with('/') && !permissions.contains('w')).then_some(range))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relocated_and_writable_and_nameless_mappings_stay() {
        let smaps = "\
55d0-55e0 r--p 00000000 fe:01 42   /usr/bin/doyen\nRss: 60 kB\nAnonymous:             0 kB\n\
55e0-55f0 r-xp 00010000 fe:01 42   /usr/bin/doyen\nAnonymous:             0 kB\nVmFlags: rd ex\n\
55f0-5600 r--p 00020000 fe:01 42   /usr/bin/doyen\nAnonymous:            12 kB\n\
5600-5610 rw-p 00030000 fe:01 42   /usr/bin/doyen\nAnonymous:             0 kB\n\
7000-7010 r-xp 00000000 00:00 0    [vdso]\nAnonymous:             0 kB\n\
7010-7020 r--p 00000000 00:00 0\nAnonymous:             0 kB\n";
        assert_eq!(of_files_alone(smaps), [(0x55d0, 0x55e0), (0x55e0, 0x55f0)]);
    }

    #[test]
    fn the_program_goes_on_afterwards() {
        forget_the_start();
        assert_eq!("a b".split(' ').count(), 2);
    }
}
