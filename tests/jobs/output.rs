//! Jobs that print or return very much cost their own disk, not the memory of server and shim.

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::server::{APP, CONTEXT, Server, memory};

const MIB: u64 = 1 << 20;

fn server() -> Server {
    let server = Server::with(&["jobs.log-bytes=4_194_304"]);
    server.open(CONTEXT, "context-factory=python");
    server.still_serves();
    server
}

/// The most memory that server and shim have ever had, in bytes.
fn peaks(server: &Server) -> (u64, u64) {
    let [shim] = server.shims()[..] else { panic!("one shim") };
    (server.memory("VmHWM"), memory(shim.pid, "VmHWM"))
}

#[test]
fn a_job_that_prints_a_gigabyte() {
    let server = server();
    let job = server.submit(CONTEXT, APP, "bad.Prints", "mib = 1024");
    assert_eq!(server.end_of(&job)["status"], "FINISHED", "{}", server.job(&job));
    let log = server.get(&format!("/v1/jobs/{job}/logs"));
    assert!((MIB..=5 * MIB).contains(&(log.body.len() as u64)), "{} bytes", log.body.len());
    let text = log.text();
    assert!(text.starts_with("0000000000 x") && text.contains("cut here"), "{}", &text[..100]);
    assert!(text.lines().last().unwrap().starts_with("0001048575 x"), "the newest is kept");
    let (of_server, of_shim) = peaks(&server);
    println!("server {} MiB, shim {} MiB", of_server / MIB, of_shim / MIB);
    assert!(of_server < 100 * MIB && of_shim < 64 * MIB, "server {of_server}, shim {of_shim}");
    server.still_serves();
}

#[test]
fn a_job_that_returns_a_hundred_megabytes() {
    let server = server();
    let before = server.memory("VmRSS");
    let job = server.submit(CONTEXT, APP, "bad.ReturnsMuch", "mb = 100");
    assert_eq!(server.end_of(&job)["status"], "FINISHED");
    let result = server.get(&format!("/v1/jobs/{job}/result"));
    assert_eq!((result.status, result.body.len()), (200, 100_000_002));
    let hash: String = Sha256::digest(&result.body).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(server.get(&format!("/v1/jobs/{job}/logs")).text(), format!("sha256 {hash}.\n"));
    let whole = server.get(&format!("/jobs/{job}")).body;
    assert!(whole.ends_with(&[&result.body[..], b"}"].concat()), "the job holds the same result");
    let (of_server, of_shim) = peaks(&server);
    println!("server {} MiB from {} MiB, shim {} MiB", of_server / MIB, before / MIB, of_shim / MIB);
    assert!(of_server < before + 64 * MIB && of_shim < 64 * MIB, "server {before} to {of_server}, shim {of_shim}");
    server.still_serves();
}

#[test]
fn a_result_beyond_the_limit_fails_the_job() {
    let server = Server::with(&["jobs.max-result-bytes=1_000_000"]);
    server.open(CONTEXT, "context-factory=python");
    let failed = server.run("bad.ReturnsMuch", "mb = 2").expect(200);
    assert_eq!(failed["status"], json!("ERROR"));
    let message = failed["result"]["message"].as_str().unwrap();
    assert!(message.contains("2000002") && message.contains("1000000"), "{message}");
    server.still_serves();
}
