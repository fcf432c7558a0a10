//! ZooKeeper: one server, or an ensemble, each with ports and a directory of its own.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::guarded::{Guarded, free_port, jars, remove_at_exit};

const PATIENCE: u32 = 600;
const PAUSE: Duration = Duration::from_millis(100);

/// What a session may ask for is from 1 s to 10 s, by this.
const TICK_MS: u32 = 500;

pub struct Server {
    port: u16,
    secure_port: u16,
    properties: String,
    directory: PathBuf,
    process: Option<Guarded>,
}

pub struct Ensemble {
    pub servers: Vec<Server>,
    directory: TempDir,
}

impl Ensemble {
    /// Returns when all serve.
    pub fn start(size: usize) -> Self {
        Self::start_with(size, &Extra::default())
    }

    /// A server that speaks TLS at [`Server::secure_address`], too.
    pub fn with_tls(files: &TlsFiles<'_>) -> Self {
        Self::start_with(1, &Extra::with_tls(files))
    }

    /// A server that takes requests of so many bytes.
    pub fn with_requests_of(bytes: usize) -> Self {
        Self::start_with(1, &Extra { properties: format!(" -Djute.maxbuffer={bytes}"), ..Extra::default() })
    }

    /// A server that keeps to hard limits below /zookeeper/quota.
    pub fn with_quotas() -> Self {
        Self::start_with(1, &Extra { properties: " -Dzookeeper.enforceQuota=true".into(), ..Extra::default() })
    }

    fn start_with(size: usize, extra: &Extra) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let ports: Vec<[u16; 3]> = (0..size).map(|_| [free_port(), free_port(), free_port()]).collect();
        let mut servers: Vec<Server> = (1..=size)
            .map(|id| {
                let directory = directory.path().join(id.to_string());
                std::fs::create_dir_all(directory.join("data")).unwrap();
                std::fs::write(directory.join("data/myid"), id.to_string()).unwrap();
                let configuration = configuration(ports[id - 1][0], &ports) + &extra.lines;
                std::fs::write(directory.join("zoo.cfg"), configuration).unwrap();
                let (properties, secure_port) = (extra.properties.clone(), extra.secure_port);
                Server { port: ports[id - 1][0], secure_port, properties, directory, process: None }
            })
            .collect();
        servers.iter_mut().for_each(Server::launch);
        servers.iter().for_each(Server::wait);
        Self { servers, directory }
    }

    /// For all tests of a process: it ends with that, and its directory goes.
    pub fn for_process(size: usize) -> Self {
        let ensemble = Self::start(size);
        remove_at_exit(ensemble.directory.path());
        ensemble
    }

    pub fn addresses(&self) -> Vec<String> {
        self.servers.iter().map(Server::address).collect()
    }

    /// The place of the server that leads.
    pub fn leader(&self) -> usize {
        self.servers.iter().position(|server| server.says("srvr").contains("Mode: leader")).unwrap()
    }
}

/// What a test asks of its servers beyond the ordinary.
#[derive(Default)]
struct Extra {
    /// Of the configuration.
    lines: String,
    properties: String,
    secure_port: u16,
}

/// All in PEM. Read anew when the server starts.
pub struct TlsFiles<'a> {
    /// The server's key and certificate.
    pub server: &'a Path,
    /// Who issues clients' certificates.
    pub clients: &'a Path,
    pub needs_clients_certificate: bool,
}

impl Extra {
    fn with_tls(files: &TlsFiles<'_>) -> Self {
        let secure_port = free_port();
        let lines = format!(
            "secureClientPort={secure_port}\nserverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory\n\
             ssl.keyStore.location={}\nssl.keyStore.type=PEM\nssl.trustStore.location={}\nssl.trustStore.type=PEM\n\
             ssl.hostnameVerification=false\nssl.clientAuth={}\n",
            files.server.display(),
            files.clients.display(),
            if files.needs_clients_certificate { "need" } else { "none" },
        );
        Self { lines, secure_port, properties: String::new() }
    }
}

fn configuration(port: u16, ports: &[[u16; 3]]) -> String {
    let mut lines = format!(
        "tickTime={TICK_MS}\ninitLimit=20\nsyncLimit=10\ndataDir=data\nclientPort={port}\nclientPortAddress=127.0.0.1\n\
         maxClientCnxns=0\nadmin.enableServer=false\n4lw.commands.whitelist=*\n"
    );
    if let [_, _, ..] = ports {
        for (id, [_, peer, election]) in (1..).zip(ports) {
            lines += &format!("server.{id}=127.0.0.1:{peer}:{election}\n");
        }
    }
    lines
}

impl Server {
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Of a server with TLS.
    pub fn secure_address(&self) -> String {
        format!("127.0.0.1:{}", self.secure_port)
    }

    fn launch(&mut self) {
        let jars = jars("zookeeper");
        let arguments = [
            self.properties.trim_start(),
            // Small and quick; a killed process needs no flush to the disk to be found again.
            "-Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dzookeeper.forceSync=no -Dzookeeper.preAllocSize=1024",
            "-XX:-UsePerfData -Djava.io.tmpdir=data",
            &format!("-cp {}/*", jars.display()),
            "org.apache.zookeeper.server.quorum.QuorumPeerMain zoo.cfg",
        ];
        let arguments: Vec<String> =
            arguments.iter().flat_map(|line| line.split_ascii_whitespace()).map(str::to_owned).collect();
        self.process = Some(Guarded::start("java", &arguments, &self.directory));
    }

    fn wait(&self) {
        for _ in 0..PATIENCE {
            if self.says("srvr").contains("Mode:") {
                return;
            }
            std::thread::sleep(PAUSE);
        }
        panic!("no ZooKeeper at {}: {}", self.port, std::fs::read_to_string(self.directory.join("out")).unwrap());
    }

    pub fn start(&mut self) {
        self.launch();
        self.wait();
    }

    /// As SIGKILL does it.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// All znodes are gone, until they are restored.
    pub fn empty(&mut self) {
        self.kill();
        std::fs::rename(self.directory.join("data/version-2"), self.directory.join("aside")).unwrap();
        self.start();
    }

    pub fn restore(&mut self) {
        self.kill();
        std::fs::remove_dir_all(self.directory.join("data/version-2")).unwrap();
        std::fs::rename(self.directory.join("aside"), self.directory.join("data/version-2")).unwrap();
        self.start();
    }

    pub fn freeze(&self) {
        self.process.as_ref().expect("runs").freeze();
    }

    pub fn thaw(&self) {
        self.process.as_ref().expect("runs").thaw();
    }

    /// The answer to one of ZooKeeper's words of four letters; empty when there is none.
    pub fn says(&self, word: &str) -> String {
        let mut answer = String::new();
        let _ = TcpStream::connect(("127.0.0.1", self.port)).and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(word.as_bytes())?;
            stream.shutdown(Shutdown::Write)?;
            stream.read_to_string(&mut answer)
        });
        answer
    }
}
