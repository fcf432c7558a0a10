//! A NameNode and a DataNode of a test: on ports and in a directory of their own, killed with the test's process.

#![allow(dead_code, reason = "each crate of tests uses a part of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use doyen::config;
use doyen::runtime::clock;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
const AGAIN: Duration = Duration::from_millis(50);
const NAMENODE: &str = "org.apache.hadoop.hdfs.server.namenode.NameNode";
const DATANODE: &str = "org.apache.hadoop.hdfs.server.datanode.DataNode";

pub struct Hdfs {
    directory: TempDir,
    rpc: u16,
    http: u16,
    namenode: Java,
    datanode: Mutex<Option<Java>>,
}

/// A process below a shell that kills it when the test's process has ended, however that ended.
struct Java {
    shell: Child,
    pid: Pid,
}

impl Java {
    fn start(home: &Path, class: &str) -> Self {
        let log = home.join(format!("{}.log", class.rsplit('.').next().unwrap()));
        // Nobody drops what is static, so the directory goes with its processes.
        let script = r#"log=$1; home=$2; shift 2; "$@" >>"$log" 2>&1 </dev/null & child=$!; echo $child; read -r end
            kill -9 $child; [ "$end" ] || { sleep 1; rm -rf "$home"; }"#;
        let mut shell = Command::new("sh");
        shell.args(["-c", script, "sh"]).arg(log).arg(home).args(words(home)).arg(class);
        let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { shell, pid: Pid::from_raw(line.trim().parse().unwrap()).unwrap() }
    }

    fn signal(&self, signal: Signal) {
        // It may have ended; its shell has not waited for it, so the id is still its own.
        let _ = kill_process(self.pid, signal);
    }
}

impl Java {
    /// Whether all its threads are.
    fn is_stopped(&self) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid.as_raw_nonzero())).unwrap();
        let state = |task: std::fs::DirEntry| {
            let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            stat.rsplit(") ").next().and_then(|rest| rest.chars().next())
        };
        tasks.flatten().all(|task| matches!(state(task), Some('T') | None))
    }
}

/// The NameNode stands still until this is dropped.
pub struct Frozen<'a>(&'a Java);

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        self.0.signal(Signal::CONT);
    }
}

impl Drop for Java {
    fn drop(&mut self) {
        let _ = self.shell.stdin.take().map(|mut stdin| stdin.write_all(b"end\n"));
        let _ = self.shell.wait();
    }
}

/// What runs a class of Hadoop.
fn words(home: &Path) -> Vec<String> {
    let jars = std::env::var_os("DOYEN_SERVERS").map(|servers| PathBuf::from(servers).join("hadoop"));
    let jars = jars.filter(|jars| jars.join(".complete").is_file());
    let jars = jars.expect("no jars of Hadoop: run scripts/setup, and `source scripts/env` before the tests");
    let class_path = format!("{}:{}/*", home.join("conf").display(), jars.display());
    let options =
        ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "--add-opens=java.base/java.lang=ALL-UNNAMED"];
    ["java"].into_iter().chain(options).map(str::to_owned).chain(["-cp".to_owned(), class_path]).collect()
}

fn properties(file: &Path, properties: &[(&str, String)]) {
    let lines = properties
        .iter()
        .map(|(name, value)| format!("<property><name>{name}</name><value>{value}</value></property>"));
    std::fs::write(file, format!("<configuration>{}</configuration>", lines.collect::<String>())).unwrap();
}

