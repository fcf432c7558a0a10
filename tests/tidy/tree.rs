//! The files of the repository: those that git tracks, and new ones that it does not ignore.

use std::path::{Path, PathBuf};
use std::process::Command;

pub struct File {
    /// From the repository's root.
    pub path: String,
    pub bytes: Vec<u8>,
}

impl File {
    /// None of a binary file.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok().filter(|text| !text.contains('\0'))
    }

    pub fn is_under(&self, directory: &str) -> bool {
        Path::new(&self.path).starts_with(directory)
    }

    pub fn extension(&self) -> &str {
        Path::new(&self.path).extension().and_then(|e| e.to_str()).unwrap_or_default()
    }
}

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub fn files() -> Vec<File> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git is installed");
    assert!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    let names = String::from_utf8(listed.stdout).expect("names are UTF-8");
    let mut paths: Vec<&str> = names.split_terminator('\0').collect();
    paths.sort_unstable();
    paths.dedup();
    // A file that was deleted and not yet committed is still listed.
    let read = |path: &&str| Some(File { path: (*path).into(), bytes: std::fs::read(root().join(path)).ok()? });
    let files: Vec<File> = paths.iter().filter_map(read).collect();
    assert!(files.iter().any(|f| f.path == "src/lib.rs"), "git lists no src/lib.rs");
    files
}
