//! A server that speaks S3, over files in a directory: on a port of its own, killed with the test's process.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use doyen::config;
use tempfile::TempDir;

use super::guarded::{Frozen, Guarded, free_port, jars, remove_at_exit};
use super::hadoop::{local, wait_for, words};

pub const BUCKET: &str = "binaries";
pub const KEY_ID: &str = "doyen";
pub const SECRET: &str = "secret-of-doyen";
const LOGGING: &str = "<configuration><appender name='out' class='ch.qos.logback.core.ConsoleAppender'><encoder>\
                       <pattern>%d %-5p %c %m%n</pattern></encoder></appender><root level='WARN'><appender-ref ref='out'/></root>\
                       </configuration>";

pub struct S3 {
    port: u16,
    process: Mutex<Option<Guarded>>,
    /// Behind the process, so that it goes after it.
    directory: TempDir,
}

impl S3 {
    /// With an empty bucket.
    pub fn start() -> Self {
        for _ in 0..3 {
            // Another process may take the port first.
            let s3 = Self { port: free_port(), process: Mutex::default(), directory: tempfile::tempdir().unwrap() };
            // Nobody drops what is static.
            remove_at_exit(s3.directory.path());
            s3.configure();
            if s3.try_restart() {
                return s3;
            }
        }
        panic!("the port of S3 was taken three times");
    }

    fn configure(&self) {
        std::fs::create_dir_all(self.bucket()).unwrap();
        let data = self.below("data");
        let lines = [
            format!("s3proxy.endpoint={}", self.endpoint()),
            "s3proxy.authorization=aws-v4".into(),
            format!("s3proxy.identity={KEY_ID}"),
            format!("s3proxy.credential={SECRET}"),
            "jclouds.provider=filesystem-nio2".into(),
            "jclouds.identity=none".into(),
            "jclouds.credential=none".into(),
            format!("jclouds.filesystem.basedir={}", data.display()),
        ];
        std::fs::write(self.below("s3proxy.conf"), lines.join("\n")).unwrap();
        std::fs::write(self.below("logback.xml"), LOGGING).unwrap();
        std::fs::write(self.credentials(), credentials(KEY_ID, SECRET)).unwrap();
    }

    fn try_restart(&self) -> bool {
        let logging = format!("-Dlogback.configurationFile={}", self.below("logback.xml").display());
        let temporary = format!("-Djava.io.tmpdir={}", self.directory.path().display());
        let class_path = format!("{}/*", jars("s3proxy").display());
        let small = ["-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"];
        let rest =
            [&*logging, &*temporary, "-cp", &*class_path, "org.gaul.s3proxy.Main", "--properties", "s3proxy.conf"];
        let process = Guarded::start("java", &words(&[&small[..], &rest[..]].concat()), self.directory.path());
        *self.process.lock().unwrap() = Some(process);
        let listens = || TcpStream::connect(local(self.port)).is_ok();
        assert!(wait_for(|| listens() || self.out().contains("BindException")), "{}", self.out());
        !self.out().contains("BindException")
    }

    /// What was stored is there again when this returns.
    pub fn restart(&self) {
        self.kill();
        assert!(self.try_restart(), "{}", self.out());
    }

    pub fn kill(&self) {
        drop(self.process.lock().unwrap().take());
    }

    /// It stands still while this is at work.
    pub async fn frozen<T>(&self, work: impl Future<Output = T>) -> T {
        // The lock is nobody else's: who freezes a server has it for himself.
        let process = self.process.lock().unwrap().take().unwrap();
        let frozen: Frozen<'_> = process.stop();
        let done = work.await;
        drop(frozen);
        *self.process.lock().unwrap() = Some(process);
        done
    }

    /// For a store of its own in the bucket, below this path.
    pub fn settings(&self, path: &str) -> config::S3 {
        config::S3 {
            endpoint: Some(self.endpoint()),
            bucket: Some(BUCKET.into()),
            path: path.into(),
            allow_http: true,
            credentials_file: Some(self.credentials()),
            ..config::S3::default()
        }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address())
    }

    pub fn address(&self) -> String {
        local(self.port)
    }

    pub fn credentials(&self) -> PathBuf {
        self.below("credentials")
    }

    /// Where the bucket's objects are files.
    pub fn bucket(&self) -> PathBuf {
        self.below("data").join(BUCKET)
    }

    fn out(&self) -> String {
        std::fs::read_to_string(self.below("out")).unwrap_or_default()
    }

    fn below(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// A file as `aws configure` writes it.
pub fn credentials(key_id: &str, secret: &str) -> String {
    format!("[default]\naws_access_key_id = {key_id}\naws_secret_access_key = {secret}\n")
}

/// Files below a directory.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let below = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    entries.flat_map(|entry| below(entry.path())).collect()
}
