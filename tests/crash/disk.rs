//! A disk that is full, or that can be read only, while the server runs.

use std::path::PathBuf;
use std::process::Command;

use reqwest::Method;
use serde_json::json;

use crate::asks::Asks;
use crate::durability::{self, Row};
use crate::ports::Port;
use crate::server::{Place, Server, eventually};
use crate::world::{Reply, answer};

/// Errors of the system.
const FULL: i32 = 28;
const READ_ONLY: i32 = 30;
/// For flushes only.
const BROKEN: i32 = 5;
/// Of a commit.
const FLUSHES: u32 = 2;

/// A server whose disk fails as `faults.c` does.
struct Faulty {
    place: Place,
    server: Option<Server>,
    /// Each order to fail must read differently.
    orders: u32,
    lives: u32,
    port: Port,
}

impl Asks for Faulty {
    fn place(&self) -> &Place {
        &self.place
    }

    fn port(&self) -> &Port {
        &self.port
    }
}

impl Faulty {
    async fn start() -> Self {
        let mut faulty = Self { place: Place::new(), server: None, orders: 0, lives: 0, port: Port::reserve() };
        let library = faulty.place.path("faults.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/crash/faults.c");
        let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(library).args([source, "-ldl"]).status();
        assert!(compiled.expect("there is a C compiler, as Rust needs one to link").success());
        faulty.revive();
        faulty.binary("jobs", 0).await.is(201);
        faulty.post("/contexts/c", "").await.is(200);
        faulty
    }

    fn restart(&mut self) {
        let mut server = self.server.take().expect("it runs");
        server.child.kill().unwrap();
        server.child.wait().unwrap();
        self.revive();
    }

    fn revive(&mut self) {
        self.lives += 1;
        let mut command = self.place.command(&[], &self.port.address.to_string());
        command.env("LD_PRELOAD", self.place.path("faults.so"));
        command.env("DOYEN_FAULTS", self.control()).env("DOYEN_FAULTS_BELOW", self.place.path("data"));
        self.server = Some(Server::start(command).expect("the server starts"));
    }

    fn control(&self) -> PathBuf {
        self.place.path("faults")
    }

    /// From the n-th change on, all fail so.
    fn fail(&mut self, error: i32, nth: u32) {
        self.orders += 1;
        let new = self.place.path("faults.new");
        std::fs::write(&new, format!("{error} {nth} {}", self.orders)).unwrap();
        std::fs::rename(new, self.control()).unwrap();
    }

    fn mend(&self) {
        std::fs::remove_file(self.control()).unwrap();
    }

    async fn delete(&self, path: &str) -> Reply {
        answer(self.request(Method::DELETE, path)).await.unwrap()
    }

    /// Asks with the first, the second, … change failing and all that follow, until none fails.
    async fn at_every_change(&mut self, error: i32, ask: impl AsyncFn(&Self, u32) -> Reply) -> u32 {
        for nth in 1..1000 {
            if self.fails_from(error, nth, async |server| ask(server, nth).await).await.status < 500 {
                return nth;
            }
        }
        panic!("it never works");
    }

    /// Asks while all changes fail from the n-th on: what cannot be done is refused with words.
    async fn fails_from(&mut self, error: i32, nth: u32, ask: impl AsyncFnOnce(&Self) -> Reply) -> Reply {
        self.fail(error, nth);
        let reply = ask(self).await;
        if reply.status >= 500 {
            assert!([503, 507].contains(&reply.status), "{nth}: {} {}", reply.status, reply.text());
            assert!(reply.json()["result"].as_str().is_some_and(|text| text.len() > 20), "{}", reply.text());
            self.can_be_read().await;
        }
        self.mend();
        reply
    }

    /// A job that ends while nothing can be stored: its end is, as soon as it can be.
    async fn ends_while_it_fails(&self) {
        let refused = "cannot store the job's end";
        std::fs::write(self.place.path("runs/open"), "").unwrap();
        eventually("a try to store the end", async || self.place.log().contains(refused)).await;
        self.can_be_read().await;
        self.mend();
    }

    /// Every job has ended well, after one run; every binary is whole; everything can be done.
    async fn is_sound(&self) {
        self.context_runs("c").await;
        let mut ids = Vec::new();
        for job in self.get("/jobs?limit=1000").await.json().as_array().unwrap() {
            ids.push(job["jobId"].as_str().unwrap().to_owned());
        }
        ids.push(self.job("Notes", &format!("sound-{}", ids.len())).await.json()["jobId"].as_str().unwrap().to_owned());
        for id in ids {
            let config = self.get(&format!("/jobs/{id}/config")).await.json();
            self.finished(&id, config["token"].as_str().unwrap()).await;
        }
        let names = self.get("/binaries").await.json();
        for name in names.as_object().unwrap().keys() {
            let token = format!("of-{name}-{}", self.orders + self.lives);
            let body = json!({"token": token, "runs": self.place.path("runs")}).to_string();
            let path = format!("/jobs?appName={name}&classPath=jobs.Notes&context=c&sync=true&timeout=60");
            assert_eq!(self.post(&path, body).await.json()["result"], json!({"token": token}));
        }
        self.binary("sound", 2_500_000).await.is(201);
        self.post("/data/sound", "some data").await.is(200);
        self.post("/contexts/sound", "").await.is(200);
        self.delete("/contexts/sound").await.is(200);
    }

