//! One node whose records are in ZooKeeper: it does what it does with its own file, and stays up when ZooKeeper does not.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use reqwest::Method;
use rustix::process::Signal;
use serde_json::json;

use crate::fixture::{Place, Server, WHEEL, client, eventually, fixed_port, jobs};
use crate::servers::zookeeper::Ensemble;

fn start(place: Place, listen: &str, ensemble: &Ensemble) -> Server {
    let servers = format!("zookeeper.servers={:?}", ensemble.addresses());
    Server::at(place, listen, &["store.metadata=\"zookeeper\"", &servers, "zookeeper.commit-timeout=\"2s\""])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_run_over_a_killed_server_and_a_killed_zookeeper() {
    let mut ensemble = Ensemble::start(1);
    let listen = format!("127.0.0.1:{}", fixed_port());
    let server = start(Place::new(), &listen, &ensemble);
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    server.open("c").await;
    server.open("other").await;
    let gate = server.gate("gate");
    let waiting = server.waiting(&gate).await;

    // ZooKeeper away: reads go on, changes are refused in time, the job goes on.
    ensemble.servers[0].kill();
    assert_eq!(server.get(&format!("/jobs/{waiting}")).await.json(200)["status"], "RUNNING");
    let refused = server.post("/jobs?appName=jobs&classPath=jobs.Waits&context=c", json!({})).await;
    assert!(refused.json(503)["result"].as_str().unwrap().contains("metadata store"), "{}", refused.text());
    let retry = server.request(Method::POST, "/contexts/d").send().await.unwrap();
    assert_eq!(retry.status(), 503);
    let goes_on = server.delete("/contexts/other").await;
    assert!(goes_on.text().contains("metadata store (`store.metadata`)"), "{} {}", goes_on.status, goes_on.text());
    ensemble.servers[0].start();
    eventually("a change", || async { server.post("/contexts/e", "").await.status == 200 }).await;

    // The server away: the next one finds all of it.
    server.signal(Signal::KILL);
    let (_, place) = server.end().await;
    let server = start(place, &listen, &ensemble);
    server.context_becomes("c", "RUNNING").await;
    gate.open();
    assert_eq!(server.ended(&waiting).await["status"], "FINISHED");
    server.get("/binaries").await.json(200)["jobs"].as_object().unwrap();
    server.reset().await;
}

#[tokio::test]
async fn a_zookeeper_that_is_not_there_is_named_with_its_setting_and_waited_for() {
    let place = Place::new();
    let (nobody, listen) = (fixed_port(), format!("127.0.0.1:{}", fixed_port()));
    let nobody = format!("zookeeper.servers=[\"127.0.0.1:{nobody}\"]");
    let settings = ["store.metadata=\"zookeeper\"", &nobody, "zookeeper.session-timeout=\"1s\""];
    let log = std::fs::File::create(place.path("server.log")).unwrap();
    let mut child = place.command(&listen, &settings).stderr(log).spawn().unwrap();
    let said = || std::fs::read_to_string(place.path("server.log")).unwrap();
    eventually("its words", || async { said().contains("trying again") }).await;
    assert!(said().contains("`zookeeper.servers`") && said().contains("cannot be connected to"), "{}", said());
    let ready = client().get(format!("http://{listen}/readyz")).send().await.unwrap();
    assert_eq!((ready.status().as_u16(), ready.headers()["doyen-error"].to_str().unwrap()), (503, "starting"));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_for_a_record_is_told_before_anything_is_done() {
    let ensemble = Ensemble::start(1);
    let server = start(Place::new(), "127.0.0.1:0", &ensemble);
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    server.open("c").await;
    let body = |bytes: usize| json!({ "text": "x".repeat(bytes) });
    let job = "/jobs?appName=jobs&classPath=jobs.Echo";
    for (path, bytes) in [
        (format!("{job}&context=c"), 850_000),
        (format!("{job}&context=c&queue=true"), 2_000_000),
        // No context is made for it.
        (job.to_owned(), 4_000_000),
        ("/contexts/d".to_owned(), 850_000),
        ("/contexts/d".to_owned(), 4_000_000),
    ] {
        let refused = server.post(&path, body(bytes)).await;
        let text = refused.json(413)["result"].as_str().unwrap().to_owned();
        assert!(text.contains("takes at most 800000"), "{path}: {text}");
    }
    // Shorter by itself; with all its quotes, the record is not.
    let keys: serde_json::Map<_, _> = (10_000..55_000).map(|key| (format!("k{key}"), json!("value"))).collect();
    server.post("/contexts/d", json!(keys)).await.json(413);
    assert_eq!(server.get("/contexts").await.json(200), json!(["c"]));
    // What is just taken also ends.
    let most = server.post(&format!("{job}&context=c&sync=true&timeout=60"), body(790_000)).await;
    assert_eq!(most.json(200)["result"]["text"].as_str().unwrap().len(), 790_000);
    server.reset().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_zookeeper_is_asked_is_counted_and_timed() {
    let ensemble = Ensemble::start(1);
    let server = start(Place::new(), "127.0.0.1:0", &ensemble);
    let metrics = async || server.get("/metrics").await.text().to_owned();
    let of = |text: &str, name: &str| -> f64 {
        let line =
            text.lines().find_map(|line| line.strip_prefix("doyen_zookeeper_")?.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    };
    server.open("before").await;
    let before = metrics().await;
    server.open("c").await;
    let after = metrics().await;
    for name in ["commits_total", "transactions_total", "transaction_duration_seconds_count", "znodes"] {
        assert!(of(&after, name) > of(&before, name), "{name}: {after}");
    }
    assert!(of(&after, "transactions_total") <= of(&after, "commits_total"), "{after}");
    assert!(of(&after, "sessions_total") >= 1.0);
    server.reset().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_was_made_without_a_user_is_told_to_stay_open_and_what_shuts_it() {
    let ensemble = Ensemble::start(1);
    let server = start(Place::new(), "127.0.0.1:0", &ensemble);
    server.signal(Signal::TERM);
    let (_, place) = server.end().await;
    private(&place.path("auth"), "doyen:secret");
    let auth = format!("zookeeper.auth-file={:?}", place.path("auth"));
    let servers = format!("zookeeper.servers={:?}", ensemble.addresses());
    let server = Server::at(place, "127.0.0.1:0", &["store.metadata=\"zookeeper\"", &servers, &auth]);
    let log = server.log();
    for words in ["/doyen/format", "setAcl -R /doyen auth::cdrwa"] {
        assert!(log.contains(words), "{words}: {log}");
    }
    assert!(!log.contains("secret"), "{log}");
}

fn private(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namenode_that_answers_nothing_is_named_with_its_setting_soon() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = Place::new();
    let url = format!("store.hdfs.url=\"hdfs://{}\"", silent.local_addr().unwrap());
    let log = std::fs::File::create(place.path("server.log")).unwrap();
    let mut command = place.command("127.0.0.1:0", &["store.binaries=\"hdfs\"", &url]);
    let mut child = command.stderr(log).spawn().unwrap();
    let said = || std::fs::read_to_string(place.path("server.log")).unwrap();
    eventually("its words", || async { said().contains("has not answered yet") }).await;
    assert!(said().contains("`store.hdfs.url` hdfs://127.0.0.1:"), "{}", said());
    child.kill().unwrap();
    child.wait().unwrap();
}
