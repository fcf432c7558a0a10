//! Records are lost, or the server's disk, and the content is in HDFS: what is refused, and goes on once somebody has said so.

use std::process::Output;

use hdfs_native::ClientBuilder;
use rustix::process::Signal;
use serde_json::json;
use zookeeper_client::Client;

use crate::fixture::{Place, Server, WHEEL, jobs};
use crate::servers::zookeeper::Ensemble;
use crate::stores::{CALM, Stores, hdfs};
use crate::unread::store;

/// A server that runs a job, which leaves content in HDFS.
async fn works(server: &Server) -> String {
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    server.open("c").await;
    let job = server.job("Large", &json!({"size": 1_000_000})).await;
    assert_eq!(server.ended(&job).await["status"], "FINISHED");
    job
}

async fn stopped(server: Server) -> Place {
    server.signal(Signal::INT);
    server.end().await.1
}

/// A start ends with words of this kind.
fn is_refused(stores: &Stores, place: &Place, words: &[&str]) {
    let settings = stores.settings();
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let ended = tokio::task::block_in_place(|| place.command(&stores.listen, &settings).output().unwrap());
    let Output { status, stderr, .. } = ended;
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(64), "{said}");
    assert!(words.iter().all(|words| said.contains(words)) && said.contains("doyen store adopt"), "{words:?}: {said}");
}

/// By `doyen store adopt`, once it is agreed to.
fn is_adopted(stores: &Stores, place: &Place, words: &str) {
    let (code, _, said) = store(stores, place, &["adopt"]);
    assert!(code == Some(2) && said.contains(words), "{code:?} {said}");
    let (code, _, said) = store(stores, place, &["adopt", "--yes"]);
    assert!(code == Some(0) && said.contains("done: everything belongs"), "{code:?} {said}");
    let (code, _, said) = store(stores, place, &["adopt"]);
    assert!(code == Some(0) && said.contains("there is nothing to take over"), "{code:?} {said}");
}

async fn chroots(ensemble: &Ensemble) -> Vec<String> {
    Client::connect(&ensemble.addresses().join(",")).await.unwrap().list_children("/").await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zookeeper_has_lost_its_data_and_then_the_disk_is_lost() {
    let _calm = CALM.read().await;
    let mut ensemble = tokio::task::block_in_place(|| Ensemble::start(1));
    let stores = Stores::at(ensemble.addresses());
    let server = stores.start(Place::new());
    works(&server).await;
    let place = stopped(server).await;
    tokio::task::block_in_place(|| ensemble.servers[0].empty());

    let in_hdfs = format!("the store of binaries {} in HDFS belongs to the metadata store", stores.path);
    is_refused(&stores, &place, &["holds no metadata store yet", &in_hdfs]);
    assert_eq!(chroots(&ensemble).await, ["zookeeper"]);
    // Its directory in HDFS is as empty as its chroot: nothing speaks against that but the data directory.
    let elsewhere = Stores {
        zookeepers: stores.zookeepers.clone(),
        path: format!("{}-wrong", stores.path),
        listen: stores.listen.clone(),
    };
    is_refused(&elsewhere, &place, &["holds no metadata store yet", "data directory"]);
    assert_eq!(chroots(&ensemble).await, ["zookeeper"]);
    let in_hdfs = ClientBuilder::new().with_url(hdfs().url()).build().unwrap();
    assert!(in_hdfs.get_file_info(&stores.path).await.is_ok() && in_hdfs.get_file_info(&elsewhere.path).await.is_err());

    is_adopted(&stores, &place, "ALL content is deleted; there is content");
    let server = stores.start(place);
    assert_eq!(server.get("/jobs").await.json(200), json!([]));
    let job = works(&server).await;
    let place = stopped(server).await;
    std::fs::remove_dir_all(place.path("data")).unwrap();

    is_refused(&stores, &place, &["is that of node"]);
    is_adopted(&stores, &place, "which is that of node");
    let server = stores.start(place);
    assert!(server.get(&format!("/v1/jobs/{job}/result")).await.body.len() > 1_000_000);
    works(&server).await;
    let place = stopped(server).await;
    let (code, found, said) = store(&stores, &place, &["check"]);
    assert_eq!(code, Some(0), "{found} {said}");
}
