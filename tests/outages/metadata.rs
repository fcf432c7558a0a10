//! ZooKeeper is away, slow, or not as it was.

use std::time::Duration;

use doyen::runtime::clock;
use rustix::process::Signal;
use zookeeper_client::Client;

use crate::fixture::{Server, WHEEL, eventually, jobs};
use crate::servers::proxy::{Proxy, Weather};
use crate::servers::zookeeper::Ensemble;
use crate::stores::{CALM, Stores, is_refused, note, noted_once, reads_and_refuses, recovers};

/// With no quorum.
const WITHOUT: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_dies_and_then_there_is_no_quorum_for_twenty_seconds() {
    let _calm = CALM.read().await;
    let mut ensemble = tokio::task::block_in_place(|| Ensemble::start(3));
    let stores = Stores::at(ensemble.addresses());
    let (server, gate, job) = stores.with_a_job().await;
    let first = ensemble.leader();
    ensemble.servers[first].kill();
    noted_once(&server, "without-the-first").await;
    let next = ensemble.leader();
    ensemble.servers[next].kill();
    let begun = clock::instant();
    reads_and_refuses(&server, &job).await;
    // It ends while nothing can be stored.
    gate.open();
    tokio::time::sleep(WITHOUT.saturating_sub(clock::since(begun))).await;
    for server in [first, next] {
        tokio::task::block_in_place(|| ensemble.servers[server].start());
    }
    recovers(&server, &job).await;
    noted_once(&server, "without-the-first").await;
    server.reset().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_link_is_cut() {
    let _calm = CALM.read().await;
    let (stores, proxy) = Stores::proxied().await;
    let (server, gate, job) = stores.with_a_job().await;
    proxy.set(Weather::Cut);
    reads_and_refuses(&server, &job).await;
    gate.open();
    proxy.set(Weather::Fair);
    recovers(&server, &job).await;
    server.reset().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_stands_still_until_its_session_has_expired() {
    let _calm = CALM.read().await;
    let (server, gate, job) = Stores::plain().with_a_job().await;
    server.signal(Signal::STOP);
    // Three times as long as ZooKeeper keeps a session of it.
    tokio::time::sleep(Duration::from_secs(6)).await;
    server.signal(Signal::CONT);
    gate.open();
    recovers(&server, &job).await;
    let log = std::fs::read_to_string(server.place().path("server.log")).unwrap();
    assert!(log.matches("a session with ZooKeeper has begun").count() > 1, "{log}");
    server.reset().await;
}

/// Nobody knows whether the job was recorded. Asked again with its key it runs once.
async fn unknown(weather: Weather) {
    let _calm = CALM.read().await;
    let (stores, proxy) = Stores::proxied().await;
    let (server, gate, job) = stores.with_a_job().await;
    let name = fate_of_one_is_unknown(&server, &proxy, weather).await;
    reads_and_refuses(&server, &job).await;
    proxy.set(Weather::Cut);
    proxy.set(Weather::Fair);
    noted_once(&server, &name).await;
    gate.open();
    recovers(&server, &job).await;
    server.reset().await;
}

/// The name of that job. On a busy machine the link may be found dead before anything is sent: then it is tried once more.
async fn fate_of_one_is_unknown(server: &Server, proxy: &Proxy, weather: Weather) -> String {
    for n in 0..20 {
        let name = format!("unknown-{n}");
        proxy.set(weather);
        let reply = note(server, &name).await;
        is_refused(&reply, &["store-unknown", "store-unavailable"]);
        if reply.header("doyen-error") == "store-unknown" {
            assert!(reply.text().contains("Idempotency-Key"), "{}", reply.text());
            return name;
        }
        proxy.set(Weather::Cut);
        proxy.set(Weather::Fair);
        eventually("health", || async { server.get("/healthz").await.status == 200 }).await;
    }
    panic!("nothing is ever sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_take_ten_seconds() {
    unknown(Weather::Slow(Duration::from_secs(10))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_lost_after_the_commit() {
    unknown(Weather::AnswersLost).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_znode_is_deleted_by_hand() {
    let _calm = CALM.read().await;
    let stores = Stores::plain();
    let (server, gate, job) = stores.with_a_job().await;
    let client = Client::connect(&stores.zookeepers.join(",")).await.unwrap();
    let (data, mut deleted) = (format!("{}/data", stores.path), 0);
    for shard in client.list_children(&data).await.unwrap() {
        deleted += u32::from(client.delete(&format!("{data}/{shard}/jobs"), None).await.is_ok());
    }
    assert_eq!(deleted, 1);
    // Noticed by the first change that needs it, which is made all the same.
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    gate.open();
    recovers(&server, &job).await;
    server.reset().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_context_whose_record_is_deleted_by_hand_is_told_as_gone_and_its_name_is_free_once_it_is_stopped() {
    let _calm = CALM.read().await;
    let stores = Stores::plain();
    let (server, gate, job) = stores.with_a_job().await;
    let id = server.get("/contexts/c").await.json(200)["id"].as_str().unwrap().to_owned();
    let client = Client::connect(&stores.zookeepers.join(",")).await.unwrap();
    let (data, mut deleted) = (format!("{}/data", stores.path), 0);
    for shard in client.list_children(&data).await.unwrap() {
        deleted += u32::from(client.delete(&format!("{data}/{shard}/{id}"), None).await.is_ok());
    }
    assert_eq!(deleted, 1);
    assert_eq!(note(&server, "vain").await.status, 404);
    // What runs there goes on.
    gate.open();
    assert_eq!(server.ended(&job).await["result"], "went on");
    server.delete("/contexts/c").await.says(200, "SUCCESS", "Context stopped");
    server.open("c").await;
    noted_once(&server, "afterwards").await;
    server.reset().await;
}
