//! What the tests of this crate killed, how often, and what was lost: docs/durability.md is made of it.

use std::fs;
use std::path::{Path, PathBuf};

use doyen::runtime::crash::{COMMITS, FIRST_START, WRITES};

/// Set it to have a run write its figures into the document.
const WRITE: &str = "DOYEN_WRITE_DURABILITY";

#[derive(Debug, Clone)]
pub struct Row {
    pub what: String,
    pub when: String,
    pub times: usize,
    pub lost: String,
}

fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/durability.md")
}

fn marks(part: &str) -> (String, String) {
    (format!("<!-- {part} -->\n"), format!("<!-- end of {part} -->"))
}

/// One more row of the part about disks.
pub fn record_one(row: Row) {
    static ROWS: std::sync::Mutex<Vec<Row>> = std::sync::Mutex::new(Vec::new());
    let mut rows = ROWS.lock().unwrap();
    rows.push(row);
    rows.sort_by(|a, b| a.what.cmp(&b.what));
    record("disks", rows.clone());
}

/// Rows of a test run, which have held; they become the part of this name.
pub fn record(part: &str, mut rows: Vec<Row>) {
    static WRITING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    if std::env::var_os(WRITE).is_none() {
        return;
    }
    let _alone = WRITING.lock().unwrap();
    let place = |row: &Row| {
        COMMITS.iter().chain(FIRST_START).chain(WRITES).position(|point| row.when.ends_with(&format!("`{point}`")))
    };
    rows.sort_by_key(|row| (place(row), row.when.starts_with("after")));
    let mut table = String::from("| killed or broken | when | times | acknowledged and lost |\n|---|---|---|---|\n");
    for row in rows {
        table.push_str(&format!("| {} | {} | {} | {} |\n", row.what, row.when, row.times, row.lost));
    }
    let text = fs::read_to_string(document()).unwrap();
    let (begin, end) = marks(part);
    let (before, rest) = text.split_once(&begin).expect("the document has the part");
    let (_, after) = rest.split_once(&end).expect("the part ends");
    fs::write(document(), format!("{before}{begin}\n{table}\n{end}{after}")).unwrap();
}

#[test]
fn the_document_has_every_crash_point_on_both_sides() {
    let text = fs::read_to_string(document()).unwrap();
    let shared = COMMITS
        .iter()
        .flat_map(|point| ["before", "after"].map(|side| format!("| server, shared stores | {side} `{point}` |")));
    let missing: Vec<String> = COMMITS
        .iter()
        .chain(FIRST_START)
        .chain(WRITES)
        .flat_map(|point| ["before", "after"].map(|side| format!("| server | {side} `{point}` |")))
        .chain(shared)
        .filter(|row| !text.contains(row.as_str()))
        .collect();
    assert!(missing.is_empty(), "{missing:?}: run {WRITE}=1 cargo test --test crash");
}
