//! ProcessLauncher: a shim as a process of this machine.

mod last_lines;

use std::collections::{HashMap, HashSet};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use rustix::fs::OFlags;
use rustix::process::Signal;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::api::driver::spec::{self, Announced, Spec};
use crate::core::jobs::failure;
use crate::ports::{Attempt, LaunchError, Launched, Launcher, LogReader};
use crate::runtime::crash::{self, Side};
use crate::runtime::log_file;
use crate::runtime::processes::{self, Process};

const KILL_AGAIN: Duration = Duration::from_millis(20);
/// Signals are repeated so often; what is left after that cannot be killed.
const KILL_ROUNDS: u32 = 250;
/// A process that has gone is a child that can be waited for, all but at once.
const END_WITHIN: Duration = Duration::from_secs(1);
/// Of more shims than this, it is forgotten of those that have ended how they did.
const ENDS_BEFORE_SOME_GO: usize = 1000;
const LAST_WORD_BYTES: u64 = 300;
/// What is read of a log at once.
const LOG_PART_BYTES: u64 = 256 << 10;

pub struct ProcessLauncher {
    executable: PathBuf,
    base: PathBuf,
    /// Environment variables that jobs must not see.
    hidden: Vec<String>,
    /// How those ended, or will, that this server has started itself.
    ends: Mutex<HashMap<Process, JoinHandle<io::Result<ExitStatus>>>>,
}

impl ProcessLauncher {
    /// Starts `executable` with `shim --directory <base>/<context>-<attempt>`; `base` is absolute.
    pub fn new(executable: PathBuf, base: PathBuf) -> Self {
        Self { executable, base, hidden: Vec::new(), ends: Mutex::default() }
    }

    /// Drivers do not inherit these environment variables of the server.
    pub fn hiding(mut self, variables: &[String]) -> Self {
        self.hidden.extend_from_slice(variables);
        self
    }

    fn directory(&self, context: &str, attempt: u32) -> PathBuf {
        self.base.join(format!("{context}-{attempt}"))
    }

    /// The running shims by their directories.
    fn shims(&self) -> HashMap<String, Process> {
        processes::by_argument(&format!("{}/", self.base.display()))
    }

    fn start(&self, spec: &Spec, directory: &Path) -> io::Result<Child> {
        let text = serde_json::to_vec(spec)?;
        crash::point("driver-spec", Side::Before);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(directory.join(spec::FILE))?;
        file.write_all(&text)?;
        crash::point("driver-spec", Side::After);
        let log = OpenOptions::new().create(true).append(true).mode(0o600).open(directory.join("shim.log"))?;
        let mut command = Command::new(&self.executable);
        // The server's own configuration, which may hold secrets, is no concern of a job's.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"DOYEN__")) {
            command.env_remove(name);
        }
        for variable in &self.hidden {
            command.env_remove(variable);
        }
        crash::point("driver-start", Side::Before);
        let child = command
            .args(["shim", "--directory"])
            .arg(directory)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        crash::point("driver-start", Side::After);
        Ok(child)
    }
}

