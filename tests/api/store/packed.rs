//! A move into ZooKeeper packs old jobs at once, wherever it is broken off.

use std::path::Path;

use super::day::{SETTINGS, command, day, ended, exported, store};
use crate::fixture::{Place, Server};
use crate::servers::zookeeper::Ensemble;

/// Records in a chroot of its own, binaries in the place.
fn shared(ensemble: &Ensemble, place: &Place) -> Vec<String> {
    let directory = place.path("shared");
    std::fs::create_dir(&directory).unwrap();
    let mut settings = vec![
        "store.metadata=\"zookeeper\"".into(),
        format!("zookeeper.servers={:?}", ensemble.addresses()),
        format!("zookeeper.chroot=\"/{}\"", place.root().file_name().unwrap().to_str().unwrap()),
        "store.binaries=\"shared\"".into(),
        format!("store.shared.directory={directory:?}"),
    ];
    // So that the few jobs of a day are old.
    let history = ["recent=1", "segment-jobs=2", "settled-after=\"0s\"", "interval=\"1h\""];
    settings.extend(history.map(|it| format!("history.{it}")));
    settings
}

fn all<'a>(settings: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    settings.iter().map(String::as_str).chain(more.iter().copied()).collect()
}

fn import(file: &Path) -> [&str; 2] {
    ["import", file.to_str().unwrap()]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_to_zookeeper_packs_old_jobs_goes_on_where_it_was_killed_and_comes_back() {
    let (day, ensemble) = (day().await, tokio::task::block_in_place(|| Ensemble::start(1)));
    let (from, over, piped, back) = (day.copied(), Place::new(), Place::new(), Place::new());
    let file = exported(&from, &over);
    let settings = shared(&ensemble, &over);
    let to = all(&settings, &[]);
    let is_killed_at = |point| {
        let killed = command(&over, &import(&file), &to).env("DOYEN_CRASH", point).output().unwrap();
        assert_eq!(ended(killed).code, None, "{point}");
    };
    let points =
        ["store-import-pack:before:1", "store-import-pack:after:1", "blob-put:after:1", "store-import-pack:after:1"];
    for point in points {
        is_killed_at(point);
        // Not what a mistyped place is told, although the binaries are nobody's yet.
        for arguments in [&["check"][..], &["stats"], &["export", "half"]] {
            store(&over, arguments, &to).is(69).says("an import into");
        }
    }
    is_killed_at("store-import-end:before:1");
    store(&over, &import(&file), &to).is(0).says("gone on with an import");
    store(&over, &["check"], &to).is(0).says("4 packed jobs");

    let settings = shared(&ensemble, &piped);
    let input = std::fs::File::open(&file).unwrap();
    let through = command(&piped, &["import", "-"], &all(&settings, &[])).stdin(input).output().unwrap();
    ended(through).is(0).says("packed 4 old jobs of them into 2 segments");
    store(&piped, &["check"], &all(&settings, &[])).is(0).says("4 packed jobs");

    store(&over, &["export", "back"], &to).is(0);
    store(&back, &import(&over.path("back")), &[]).is(0);
    store(&back, &["check"], &[]).is(0).says("4 packed jobs");
    let before = day.answers(&Server::at(from, "127.0.0.1:0", &SETTINGS)).await;
    for (place, settings) in [(over, to), (piped, all(&settings, &[])), (back, Vec::new())] {
        let server = Server::at(place, "127.0.0.1:0", &[settings, SETTINGS.to_vec()].concat());
        assert_eq!(day.answers(&server).await, before);
    }
}
