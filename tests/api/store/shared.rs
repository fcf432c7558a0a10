//! Stores that other machines see: moved into and out of, and not made where a name is mistyped.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use doyen::adapters::blobs::ObjectBinaryStore;
use doyen::ports::BinaryStore;

use super::day::{SETTINGS, command, day, ended, exported, frames, store};
use crate::fixture::{Place, Server};
use crate::servers::hdfs::Hdfs;
use crate::servers::zookeeper::Ensemble;

static ZOOKEEPER: LazyLock<Ensemble> = LazyLock::new(|| Ensemble::for_process(1));
static HDFS: LazyLock<Hdfs> = LazyLock::new(Hdfs::start);

/// Records and binaries under this path, of ZooKeeper and of HDFS.
fn at(path: &str) -> Vec<String> {
    tokio::task::block_in_place(|| {
        vec![
            "store.metadata=\"zookeeper\"".into(),
            format!("zookeeper.servers={:?}", ZOOKEEPER.addresses()),
            format!("zookeeper.chroot={path:?}"),
            "store.binaries=\"hdfs\"".into(),
            format!("store.hdfs.url={:?}", HDFS.url()),
            format!("store.hdfs.path={path:?}"),
        ]
    })
}

fn with<'a>(settings: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    settings.iter().map(String::as_str).chain(more.iter().copied()).collect()
}

fn import(file: &Path) -> [&str; 2] {
    ["import", file.to_str().unwrap()]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_to_zookeeper_and_hdfs_and_back_changes_no_byte() {
    let day = day().await;
    let (from, over, to) = (day.copied(), Place::new(), Place::new());
    let (file, settings) = (exported(&from, &over), at("/moved"));
    let shared = with(&settings, &[]);
    for point in ["blob-put:after:2", "store-import:before:1", "store-import-end:before:1"] {
        let killed = command(&over, &import(&file), &shared).env("DOYEN_CRASH", point).output().unwrap();
        assert_eq!(ended(killed).code, None, "{point}");
    }
    store(&over, &import(&file), &shared).is(0).says("gone on with an import");
    store(&over, &["check"], &shared).is(0).says("the store is sound");
    let figures = |place, settings: &[&str]| store(place, &["stats", "--json"], settings).is(0).json().remove(0);
    let (here, there) = (figures(&from, &[]), figures(&over, &shared));
    for figure in ["records", "jobs", "blobs", "unreferenced-blobs"] {
        assert_eq!(here[figure], there[figure]);
    }
    store(&over, &["export", "back"], &shared).is(0);
    assert!(frames(&file) == frames(&over.path("back")));
    store(&to, &import(&over.path("back")), &[]).is(0);
    store(&to, &["check"], &[]).is(0).says("the store is sound");
    assert!(frames(&file) == frames(&exported(&to, &to)));

    let before = day.answers(&Server::at(from, "127.0.0.1:0", &SETTINGS)).await;
    let server = Server::at(over, "127.0.0.1:0", &with(&settings, &SETTINGS));
    assert_eq!(day.answers(&server).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_that_is_mistyped_is_named_with_its_setting_and_nothing_is_made_there() {
    let (from, place) = (day().await.copied(), Place::new());
    let (file, settings) = (exported(&from, &place), at("/right"));
    store(&place, &import(&file), &with(&settings, &[])).is(0);
    let (empty, nowhere) = (place.path("empty"), place.path("nowhere"));
    std::fs::create_dir(&empty).unwrap();
    let directory = |path: &Path| format!("store.shared.directory={path:?}");
    let (in_empty, in_nowhere) = (directory(&empty), directory(&nowhere));
    let binaries = "store.binaries=\"shared\"";
    for (wrong, setting) in [
        (&["zookeeper.chroot=\"/wrong\""][..], "no store at /wrong in ZooKeeper: look at `zookeeper.chroot`"),
        (&["zookeeper.chroot=\"/wrong/deep\"", "zookeeper.auth-file=\"auth\""], "/wrong/deep"),
        (&["store.hdfs.path=\"/wrong/deep\""], "/wrong/deep in HDFS: look at `store.hdfs.url` and `store.hdfs.path`"),
        (&[binaries, &in_empty], "empty: look at `store.shared.directory`"),
    ] {
        std::fs::write(place.path("auth"), "doyen:secret\n").unwrap();
        std::fs::set_permissions(place.path("auth"), Permissions::from_mode(0o600)).unwrap();
        for arguments in [&["check", "--repair"][..], &["stats"], &["export", "file"]] {
            let refused = store(&place, arguments, &with(&settings, wrong)).is(67);
            refused.says(setting);
            refused.says("hint: name the configuration of the server with --config");
        }
    }
    let refused = store(&place, &["check"], &with(&settings, &[binaries, &in_nowhere])).is(64);
    refused.says("`store.shared.directory` is");
    refused.says("nowhere, which is no directory");
    assert!(!place.path("file").exists() && !nowhere.exists() && std::fs::read_dir(&empty).unwrap().next().is_none());
    let zookeeper = zookeeper_client::Client::connect(&ZOOKEEPER.addresses().join(",")).await.unwrap();
    assert!(zookeeper.check_stat("/wrong").await.unwrap().is_none());
    assert!(ObjectBinaryStore::find_hdfs(&HDFS.settings("/wrong")).await.unwrap().is_none());
    store(&place, &["check"], &with(&settings, &[])).is(0).says("the store is sound");
}

/// The file of a DataNode's block of this size.
fn block(directory: &Path, size: u64) -> Option<PathBuf> {
    std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).find_map(|path| match path.metadata() {
        Ok(meta) if meta.is_dir() => block(&path, size),
        Ok(meta) if meta.len() == size => Some(path),
        _ => None,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_that_changed_on_a_datanodes_disk_is_told_and_all_else_is_checked() {
    let (from, place) = (day().await.copied(), Place::new());
    let (file, settings) = (exported(&from, &place), at("/changed"));
    let shared = with(&settings, &[]);
    store(&place, &import(&file), &shared).is(0);
    let blobs = ObjectBinaryStore::open_hdfs(&HDFS.settings("/changed")).await.unwrap();
    let mut writer = blobs.create().await.unwrap();
    writer.write(vec![7; 1_234_567].into()).await.unwrap();
    let (sha256, size) = writer.finish(None).await.unwrap();
    let file = block(&HDFS.data(), size).unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[1_000_000] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let checked = store(&place, &["check"], &shared).is(9);
    assert!(checked.stdout.starts_with(&format!("unreadable-content: blob {sha256}: ")), "{checked:?}");
    assert_eq!(checked.lines().len(), 1);
    checked.says("1 things are wrong (1 unreadable-content)");
    store(&place, &["check", "--no-content"], &shared).is(0);
    store(&place, &["export", "file"], &shared).is(1).says("hdfs fsck");
    assert!(!place.path("file").exists());
}
