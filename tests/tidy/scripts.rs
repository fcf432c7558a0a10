//! Scripts can be run as they are, and stop at the first failure.

use std::os::unix::fs::PermissionsExt;

use crate::{none, tree};

const DIRECTORIES: [&str; 2] = ["scripts", ".ci"];

/// Not run but sourced by the others.
const SOURCED: &str = "scripts/env";

fn offences(path: &str, mode: u32, text: &str) -> Vec<String> {
    let mut out = Vec::new();
    if mode & 0o111 != 0o111 {
        out.push(format!("{path}: not executable"));
    }
    let first = text.lines().next().unwrap_or_default();
    if !first.starts_with("#!") {
        out.push(format!("{path}: no `#!` in the first line"));
    }
    if first.contains("sh") && !text.lines().any(|line| line == "set -euo pipefail") {
        out.push(format!("{path}: no `set -euo pipefail`"));
    }
    out
}

#[test]
fn scripts_are_executable_and_strict() {
    let files = tree::files();
    // A file with another ending than `.sh` is a part of a script, or its data.
    let is_script = |f: &&tree::File| {
        DIRECTORIES.iter().any(|d| f.is_under(d)) && ["", "sh"].contains(&f.extension()) && f.path != SOURCED
    };
    let mode =
        |f: &tree::File| std::fs::metadata(tree::root().join(&f.path)).expect("it was read").permissions().mode();
    none(
        files.iter().filter(is_script).flat_map(|f| offences(&f.path, mode(f), f.text().unwrap_or_default())).collect(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_script() {
        assert_eq!(offences("a", 0o755, "#!/usr/bin/env bash\nset -euo pipefail\n"), Vec::<String>::new());
        assert_eq!(offences("a", 0o755, "#!/usr/bin/env python3\n"), Vec::<String>::new());
    }

    #[test]
    fn a_script_that_cannot_run_or_goes_on_after_a_failure() {
        assert_eq!(offences("a", 0o644, "#!/bin/sh\nset -eu\n").len(), 2);
        assert_eq!(offences("a", 0o755, "echo\n"), ["a: no `#!` in the first line"]);
    }
}
