//! A real server process in a place of its own, which may have to end at a crash point.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use doyen::runtime::{clock, processes};
use rustix::process::Signal;

use crate::shared::Home;

/// Whatever does not come within this time does not come.
pub const PATIENCE: Duration = Duration::from_secs(90);
const AGAIN: Duration = Duration::from_millis(10);
const MARK: &str = "DOYEN_CRASH_TEST";

/// A directory, and a mark on every process that is started for it.
pub struct Place {
    directory: tempfile::TempDir,
    settings: &'static [&'static str],
    /// Where the servers keep what is not in the directory.
    pub home: Option<Home>,
}

impl Place {
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// For servers with these settings.
    pub fn with(settings: &'static [&'static str]) -> Self {
        let place = Self { directory: tempfile::tempdir().unwrap(), settings, home: None };
        std::fs::create_dir(place.path("runs")).unwrap();
        place
    }

    pub fn root(&self) -> &Path {
        self.directory.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// `doyen server` on the data directory `data`, behind these words of a command.
    pub fn command(&self, before: &[&str], listen: &str) -> Command {
        let mut words = before.iter().copied().chain([env!("CARGO_BIN_EXE_doyen"), "server", "--http", listen]);
        let mut command = Command::new(words.next().expect("there is one at least"));
        command.args(words).arg("--data-dir").arg(self.path("data"));
        let all = ["contexts.default-factory=\"python\"", "callbacks.backoff=\"100ms\""];
        for setting in all.iter().chain(self.settings) {
            command.args(["--set", setting]);
        }
        for setting in self.home.iter().flat_map(Home::settings) {
            command.args(["--set", &setting]);
        }
        command.env(MARK, self.root()).current_dir(self.root()).stdin(Stdio::null()).stdout(Stdio::piped());
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path("server.log")).unwrap();
        command.stderr(log);
        command
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("server.log")).unwrap_or_default()
    }

    /// Every process that was started here and still runs, servers among them.
    pub fn processes(&self) -> Vec<processes::Process> {
        processes::with_environment(&format!("{MARK}={}", self.root().display()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for process in self.processes() {
            processes::signal(process, Signal::KILL);
        }
    }
}

pub struct Server {
    pub child: Child,
    /// A server whose stdout is closed would still serve; this keeps it open.
    _stdout: BufReader<ChildStdout>,
}

impl Server {
    /// An error is how it ended before it was ready.
    pub fn start(mut command: Command) -> Result<Self, ExitStatus> {
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        if line.starts_with("ready ") { Ok(Self { child, _stdout: stdout }) } else { Err(child.wait().unwrap()) }
    }

    /// Its end, which is under way.
    pub fn end(mut self) -> ExitStatus {
        let began = clock::instant();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            if clock::since(began) > PATIENCE {
                self.child.kill().unwrap();
                self.child.wait().unwrap();
                panic!("the server did not end");
            }
            std::thread::sleep(AGAIN);
        }
    }

    pub fn signal(&self, signal: Signal) {
        if let Some(process) = processes::find(self.child.id()) {
            processes::signal(process, signal);
        }
    }
}

pub fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(Signal::KILL.as_raw())
}

/// Waits until it holds, for what no answer tells.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(AGAIN).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what} did not come"));
}
