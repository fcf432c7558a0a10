//! What lasts until somebody puts it right: it is told with what to do, and not again and again.

use std::time::Duration;

use reqwest::Method;
use rustix::process::Signal;
use tokio::time::sleep;
use zookeeper_client::{Acl, AuthId, Client, Permission};

use crate::fixture::{Place, Server, eventually};
use crate::stores::{CALM, Stores, hdfs, says_what_is_away};

/// In this time a state is logged once or twice.
const WHILE: Duration = Duration::from_secs(8);
const FEW: usize = 8;

async fn zookeeper(stores: &Stores) -> Client {
    Client::connect(&stores.zookeepers.join(",")).await.unwrap()
}

async fn wipe(client: &Client, path: &str) {
    for name in client.list_children(path).await.unwrap() {
        Box::pin(wipe(client, &format!("{path}/{name}"))).await;
    }
    client.delete(path, None).await.unwrap();
}

/// From now on it logs little.
async fn is_calm(what: &str, log: impl Fn() -> String) {
    let before = log().lines().count();
    sleep(WHILE).await;
    let lines = log().lines().count() - before;
    assert!(lines < FEW, "{what}: {lines} lines in {WHILE:?}: {}", log());
}

async fn logs(server: &Server, words: &[&str]) {
    eventually("words in the log", || async { words.iter().all(|word| server.log().contains(word)) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_somebody_deleted_is_named_now_and_at_the_next_start() {
    let _calm = CALM.read().await;
    let stores = Stores::plain();
    let server = stores.start(Place::new());
    let path = format!("{}/log", stores.path);
    wipe(&zookeeper(&stores).await, &path).await;
    let words = format!("{path} is missing: somebody deleted it");
    logs(&server, &[&words]).await;
    says_what_is_away(&server, "metadata").await;
    is_calm("without its log", || server.log()).await;
    server.signal(Signal::TERM);
    let (code, place) = server.end().await;
    assert_eq!(code, Some(0));
    let settings = stores.settings();
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let output = tokio::task::block_in_place(|| place.command(&stores.listen, &settings).output().unwrap());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(69) && said.contains(&words) && said.contains("doyen store import"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_that_zookeeper_refuses_are_told_by_health_and_the_log_with_the_remedy() {
    let _calm = CALM.read().await;
    let stores = Stores::plain();
    let server = stores.start(Place::new());
    let client = zookeeper(&stores).await;
    let data = format!("{}/data", stores.path);
    let set = async |permission: Permission| {
        for shard in client.list_children(&data).await.unwrap() {
            let acl = [Acl::new(permission, AuthId::anyone())];
            client.set_acl(&format!("{data}/{shard}"), &acl, None).await.unwrap();
        }
    };
    set(Permission::READ | Permission::ADMIN).await;
    let submit = async || server.request(Method::POST, "/contexts/c").send().await.unwrap().status().as_u16();
    assert_eq!(submit().await, 503);
    logs(&server, &["ZooKeeper refuses to write a znode", "`zookeeper.auth-file` is not set", &data]).await;
    let health = server.get("/healthz").await.json(500);
    assert!(health["result"].as_str().unwrap().contains("has refused some changes"), "{health}");
    assert_eq!(server.get("/readyz").await.status, 200);
    set(Permission::ALL).await;
    eventually("a context", || async { submit().await == 200 }).await;
    server.reset().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_of_something_else_is_told_at_a_pace() {
    let _calm = CALM.read().await;
    let stores = Stores::plain();
    for wrong in [
        format!("store.hdfs.url=\"hdfs://{}\"", stores.zookeepers[0]),
        format!("zookeeper.servers={:?}", [hdfs().address()]),
    ] {
        let place = Place::new();
        let mut settings = stores.settings();
        settings.push(wrong.clone());
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let log = place.path("server.log");
        let mut command = place.command("127.0.0.1:0", &settings);
        let mut child = command.stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap();
        let read = || std::fs::read_to_string(&log).unwrap();
        eventually("its words", || async { read().contains("a store is away; trying again") }).await;
        is_calm(&wrong, read).await;
        child.kill().unwrap();
        tokio::task::block_in_place(|| child.wait().unwrap());
    }
}
