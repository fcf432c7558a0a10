//! A server that still lives while its stores are taken over: it notices, changes nothing any more, ends, and leaves its drivers.

use doyen::adapters::possessed::Life;
use rustix::process::{Pid, Signal, kill_process};

use super::day::store;
use crate::fixture::{Place, Server, WHEEL, eventually, fixed_port, jobs, wheel};
use crate::servers::zookeeper::Ensemble;

fn listen() -> String {
    format!("127.0.0.1:{}", fixed_port())
}

/// Its drivers live on; they are ended here.
fn left_with_drivers(place: &Place) {
    let left = place.processes();
    assert!(!left.is_empty());
    for process in left {
        let _ = kill_process(Pid::from_raw(process.pid.try_into().unwrap()).unwrap(), Signal::KILL);
    }
    place.assert_nothing_is_left();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_frozen_while_its_chroot_was_adopted_ends_and_never_takes_it_back() {
    let ensemble = Ensemble::start(1);
    let servers = format!("zookeeper.servers={:?}", ensemble.addresses());
    let settings = ["store.metadata=\"zookeeper\"", &servers, "zookeeper.session-timeout=\"2s\""];
    let (old_listen, new_listen) = (listen(), listen());
    let old = Server::at(Place::new(), &old_listen, &settings);
    old.upload("jobs", WHEEL, jobs()).await.is_success(201);
    old.open("c").await;
    let place = Place::new();
    store(&place, &["adopt", "-y"], &settings).is(64).says("which is alive");

    old.signal(Signal::STOP);
    store(&place, &["adopt", "-y"], &settings).is(0).says("which is that of node");
    // Nobody holds the chroot in this moment.
    old.signal(Signal::CONT);
    let log = old.place().path("server.log");
    let (code, left) = old.end().await;
    let said = std::fs::read_to_string(log).unwrap();
    let owner = place.path("data").display().to_string();
    assert_eq!(code, Some(64), "{said}");
    assert!(
        said.contains("error: ") && said.contains("in ZooKeeper is that of node") && said.contains(&owner),
        "{said}"
    );
    left_with_drivers(&left);

    let new = Server::at(place, &new_listen, &settings);
    new.open("later").await;
    new.signal(Signal::TERM);
    let (code, place) = new.end().await;
    assert_eq!(code, Some(0));
    let refused = left.command(&old_listen, &settings).output().unwrap();
    assert_eq!(refused.status.code(), Some(64));
    let new = Server::at(place, &new_listen, &settings);
    new.context_becomes("later", "RUNNING").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_binaries_were_adopted_takes_no_content_and_ends() {
    let (old, new) = (Place::new(), Place::new());
    let directory = old.path("shared");
    std::fs::create_dir_all(&directory).unwrap();
    let directory = format!("store.shared.directory={directory:?}");
    let settings = ["store.binaries=\"shared\"", &directory];
    let old_listen = listen();
    let old = Server::at(old, &old_listen, &settings);
    old.upload("jobs", WHEEL, jobs()).await.is_success(201);
    old.open("c").await;
    let adopt = store(&new, &["adopt", "-y"], &settings).is(66);
    adopt.says("worked with the store of binaries");
    adopt.says(&old.place().path("data").display().to_string());
    adopt.says("--force");
    store(&new, &["adopt", "-y", "--force"], &settings).is(0).says("ALL content is deleted");

    // It knew a moment ago that they were its own.
    let number = std::sync::atomic::AtomicU32::new(0);
    eventually("an upload that is refused", || async {
        let next = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_string();
        let request = old.request(reqwest::Method::POST, "/binaries/late");
        let answer = request.header("content-type", WHEEL).body(wheel(&[("a.py", &next)])).send().await;
        answer.is_ok_and(|answer| answer.status() == 503)
    })
    .await;
    let log = old.place().path("server.log");
    let (code, left) = old.end().await;
    let said = std::fs::read_to_string(log).unwrap();
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("now, and no longer to") && said.contains("error: the store of binaries"), "{said}");
    left_with_drivers(&left);
    let refused = left.command(&old_listen, &settings).output().unwrap();
    assert_eq!(refused.status.code(), Some(64));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_server_left_is_adopted_later_or_by_force_and_what_a_stopped_one_left_at_once() {
    let (old, new) = (Place::new(), Place::new());
    let directory = old.path("shared");
    std::fs::create_dir_all(&directory).unwrap();
    let setting = format!("store.shared.directory={directory:?}");
    let settings = ["store.binaries=\"shared\"", &setting];
    let server = Server::at(old, "127.0.0.1:0", &settings);
    let alive = directory.join("alive");
    assert!(Life::read(&std::fs::read_to_string(&alive).unwrap()).is_some());
    server.signal(Signal::KILL);
    let (_, old) = server.end().await;
    store(&new, &["adopt", "-y"], &settings).is(66).says("worked with the store of binaries");
    // Of its own data directory it knows by the lock that nobody works in it.
    store(&old, &["adopt", "-y"], &settings).is(0).says("there is nothing to take over");
    let long_ago = doyen::runtime::clock::system_time() - std::time::Duration::from_secs(200);
    std::fs::File::options().write(true).open(&alive).unwrap().set_modified(long_ago).unwrap();
    store(&new, &["adopt", "-y"], &settings).is(0);

    let server = Server::at(new, "127.0.0.1:0", &settings);
    server.signal(Signal::TERM);
    server.end().await;
    assert!(!alive.exists());
    store(&old, &["adopt", "-y"], &settings).is(0);
}
