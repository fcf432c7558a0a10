//! Clients of Spark Jobserver, unmodified, against the server.

use std::process::Command;

use crate::server::{Server, python};
use crate::wheel;

#[test]
fn python_sjsclient_does_all_that_it_can() {
    let server = Server::with(&["contexts.default-factory=\"python\""]);
    let directory = tempfile::tempdir().unwrap();
    let egg = directory.path().join("jobs.egg");
    std::fs::write(&egg, wheel::jobs()).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/jobs/sjsclient_walk.py");
    let mut command = Command::new(python("DOYEN_SJSCLIENT_PYTHON"));
    command.arg(script).arg(&server.url).arg(&egg).env_remove("PYTHONPATH").env("NO_PROXY", "127.0.0.1");
    let ended = command.output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}
