//! A real shim with the driver of `driver.py`, gone when the test is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use doyen::adapters::process::ProcessLauncher;
use doyen::api::driver::spec::{Limits, Spec};
use doyen::ports::{Attempt, Launched, Launcher};
use doyen::runtime::processes;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::server::{PATIENCE, Server};

pub struct Shim {
    pub launcher: ProcessLauncher,
    pub launched: Launched,
    _base: tempfile::TempDir,
}

pub fn spec(servers: Vec<String>) -> Spec {
    Spec {
        context: "context".into(),
        context_name: "name".into(),
        attempt: 3,
        secret: "secret".into(),
        servers,
        trust: None,
        kind: "test".into(),
        executable: "python3".into(),
        arguments: vec![concat!(env!("CARGO_MANIFEST_DIR"), "/tests/shim/driver.py").into()],
        environment: BTreeMap::from([("GIVEN".into(), "yes".into())]),
        python_package: false,
        settings: serde_json::value::to_raw_value(&json!({})).unwrap(),
        max_jobs: 64,
        limits: Limits {
            inline_result_bytes: 1000,
            max_result_bytes: 1 << 20,
            job_log_bytes: 10_000,
            driver_log_bytes: 100_000,
            binary_cache_bytes: 1000,
            orphan_timeout_ms: 60_000,
        },
    }
}

/// Settings of `driver.py`.
pub fn with_settings(mut spec: Spec, settings: Value) -> Spec {
    spec.settings = serde_json::value::to_raw_value(&settings).unwrap();
    spec
}

impl Shim {
    pub async fn start(server: &Server) -> Self {
        Self::with(spec(vec![server.url()])).await
    }

    pub async fn with(spec: Spec) -> Self {
        let base = tempfile::tempdir().unwrap();
        let executable = PathBuf::from(env!("CARGO_BIN_EXE_doyen"));
        let launcher = ProcessLauncher::new(executable, base.path().canonicalize().unwrap());
        let launched = launcher.launch(&spec).await.unwrap();
        Self { launcher, launched, _base: base }
    }

    pub fn directory(&self) -> &Path {
        Path::new(&self.launched.directory)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    pub fn attempt(&self) -> Attempt {
        ("context".into(), 3)
    }

    pub fn process(&self) -> processes::Process {
        processes::Process { pid: self.launched.pid, start_ticks: self.launched.start_ticks }
    }

    pub fn signal(&self, signal: Signal) {
        assert!(processes::signal(self.process(), signal));
    }

    /// All that was started with the driver's environment.
    pub fn below(&self) -> Vec<processes::Process> {
        processes::with_environment(&format!("DOYEN_DRIVER_DIR={}/work", self.launched.directory))
    }

    /// Waits until the shim, and everything that it started, is gone.
    pub async fn gone(&self) {
        eventually("an end of the shim", || !self.launcher.alive(&self.launched)).await;
        eventually("an end of what the shim started", || self.below().is_empty()).await;
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.path("shim.log")).unwrap_or_default();
            eprintln!("shim.log:\n{log}");
        }
        processes::signal(self.process(), Signal::KILL);
        for process in self.below() {
            processes::signal(process, Signal::KILL);
        }
    }
}

pub async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what} did not come"));
}
