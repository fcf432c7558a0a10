//! Processes as `/proc` shows them: who descends from whom, and signals that never hit a reused process id.

use std::collections::HashMap;
use std::fs;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

/// A process is known by id and start time: ids are reused, pairs are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Process {
    pub pid: u32,
    /// Field 22 of `/proc/<pid>/stat`, in clock ticks since boot.
    pub start_ticks: u64,
}

struct Stat {
    parent: u32,
    start_ticks: u64,
    ended: bool,
}

/// The process that has this id now; one that ended but was not reaped counts too.
pub fn find(pid: u32) -> Option<Process> {
    stat(pid).map(|stat| Process { pid, start_ticks: stat.start_ticks })
}

/// Whether it still runs. A zombie does not.
pub fn alive(process: Process) -> bool {
    stat(process.pid).is_some_and(|stat| stat.start_ticks == process.start_ticks && !stat.ended)
}

/// All that run below `root`, children before grandchildren. Zombies are left out, what runs below them is not.
pub fn descendants(root: u32) -> Vec<Process> {
    let mut children: HashMap<u32, Vec<(u32, Stat)>> = HashMap::new();
    for pid in ids() {
        if let Some(stat) = stat(pid) {
            children.entry(stat.parent).or_default().push((pid, stat));
        }
    }
    let mut found = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for (pid, stat) in children.remove(&parent).unwrap_or_default() {
            parents.push(pid);
            if !stat.ended {
                found.push(Process { pid, start_ticks: stat.start_ticks });
            }
        }
    }
    found
}

/// All that were started with exactly `NAME=value` in their environment, as far as we may look.
pub fn with_environment(entry: &str) -> Vec<Process> {
    let holds = |pid: u32| {
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|one| one == entry.as_bytes()))
    };
    ids().filter_map(|pid| find(pid).filter(|_| holds(pid))).filter(|process| alive(*process)).collect()
}

/// All that were started with an argument that begins so, by that argument. What one of them has forked, and what has not yet
/// become another program, has the same: the oldest counts.
pub fn by_argument(prefix: &str) -> HashMap<String, Process> {
    let mut found: HashMap<String, Process> = HashMap::new();
    for pid in ids() {
        let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else { continue };
        let mut arguments = line.split(|byte| *byte == 0).filter_map(|one| std::str::from_utf8(one).ok());
        let Some(argument) = arguments.find(|one| one.starts_with(prefix)) else { continue };
        let Some(process) = find(pid).filter(|process| alive(*process)) else { continue };
        let age = |process: &Process| (process.start_ticks, process.pid);
        if found.get(argument).is_none_or(|older| age(&process) < age(older)) {
            found.insert(argument.to_owned(), process);
        }
    }
    found
}

/// Sends a signal; `false` when the process is gone.
pub fn signal(process: Process, signal: Signal) -> bool {
    let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) else { return false };
    // The descriptor is bound to whatever has the id now; if that is still ours, it stays ours until the signal is sent.
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(descriptor) => alive(process) && pidfd_send_signal(&descriptor, signal).is_ok(),
        Err(rustix::io::Errno::SRCH) => false,
        Err(_) => alive(process) && kill_process(pid, signal).is_ok(),
    }
}

fn ids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn stat(pid: u32) -> Option<Stat> {
    parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// The name in parentheses may hold anything, so the fields count from its last parenthesis.
fn parse(stat: &[u8]) -> Option<Stat> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let fields: Vec<&str> = std::str::from_utf8(&stat[end + 1..]).ok()?.split_ascii_whitespace().collect();
    Some(Stat {
        ended: matches!(*fields.first()?, "Z" | "X" | "x"),
        parent: fields.get(1)?.parse().ok()?,
        start_ticks: fields.get(19)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_is_no_trouble() {
        let stat = parse(b"7 (a) Z 1 (b)) S 4 7 7 0 -1 1 2 3 4 5 6 7 8 9 20 0 1 0 4711 1 2").unwrap();
        assert_eq!((stat.parent, stat.start_ticks, stat.ended), (4, 4711, false));
    }

    #[test]
    fn a_grandchild_is_found_and_killed_but_never_by_id_alone() {
        let mut child = Command::new("sh").args(["-c", "sleep 60 & wait"]).stdout(Stdio::null()).spawn().unwrap();
        let grandchild = loop {
            if let [one] = descendants(child.id())[..] {
                break one;
            }
        };
        assert!(!signal(Process { start_ticks: grandchild.start_ticks + 1, ..grandchild }, Signal::KILL));
        assert!(signal(grandchild, Signal::KILL));
        child.wait().unwrap();
        assert!(!alive(grandchild));
    }

    /// Asks until there is something: the kernel shows a process's arguments and environment a moment after it has begun.
    fn soon<T>(ask: impl Fn() -> Option<T>) -> Option<T> {
        let began = crate::runtime::clock::instant();
        loop {
            let found = ask();
            if found.is_some() || crate::runtime::clock::since(began).as_secs() > 20 {
                return found;
            }
        }
    }

    #[test]
    fn a_process_is_found_by_the_beginning_of_an_argument() {
        let argument = format!("a-test-of-processes/{}", std::process::id());
        let mut child =
            Command::new("sh").args(["-c", "read line", "sh", &argument]).stdin(Stdio::piped()).spawn().unwrap();
        let found = soon(|| by_argument("a-test-of-processes/").remove(&argument));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found.map(|process| process.pid), Some(child.id()));
        assert!(!by_argument("a-test-of-processes/").contains_key(&argument));
    }

    #[test]
    fn a_process_is_found_by_its_environment() {
        let entry = format!("DOYEN_TEST_OF_PROCESSES={}", std::process::id());
        let (name, value) = entry.split_once('=').unwrap();
        let mut child = Command::new("sleep").arg("60").env(name, value).spawn().unwrap();
        let found = soon(|| with_environment(&entry).pop());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found.map(|process| process.pid), Some(child.id()));
    }
}
