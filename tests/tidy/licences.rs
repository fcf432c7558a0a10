//! Every crate that we link has a licence that deny.toml allows.

use std::process::Command;

use serde_json::Value;

use crate::{none, tree};

/// Whether a licence expression (SPDX) can be fulfilled with the allowed licences alone.
fn is_met(expression: &str, allowed: &[String]) -> bool {
    // The old way of writing OR.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let (met, length) = either(&words, allowed);
    met && length == words.len()
}

fn either(words: &[&str], allowed: &[String]) -> (bool, usize) {
    let (mut met, mut at) = both(words, allowed);
    while words.get(at) == Some(&"OR") {
        let (right, length) = both(&words[at + 1..], allowed);
        met |= right;
        at += 1 + length;
    }
    (met, at)
}

fn both(words: &[&str], allowed: &[String]) -> (bool, usize) {
    let (mut met, mut at) = one(words, allowed);
    while words.get(at) == Some(&"AND") {
        let (right, length) = one(&words[at + 1..], allowed);
        met &= right;
        at += 1 + length;
    }
    (met, at)
}

fn one(words: &[&str], allowed: &[String]) -> (bool, usize) {
    match words {
        ["(", inner @ ..] => {
            let (met, length) = either(inner, allowed);
            (met && inner.get(length) == Some(&")"), length + 2)
        }
        [name, "WITH", exception, ..] => (allowed.contains(&format!("{name} WITH {exception}")), 3),
        [name, ..] => (allowed.iter().any(|a| a == name), 1),
        [] => (false, 0),
    }
}

fn allowed() -> Vec<String> {
    let text = std::fs::read_to_string(tree::root().join("deny.toml")).expect("deny.toml is there");
    let deny: toml::Table = text.parse().expect("deny.toml is TOML");
    let allow = deny["licenses"]["allow"].as_array().expect("licenses.allow is a list");
    allow.iter().map(|name| name.as_str().expect("a name").to_owned()).collect()
}

/// The crates of our platform, as the lock file and the local registry tell.
fn packages() -> Vec<Value> {
    let rustc = Command::new("rustc").arg("-vV").output().expect("rustc runs");
    let about = String::from_utf8(rustc.stdout).expect("rustc writes UTF-8");
    let host = about.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host");
    let told = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--offline", "--filter-platform", host])
        .current_dir(tree::root())
        .output()
        .expect("cargo runs");
    assert!(told.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&told.stderr));
    let mut metadata: Value = serde_json::from_slice(&told.stdout).expect("cargo writes JSON");
    let packages = metadata["packages"].as_array_mut().expect("packages is a list");
    std::mem::take(packages)
}

#[test]
fn every_licence_is_allowed() {
    let (allowed, packages) = (allowed(), packages());
    assert!(packages.len() > 50, "cargo tells of {} packages only", packages.len());
    let bad = packages.iter().filter(|p| !is_met(p["license"].as_str().unwrap_or_default(), &allowed));
    none(bad.map(|p| format!("{} {}: licence {}", p["name"], p["version"], p["license"])).collect());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expression: &str, expected: bool) {
        let allowed = ["MIT", "Apache-2.0", "ISC", "GPL-2.0 WITH Classpath-exception-2.0"].map(String::from);
        assert_eq!(is_met(expression, &allowed), expected, "{expression}");
    }

    #[test]
    fn or_needs_one_and_needs_all() {
        check("MIT", true);
        check("MIT OR GPL-3.0", true);
        check("Unlicense/MIT", true);
        check("MIT AND GPL-3.0", false);
        check("GPL-3.0 OR MIT AND ISC", true);
        check("(GPL-3.0 OR MIT) AND ISC", true);
        check("(GPL-3.0 OR MIT) AND Zlib", false);
    }

    #[test]
    fn an_exception_belongs_to_its_licence() {
        check("GPL-2.0 WITH Classpath-exception-2.0", true);
        check("GPL-2.0", false);
        check("MIT WITH Something", false);
    }

    #[test]
    fn no_licence_and_broken_text_are_refused() {
        check("", false);
        check("(MIT", false);
        check("MIT ISC", false);
        check("(MIT ISC", false);
    }
}