fn configure(home: &Path, rpc: u16, http: u16) {
    let conf = home.join("conf");
    std::fs::create_dir_all(&conf).unwrap();
    let local = |port: u16| format!("127.0.0.1:{port}");
    let below = |name: &str| home.join(name).display().to_string();
    properties(
        &conf.join("core-site.xml"),
        &[("fs.defaultFS", format!("hdfs://{}", local(rpc))), ("hadoop.tmp.dir", below("tmp"))],
    );
    properties(
        &conf.join("hdfs-site.xml"),
        &[
            ("dfs.replication", "1".into()),
            ("dfs.blocksize", (8 << 20).to_string()),
            ("dfs.namenode.name.dir", below("name")),
            ("dfs.datanode.data.dir", below("data")),
            ("dfs.namenode.rpc-address", local(rpc)),
            ("dfs.namenode.http-address", local(http)),
            ("dfs.datanode.address", local(0)),
            ("dfs.datanode.http.address", local(0)),
            ("dfs.datanode.ipc.address", local(0)),
            ("dfs.namenode.safemode.extension", "0".into()),
            ("dfs.heartbeat.interval", "1".into()),
        ],
    );
    let logging = "log4j.rootLogger=INFO,out\nlog4j.appender.out=org.apache.log4j.ConsoleAppender\n\
                   log4j.appender.out.layout=org.apache.log4j.PatternLayout\n\
                   log4j.appender.out.layout.ConversionPattern=%d %p %c: %m%n\n";
    std::fs::write(conf.join("log4j.properties"), logging).unwrap();
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Runs a class of Hadoop to its end.
fn run(home: &Path, class: &str, arguments: &[&str]) {
    let words = words(home);
    let output = Command::new(&words[0]).args(&words[1..]).arg(class).args(arguments).output().unwrap();
    assert!(output.status.success(), "{class} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Polls; false when it did not come about.
fn wait_for(mut there: impl FnMut() -> bool) -> bool {
    let begin = clock::instant();
    while clock::since(begin) < PATIENCE {
        if there() {
            return true;
        }
        std::thread::sleep(AGAIN);
    }
    false
}

impl Hdfs {
    /// Formatted, with a DataNode that has registered.
    pub fn start() -> Self {
        for _ in 0..3 {
            // Another process may take a port before the NameNode does.
            if let Some(hdfs) = Self::try_start() {
                return hdfs;
            }
        }
        panic!("the ports of the NameNode were taken three times");
    }

    fn try_start() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path();
        let (rpc, http) = (free_port(), free_port());
        configure(home, rpc, http);
        run(home, NAMENODE, &["-format", "-force", "-nonInteractive"]);
        let (namenode, datanode) = (Java::start(home, NAMENODE), Mutex::new(Some(Java::start(home, DATANODE))));
        let hdfs = Self { directory, rpc, http, namenode, datanode };
        assert!(wait_for(|| hdfs.has_datanode() || hdfs.log().contains("BindException")), "{}", hdfs.log());
        hdfs.has_datanode().then_some(hdfs)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("NameNode.log")).unwrap_or_default()
    }

    /// How a server of a test reaches it, with a directory of its own.
    pub fn settings(&self, path: &str) -> config::Hdfs {
        config::Hdfs { url: Some(self.url()), path: path.into(), ..config::Hdfs::default() }
    }

    pub fn url(&self) -> String {
        format!("hdfs://127.0.0.1:{}", self.rpc)
    }

    /// Where core-site.xml is, which names the NameNode too.
    pub fn conf_dir(&self) -> PathBuf {
        self.directory.path().join("conf")
    }

    /// Where the DataNode has its blocks.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Until what is returned is dropped, also by a test that fails: the other tests need it.
    pub fn freeze_namenode(&self) -> Frozen<'_> {
        self.namenode.signal(Signal::STOP);
        // Each thread stops by itself, and until then one may answer yet.
        assert!(wait_for(|| self.namenode.is_stopped()), "the NameNode does not stop");
        Frozen(&self.namenode)
    }

    pub fn kill_datanode(&self) {
        drop(self.datanode.lock().unwrap().take());
    }

    /// It registers some seconds later.
    pub fn start_datanode(&self) {
        *self.datanode.lock().unwrap() = Some(Java::start(self.directory.path(), DATANODE));
    }

    /// `hdfs dfsadmin`.
    pub fn admin(&self, arguments: &[&str]) {
        run(self.directory.path(), "org.apache.hadoop.hdfs.tools.DFSAdmin", arguments);
    }

    fn has_datanode(&self) -> bool {
        let bean = "Hadoop:service=NameNode,name=FSNamesystemState";
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.http)) else { return false };
        let request = format!("GET /jmx?qry={bean} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        let mut answer = String::new();
        let asked = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer));
        asked.is_ok() && answer.contains("\"NumLiveDataNodes\" : 1")
    }
}
