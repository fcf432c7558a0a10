//! Jobs of servers whose binaries are in HDFS, or in a directory that others see too.

use std::path::Path;

use crate::server::Server;
use crate::servers::hdfs::Hdfs;
use crate::wheel;

/// With its wheel, a result and a log in the store of binaries.
#[track_caller]
fn runs_jobs(server: &Server) {
    server.open("c", "context-factory=python");
    let id = server.submit("c", "jobs", "bad.ReturnsMuch", "mb = 2");
    assert_eq!(server.end_of(&id)["status"], "FINISHED");
    let result = server.get(&format!("/v1/jobs/{id}/result"));
    assert_eq!(result.status, 200);
    assert!(result.body.len() > 2_000_000, "{}", result.body.len());
    let prints = server.submit("c", "jobs", "bad.Prints", "mib = 1");
    server.end_of(&prints);
    assert_eq!(server.get(&format!("/v1/jobs/{prints}/logs")).status, 200);
}

fn blobs(directory: &Path) -> usize {
    let parts = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let parts = parts.filter(|part| part.file_name().len() == 2);
    parts.map(|part| std::fs::read_dir(part.path()).unwrap().count()).sum()
}

#[test]
fn binaries_results_and_logs_are_in_hdfs_and_while_it_is_away_uploads_get_503() {
    let hdfs = Hdfs::start();
    let url = format!("store.hdfs.url={:?}", hdfs.url());
    let server = Server::with(&["store.binaries=\"hdfs\"", &url, "store.hdfs.deadline=\"3s\""]);
    runs_jobs(&server);
    assert_eq!(blobs(&server.data_dir().join("blobs")), 0);
    let frozen = hdfs.freeze_namenode();
    let away = server.upload("other", wheel::wheel(&[("other.py", "")]));
    let ended = server.get("/v1/contexts/c").expect(200)["state"].clone();
    drop(frozen);
    away.says(503);
    assert!(server.log_text().contains("store.hdfs.deadline (3s)"));
    assert_eq!(ended, "RUNNING");
    server.upload("other", wheel::wheel(&[("other.py", "")])).expect(201);
}

#[test]
fn binaries_results_and_logs_are_in_a_shared_directory() {
    let directory = tempfile::tempdir().unwrap();
    let place = format!("store.shared.directory={:?}", directory.path());
    let server = Server::with(&["store.binaries=\"shared\"", &place]);
    runs_jobs(&server);
    assert!(blobs(directory.path()) >= 2);
    assert_eq!(blobs(&server.data_dir().join("blobs")), 0);
}
