//! A real file system without room, under a real server.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::asks::Asks;
use crate::durability::{self, Row};
use crate::ports::Port;
use crate::server::{Place, Server, eventually};
use crate::world::Reply;

/// A small file system at a directory, in a name space of its own: nobody else sees it, and it goes with its last process.
struct Small {
    holder: Child,
    /// Where it is seen from outside.
    path: PathBuf,
}

impl Small {
    fn at(directory: &Path) -> Self {
        std::fs::create_dir(directory).unwrap();
        let script = "mount -t tmpfs -o size=16m tmpfs \"$0\" && echo mounted && exec sleep 600";
        let user: &[&str] = if rustix::process::geteuid().is_root() { &[] } else { &["--map-root-user"] };
        let mut unshare = Command::new("unshare");
        unshare.args(user).args(["--mount", "--propagation", "private", "sh", "-c", script]).arg(directory);
        let mut holder = unshare.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("util-linux has unshare");
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "mounted\n", "this test must be allowed to mount a tmpfs in a name space of its own");
        let path = PathBuf::from(format!("/proc/{}/root{}", holder.id(), directory.display()));
        Self { holder, path }
    }

    /// Until there is no room at all.
    fn fill(&self) {
        let mut filler = std::fs::File::create(self.path.join("filler")).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while filler.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn make_room(&self) {
        std::fs::remove_file(self.path.join("filler")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

struct OnSmall {
    // Dropped first: its processes hold the file system.
    place: Place,
    disk: Small,
    port: Port,
    server: Option<Server>,
}

impl Asks for OnSmall {
    fn place(&self) -> &Place {
        &self.place
    }

    fn port(&self) -> &Port {
        &self.port
    }
}

impl OnSmall {
    fn start() -> Self {
        let place = Place::new();
        let disk = Small::at(&place.path("data"));
        let mut started = Self { place, disk, port: Port::reserve(), server: None };
        started.revive();
        started
    }

    /// In the name space of the file system.
    fn revive(&mut self) {
        let holder = self.disk.holder.id().to_string();
        let mut enter = vec!["nsenter", "--mount", "--target", &holder];
        if !rustix::process::geteuid().is_root() {
            enter.extend(["--user", "--preserve-credentials"]);
        }
        let command = self.place.command(&enter, &self.port.address.to_string());
        self.server = Some(Server::start(command).unwrap_or_else(|_| panic!("{}", self.place.log())));
    }

    fn kill(&mut self) {
        let mut server = self.server.take().expect("it runs");
        server.child.kill().unwrap();
        server.child.wait().unwrap();
    }
}

fn id(reply: &Reply) -> String {
    assert_eq!(reply.status, 202, "{}", reply.text());
    reply.json()["jobId"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_file_system_without_room_refuses_changes_and_all_is_sound_when_there_is_room_again() {
    let mut node = OnSmall::start();
    assert_eq!(node.binary("jobs", 0).await.status, 201);
    assert_eq!(node.post("/contexts/c", "").await.status, 200);
    let (running, before) = (id(&node.job("Gate", "gate").await), id(&node.job("Notes", "before").await));
    node.finished(&before, "before").await;
    node.disk.fill();

    let (mut acknowledged, mut refused) = (Vec::new(), 0);
    for round in 0..40 {
        let token = format!("full-{round}");
        let jobs = [(Some(token.clone()), node.job("Notes", &token).await)];
        let others =
            [node.binary(&format!("b{round}"), 100_000).await, node.post("/data/file", vec![b'x'; 10_000]).await];
        for (token, reply) in jobs.into_iter().chain(others.map(|reply| (None, reply))) {
            match (reply.status, token) {
                (202, Some(token)) => acknowledged.push((id(&reply), token)),
                (503 | 507, _) => {
                    refused += 1;
                    assert!(reply.json()["result"].as_str().is_some_and(|text| text.len() > 20), "{}", reply.text());
                }
                // All places of the context are taken by jobs whose end cannot be stored.
                (status, token) => panic!("{status} {token:?}: {}", reply.text()),
            }
        }
        for path in ["/jobs", "/binaries/jobs", "/contexts/c", "/data", "/healthz", &format!("/jobs/{before}")] {
            assert_eq!(node.get(path).await.status, 200, "{path}");
        }
    }
    assert!(refused >= 80, "uploads of any size find no room");
    std::fs::write(node.place.path("runs/open"), "").unwrap();
    eventually("the job's run", async || node.place.path("runs/gate").exists()).await;

    println!("{} jobs were taken, {refused} changes refused", acknowledged.len());
    node.disk.make_room();
    acknowledged.push((running, "gate".into()));
    for (id, token) in &acknowledged {
        node.finished(id, token).await;
    }
    assert_eq!(node.binary("later", 100_000).await.status, 201);
    node.kill();
    node.revive();
    for (id, token) in &acknowledged {
        node.finished(id, token).await;
    }
    eventually("the context", async || node.get("/contexts/c").await.json()["state"] == "RUNNING").await;
    let after = id(&node.job("Notes", "after").await);
    node.finished(&after, "after").await;
    let when = "while 120 changes were asked for";
    let (what, lost) = ("file system, without room".into(), "nothing; reads went on".into());
    durability::record_one(Row { what, when: when.into(), times: refused, lost });
}
