//! conf/monitrc: what Monit runs to start and to stop a server, run as it stands there but for paths, user and waits.
//!
//! Monit itself is not needed for that: it runs the programs, and looks for a process that the expression matches.

use std::path::Path;
use std::process::{Command, Stdio};

use doyen::runtime::processes::{self, Process};
use rustix::process::Signal;

use crate::fixture::{Place, Server, client, eventually, fixed_port};

const MONITRC: &str = include_str!("../../conf/monitrc");

struct Monit {
    place: Place,
    rc: String,
    url: String,
}

impl Monit {
    /// With the file's preparations made.
    fn new() -> Self {
        let place = Place::new();
        let port = fixed_port();
        std::fs::create_dir(place.path("data")).unwrap();
        let settings = format!("[http]\nlisten = \"127.0.0.1:{port}\"\n[contexts]\ndefault-factory = \"python\"\n");
        std::fs::write(place.path("doyen.toml"), settings).unwrap();
        let root = |name: &str| place.path(name).display().to_string();
        let rc = MONITRC
            .replace("/usr/local/bin/doyen", env!("CARGO_BIN_EXE_doyen"))
            .replace("/etc/doyen/doyen.toml", &root("doyen.toml"))
            .replace("/var/lib/doyen", &root("data"))
            .replace("/var/log/doyen/server.log", &root("server.log"))
            .replace("-u doyen ", &format!("-u {} ", rustix::process::geteuid().as_raw()))
            .replace("seq 60", "seq 2");
        Self { place, rc, url: format!("http://127.0.0.1:{port}") }
    }

    /// What stands between quotes after the words.
    fn quoted(&self, words: &str) -> &str {
        self.rc.split_once(&format!("{words} \"")).and_then(|(_, rest)| rest.split_once('"')).unwrap().0
    }

    /// Runs a program of the file, as Monit does: with little in its environment, and in `/`.
    fn run(&self, program: &str) {
        let line = self.quoted(&format!("{program} program =")).strip_prefix("/bin/sh -c '").unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", line.strip_suffix('\'').unwrap()]).env_clear().current_dir("/");
        command.env("PATH", "/bin:/usr/bin:/sbin:/usr/sbin").env("DOYEN_API_TEST", self.place.root());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    }

    /// The one process that the expression matches.
    fn server(&self) -> Option<Process> {
        let found = Command::new("pgrep").args(["-f", self.quoted("matching")]).output();
        let found = String::from_utf8(found.expect("pgrep, of Debian's procps").stdout).unwrap();
        assert!(found.lines().count() <= 1, "{found}");
        processes::find(found.trim().parse().ok()?)
    }

    async fn starts(&self) -> Process {
        self.run("start");
        let ping = async || client().get(format!("{}/ping", self.url)).send().await.is_ok();
        eventually("a pong", || async { ping().await }).await;
        assert!(Path::new(&self.place.path("server.log")).exists());
        self.server().unwrap()
    }
}

#[tokio::test]
async fn the_server_is_replaced_when_it_was_killed_and_when_it_hangs() {
    let another = Server::start();
    let monit = Monit::new();
    assert_eq!(monit.server(), None);
    monit.run("stop");
    for signal in [Signal::KILL, Signal::STOP] {
        let server = monit.starts().await;
        processes::signal(server, signal);
        monit.run("stop");
        eventually("its end", || async { !processes::alive(server) }).await;
        assert_eq!(monit.server(), None);
    }
    another.get("/ping").await.is_text(200, "pong");
}

#[tokio::test]
async fn drivers_outlive_a_stop() {
    let monit = Monit::new();
    let first = monit.starts().await;
    let post = client().post(format!("{}/contexts/c", monit.url)).send().await.unwrap();
    assert_eq!(post.status(), 200);
    monit.run("stop");
    assert!(!processes::alive(first));
    assert!(!monit.place.processes().is_empty());
    monit.starts().await;
    let running = async || {
        let context = client().get(format!("{}/contexts/c", monit.url)).send().await.unwrap();
        context.text().await.unwrap().contains("RUNNING")
    };
    eventually("the context", || async { running().await }).await;
    let reset = client().put(format!("{}/contexts?reset=reboot", monit.url)).send().await.unwrap();
    assert_eq!(reset.status(), 200);
    monit.run("stop");
    monit.place.assert_nothing_is_left();
}
