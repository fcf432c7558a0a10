//! The driver's process: its start, its channel and output, the end of it and of everything below the shim.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::process::{Signal, WaitOptions, WaitStatus, wait};

use super::channel::Channel;
use super::driver_log::DriverLog;
use super::ending::Ending;
use crate::api::driver::attach::Exited;
use crate::api::driver::line::ToDriver;
use crate::api::driver::spec::Spec;
use crate::runtime::processes;

/// Time to exit for a driver that has closed its socket.
const EXIT_WITHIN: Duration = Duration::from_secs(1);
/// Time to exit for a driver that has said `bye` or `unable`.
const EXIT_AFTER_BYE: Duration = Duration::from_secs(5);

pub struct Driver {
    pid: u32,
    /// Until the driver closes it.
    channel: Option<Channel>,
    log: Option<DriverLog>,
    /// Of driver main, once it has been reaped.
    status: Option<WaitStatus>,
    /// What it did against the protocol.
    fault: Option<String>,
    ending: Ending,
    /// Whether nothing is left below the shim.
    gone: bool,
}

impl Driver {
    /// Starts driver main in `directory`/work.
    ///
    /// # Errors
    /// In words for the context's user.
    pub fn start(spec: &Spec, directory: &Path) -> Result<Self, String> {
        let internal = |error: io::Error| format!("The driver cannot be started: {error}.");
        let (ours, theirs) = UnixStream::pair().map_err(internal)?;
        // The one descriptor that the driver inherits. Nothing else is started between here and its closing.
        fcntl_setfd(&theirs, FdFlags::empty()).map_err(|error| internal(error.into()))?;
        let (output, writer) = io::pipe().map_err(internal)?;
        let mut command = command(spec, directory, &theirs, writer).map_err(internal)?;
        let child = command.spawn().map_err(|error| cannot_start(spec, &error))?;
        // The descriptors that the command holds are the driver's; kept here, they would hide its end.
        drop((command, theirs));
        let log = DriverLog::start(directory, spec.limits.driver_log_bytes, OwnedFd::from(output)).map_err(internal)?;
        Ok(Self {
            pid: child.id(),
            channel: Some(Channel::new(ours).map_err(internal)?),
            log: Some(log),
            status: None,
            fault: None,
            ending: Ending::default(),
            gone: false,
        })
    }

    /// For a driver that could not be started.
    pub fn none() -> Self {
        Self { pid: 0, channel: None, log: None, status: None, fault: None, ending: Ending::default(), gone: false }
    }

    pub fn send(&mut self, message: &ToDriver) {
        if let Some(channel) = &mut self.channel {
            channel.send(message);
        }
    }

    /// Lines from the driver, `None` once it has closed its socket. May be dropped and called again.
    pub async fn lines(&mut self, reading: bool) -> io::Result<Option<Bytes>> {
        match &mut self.channel {
            Some(channel) => channel.next(reading).await,
            None => std::future::pending().await,
        }
    }

    /// The socket is closed, or useless.
    pub fn close(&mut self, now: Instant) {
        self.channel = None;
        self.ending.no_later_than(now + EXIT_WITHIN);
    }

    /// For those who ask why it ended.
    pub fn misbehaved(&mut self, reason: &str) {
        self.fault = Some(reason.to_owned());
    }

    pub fn announced_its_end(&mut self, now: Instant) {
        self.ending.no_later_than(now + EXIT_AFTER_BYE);
    }

    /// Everything below the shim is signalled from this time on until it is gone.
    pub fn end_at(&mut self, at: Instant) {
        self.ending.no_later_than(at);
    }

    pub fn deadline(&self) -> Option<Instant> {
        if self.gone { None } else { self.ending.deadline() }
    }

    pub fn due(&mut self, now: Instant) {
        if let Some(signal) = self.ending.due(now) {
            signal_all(signal);
        }
    }

    /// Collects what has ended: driver main, and orphans, which come to the shim as their subreaper. `true` when this
    /// finds for the first time that none is left.
    pub fn reap(&mut self, now: Instant) -> bool {
        if self.gone {
            return false;
        }
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid.as_raw_nonzero().get().unsigned_abs() == self.pid => {
                    self.status = Some(status);
                    self.ending.no_later_than(now);
                }
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => return false,
                // No children: since orphans become children of the shim, nothing is left anywhere below.
                Err(_) => {
                    self.gone = true;
                    return true;
                }
            }
        }
    }

    /// What the driver said before it ended. For when none is left.
    pub fn rest(&mut self) -> Vec<u8> {
        self.channel.take().map(Channel::rest).unwrap_or_default()
    }

    /// How it ended. For when none is left.
    pub async fn exited(&mut self) -> Exited {
        let mut last_lines = match self.log.take() {
            Some(log) => log.last_lines().await,
            None => Vec::new(),
        };
        last_lines.extend(self.fault.take().map(|fault| format!("[doyen: {fault}]")));
        Exited {
            status: self.status.and_then(WaitStatus::exit_status),
            signal: self.status.and_then(WaitStatus::terminating_signal),
            last_lines,
        }
    }
}

/// Kills all that runs below this process, whatever it takes. For when the shim itself has failed.
pub fn end_everything() {
    for _ in 0..200 {
        signal_all(Signal::KILL);
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        if wait(WaitOptions::NOHANG).is_err() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn signal_all(signal: Signal) {
    for process in processes::descendants(std::process::id()) {
        processes::signal(process, signal);
    }
}

fn command(spec: &Spec, directory: &Path, socket: &UnixStream, output: io::PipeWriter) -> io::Result<Command> {
    let work = directory.join("work");
    let mut command = Command::new(&spec.executable);
    command.args(&spec.arguments).envs(&spec.environment);
    if spec.python_package {
        let mut path = directory.join("package").into_os_string();
        let inherited = spec.environment.get("PYTHONPATH").map(Into::into).or_else(|| std::env::var_os("PYTHONPATH"));
        if let Some(inherited) = inherited.filter(|inherited| !inherited.is_empty()) {
            path.push(":");
            path.push(inherited);
        }
        command.env("PYTHONPATH", path);
    }
    command.env("DOYEN_DRIVER_DIR", &work).env("DOYEN_DRIVER_FD", socket.as_raw_fd().to_string()).current_dir(work);
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    Ok(command)
}

fn cannot_start(spec: &Spec, error: &io::Error) -> String {
    format!(
        "The driver's program `{}` cannot be started: {error}. Install it on every node that runs drivers, or set \
         `drivers.{}.executable` to where it is.",
        spec.executable, spec.kind
    )
}
