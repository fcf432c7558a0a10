//! Style as a test: the doors between the rooms, headers and lengths of files, banned words, scripts, links, licences.

mod doctests;
mod licences;
mod links;
mod rooms;
mod scripts;
mod sizes;
mod tokens;
mod tree;
mod words;

/// Fails with all offences at once, one a line.
#[track_caller]
fn none(offences: Vec<String>) {
    assert!(offences.is_empty(), "{} offences:\n{}", offences.len(), offences.join("\n"));
}
