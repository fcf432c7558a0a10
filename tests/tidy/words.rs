//! Words that no file may hold: paths of somebody's machine, and marks of unfinished work.

use crate::{none, tree};

const BANNED: [&str; 9] =
    ["/work/", "/root/", "/tmp/w/", "todo!(", "unimplemented!(", "dbg!(", "#[ignore", "FIXME", "XXX"];

/// This test names what it bans.
const EXEMPT: &str = "tests/tidy";

/// The banned words of a line, standing for themselves: `spark/work/` and a template `XXXXXX` are none.
fn banned(line: &str) -> Vec<&'static str> {
    let is_part = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let stands = |word: &str, at: usize| {
        let (before, after) = (line[..at].chars().next_back(), line[at + word.len()..].chars().next());
        let goes_on = word.ends_with(char::is_alphanumeric) && is_part(after);
        !is_part(before) && !goes_on
    };
    BANNED.into_iter().filter(|word| line.match_indices(word).any(|(at, _)| stands(word, at))).collect()
}

#[test]
fn no_file_holds_a_banned_word() {
    let files = tree::files();
    let texts = files.iter().filter(|f| !f.is_under(EXEMPT)).filter_map(|f| Some((&f.path, f.text()?)));
    none(texts.flat_map(|(path, text)| offences(path, text)).collect());
}

fn offences(path: &str, text: &str) -> Vec<String> {
    let lines = text.lines().enumerate();
    lines.flat_map(|(i, line)| banned(line).into_iter().map(move |w| format!("{path}:{}: `{w}`", i + 1))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banned_words_are_found_with_their_lines() {
        assert_eq!(offences("a.md", "fine\nin /work/main"), ["a.md:2: `/work/`"]);
        assert_eq!(banned("    dbg!(x); // FIXME"), ["dbg!(", "FIXME"]);
        assert_eq!(banned("#[ignore = \"slow\"]"), ["#[ignore"]);
    }

    #[test]
    fn parts_of_other_words_are_fine() {
        assert_eq!(banned("spark/work/app, mktemp doyen.XXXXXX"), Vec::<&str>::new());
    }
}
