//! A process that ends with the test that started it, however that ends.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// The shell waits for the end of its input, which comes when the test's process lets go of it or is no more.
const GUARD: &str =
    r#"exec 3<&0; "$@" </dev/null >>out 2>&1 & echo $!; exec >/dev/null 2>&1; read -r _ <&3; kill -9 $!; wait"#;

pub struct Guarded {
    guard: Child,
    pid: Pid,
}

impl Guarded {
    /// What the program says goes to the file `out` of the directory.
    pub fn start(program: &str, arguments: &[String], directory: &Path) -> Self {
        let mut guard = Command::new("bash")
            .args(["-c", GUARD, "guard", program])
            .args(arguments)
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(guard.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let pid = Pid::from_raw(line.trim().parse().unwrap()).unwrap();
        Self { guard, pid }
    }

    pub fn freeze(&self) {
        kill_process(self.pid, Signal::STOP).unwrap();
    }

    pub fn thaw(&self) {
        kill_process(self.pid, Signal::CONT).unwrap();
    }

    /// It stands still until what is returned is dropped, also by a test that fails.
    pub fn stop(&self) -> Frozen<'_> {
        self.freeze();
        let frozen = Frozen(self);
        // Each thread stops by itself, and until then one may answer yet.
        for _ in 0..10_000 {
            if self.is_stopped() {
                return frozen;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("process {} does not stop", self.pid.as_raw_nonzero());
    }

    /// Whether all its threads are.
    fn is_stopped(&self) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid.as_raw_nonzero())).unwrap();
        let state = |task: std::fs::DirEntry| {
            let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            stat.rsplit(") ").next().and_then(|rest| rest.chars().next())
        };
        tasks.flatten().all(|task| matches!(state(task), Some('T') | None))
    }
}

pub struct Frozen<'a>(&'a Guarded);

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        // It may have been killed meanwhile, but its guard waits for it, so the id is nobody else's.
        let _ = kill_process(self.0.pid, Signal::CONT);
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// Has the directory removed when this process is no more.
pub fn remove_at_exit(directory: &Path) {
    // What is killed in the same moment may write for a little longer.
    let script = r#"read -r _; for n in 1 2 3 4 5; do rm -rf "$1" && break; sleep 1; done"#;
    let mut remover = Command::new("bash");
    remover
        .args(["-c", script, "remover"])
        .arg(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    std::mem::forget(remover.spawn().unwrap());
}

/// A port that nobody has, that no outgoing connection is given, and that is this process's until its end: the tests of other crates run
/// at the same time, and ask for the UDP port of the same number too.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() % 1000) as u16 * 12;
    loop {
        let port = 20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        let reserved = UdpSocket::bind(("127.0.0.1", port));
        if reserved.is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            std::mem::forget(reserved);
            return port;
        }
    }
}

/// Where `scripts/servers/fetch` has put the jars of a server.
pub fn jars(server: &str) -> PathBuf {
    let servers = std::env::var_os("DOYEN_SERVERS").expect("DOYEN_SERVERS is set by: source scripts/env");
    let jars = PathBuf::from(servers).join(server);
    assert!(jars.join(".complete").exists(), "{} is missing: run scripts/setup", jars.display());
    jars
}
