//! Every durable write of the domain has a crash point, and no point stands for nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use doyen::runtime::crash::{COMMITS, FIRST_START, SHARED, TOOLS, WRITES};

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The texts that follow each of these beginnings, up to the closing quote.
fn named(source: &str, beginning: &str) -> Vec<String> {
    source.split(beginning).skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect()
}

/// What commits of the domain are made by.
const COMMITTED: [&str; 5] =
    [".commit(\"", ".commit_claimed(\"", ".move_callback(\"", ".remove_unchanged(\"", ".change_segment(\""];

#[test]
fn every_commit_and_every_point_of_the_sources_is_listed_once() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let mut used = BTreeSet::new();
    for file in files {
        let source: String = fs::read_to_string(&file).unwrap().split_whitespace().collect();
        used.extend(named(&source, "crash::point(\""));
        if file.components().any(|part| part.as_os_str() == "records") {
            for beginning in COMMITTED {
                used.extend(named(&source, beginning));
            }
            // Chosen by what came of the attempt.
            used.extend(named(&source, "=>\"callback-").into_iter().map(|name| format!("callback-{name}")));
        }
    }
    let listed: BTreeSet<String> = COMMITS
        .iter()
        .chain(FIRST_START)
        .chain(WRITES)
        .chain(SHARED)
        .chain(TOOLS)
        .map(|point| (*point).to_owned())
        .collect();
    let all = COMMITS.len() + FIRST_START.len() + WRITES.len() + SHARED.len() + TOOLS.len();
    assert_eq!(listed.len(), all, "a name stands twice");
    assert_eq!(used, listed, "the names in src (left) are those in src/runtime/crash.rs (right)");
}

#[test]
fn only_tests_ask_for_crash_points() {
    let manifest: toml::Table =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap().parse().unwrap();
    let features = manifest["features"].as_table().unwrap();
    let asking = features.iter().filter(|(name, asked)| {
        *name != "crash-points" && asked.as_array().unwrap().iter().any(|one| one.as_str() == Some("crash-points"))
    });
    assert_eq!(asking.count(), 0, "no other feature brings them along, least of all the default");
    assert!(manifest["dependencies"].get("doyen").is_none());
    assert!(
        manifest["dev-dependencies"]["doyen"]["features"]
            .as_array()
            .unwrap()
            .iter()
            .any(|f| f.as_str() == Some("crash-points"))
    );
}
