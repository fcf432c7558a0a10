//! `doyen store` where there is nothing to look after, or somebody else does.

use std::path::Path;

use doyen::adapters::embedded::data_dir::DataDir;
use tempfile::TempDir;

use crate::support::{Ended, command, end};

/// `doyen store` with these arguments, in the directory `data` of this one.
fn store(directory: &TempDir, arguments: &[&str]) -> Ended {
    end(command(directory, &[&["store"], arguments, &["--data-dir", "data"]].concat()))
}

#[track_caller]
fn refused(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!((ended.code, ended.stdout.as_str()), (code, ""), "{ended:?}");
    for word in words {
        assert!(ended.stderr.contains(word), "{word}: {ended:?}");
    }
}

/// An empty store.
fn made() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let data = DataDir::open(&directory.path().join("data")).unwrap();
    doyen::adapters::embedded::EmbeddedStore::open(&data.meta(), 1 << 20).unwrap();
    directory
}

#[test]
fn where_no_store_is_none_is_made() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [&["check"][..], &["stats"], &["export", "file"]] {
        refused(&store(&directory, arguments), 67, &["error: there is no data\n", "name the configuration"]);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
    std::fs::create_dir(directory.path().join("data")).unwrap();
    refused(&store(&directory, &["check"]), 67, &["error: there is no data/meta.redb\n"]);
    let zookeeper = ["check", "--set", "store.metadata=\"zookeeper\""];
    refused(&store(&directory, &zookeeper), 67, &["error: there is no data/format\n"]);
    assert_eq!(std::fs::read_dir(directory.path().join("data")).unwrap().count(), 0);
    std::fs::remove_dir(directory.path().join("data")).unwrap();
    std::fs::write(directory.path().join("data"), "").unwrap();
    refused(&store(&directory, &["import", "-"]), 67, &["data is not a directory"]);
    let nowhere = tempfile::tempdir().unwrap();
    refused(&store(&nowhere, &["import", "mistyped"]), 2, &["mistyped: No such file"]);
    assert_eq!(std::fs::read_dir(nowhere.path()).unwrap().count(), 0);
}

#[test]
fn a_directory_in_use_is_named_with_who_uses_it_and_what_to_do() {
    let directory = made();
    let _used = DataDir::open(&directory.path().join("data")).unwrap();
    let by = format!("is in use by process {}", std::process::id());
    for arguments in [&["check", "--repair"][..], &["stats"], &["export", "file"], &["import", "-"]] {
        refused(&store(&directory, arguments), 66, &[&by, "hint: stop that server first"]);
    }
}

#[test]
fn a_directory_of_a_newer_version_is_left_alone() {
    let directory = made();
    std::fs::write(directory.path().join("data/format"), r#"{"format":99,"version":"9.0"}"#).unwrap();
    refused(&store(&directory, &["check"]), 68, &["format 99", "9.0"]);
}

#[test]
fn the_configuration_is_that_of_the_server() {
    let directory = made();
    std::fs::write(directory.path().join("its.toml"), "[node]\ndata-dir = \"data\"\n").unwrap();
    let check = |file: &str| end(command(&directory, &["store", "check", "-c", file]));
    assert_eq!(check("its.toml").code, 0);
    refused(&check("other.toml"), 64, &["other.toml"]);
    std::fs::write(directory.path().join("bad.toml"), "[nodes]\n").unwrap();
    refused(&check("bad.toml"), 64, &["unknown"]);
}

#[test]
fn an_empty_store_is_sound_and_can_be_moved() {
    let directory = made();
    let ended = store(&directory, &["check"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, ""));
    assert_eq!(
        ended.stderr,
        "read 0 records, 0 packed jobs and 0 blobs of 0 bytes, their content verified\nthe store is sound\n"
    );
    assert_eq!(store(&directory, &["export", "file"]).stderr, "exported 0 records and 0 blobs\n");
    let ended = store(&directory, &["import", "file"]);
    assert_eq!((ended.code, ended.stderr.starts_with("imported 0 records and 0 blobs")), (0, true), "{ended:?}");
}

#[test]
fn an_export_overwrites_nothing_and_leaves_nothing_half() {
    let directory = made();
    std::fs::write(directory.path().join("file"), "mine").unwrap();
    refused(&store(&directory, &["export", "file"]), 2, &["file is there already", "hint: name another file"]);
    assert_eq!(std::fs::read_to_string(directory.path().join("file")).unwrap(), "mine");
    refused(&store(&directory, &["export", "no/where"]), 2, &["no/where.part"]);
    assert!(!Path::new("file.part").exists());
}

#[test]
fn what_is_no_export_is_refused_before_anything_is_written() {
    let directory = made();
    for (name, content, words) in [
        ("text", "hello\n", "it is no export of a store"),
        ("empty", "", "it is cut"),
        ("newer", "{\"doyen-export\":2,\"version\":\"9.9\"}\n", "written by version 9.9"),
    ] {
        std::fs::write(directory.path().join(name), content).unwrap();
        let ended = store(&directory, &["import", name]);
        assert!(ended.code != 0 && ended.stderr.contains(words), "{ended:?}");
    }
    refused(&store(&directory, &["import", "nowhere"]), 2, &["nowhere: No such file"]);
    refused(&store(&directory, &["import", "data"]), 2, &["data is no file"]);
    assert_eq!(store(&directory, &["check"]).code, 0);
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [&[][..], &["fix"], &["export"], &["import"], &["stats", "--repair"], &["check", "--http", "x"]] {
        assert_eq!(store(&directory, arguments).code, 2, "{arguments:?}");
    }
}