    async fn state(&self, path: &str) -> Option<String> {
        Some(self.get(path).await.json()["state"].as_str()?.to_owned())
    }

    async fn context_runs(&self, name: &str) {
        eventually("the context", async || self.get(&format!("/contexts/{name}")).await.json()["state"] == "RUNNING")
            .await;
    }

    async fn can_be_read(&self) {
        for path in ["/healthz", "/jobs", "/binaries", "/binaries/jobs", "/contexts", "/contexts/c", "/data"] {
            let reply = self.get(path).await;
            assert_eq!(reply.status, 200, "{path}: {}\n{}", reply.text(), self.place.log());
        }
    }
}

impl Reply {
    #[track_caller]
    fn is(&self, status: u16) {
        assert_eq!(self.status, status, "{}", self.text());
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.place.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- the server's log ends so:\n{}\n---", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
        if let Some(mut server) = self.server.take() {
            let _ = server.child.kill();
            let _ = server.child.wait();
        }
    }
}

#[tokio::test]
async fn whichever_change_of_a_full_disk_fails_first_all_is_refused_with_words_and_sound_after() {
    every_change_fails(FULL, 507).await;
}

#[tokio::test]
async fn a_data_directory_that_can_only_be_read_refuses_changes_with_words_and_is_sound_after() {
    every_change_fails(READ_ONLY, 503).await;
}

/// A commit that was written and not flushed is there or not: nobody knows, until the disk flushes again.
#[tokio::test]
async fn whichever_flush_fails_first_a_job_runs_once_or_never_was_and_no_context_is_stuck_when_the_disk_is_well() {
    let mut server = Faulty::start().await;
    std::fs::write(server.place.path("runs/open"), "").unwrap();
    let token = |nth| format!("try-{nth}");
    let changes = server.at_every_change(BROKEN, async |server, nth| server.job("Notes", &token(nth)).await).await;
    assert!(server.place.log().contains("cannot learn whether a job was recorded"), "{}", server.place.log());
    for nth in 1..=FLUSHES {
        let path = format!("/contexts/x{nth}");
        server.fails_from(BROKEN, nth, async |server| server.post(&path, "").await).await.is(503);
        // It has ended, or never was: its name is free.
        eventually("its end", async || [Some("ERROR"), None].contains(&server.state(&path).await.as_deref())).await;
        server.post(&path, "").await.is(200);
        server.delete(&path).await.is(200);
    }
    assert!(server.place.log().contains("cannot learn whether a context was recorded"), "{}", server.place.log());
    server.is_sound().await;
    server.restart();
    server.is_sound().await;
    durability::record_one(Row {
        what: "disk, not flushing".into(),
        when: "from each flush on, of submissions and new contexts".into(),
        times: (changes + FLUSHES) as usize,
        lost: "nothing; reads went on".into(),
    });
}

async fn every_change_fails(error: i32, usual: u16) {
    let mut server = Faulty::start().await;
    // One that is at work all the time.
    server.job("Gate", "gate").await.is(202);
    server.binary("gone", 0).await.is(201);
    server.post("/contexts/y", "").await.is(200);
    let mut changes = 0;
    for filler in [0, 2_500_000] {
        // Other content each time: on a disk that can only be read, what a broken write has left cannot be removed.
        let upload = async |server: &Faulty, nth: u32| server.binary(&format!("b{nth}"), filler + nth as usize).await;
        changes += server.at_every_change(error, upload).await;
    }
    changes += server.at_every_change(error, async |server, _| server.post("/data/file", "some data").await).await;
    let of_commit = server.at_every_change(error, async |server, _| server.delete("/binaries/gone").await).await;
    // A commit, the start of a driver, and a commit; later the driver waits for a server that can record it.
    for nth in 1..2 * of_commit {
        let reply =
            server.fails_from(error, nth, async |server| server.post(&format!("/contexts/x{nth}"), "").await).await;
        assert!(reply.status >= 500, "{}", reply.text());
    }
    changes += 3 * of_commit;
    changes += server.at_every_change(error, async |server, _| server.delete("/contexts/y").await).await;
    let token = |nth| format!("try-{nth}");
    changes += server.at_every_change(error, async |server, nth| server.job("Notes", &token(nth)).await).await;
    server.fail(error, 1);
    server.delete("/contexts/c").await.is(usual);
    server.binary("last", 0).await.is(usual);
    server.ends_while_it_fails().await;
    server.is_sound().await;
    server.restart();
    crate::promises::check_stores(&server.place.path("data"));
    server.is_sound().await;
    let lost = "nothing; reads went on".to_owned();
    let what = if error == FULL { "disk, full" } else { "data directory, read only" };
    durability::record_one(Row {
        what: what.into(),
        when: "from each change of each request on".into(),
        times: changes as usize,
        lost,
    });
}
