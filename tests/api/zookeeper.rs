//! One node whose records are in ZooKeeper: it does what it does with its own file, and stays up when ZooKeeper does not.

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
    let gate = server.gate("gate");
    let waiting = server.waiting(&gate).await;

    // ZooKeeper away: reads go on, changes are refused in time, the job goes on.
    ensemble.servers[0].kill();
    assert_eq!(server.get(&format!("/jobs/{waiting}")).await.json(200)["status"], "RUNNING");
    let refused = server.post("/jobs?appName=jobs&classPath=jobs.Waits&context=c", json!({})).await;
    assert_eq!(refused.status, 503);
    let retry = server.request(Method::POST, "/contexts/d").send().await.unwrap();
    assert_eq!(retry.status(), 503);
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
