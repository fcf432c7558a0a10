//! Hadoop's programs, and where they have their configuration and their files.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use doyen::runtime::clock;
use tempfile::TempDir;

use super::guarded::{Guarded, jars, remove_at_exit};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
const AGAIN: Duration = Duration::from_millis(200);
const NAMENODE: &str = "org.apache.hadoop.hdfs.server.namenode.NameNode";
const DATANODE: &str = "org.apache.hadoop.hdfs.server.datanode.DataNode";
/// What the DataNodes are named, though they listen at 127.0.0.1: a proxy before one stands here, for clients that use names.
pub const PROXY_HOST: &str = "127.0.0.2";

/// A property of Hadoop.
pub type Property<'a> = (&'a str, String);

pub fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// The directory of one HDFS, with its configuration in `conf`.
pub struct Hadoop {
    directory: TempDir,
}

impl Hadoop {
    /// `site` is what this HDFS has beside what all have; it may depend on its directory.
    pub fn new<'a>(default: &str, site: impl FnOnce(&Path) -> Vec<Property<'a>>) -> Self {
        let hadoop = Self { directory: tempfile::tempdir().unwrap() };
        // Nobody drops what is static.
        remove_at_exit(hadoop.directory());
        for directory in ["conf", "names", "tmp", "java"] {
            std::fs::create_dir(hadoop.below(directory)).unwrap();
        }
        let conf = hadoop.conf();
        let core = [("fs.defaultFS", format!("hdfs://{default}")), ("hadoop.tmp.dir", hadoop.text("tmp"))];
        properties(&conf.join("core-site.xml"), &core);
        let common = [
            ("dfs.blocksize", (8 << 20).to_string()),
            ("dfs.datanode.http.address", local(0)),
            ("dfs.datanode.ipc.address", local(0)),
            ("dfs.datanode.hostname", PROXY_HOST.into()),
            ("dfs.namenode.safemode.extension", "0".into()),
            ("dfs.heartbeat.interval", "1".into()),
        ];
        properties(&conf.join("hdfs-site.xml"), &[&common, &site(hadoop.directory())[..]].concat());
        let names = [("dfs.client.use.datanode.hostname", "true".into())];
        properties(&hadoop.names().join("hdfs-site.xml"), &names);
        let logging = "log4j.rootLogger=INFO,out\nlog4j.appender.out=org.apache.log4j.ConsoleAppender\n\
                       log4j.appender.out.layout=org.apache.log4j.PatternLayout\n\
                       log4j.appender.out.layout.ConversionPattern=%d %p %c: %m%n\n";
        std::fs::write(conf.join("log4j.properties"), logging).unwrap();
        hadoop
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn below(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.below(name).display().to_string()
    }

    pub fn conf(&self) -> PathBuf {
        self.below("conf")
    }

    /// Configuration of clients that look for DataNodes at `PROXY_HOST`.
    pub fn names(&self) -> PathBuf {
        self.below("names")
    }

    pub fn format(&self, of: &[Property]) {
        self.run(NAMENODE, &[settings(of), words(&["-format", "-force", "-nonInteractive"])].concat());
    }

    /// Whose output goes to the file `out` of the directory of this name.
    pub fn namenode(&self, name: &str, of: &[Property]) -> Guarded {
        self.start(name, NAMENODE, of)
    }

    /// It registers some seconds later.
    pub fn datanode(&self, name: &str, port: u16, of: &[Property]) -> Guarded {
        let data = self.text(&format!("{name}/data"));
        let own = [("dfs.datanode.data.dir", data), ("dfs.datanode.address", local(port))];
        self.start(name, DATANODE, &[&own, of].concat())
    }

    fn start(&self, name: &str, class: &str, of: &[Property]) -> Guarded {
        let directory = self.below(name);
        std::fs::create_dir_all(&directory).unwrap();
        Guarded::start("java", &[self.java(class), settings(of)].concat(), &directory)
    }

    /// Runs a class of Hadoop to its end.
    pub fn run(&self, class: &str, arguments: &[String]) {
        let mut java = Command::new("java");
        let output = java.args(self.java(class)).args(arguments).current_dir(self.directory()).output().unwrap();
        assert!(output.status.success(), "{class} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn java(&self, class: &str) -> Vec<String> {
        let class_path = format!("{}:{}/*", self.conf().display(), jars("hadoop").display());
        let temporary = format!("-Djava.io.tmpdir={}", self.text("java"));
        let small = ["-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"];
        let rest = [&temporary, "--add-opens=java.base/java.lang=ALL-UNNAMED", "-cp", &class_path, class];
        words(&[&small[..], &rest[..]].concat())
    }

    pub fn out(&self, name: &str) -> String {
        std::fs::read_to_string(self.below(name).join("out")).unwrap_or_default()
    }
}

pub fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// For a single program, beside its files.
fn settings(of: &[Property]) -> Vec<String> {
    of.iter().flat_map(|(name, value)| ["-D".to_owned(), format!("{name}={value}")]).collect()
}

fn properties(file: &Path, properties: &[Property]) {
    let lines = properties
        .iter()
        .map(|(name, value)| format!("<property><name>{name}</name><value>{value}</value></property>"));
    std::fs::write(file, format!("<configuration>{}</configuration>", lines.collect::<String>())).unwrap();
}

/// How many DataNodes the NameNode with this port for HTTP takes for alive.
pub fn datanodes(http: u16) -> Option<usize> {
    let bean = "Hadoop:service=NameNode,name=FSNamesystemState";
    let mut stream = TcpStream::connect(("127.0.0.1", http)).ok()?;
    stream.write_all(format!("GET /jmx?qry={bean} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (_, rest) = answer.split_once("\"NumLiveDataNodes\" : ")?;
    rest.split(',').next()?.trim().parse().ok()
}

/// Polls; false when it did not come about.
pub fn wait_for(mut there: impl FnMut() -> bool) -> bool {
    let begin = clock::instant();
    while clock::since(begin) < PATIENCE {
        if there() {
            return true;
        }
        std::thread::sleep(AGAIN);
    }
    false
}
