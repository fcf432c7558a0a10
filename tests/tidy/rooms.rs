//! The rooms of the crate and the doors between them: docs/adr/0001-rooms-and-doors.md.

use crate::tokens::{Token, tokens};
use crate::{none, tree};

/// Each room and what it may use.
const DOORS: [(&str, &[&str]); 14] = [
    ("core", &[]),
    ("runtime", &[]),
    ("api", &["core"]),
    ("config", &["core"]),
    ("ports", &["core", "api"]),
    ("adapters", &["ports", "config", "core", "api", "runtime"]),
    ("cluster", &["core", "ports", "runtime"]),
    ("jobs", &["core", "api", "ports", "runtime", "cluster", "config"]),
    ("service", &["core", "api", "ports", "runtime", "cluster", "jobs", "config"]),
    ("http", &["service", "api", "runtime", "config", "core"]),
    ("maintenance", &["core", "ports", "runtime", "jobs"]),
    ("cli", &["api", "config", "core", "service", "runtime", "simulator", "maintenance"]),
    ("shim", &["api", "config", "runtime"]),
    // A package of its own, which sees the package of core/cluster.
    ("simulator", &[]),
];

/// Files that see every room: the list of rooms, and the wiring.
const HALLS: [&str; 6] =
    ["src/lib.rs", "src/main.rs", "src/node.rs", "src/belonging.rs", "src/possession.rs", "src/stores.rs"];

/// Crates and modules that read a clock, do IO, or wait: not in `core`.
const IMPURE: [&str; 9] =
    ["tokio", "ractor", "reqwest", "axum", "getrandom", "redb", "object_store", "hdfs_native", "rustix"];
const IMPURE_STD: [&str; 6] = ["fs", "net", "io", "process", "thread", "env"];

fn doors(room: &str) -> Option<&'static [&'static str]> {
    DOORS.iter().find(|(name, _)| *name == room).map(|(_, may_use)| *may_use)
}

/// `src/a/b.rs` and `src/a/b/mod.rs` are module `a::b`.
fn module_of(path: &str) -> Vec<&str> {
    let inner = path.strip_prefix("src/").unwrap_or(path);
    let inner = inner.strip_suffix(".rs").unwrap_or(inner);
    inner.strip_suffix("/mod").unwrap_or(inner).split('/').collect()
}

/// Tests may use any room: a fake adapter, for instance.
fn is_test(module: &[&str]) -> bool {
    module[1..].iter().any(|name| *name == "tests" || name.ends_with("_tests"))
}

/// Every offence of a source file against the doors.
fn offences(path: &str, source: &str) -> Vec<String> {
    let module = module_of(path);
    let room = module[0];
    let Some(may_use) = doors(room) else {
        return vec![format!("{path}: room `{room}` is not in the table of tests/tidy/rooms.rs")];
    };
    if is_test(&module) {
        return Vec::new();
    }
    let tokens = without_tests(tokens(source));
    let mut out: Vec<String> = used(&tokens, &module)
        .into_iter()
        .filter(|(name, _)| name != room && doors(name).is_some() && !may_use.contains(&name.as_str()))
        .map(|(name, line)| format!("{path}:{line}: `{room}` may not use `{name}`"))
        .collect();
    if room == "core" {
        out.extend(impurities(&tokens).into_iter().map(|(what, line)| format!("{path}:{line}: `core` uses `{what}`")));
    }
    out
}

/// Drops each item under `#[cfg(test)]`.
fn without_tests(all: Vec<Token>) -> Vec<Token> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut at, mut out) = (0, Vec::new());
    while at < all.len() {
        let here = &all[at..];
        if here.len() >= MARK.len() && here.iter().zip(MARK).all(|(token, mark)| token.text == mark) {
            at += MARK.len();
            at += item_length(&all[at..]);
        } else {
            out.push(all[at].clone());
            at += 1;
        }
    }
    out
}

/// To the `;` that ends the item, or the `}` that closes its body.
fn item_length(tokens: &[Token]) -> usize {
    let is_use = tokens.iter().take(5).any(|t| t.text == "use");
    let mut depth = 0_usize;
    for (i, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth = depth.saturating_sub(1);
                if depth == 0 && token.text == "}" && !is_use {
                    return i + 1;
                }
            }
            ";" if depth == 0 => return i + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// The names at the crate's root that paths of this file begin with, with their lines.
fn used(tokens: &[Token], module: &[&str]) -> Vec<(String, usize)> {
    // Per open brace: whether it is the body of an inline module, one level further down.
    let (mut braces, mut out): (Vec<bool>, Vec<_>) = (Vec::new(), Vec::new());
    for (i, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "{" => braces.push(i >= 2 && tokens[i - 2].text == "mod"),
            "}" => drop(braces.pop()),
            "crate" if text(tokens, i + 1) == "::" => roots(tokens, i + 2, &mut out),
            "super" if i == 0 || tokens[i - 1].text != "::" => {
                let mut depth = module.len() + braces.iter().filter(|inline| **inline).count();
                let mut at = i;
                while text(tokens, at) == "super" && text(tokens, at + 1) == "::" {
                    depth = depth.saturating_sub(1);
                    at += 2;
                }
                if depth == 0 {
                    roots(tokens, at, &mut out);
                }
            }
            _ => {}
        }
    }
    out
}

