//! Starts and stops that come at the wrong time or in the wrong place, of servers and of contexts.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::server::{APP, Answer, CONTEXT, Server, command, eventually};

const SLOW: [&str; 2] = ["drivers.slow.executable=\"sleep\"", "drivers.slow.arguments=[\"600\"]"];

/// A server that must not start: its exit code, and what it says.
fn server(mut command: Command, http: &str, data_dir: &Path) -> (i32, String) {
    let ended = command.args(["server", "--http", http, "--data-dir"]).arg(data_dir).output().unwrap();
    assert!(ended.stdout.is_empty(), "{ended:?}");
    (ended.status.code().unwrap(), String::from_utf8(ended.stderr).unwrap())
}

#[test]
fn a_port_that_is_taken() {
    let first = Server::shared();
    let other = tempfile::tempdir().unwrap();
    let (code, said) = server(command(other.path()), first.address(), &other.path().join("data"));
    assert_eq!(code, 65, "{said}");
    assert!(said.contains(&format!("cannot listen on {}", first.address())) && said.contains("--http"), "{said}");
    first.still_serves();
}

#[test]
fn a_data_directory_that_is_in_use() {
    let first = Server::shared();
    let other = tempfile::tempdir().unwrap();
    let (code, said) = server(command(other.path()), "127.0.0.1:0", &first.data_dir());
    assert_eq!(code, 66, "{said}");
    assert!(said.contains(&format!("in use by process {}", first.pid())) && said.contains("--data-dir"), "{said}");
    first.still_serves();
}

#[test]
fn a_file_in_place_of_the_data_directory() {
    let outer = tempfile::tempdir().unwrap();
    let file = outer.path().join("data");
    std::fs::write(&file, "precious").unwrap();
    let (code, said) = server(command(outer.path()), "127.0.0.1:0", &file);
    assert_eq!(code, 67, "{said}");
    assert!(said.contains("is not a directory") && said.contains("hint: choose a directory"), "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
}

#[test]
fn a_data_directory_that_this_user_may_not_read() {
    let outer = tempfile::tempdir().unwrap();
    let open = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    open(outer.path(), 0o755);
    let data = outer.path().join("data");
    std::fs::create_dir(&data).unwrap();
    open(&data, 0o000);
    let mut command = command(outer.path());
    if rustix::process::geteuid().is_root() {
        // Modes do not stop root; another user may not even look at where the program is built.
        let program = outer.path().join("doyen");
        std::fs::copy(env!("CARGO_BIN_EXE_doyen"), &program).unwrap();
        open(&program, 0o755);
        command = Command::new(program);
        command.uid(65_534).gid(65_534).env_clear().current_dir(outer.path());
    }
    let (code, said) = server(command, "127.0.0.1:0", &data);
    open(&data, 0o700);
    assert_eq!(code, 67, "{said}");
    assert!(said.contains("Permission denied") && said.contains("hint: choose a directory"), "{said}");
}

#[test]
fn a_data_directory_of_a_newer_format() {
    let outer = tempfile::tempdir().unwrap();
    let data = outer.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let format = r#"{"format":1000,"version":"99.1.2"}"#;
    std::fs::write(data.join("format"), format).unwrap();
    let (code, said) = server(command(outer.path()), "127.0.0.1:0", &data);
    assert_eq!(code, 68, "{said}");
    assert!(["format 1000", "99.1.2", env!("CARGO_PKG_VERSION")].iter().all(|word| said.contains(word)), "{said}");
    assert_eq!(std::fs::read_to_string(data.join("format")).unwrap(), format);
}

#[test]
fn a_data_directory_that_is_damaged() {
    let outer = tempfile::tempdir().unwrap();
    let data = outer.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("format"), r#"{"format":1,"version":"0.1.0"}"#).unwrap();
    std::fs::write(data.join("meta.redb"), "this is no database").unwrap();
    let (code, said) = server(command(outer.path()), "127.0.0.1:0", &data);
    assert_eq!(code, 69, "{said}");
    assert!(said.contains("cannot open the metadata"), "{said}");
    assert_eq!(std::fs::read_to_string(data.join("meta.redb")).unwrap(), "this is no database");
}

#[test]
fn the_same_context_created_by_many_at_once() {
    let server = Server::shared();
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let create = || server.post("/contexts/contested?context-factory=python", "");
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(create)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let (made, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!((made.len(), refused.len()), (1, 7), "{answers:?}");
    assert!(refused.iter().all(|answer| answer.says(400) == "context contested exists"), "{answers:?}");
    assert_eq!(server.run_in("contested", "bad.Echo", "a = 1").expect(200)["result"], json!({"a": 1}));
    server.delete("/contexts/contested").expect(200);
    server.still_serves();
}

#[test]
fn a_context_that_is_stopped_while_it_starts() {
    let server = Server::with(&SLOW);
    std::thread::scope(|scope| {
        let creation = scope.spawn(|| server.post("/contexts/slow?context-factory=slow", ""));
        eventually("the start", || (server.get("/contexts/slow").status == 200).then_some(()));
        assert_eq!(server.get("/contexts/slow").expect(200)["state"], "STARTED");
        assert_eq!(server.delete("/contexts/slow?force=true").expect(200)["result"], "Context stopped");
        assert_eq!(creation.join().unwrap().says(500), "it was stopped while it started");
    });
    assert_eq!(server.get("/contexts/slow").expect(200)["state"], "FINISHED");
    server.open("slow", "context-factory=python");
    assert_eq!(server.run_in("slow", "bad.Echo", "").expect(200)["result"], json!({}));
}

#[test]
fn a_server_that_is_stopped_while_a_context_starts_leaves_nothing() {
    let server = Server::with(&SLOW);
    let path = "/contexts/slow?context-factory=slow";
    let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    let mut client = std::net::TcpStream::connect(server.address()).unwrap();
    std::io::Write::write_all(&mut client, head.as_bytes()).unwrap();
    eventually("the driver", || (server.shims().len() == 1).then_some(()));
    // The server's end looks whether anything is left.
    drop(server);
}

#[test]
fn a_context_that_stops_refuses_jobs_and_ends_those_that_run() {
    let server = Server::shared();
    server.open("ending", "context-factory=python");
    let job = server.submit("ending", APP, "bad.Waits", "file = /nonexistent");
    server.until_written(&job, "waiting");
    server.delete("/contexts/ending").expect(200);
    let ended = server.job(&job);
    assert_eq!(ended["status"], "ERROR");
    assert_eq!(ended["result"]["message"], "Context (ending) for this job was terminated");
    assert_eq!(server.run_in("ending", "bad.Echo", "").says(404), "context ending not found");
    assert_eq!(server.get(&format!("/contexts/{CONTEXT}")).expect(200)["state"], "RUNNING");
    server.still_serves();
}
