//! The stores that the tests share, a server on both, and what holds while one of them is away.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use doyen::runtime::clock;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::RwLock;

use crate::fixture::{Gate, Place, Reply, Server, WHEEL, eventually, fixed_port, jobs};
use crate::servers::hdfs::Hdfs;
use crate::servers::proxy::Proxy;
use crate::servers::zookeeper::Ensemble;

static ZOOKEEPER: LazyLock<Ensemble> = LazyLock::new(|| Ensemble::for_process(1));
static HDFS: LazyLock<Hdfs> = LazyLock::new(Hdfs::start);
/// Held for writing by who has HDFS fail for all.
pub static CALM: RwLock<()> = RwLock::const_new(());

/// A change is answered within this time: `zookeeper.commit-timeout`, or `store.hdfs.deadline` of a call or two, on a busy machine.
const ANSWERED: Duration = Duration::from_secs(15);

pub fn hdfs() -> &'static Hdfs {
    tokio::task::block_in_place(|| &*HDFS)
}

/// Where one server keeps all, over its lives.
pub struct Stores {
    pub zookeepers: Vec<String>,
    /// In ZooKeeper and in HDFS.
    pub path: String,
    pub listen: String,
}

impl Stores {
    /// In a ZooKeeper behind a proxy.
    pub async fn proxied() -> (Self, Proxy) {
        let proxy = Proxy::before(&tokio::task::block_in_place(|| ZOOKEEPER.addresses().remove(0))).await;
        (Self::at(vec![proxy.address.to_string()]), proxy)
    }

    pub fn plain() -> Self {
        Self::at(tokio::task::block_in_place(|| ZOOKEEPER.addresses()))
    }

    pub fn at(zookeepers: Vec<String>) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let path = format!("/outage-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        Self { zookeepers, path, listen: format!("127.0.0.1:{}", fixed_port()) }
    }

    pub fn settings(&self) -> Vec<String> {
        vec![
            "store.metadata=\"zookeeper\"".into(),
            format!("zookeeper.servers={:?}", self.zookeepers),
            format!("zookeeper.chroot={:?}", self.path),
            "zookeeper.session-timeout=\"2s\"".into(),
            "zookeeper.commit-timeout=\"2s\"".into(),
            "store.binaries=\"hdfs\"".into(),
            format!("store.hdfs.url={:?}", hdfs().url()),
            format!("store.hdfs.path={:?}", self.path),
            "store.hdfs.deadline=\"3s\"".into(),
        ]
    }

    /// Returns when it is ready.
    pub fn start(&self, place: Place) -> Server {
        let settings = self.settings();
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        tokio::task::block_in_place(|| Server::at(place, &self.listen, &settings))
    }

    /// A server with a job that waits at its gate; and the job's id.
    pub async fn with_a_job(&self) -> (Server, Gate, String) {
        self.with_a_job_in("c").await
    }

    /// The same in a context `c` with these settings behind its name.
    pub async fn with_a_job_in(&self, context: &str) -> (Server, Gate, String) {
        let server = self.start(Place::new());
        server.upload("jobs", WHEEL, jobs()).await.is_success(201);
        server.open(context).await;
        let gate = server.gate("gate");
        let job = server.waiting(&gate).await;
        (server, gate, job)
    }
}

/// A job that makes one line in a file each time it runs, submitted under the key of its name.
pub async fn note(server: &Server, name: &str) -> Reply {
    let config = json!({"notes": server.place().path(name), "line": name});
    let path = "/jobs?appName=jobs&classPath=jobs.Notes&context=c&sync=true&timeout=60";
    let request = server.request(Method::POST, path).header("idempotency-key", name).body(config.to_string());
    Reply::to(request).await
}

/// Its job is acknowledged at last, and has run once.
pub async fn noted_once(server: &Server, name: &str) {
    eventually("an acknowledgement", || async { note(server, name).await.status == 200 }).await;
    assert_eq!(note(server, name).await.json(200)["result"], name);
    assert_eq!(std::fs::read_to_string(server.place().path(name)).unwrap(), format!("{name}\n"));
}

/// Refused at its deadline, with words, and when to come again.
#[track_caller]
pub fn is_refused(reply: &Reply, codes: &[&str]) {
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert!(codes.contains(&reply.header("doyen-error")), "{reply:?}");
    assert!(reply.header("retry-after").parse::<u32>().unwrap() > 0);
    let words = reply.value()["result"].as_str().unwrap().to_owned();
    assert!(words.contains("again"), "{words}");
    assert!(words.contains("metadata store") || words.contains("store of binaries"), "{words}");
}

/// How the server behaves while its metadata store is away, and the job runs.
pub async fn reads_and_refuses(server: &Server, job: &str) {
    eventually("an age", || async { server.get(&format!("/jobs/{job}")).await.headers.contains_key("age") }).await;
    for path in ["/binaries", "/contexts", "/contexts/c", "/jobs", &format!("/v1/jobs/{job}"), "/jobs/none"] {
        let reply = server.get(path).await;
        assert_eq!(reply.status, if path == "/jobs/none" { 404 } else { 200 }, "{path}: {}", reply.text());
        assert!(reply.header("age").parse::<u64>().unwrap() > 0);
    }
    assert_eq!(server.get(&format!("/jobs/{job}")).await.json(200)["status"], "RUNNING");
    let begun = clock::instant();
    for (path, body) in [("/contexts/late", ""), ("/jobs?appName=jobs&classPath=jobs.Echo&context=c", "a = 1")] {
        is_refused(&server.post(path, body).await, &["store-unavailable", "store-unknown"]);
    }
    assert!(clock::since(begun) < ANSWERED * 2, "{:?}", clock::since(begun));
    says_what_is_away(server, "metadata").await;
}

/// It lives, stays ready, and is not well.
pub async fn says_what_is_away(server: &Server, store: &str) {
    eventually("words", || async { server.get("/healthz").await.status == 500 }).await;
    server.get("/ping").await.is_text(200, "pong");
    let series = format!("doyen_store_away_seconds{{store=\"{store}\"}} ");
    let metrics = server.get("/metrics").await;
    let seconds = metrics.text().lines().find_map(|line| line.strip_prefix(&series));
    assert!(seconds.unwrap().parse::<u64>().unwrap() > 0, "{}", metrics.text());
    let ready = server.get("/readyz").await.json(200);
    assert_eq!(ready["status"], "SUCCESS");
    for said in [ready, server.get("/healthz").await.json(500)] {
        assert!(said["result"].as_str().is_some_and(|text| text.contains(store) && text.contains("away")), "{said}");
    }
}

/// All is well again: nothing is old, and what was acknowledged is there.
pub async fn recovers(server: &Server, job: &str) -> Value {
    eventually("health", || async { server.get("/healthz").await.status == 200 }).await;
    let ended = server.ended(job).await;
    assert_eq!((&ended["status"], &ended["result"]), (&json!("FINISHED"), &json!("went on")), "{ended}");
    let reply = server.get("/binaries").await;
    assert!(reply.json(200)["jobs"].is_object() && !reply.headers.contains_key("age"), "{reply:?}");
    server.get("/readyz").await.is_success(200);
    noted_once(server, "after").await;
    ended
}
