//! A server is started while a store is away: it waits, says so, and takes up its drivers when the store is back.

use rustix::process::Signal;

use crate::fixture::{Place, Reply, Server, client, eventually};
use crate::servers::proxy::Weather;
use crate::stores::{CALM, Stores, hdfs, recovers};

/// What is asked before the server is ready.
async fn get(stores: &Stores, path: &str) -> Option<Reply> {
    let response = client().get(format!("http://{}{path}", stores.listen)).send().await.ok()?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Some(Reply { status, headers, body: response.bytes().await.ok()?.to_vec() })
}

/// Lives, is not ready, and says which store it waits for.
async fn waits_for(stores: &Stores, store: &str) {
    let pong = async || get(stores, "/ping").await.is_some_and(|reply| reply.status == 200);
    eventually("a pong", || async { pong().await }).await;
    for (path, status) in [("/readyz", 503), ("/healthz", 500), ("/jobs", 503), ("/v1/drivers/x/attach", 503)] {
        let reply = get(stores, path).await.unwrap();
        assert_eq!((reply.status, reply.header("doyen-error")), (status, "starting"), "{path}: {}", reply.text());
        assert!(reply.text().contains("waits") && reply.text().contains(store), "{}", reply.text());
        assert_eq!(reply.header("retry-after"), "5");
    }
}

/// The first server dies; `away` happens, and the next one is started; `back` ends it.
async fn starts_late(stores: Stores, store: &str, away: impl AsyncFnOnce(), back: impl AsyncFnOnce()) {
    let (server, gate, job) = stores.with_a_job().await;
    server.signal(Signal::KILL);
    let (_, place) = server.end().await;
    away().await;
    let (listen, settings) = (stores.listen.clone(), stores.settings());
    let starting = tokio::task::spawn_blocking(move || {
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        Server::at(place, &listen, &settings)
    });
    waits_for(&stores, store).await;
    gate.open();
    assert!(!starting.is_finished());
    back().await;
    let server = starting.await.unwrap();
    recovers(&server, &job).await;
    server.context_becomes("c", "RUNNING").await;
    server.reset().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_zookeeper_is_away() {
    let _calm = CALM.read().await;
    let (stores, proxy) = Stores::proxied().await;
    starts_late(stores, "metadata", async || proxy.set(Weather::Cut), async || proxy.set(Weather::Fair)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_namenode_stands_still() {
    let _alone = CALM.write().await;
    let frozen = std::cell::Cell::new(None);
    let away = async || frozen.set(Some(tokio::task::block_in_place(|| hdfs().freeze_namenode())));
    starts_late(Stores::plain(), "binaries", away, async || drop(frozen.take())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_waits_is_stopped_as_any_other() {
    let _calm = CALM.read().await;
    let (stores, proxy) = Stores::proxied().await;
    // Each try takes long; who asks does not wait for that.
    proxy.set(Weather::Silent);
    let place = Place::new();
    let settings = stores.settings();
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let mut child = place.command(&stores.listen, &settings).spawn().unwrap();
    waits_for(&stores, "metadata").await;
    let pid = rustix::process::Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(tokio::task::block_in_place(|| child.wait().unwrap()).code(), Some(0));
}

/// Waiting would help nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_configured_wrongly_ends_it_at_once() {
    let _calm = CALM.read().await;
    let stores = Stores::plain();
    for (wrong, code, words) in [
        ("store.hdfs.url=\"hdfs://name-service\"", 64, "store.hdfs.conf-dir"),
        ("zookeeper.chroot=\"/a//b\"", 64, "zookeeper.chroot"),
    ] {
        let mut settings = stores.settings();
        settings.push(wrong.into());
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let output = tokio::task::block_in_place(|| Place::new().command("127.0.0.1:0", &settings).output().unwrap());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(words), "{said}");
    }
}