#[async_trait]
impl Launcher for ProcessLauncher {
    async fn launch(&self, spec: &Spec) -> Result<Launched, LaunchError> {
        let directory = self.directory(&spec.context, spec.attempt);
        let failed = |error: io::Error| LaunchError {
            message: format!("{}: {error}", directory.display()),
            class: match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => failure::STORAGE_FULL,
                io::ErrorKind::ReadOnlyFilesystem => failure::DATA_DIR_UNAVAILABLE,
                _ => failure::LAUNCH_FAILED,
            },
        };
        crash::point("driver-directory", Side::Before);
        fs::create_dir_all(&self.base).map_err(failed)?;
        DirBuilder::new().mode(0o700).create(&directory).map_err(failed)?;
        crash::point("driver-directory", Side::After);
        let launched = self.start(spec, &directory).and_then(|mut child| {
            // It is our child and not reaped yet, so the id is its own even if it has ended already.
            let process = child.id().and_then(processes::find).ok_or(io::ErrorKind::NotFound)?;
            // Without this it would stay a zombie until the server ends.
            let end = tokio::spawn(async move { child.wait().await });
            let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
            if ends.len() >= ENDS_BEFORE_SOME_GO {
                ends.retain(|_, end| !end.is_finished());
            }
            ends.insert(process, end);
            Ok(process)
        });
        match launched {
            Ok(Process { pid, start_ticks }) => {
                Ok(Launched { pid, start_ticks, directory: directory.display().to_string() })
            }
            Err(error) => {
                let _ = fs::remove_dir_all(&directory);
                Err(failed(error))
            }
        }
    }

    fn find(&self, context: &str, attempt: u32) -> Option<Launched> {
        let directory = self.directory(context, attempt).display().to_string();
        let Process { pid, start_ticks } = self.shims().remove(&directory)?;
        Some(Launched { pid, start_ticks, directory })
    }

    fn alive(&self, launched: &Launched) -> bool {
        processes::alive(process(launched))
    }

    async fn announce(&self, launched: &Launched, announced: &Announced) {
        let directory = Path::new(&launched.directory);
        if self.alive(launched)
            && let Err(error) = announce(directory, announced)
        {
            tracing::warn!(directory = %directory.display(), %error, "a driver cannot be told where the server is");
        }
    }

    async fn kill(&self, launched: &Launched) -> bool {
        let shim = process(launched);
        // A stopped shim does not act, and as their subreaper it keeps together what runs below it.
        if processes::signal(shim, Signal::STOP) {
            until_none(|| if processes::alive(shim) { processes::descendants(shim.pid) } else { Vec::new() }).await;
        }
        let shim_gone = until_none(|| if processes::alive(shim) { vec![shim] } else { Vec::new() }).await;
        // The driver of a shim that had ended before lost its parent; it is known by its environment.
        let driver = format!("DOYEN_DRIVER_DIR={}/work", launched.directory);
        let driver_gone = until_none(|| processes::with_environment(&driver)).await;
        shim_gone && driver_gone
    }

    async fn how_it_ended(&self, launched: &Launched) -> Option<String> {
        let directory = PathBuf::from(&launched.directory);
        if let Ok(Some(word)) = tokio::task::spawn_blocking(move || last_word(&directory)).await {
            return Some(word);
        }
        let end = self.ends.lock().unwrap_or_else(PoisonError::into_inner).remove(&process(launched))?;
        let status = tokio::time::timeout(END_WITHIN, end).await.ok()?.ok()?.ok()?;
        Some(match status.signal() {
            Some(signal) => format!("its shim was killed by signal {signal}"),
            None => format!("its shim ended with status {}", status.code()?),
        })
    }

    async fn last_lines(&self, launched: &Launched) -> Vec<String> {
        let directory = PathBuf::from(&launched.directory);
        tokio::task::spawn_blocking(move || last_lines::last_lines(&directory)).await.unwrap_or_default()
    }

    async fn leftover_log(&self, (context, attempt): &Attempt, job: &str, limit_bytes: u64) -> Option<LogReader> {
        let path = self.directory(context, *attempt).join("logs").join(format!("{job}.log"));
        match tokio::task::spawn_blocking(move || leftover(&path, limit_bytes)).await {
            Ok(Ok(log)) => log,
            Ok(Err(error)) => {
                tracing::warn!(job, %error, "the log of a lost attempt cannot be read");
                None
            }
            Err(_) => None,
        }
    }

    async fn remove(&self, (context, attempt): &Attempt) {
        let _ = fs::remove_dir_all(self.directory(context, *attempt));
    }

    async fn sweep(&self, keep: &HashSet<String>, leftovers: &HashSet<Attempt>) {
        let of = |(context, attempt): &Attempt| self.directory(context, *attempt).display().to_string();
        let leftovers: HashSet<String> = leftovers.iter().map(of).collect();
        let remove = |directory: &String| {
            if !leftovers.contains(directory) {
                let _ = fs::remove_dir_all(directory);
            }
        };
        let mut shims = self.shims();
        let entries = fs::read_dir(&self.base).into_iter().flatten().flatten();
        for directory in entries.map(|entry| entry.path().display().to_string()).filter(|path| !keep.contains(path)) {
            tracing::info!(%directory, "removing what is left of an ended driver");
            // Its directory goes first: a shim that is overlooked ends itself and its driver.
            remove(&directory);
            if let Some(Process { pid, start_ticks }) = shims.remove(&directory) {
                self.kill(&Launched { pid, start_ticks, directory: directory.clone() }).await;
            }
            let driver = format!("DOYEN_DRIVER_DIR={directory}/work");
            until_none(|| processes::with_environment(&driver)).await;
            remove(&directory);
        }
    }
}

/// What a shim has left for a server. What a job may have made of it is not followed, and told on one line.
fn last_word(directory: &Path) -> Option<String> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(directory.join(spec::LAST_WORD_FILE)).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut word = String::new();
    file.take(LAST_WORD_BYTES).read_to_string(&mut word).ok()?;
    let line = word.lines().next().unwrap_or_default().trim();
    (!line.is_empty()).then(|| line.to_owned())
}

/// Opens a log and cuts it. What a job made of it may be no file at all, and is not followed anywhere.
fn leftover(path: &Path, limit_bytes: u64) -> io::Result<Option<LogReader>> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = match OpenOptions::new().read(true).append(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() == 0 {
        return Ok(None);
    }
    let size = match metadata.len() {
        size if size > limit_bytes => log_file::cut(&file, size, limit_bytes)?,
        size => size,
    };
    let file = Arc::new(file);
    let parts = (0..size.div_ceil(LOG_PART_BYTES)).map(move |part| part * LOG_PART_BYTES);
    let read = move |offset: u64| {
        let file = Arc::clone(&file);
        let length = (size - offset).min(LOG_PART_BYTES);
        async move {
            let read = move || {
                let mut part = vec![0; usize::try_from(length).unwrap_or(0)];
                file.read_exact_at(&mut part, offset)?;
                Ok(Bytes::from(part))
            };
            tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| Err(io::Error::other(error)))
        }
    };
    Ok(Some(stream::iter(parts).then(read).boxed()))
}

/// Whole or not at all, for the shim may read at any time.
fn announce(directory: &Path, announced: &Announced) -> io::Result<()> {
    let text = serde_json::to_vec(announced)?;
    let partial = directory.join("servers.json.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
    file.write_all(&text)?;
    fs::rename(partial, directory.join(spec::ANNOUNCED_FILE))
}

fn process(launched: &Launched) -> Process {
    Process { pid: launched.pid, start_ticks: launched.start_ticks }
}

/// Whether they are gone.
async fn until_none(list: impl Fn() -> Vec<Process>) -> bool {
    for _ in 0..KILL_ROUNDS {
        let left = list();
        if left.is_empty() {
            return true;
        }
        for process in left {
            processes::signal(process, Signal::KILL);
        }
        tokio::time::sleep(KILL_AGAIN).await;
    }
    false
}