fn text(tokens: &[Token], at: usize) -> &str {
    tokens.get(at).map_or("", |t| t.text.as_str())
}

/// The first segments of the path, or of the group `{a::b, c}`, that begins here.
fn roots(tokens: &[Token], at: usize, out: &mut Vec<(String, usize)>) {
    let Some(first) = tokens.get(at) else { return };
    if first.is_word() {
        out.push((first.text.clone(), first.line));
    }
    if first.text != "{" {
        return;
    }
    let mut depth = 0_usize;
    for (i, token) in tokens.iter().enumerate().skip(at) {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" if depth == 1 => return,
            "}" => depth -= 1,
            _ if depth == 1 && token.is_word() && ["{", ","].contains(&text(tokens, i - 1)) => {
                out.push((token.text.clone(), token.line));
            }
            _ => {}
        }
    }
}

fn impurities(tokens: &[Token]) -> Vec<(String, usize)> {
    let mut out = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        let begins_path = text(tokens, i + 1) == "::" && (i == 0 || tokens[i - 1].text != "::");
        if token.text == "async" || (begins_path && IMPURE.contains(&token.text.as_str())) {
            out.push((token.text.clone(), token.line));
        }
        if token.text == "std" && begins_path {
            let mut segments = Vec::new();
            roots(tokens, i + 2, &mut segments);
            let impure = segments.into_iter().filter(|(name, _)| IMPURE_STD.contains(&name.as_str()));
            out.extend(impure.map(|(name, line)| (format!("std::{name}"), line)));
        }
    }
    out
}

#[test]
fn every_room_uses_only_what_its_doors_open_to() {
    let files = tree::files();
    let sources = files.iter().filter(|f| f.is_under("src") && f.extension() == "rs" && !HALLS.contains(&&*f.path));
    none(sources.flat_map(|f| offences(&f.path, f.text().expect("Rust is text"))).collect());
}

#[test]
fn the_doors_form_no_circle() {
    // Rooms leave one by one once all that they use has left.
    let mut left: Vec<&str> = Vec::new();
    while left.len() < DOORS.len() {
        let next = DOORS.iter().find(|(name, uses)| !left.contains(name) && uses.iter().all(|u| left.contains(u)));
        left.push(next.unwrap_or_else(|| panic!("a circle among all rooms but {left:?}")).0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(path: &str, source: &str) {
        assert_eq!(offences(path, source).len(), 1, "{:?}", offences(path, source));
    }

    #[track_caller]
    fn allowed(path: &str, source: &str) {
        assert_eq!(offences(path, source), Vec::<String>::new());
    }

    #[test]
    fn use_statements_groups_and_plain_paths_are_seen() {
        refused("src/http/a.rs", "use crate::ports::MetaStore;");
        refused("src/http/a.rs", "use crate::{api::{J, ports}, service, adapters::{redb}};");
        refused("src/http/a.rs", "fn f() -> crate::ports::Id { todo() }");
        allowed("src/http/a.rs", "use crate::{api::{ports::X, adapters}, service::Y};");
    }

    #[test]
    fn super_leads_to_another_room_only_from_the_top() {
        refused("src/http/mod.rs", "use super::jobs::Supervisor;");
        refused("src/http/a/b.rs", "use super::super::super::{jobs};");
        allowed("src/http/a/b.rs", "use super::super::jobs;");
        allowed("src/http/mod.rs", "mod a { use super::jobs; }");
    }

    #[test]
    fn comments_strings_and_tests_open_no_doors() {
        allowed("src/core/a.rs", "//! Not `crate::http`.\nconst A: &str = \"crate::http\";");
        allowed("src/jobs/a.rs", "#[cfg(test)]\nmod tests { use crate::adapters::memory; }");
        allowed("src/jobs/a.rs", "#[cfg(test)] use crate::{adapters::memory};");
        allowed("src/jobs/a/tests.rs", "use crate::adapters::memory;");
        refused("src/jobs/a.rs", "#[cfg(test)]\nmod tests { fn f() {} }\nuse crate::adapters::memory;");
    }

    #[test]
    fn a_new_room_must_enter_the_table() {
        refused("src/attic/mod.rs", "");
        refused("src/attic.rs", "");
    }

    #[test]
    fn core_has_no_clock_no_io_and_does_not_wait() {
        refused("src/core/a.rs", "use std::{collections::BTreeMap, fs};");
        refused("src/core/a.rs", "use tokio::time::sleep;");
        refused("src/core/a.rs", "pub async fn f() {}");
        allowed("src/core/a.rs", "use std::{collections::BTreeMap, time::Duration};");
    }
}
