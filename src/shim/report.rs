//! `shim.log`: what the shim itself has to say, a few lines in a driver's life.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use crate::runtime::clock;

const NAME: &str = "shim.log";
/// Beyond this the file begins anew.
const LIMIT_BYTES: u64 = 256 << 10;

pub struct Report(Option<File>);

impl Report {
    /// Without a file there is nobody to tell, and that must not stop a driver.
    pub fn open(directory: &Path) -> Self {
        Self(OpenOptions::new().create(true).append(true).open(directory.join(NAME)).ok())
    }

    pub fn say(&self, text: &str) {
        let Some(mut file) = self.0.as_ref() else { return };
        if file.metadata().is_ok_and(|metadata| metadata.len() > LIMIT_BYTES) {
            let _ = file.set_len(0);
        }
        let _ = file.write_all(format!("{} {text}\n", now()).as_bytes());
    }
}

fn now() -> String {
    let since = Duration::from_millis(u64::try_from(clock::unix_ms()).unwrap_or(0));
    jiff::Timestamp::try_from(UNIX_EPOCH + since).map(|at| format!("{at:.3}")).unwrap_or_default()
}
