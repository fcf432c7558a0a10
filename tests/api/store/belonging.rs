//! Whose drivers and content it is: a server that is started over the wrong metadata store touches nothing, and what it lacks is adopted.

use std::path::PathBuf;

use doyen::adapters::embedded::EmbeddedStore;
use doyen::core::keys::STORE_ID;
use doyen::ports::{Commit, MetaStore, Write};
use rustix::process::Signal;
use serde_json::json;
use zookeeper_client::Client;

use super::day::{command, day, ended, exported, store};
use crate::fixture::{Gate, Place, Server, WHEEL, fixed_port, jobs};
use crate::servers::zookeeper::Ensemble;

const NEW: &str = "holds no metadata store yet, but";

/// Settings of a server with its records there.
fn zookeeper(ensemble: &Ensemble, chroot: &str) -> Vec<String> {
    let servers = format!("zookeeper.servers={:?}", ensemble.addresses());
    vec!["store.metadata=\"zookeeper\"".into(), servers, format!("zookeeper.chroot={chroot:?}")]
}

/// Settings of a server with its content in this place, beside the data directory.
fn shared(place: &Place) -> Vec<String> {
    let directory = place.path("shared");
    std::fs::create_dir_all(&directory).unwrap();
    vec!["store.binaries=\"shared\"".into(), format!("store.shared.directory={directory:?}")]
}

fn all<'a>(settings: &'a [&[String]]) -> Vec<&'a str> {
    settings.iter().copied().flatten().map(String::as_str).collect()
}

/// Of a ZooKeeper, what stands below its root.
async fn chroots(ensemble: &Ensemble) -> Vec<String> {
    let client = Client::connect(&ensemble.addresses().join(",")).await.unwrap();
    let mut names = client.list_children("/").await.unwrap();
    names.sort();
    names
}

/// A server that has ended; a job has left a result in the store of binaries.
struct Ended {
    place: Place,
    listen: String,
    done: String,
    /// At work on another one.
    driver: Option<(Gate, String)>,
}

impl Ended {
    async fn of(place: Place, settings: &[&str], leaves_driver: bool) -> Self {
        let listen = format!("127.0.0.1:{}", fixed_port());
        let server = Server::at(place, &listen, settings);
        server.upload("jobs", WHEEL, jobs()).await.is_success(201);
        server.open("c").await;
        let done = server.job("Large", &json!({"size": 3_000_000})).await;
        assert_eq!(server.ended(&done).await["status"], "FINISHED");
        let mut driver = None;
        if leaves_driver {
            let gate = server.gate("gate");
            let running = server.waiting(&gate).await;
            driver = Some((gate, running));
        }
        server.signal(if leaves_driver { Signal::KILL } else { Signal::INT });
        let (_, place) = server.end().await;
        Self { place, listen, done, driver }
    }

    #[track_caller]
    fn is_refused(&self, settings: &[&str], words: &[&str]) {
        let before = self.place.processes().len();
        let refused = ended(self.place.command(&self.listen, settings).output().unwrap()).is(64);
        words.iter().for_each(|words| refused.says(words));
        refused.says("doyen store adopt");
        assert_eq!(self.place.processes().len(), before);
    }

    /// Serves what was there before.
    async fn serves(self, settings: &[&str]) -> Server {
        let server = Server::at(self.place, &self.listen, settings);
        if let Some((gate, running)) = self.driver {
            gate.open();
            assert_eq!(server.ended(&running).await["result"], "went on");
        }
        assert!(server.get(&format!("/v1/jobs/{}/result", self.done)).await.body.len() > 3_000_000);
        server
    }
}

/// A place for binaries that belongs to another server.
fn strangers_binaries(place: &Place) -> PathBuf {
    let directory = place.path("strangers");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("owner"), r#"{"store":"another","place":"elsewhere"}"#).unwrap();
    directory
}

