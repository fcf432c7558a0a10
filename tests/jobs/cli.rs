//! The command line against the real server.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::server::{Server, command, eventually};
use crate::wheel;

/// Nothing listens there.
const DOWN: &str = "http://127.0.0.1:1";

struct Cli {
    server: Server,
    directory: tempfile::TempDir,
}

struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ended {
    #[track_caller]
    fn prints(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.stdout, self.stderr);
        self.stdout.trim_end().to_owned()
    }

    #[track_caller]
    fn fails(self, code: i32, word: &str) {
        assert_eq!(self.code, code, "{}{}", self.stdout, self.stderr);
        assert!(self.stdout.is_empty() && self.stderr.contains(word), "{}{}", self.stdout, self.stderr);
    }
}

impl Cli {
    /// With the wheel `jobs` pushed and the context `c` open.
    fn start() -> Self {
        let cli = Self { server: Server::with(&[]), directory: tempfile::tempdir().unwrap() };
        std::fs::write(cli.directory.path().join("jobs.whl"), wheel::jobs()).unwrap();
        cli.run(&["binary", "push", "jobs", "jobs.whl"]).prints();
        cli.run(&["context", "create", "c", "--factory", "python", "--set", "max-jobs-per-context=4"]).prints();
        cli
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(self.directory.path());
        command.args(arguments).args(["--url", &self.server.url]);
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        end(self.command(arguments))
    }

    fn submit(&self, arguments: &[&str]) -> Ended {
        self.run(&[&["job", "submit", "--app", "jobs", "--context", "c", "--class"], arguments].concat())
    }
}

fn end(mut command: Command) -> Ended {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn a_job_from_the_push_to_the_end() {
    let cli = Cli::start();
    assert!(cli.run(&["binary", "list"]).prints().contains("jobs"));
    assert_eq!(cli.run(&["context", "list"]).prints(), "c");
    assert!(cli.run(&["context", "show", "c"]).prints().contains("RUNNING"));
    let result = cli.submit(&["bad.Echo", "--set", "a.b=1", "--wait"]).prints();
    assert_eq!(serde_json::from_str::<Value>(&result).unwrap(), json!({"a": {"b": 1}}));
    let job: Value = serde_json::from_str(&cli.submit(&["bad.Echo", "--wait", "--json"]).prints()).unwrap();
    assert_eq!(job["status"], "FINISHED");
    assert!(cli.run(&["job", "list", "--status", "finished"]).prints().contains(job["jobId"].as_str().unwrap()));
    cli.run(&["context", "stop", "c"]).prints();
    cli.run(&["binary", "rm", "jobs"]).prints();
    assert_eq!(cli.run(&["context", "list"]).prints() + &cli.run(&["binary", "list", "--json"]).prints(), "{}");
}

#[test]
fn a_job_that_fails_is_exit_1_with_its_reason_and_stack() {
    let cli = Cli::start();
    let ended = cli.submit(&["bad.RaisesInRun", "--wait"]);
    assert!(ended.stderr.contains("in run_job\n    raise KeyError"), "{}", ended.stderr);
    ended.fails(1, "ended in ERROR");
}

#[test]
fn a_log_is_followed_until_the_job_is_killed() {
    let cli = Cli::start();
    let id = cli.submit(&["bad.Waits", "--set", "file=/nonexistent"]).prints();
    let mut following = cli.command(&["job", "logs", "-f", &id]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "waiting");
    assert!(following.try_wait().unwrap().is_none());
    cli.run(&["job", "kill", &id]).prints();
    assert!(lines.next().is_none());
    assert!(following.wait().unwrap().success());
    assert!(cli.run(&["job", "show", &id]).prints().contains("KILLED"));
    cli.run(&["job", "kill", &id]).fails(4, "No running job");
    assert_eq!(cli.run(&["job", "logs", &id]).prints(), "waiting");
}

#[test]
fn what_waits_for_a_job_hears_of_its_kill_and_of_its_own_timeout() {
    let cli = Cli::start();
    cli.submit(&["bad.Waits", "--set", "file=/nonexistent", "--wait", "--timeout", "1"]).fails(7, "goes on");
    let waiting = cli
        .command(&["job", "submit", "--app", "jobs", "--context", "c", "--class", "bad.Waits"])
        .args(["--set", "file=/nonexistent", "--wait"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut waiting = waiting.unwrap();
    let running = || cli.run(&["job", "list", "--status", "running", "--json"]).prints();
    let jobs: Vec<Value> = eventually("both jobs", || {
        let jobs: Vec<Value> = serde_json::from_str(&running()).unwrap();
        (jobs.len() == 2).then_some(jobs)
    });
    for job in jobs {
        cli.run(&["job", "kill", job["jobId"].as_str().unwrap()]).prints();
    }
    assert_eq!(waiting.wait().unwrap().code(), Some(1));
}

#[test]
fn the_next_server_is_asked_when_the_first_is_down() {
    let cli = Cli::start();
    let mut both = command(cli.directory.path());
    both.args(["--url", DOWN, "--url", &cli.server.url, "job", "submit", "--app", "jobs", "--context", "c"]);
    both.args(["--class", "bad.Echo", "--wait"]);
    assert_eq!(end(both).prints(), "{}");
}

#[test]
fn no_server_is_exit_3_with_a_hint() {
    let directory = tempfile::tempdir().unwrap();
    let mut alone = command(directory.path());
    alone.args(["--url", DOWN, "context", "list"]);
    let ended = end(alone);
    assert!(ended.stderr.contains("hint: "), "{}", ended.stderr);
    ended.fails(3, DOWN);
}

#[test]
fn what_the_server_refuses_has_exit_codes_of_its_own() {
    let cli = Cli::start();
    cli.run(&["context", "create", "c", "--factory", "python"]).fails(5, "context c exists");
    cli.run(&["context", "create", "d", "--factory", "nonsense"]).fails(6, "unknown context factory nonsense");
    cli.run(&["context", "stop", "nothing"]).fails(4, "context nothing not found");
    cli.run(&["job", "show", "nothing"]).fails(4, "No such job ID nothing");
    std::fs::write(cli.directory.path().join("bad.whl"), "no zip").unwrap();
    cli.run(&["binary", "push", "bad", "bad.whl"]).fails(5, "not of the right format");
    cli.run(&["binary", "push", "none", "none.whl"]).fails(2, "none.whl");
}
