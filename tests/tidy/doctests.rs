//! Comments hold no Rust for `cargo test --doc`: that is switched off, as to look for it takes longer than most tests.

use crate::{none, tree};

/// Words behind a fence after which rustdoc takes what follows for Rust, as it does where there are none.
const RUST: [&str; 6] = ["rust", "no_run", "should_panic", "compile_fail", "ignore", "edition"];

fn is_rust(words: &str) -> bool {
    words.is_empty() || RUST.iter().any(|word| words.contains(word))
}

/// The lines at which Rust begins: behind a fence, or indented by four after an empty line.
fn offences(path: &str, text: &str) -> Vec<String> {
    let (mut out, mut in_fence, mut paragraph) = (Vec::new(), false, false);
    for (i, line) in text.lines().enumerate() {
        let line = line.trim_start();
        let Some(comment) = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) else {
            (in_fence, paragraph) = (false, false);
            continue;
        };
        let fence = comment.trim_start().strip_prefix("```");
        let is_code = match fence {
            Some(words) => !in_fence && is_rust(words.trim()),
            None => !in_fence && !paragraph && comment.starts_with("     ") && !comment.trim().is_empty(),
        };
        if is_code {
            out.push(format!("{path}:{}: Rust that nobody compiles", i + 1));
        }
        in_fence ^= fence.is_some();
        paragraph = !comment.trim().is_empty();
    }
    out
}

#[test]
fn no_comment_holds_rust_that_nobody_compiles() {
    let files = tree::files();
    let is_library = |f: &&tree::File| f.is_under("src") && f.extension() == "rs" && !f.path.contains("/examples/");
    let sources = files.iter().filter(is_library);
    none(sources.flat_map(|f| offences(&f.path, f.text().unwrap_or_default())).collect());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rust_in_comments_is_found() {
        assert_eq!(offences("a", "/// So:\n/// ```\n/// f();\n/// ```\nfn f() {}").len(), 1);
        assert_eq!(offences("a", "    //! ```no_run\n    //! f();\n    //! ```").len(), 1);
        assert_eq!(offences("a", "/// So:\n///\n///     f();\nfn f() {}").len(), 1);
    }

    #[test]
    fn other_languages_and_lists_are_fine() {
        assert_eq!(offences("a", "//! ```toml\n//! a = 1\n//! ```\n//! and so on"), Vec::<String>::new());
        assert_eq!(offences("a", "/// - one\n///     and more of it\nfn f() {}"), Vec::<String>::new());
    }
}