async fn stopped(server: Server) -> Place {
    server.signal(Signal::INT);
    server.end().await.1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_a_mistyped_chroot_or_an_emptied_zookeeper_nothing_is_touched_and_over_the_right_one_the_job_goes_on() {
    let (mut ensemble, place) = (Ensemble::start(1), Place::new());
    let (right, wrong, content) = (zookeeper(&ensemble, "/doyen"), zookeeper(&ensemble, "/doyne"), shared(&place));
    let (right, wrong) = ([&right[..], &content], [&wrong[..], &content]);
    let killed = Ended::of(place, &all(&right), true).await;

    killed.is_refused(&all(&wrong), &["/doyne in ZooKeeper", NEW, "(/doyen in ZooKeeper", "the store of binaries"]);
    store(&killed.place, &["adopt"], &all(&wrong)).is(2).says("/doyne in ZooKeeper");
    let export = exported(&day().await.copied(), &killed.place);
    let strangers = format!("store.shared.directory={:?}", strangers_binaries(&killed.place));
    let import = ["import", export.to_str().unwrap()];
    let settings = [all(&wrong), vec![&*strangers]].concat();
    store(&killed.place, &import, &settings).is(64).says("belongs to the metadata store another");
    // Nor is a new one in the data directory, where nobody looks for it later.
    killed.is_refused(&all(&[wrong[1]]), &["meta.redb holds no metadata store yet", "(/doyen in ZooKeeper"]);
    assert!(!killed.place.path("data/meta.redb").exists());
    assert_eq!(chroots(&ensemble).await, ["doyen", "zookeeper"]);
    ensemble.servers[0].empty();
    killed.is_refused(&all(&right), &["/doyen in ZooKeeper", NEW, "data directory"]);
    assert_eq!(chroots(&ensemble).await, ["zookeeper"]);
    ensemble.servers[0].restore();
    stopped(killed.serves(&all(&right)).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_grows_from_its_data_directory_to_zookeeper_by_an_import_and_not_by_a_setting() {
    let ensemble = Ensemble::start(1);
    let zookeeper = zookeeper(&ensemble, "/doyen");
    let zookeeper = all(&[&zookeeper]).into_iter().map(str::to_owned).collect::<Vec<_>>();
    let grown: Vec<&str> = zookeeper.iter().map(String::as_str).collect();
    let killed = Ended::of(Place::new(), &[], true).await;
    killed.is_refused(&grown, &[NEW, "meta.redb)"]);
    let (done, listen) = (killed.done.clone(), killed.listen.clone());
    let place = stopped(killed.serves(&[]).await).await;

    let file = place.path("file");
    store(&place, &["export", file.to_str().unwrap()], &[]).is(0);
    let import = ["import", file.to_str().unwrap()];
    for point in
        ["store-id:after:1", "store-import-begin:after:1", "directory-store:before:1", "directory-store:after:1"]
    {
        let killed = command(&place, &import, &grown).env("DOYEN_CRASH", point).output().unwrap();
        assert_eq!(ended(killed).code, None, "{point}");
    }
    store(&place, &import, &grown).is(0).says("gone on with an import");
    let moved = Ended { place, listen, done, driver: None };
    let (listen, done) = (moved.listen.clone(), moved.done.clone());
    let place = stopped(moved.serves(&grown).await).await;

    // The old store is there still, and no longer that of this directory.
    let moved = Ended { place, listen, done, driver: None };
    moved.is_refused(&[], &["meta.redb holds the metadata store", "(/doyen in ZooKeeper"]);
    store(&moved.place, &["check"], &[]).is(64).says("doyen store adopt");
    store(&moved.place, &["adopt"], &[]).is(2).says("data directory");
    moved.is_refused(&[], &["holds the metadata store"]);
    store(&moved.place, &["adopt", "-y"], &[]).is(0).says("done: everything belongs");
    stopped(moved.serves(&[]).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_new_disk_all_is_there_once_it_is_adopted() {
    let (ensemble, old) = (Ensemble::start(1), Place::new());
    let (records, content) = (zookeeper(&ensemble, "/doyen"), shared(&old));
    let settings = [&records[..], &content];
    let settings = all(&settings);
    let lost = Ended::of(old, &settings, false).await;
    std::fs::remove_dir_all(lost.place.path("data")).unwrap();
    let refused = ["is that of node", "data directory"];
    lost.is_refused(&settings, &refused);
    store(&lost.place, &["adopt"], &settings).is(2).says("/doyen in ZooKeeper");
    lost.is_refused(&settings, &refused);
    let killed = command(&lost.place, &["adopt", "--yes"], &settings);
    let killed = { killed }.env("DOYEN_CRASH", "directory-store:before:1").output().unwrap();
    assert_eq!(ended(killed).code, None);
    store(&lost.place, &["adopt", "-y"], &settings).is(0);
    store(&lost.place, &["adopt"], &settings).is(0).says("there is nothing to take over");
    store(&lost.place, &["check"], &settings).is(0).says("the store is sound");
    stopped(lost.serves(&settings).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn binaries_whose_records_are_lost_are_taken_over_only_by_an_adoption_that_names_what_goes() {
    let place = Place::new();
    let content = shared(&place);
    let settings = [&content[..]];
    let settings = all(&settings);
    let lost = Ended::of(place, &settings, false).await;
    std::fs::remove_dir_all(lost.place.path("data")).unwrap();
    lost.is_refused(&settings, &[NEW, "the store of binaries"]);
    assert!(!lost.place.path("data/meta.redb").exists());
    store(&lost.place, &["adopt"], &settings).is(2).says("ALL content is deleted; there is content, like blob");
    for point in ["store-id:before:1", "store-id:after:1", "binaries-owner:before:1"] {
        let killed = { command(&lost.place, &["adopt", "-y"], &settings) }.env("DOYEN_CRASH", point).output().unwrap();
        assert_eq!(ended(killed).code, None, "{point}");
        lost.is_refused(&settings, &["the store of binaries"]);
    }
    store(&lost.place, &["adopt", "-y"], &settings).is(0);
    stopped(Server::at(lost.place, &lost.listen, &settings)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_earlier_version_left_without_an_id_is_given_one() {
    let place = Place::new();
    let content = shared(&place);
    let settings = [&content[..]];
    let settings = all(&settings);
    let old = Ended::of(place, &settings, true).await;
    let meta = EmbeddedStore::open(&old.place.path("data/meta.redb"), 1 << 20).unwrap();
    let commit = Commit { preconditions: Vec::new(), writes: vec![Write::Delete(STORE_ID.into())] };
    meta.commit(commit).await.unwrap();
    drop(meta);
    std::fs::remove_file(old.place.path("data/store")).unwrap();
    std::fs::write(old.place.path("data/id"), "01a2\n").unwrap();
    std::fs::write(old.place.path("shared/owner"), "01a2").unwrap();

    // Where it is told to look elsewhere at the same time, nothing is named, and drivers and content are there all the same.
    let (meta, aside) = (old.place.path("data/meta.redb"), old.place.path("aside"));
    std::fs::rename(&meta, &aside).unwrap();
    old.is_refused(&settings, &[NEW, "a driver's directory"]);
    std::fs::rename(&aside, &meta).unwrap();
    let place = stopped(old.serves(&settings).await).await;
    let name = std::fs::read_to_string(place.path("data/store")).unwrap();
    assert_eq!(std::fs::read_to_string(place.path("shared/owner")).unwrap(), name.trim());
}
