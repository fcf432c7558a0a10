//! A server that is cut off from ZooKeeper, and not from HDFS, while another one adopts its stores.

use std::process::{Command, Output};

use rustix::process::{Pid, Signal, kill_process};

use crate::fixture::{Place, WHEEL, jobs};
use crate::servers::proxy::Weather;
use crate::stores::{CALM, Stores};

fn adopt(place: &Place, settings: &[String], more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doyen"));
    command.args(["store", "adopt", "--yes"]).args(more).arg("--data-dir").arg(place.path("data"));
    command.args(settings.iter().flat_map(|setting| ["--set", setting]));
    tokio::task::block_in_place(|| command.current_dir(place.root()).output().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_cut_off_while_its_stores_were_adopted_ends_when_it_is_back_and_leaves_its_driver() {
    let _calm = CALM.read().await;
    let (stores, proxy) = Stores::proxied().await;
    let (old, gate, _job) = stores.with_a_job().await;
    gate.reached().await;
    let direct = Stores { path: stores.path.clone(), ..Stores::plain() };
    let place = Place::new();
    let held = adopt(&place, &direct.settings(), &["--force"]);
    assert_eq!(held.status.code(), Some(64), "{held:?}");

    proxy.set(Weather::Cut);
    let refused = adopt(&place, &direct.settings(), &[]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(66), "{said}");
    assert!(said.contains("worked with the store of binaries") && said.contains("--force"), "{said}");
    let forced = adopt(&place, &direct.settings(), &["--force"]);
    assert_eq!(forced.status.code(), Some(0), "{forced:?}");
    let new = direct.start(place);
    new.upload("later", WHEEL, jobs()).await.is_success(201);

    proxy.set(Weather::Fair);
    let log = old.place().path("server.log");
    let (code, left) = old.end().await;
    let said = std::fs::read_to_string(log).unwrap();
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("in ZooKeeper is that of node"), "{said}");
    assert!(!left.processes().is_empty());
    for process in left.processes() {
        let _ = kill_process(Pid::from_raw(process.pid.try_into().unwrap()).unwrap(), Signal::KILL);
    }
    left.assert_nothing_is_left();
    assert_eq!(new.get("/healthz").await.status, 200);
}
