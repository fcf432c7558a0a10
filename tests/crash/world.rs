//! A server that is started again whenever it ends at a crash point, and requests that outlast that.

use std::collections::VecDeque;
use std::io::{Cursor, Write};
use std::sync::LazyLock;

use doyen::runtime::crash::Side;
use doyen::runtime::processes;
use reqwest::{Client, Method, RequestBuilder};
use rustix::process::Signal;
use serde_json::Value;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::lives::Scenario;
use crate::peer::Peer;
use crate::ports::Port;
use crate::promises::Promises;
use crate::server::{PATIENCE, Place, Server, was_killed};
use crate::shared::Home;

/// A crash point, and at which passing of it the server is to end.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    pub point: &'static str,
    pub side: Side,
    pub nth: u32,
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {} {}", self.status, self.text()))
    }
}

pub struct World {
    pub place: Place,
    pub peer: Peer,
    pub promises: Promises,
    /// The crashes that came.
    pub crashes: Vec<Wish>,
    /// Checks of something acknowledged after one of them.
    pub checked: usize,
    /// A header of all requests.
    pub authorization: Option<String>,
    port: Port,
    /// The first is the running server's.
    wishes: VecDeque<Wish>,
    server: Option<Server>,
}

impl World {
    /// With what is kept in the data directory, or at home in shared stores.
    pub async fn start(scenario: Scenario, home: Option<Home>, wishes: impl IntoIterator<Item = Wish>) -> Self {
        let mut place = scenario.place();
        place.home = home;
        let mut world = Self {
            place,
            peer: Peer::start().await,
            promises: Promises::default(),
            crashes: Vec::new(),
            checked: 0,
            authorization: scenario.authorization(),
            port: Port::reserve(),
            wishes: wishes.into_iter().collect(),
            server: None,
        };
        world.revive();
        world
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.port.address)
    }

    /// Asks until a server has answered; whether one has died meanwhile, which may have done what was asked.
    pub async fn insist(&mut self, request: impl Fn(&Self) -> RequestBuilder) -> (Reply, bool) {
        let crashes = self.crashes.len();
        loop {
            match answer(request(self)).await {
                Ok(reply) => return (reply, self.crashes.len() > crashes),
                Err(error) => self.bury(&error),
            }
        }
    }

    pub async fn get(&mut self, path: &str) -> Reply {
        self.insist(|world| world.request(Method::GET, path)).await.0
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = HTTP.request(method, format!("{}{path}", self.url()));
        match &self.authorization {
            Some(authorization) => request.header("authorization", authorization),
            None => request,
        }
    }

    /// Kills all drivers, as a machine's trouble might, and leaves the server; with their shims or without.
    pub fn lose_drivers(&self, spare_shims: bool) {
        let server = self.server.as_ref().expect("a server runs").child.id();
        let is_shim = |process: &processes::Process| {
            let line = std::fs::read(format!("/proc/{}/cmdline", process.pid)).unwrap_or_default();
            String::from_utf8_lossy(&line).contains("\0shim\0--directory\0")
        };
        for process in self.place.processes().into_iter().filter(|process| process.pid != server) {
            if !spare_shims {
                processes::signal(process, Signal::KILL);
            } else if is_shim(&process) {
                // Its first child is the driver's main, which takes all below it along.
                processes::descendants(process.pid).first().map(|main| processes::signal(*main, Signal::KILL));
            }
        }
    }

    /// Stops the server as Ctrl-C does, and all drivers.
    pub fn stop(&mut self) {
        let server = self.server.take().expect("a server runs");
        server.signal(Signal::INT);
        let status = server.end();
        assert!(status.success(), "{status}\n{}", self.place.log());
    }

    /// The server has died of its crash point: the next one takes over.
    pub fn bury(&mut self, error: &str) {
        let status = self.server.take().expect("a server runs").end();
        self.crashed(status, error);
        self.revive();
    }

    fn crashed(&mut self, status: std::process::ExitStatus, error: &str) {
        let wish = self.wishes.pop_front();
        assert!(was_killed(status) && wish.is_some(), "{error}; {wish:?}: {status}\n{}", self.place.log());
        self.crashes.extend(wish);
        self.promises.unchecked = true;
    }

    /// A start may end at a crash point as well.
    fn revive(&mut self) {
        while self.server.is_none() {
            let mut command = self.place.command(&[], &self.port.address.to_string());
            if let Some(Wish { point, side, nth }) = self.wishes.front() {
                command.env(
                    "DOYEN_CRASH",
                    format!("{point}:{}:{nth}", if *side == Side::Before { "before" } else { "after" }),
                );
            }
            match Server::start(command) {
                Ok(server) => self.server = Some(server),
                Err(status) => self.crashed(status, "not ready"),
            }
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {:?}, then {:?}; the servers' log:\n{}---", self.crashes, self.wishes, self.place.log());
        }
        if let Some(mut server) = self.server.take() {
            let _ = server.child.kill();
            let _ = server.child.wait();
        }
    }
}

/// Connections are not kept: one to a server that died would fail the first request to the next.
pub static HTTP: LazyLock<Client> = LazyLock::new(|| {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().tls_certs_only([]).no_proxy().pool_max_idle_per_host(0).timeout(PATIENCE).build().unwrap()
});

pub async fn answer(request: RequestBuilder) -> Result<Reply, String> {
    let read = async {
        let response = request.send().await?;
        let status = response.status().as_u16();
        Ok::<_, reqwest::Error>(Reply { status, body: response.bytes().await?.to_vec() })
    };
    read.await.map_err(|error| {
        assert!(!error.is_timeout(), "{error}");
        format!("{error:?}")
    })
}

pub fn wheel(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, content) in files {
        archive.start_file(*name, stored).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap().into_inner()
}
