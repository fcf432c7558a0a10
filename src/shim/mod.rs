//! `doyen shim`: the half of a driver that is the same for every language. `docs/driver-protocol.md` tells what it does.
//!
//! One thread runs one loop (`shell`) over the ends of the conversation: `attachment` to a server, `driver` with its
//! `channel`. What follows from their messages is decided in `ledger`, which is pure.

mod announced;
mod attachment;
mod binaries;
mod channel;
mod connect;
mod courses;
mod driver;
mod driver_log;
mod ending;
mod job_files;
mod ledger;
mod memory;
mod package;
mod report;
mod settling;
mod shell;
mod transfer;

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;

use report::Report;
use shell::{Left, Shell};

use crate::api::driver::spec::{self, Spec};

#[derive(Debug, thiserror::Error)]
enum ShimError {
    #[error("cannot read {0}: {1}")]
    Spec(String, String),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Holds a driver until it has ended and a server knows all that it has to know. `directory` is the shim's own and goes
/// away with it. Makes the calling process a session leader and a child subreaper, and waits for any of its children:
/// to be called by a process that does nothing else.
///
/// The exit code is a failure when the shim itself failed; then nothing is left of the driver either, but the directory.
pub fn run(directory: &Path) -> ExitCode {
    let result = catch_unwind(AssertUnwindSafe(|| hold(directory)));
    match result {
        Ok(Ok(())) => return ExitCode::SUCCESS,
        Ok(Err(error)) => Report::open(directory).say(&format!("the shim failed: {error}")),
        Err(_) => Report::open(directory).say("the shim failed: a panic"),
    }
    driver::end_everything();
    ExitCode::FAILURE
}

fn hold(directory: &Path) -> Result<(), ShimError> {
    let directory = directory.canonicalize()?;
    let spec = load(&directory.join(spec::FILE))?;
    // Refused to a process that leads a group already, as one started by hand does.
    let _ = rustix::process::setsid();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).map_err(io::Error::from)?;
    for name in ["work", "binaries"] {
        fs::create_dir_all(directory.join(name))?;
    }
    if spec.python_package {
        package::unpack(&directory.join("package"))?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let left = runtime.block_on(async { Shell::new(spec, &directory)?.run().await })?;
    // Not waiting for a name that is still being looked up.
    runtime.shutdown_background();
    if left == Left::LastWordAndLogs {
        return Ok(job_files::only_for_a_server(&directory)?);
    }
    match fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn load(path: &Path) -> Result<Spec, ShimError> {
    let error = |error: &dyn std::error::Error| ShimError::Spec(path.display().to_string(), error.to_string());
    let text = fs::read_to_string(path).map_err(|source| error(&source))?;
    serde_json::from_str(&text).map_err(|source| error(&source))
}
