//! Each Rust file says in its first line what it is for; no source file is longer than one can keep in mind.

use crate::{none, tree};

const MOST_LINES: usize = 800;
const SOURCES: [&str; 9] = ["rs", "py", "js", "mjs", "ts", "css", "sh", "java", "scala"];

fn has_header(source: &str) -> bool {
    source.lines().next().is_some_and(|line| line.strip_prefix("//! ").is_some_and(|text| !text.trim().is_empty()))
}

/// The value below which the given share of the sorted values lies.
fn quantile(sorted: &[usize], share: f64) -> usize {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share).round() as usize).copied().unwrap_or(0)
}

#[test]
fn every_rust_file_begins_with_its_purpose() {
    let files = tree::files();
    let sources = files.iter().filter(|f| f.extension() == "rs");
    let bare = sources.filter(|f| !has_header(f.text().expect("Rust is text")));
    none(bare.map(|f| format!("{}: the first line is no `//!` line", f.path)).collect());
}

#[test]
fn no_source_file_is_too_long() {
    let files = tree::files();
    let lengths =
        files.iter().filter(|f| SOURCES.contains(&f.extension())).filter_map(|f| Some((f.text()?.lines().count(), f)));
    let lengths: Vec<_> = lengths.collect();
    let mut rust: Vec<usize> = lengths.iter().filter(|(_, f)| f.extension() == "rs").map(|(n, _)| *n).collect();
    rust.sort_unstable();
    let (median, p90) = (quantile(&rust, 0.5), quantile(&rust, 0.9));
    println!(
        "{} Rust files, {} lines; median {median} (aim: 150), p90 {p90} (aim: 400)",
        rust.len(),
        rust.iter().sum::<usize>()
    );
    let long = lengths.iter().filter(|(n, _)| *n > MOST_LINES);
    none(long.map(|(n, f)| format!("{}: {n} lines, more than {MOST_LINES}", f.path)).collect());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_a_first_line_with_words() {
        assert!(has_header("//! What it is for.\nfn f() {}"));
        assert!(!has_header("fn f() {}\n//! Late."));
        assert!(!has_header("//! \n"));
        assert!(!has_header(""));
    }

    #[test]
    fn quantiles_of_few_values() {
        assert_eq!(quantile(&[], 0.5), 0);
        assert_eq!(quantile(&[1, 2, 3], 0.5), 2);
        assert_eq!(quantile(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], 0.9), 10);
    }
}
