//! A small lexer of Rust: words and punctuation with their lines, without comments, strings and characters.

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    pub line: usize,
}

impl Token {
    pub fn is_word(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

pub fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let (mut at, mut line, mut out) = (0, 1, Vec::new());
    while at < chars.len() {
        let end = skipped(&chars, at).unwrap_or(at);
        if end > at {
            line += chars[at..end].iter().filter(|c| **c == '\n').count();
            at = end;
            continue;
        }
        let end = if is_word(chars[at]) {
            word_end(&chars, at)
        } else if chars[at..].starts_with(&[':', ':']) {
            at + 2
        } else {
            at + 1
        };
        out.push(Token { text: chars[at..end].iter().collect(), line });
        at = end;
    }
    out
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn word_end(chars: &[char], at: usize) -> usize {
    at + chars[at..].iter().take_while(|c| is_word(**c)).count()
}

/// The end of the white space, comment or literal that begins here.
fn skipped(chars: &[char], at: usize) -> Option<usize> {
    let rest = &chars[at..];
    match rest[0] {
        c if c.is_whitespace() => Some(at + 1),
        '/' if rest.get(1) == Some(&'/') => Some(at + rest.iter().take_while(|c| **c != '\n').count()),
        '/' if rest.get(1) == Some(&'*') => Some(at + block_comment(rest)),
        '"' => Some(at + quoted(rest, '"')),
        '\'' => Some(at + character_or_lifetime(rest)),
        'r' | 'b' | 'c' => prefixed(rest).map(|length| at + length),
        _ => None,
    }
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut i) = (0, 0);
    while i < rest.len() {
        if rest[i..].starts_with(&['/', '*']) {
            depth += 1;
            i += 2;
        } else if rest[i..].starts_with(&['*', '/']) {
            depth -= 1;
            i += 2;
            if depth == 0 {
                break;
            }
        } else {
            i += 1;
        }
    }
    i
}

fn quoted(rest: &[char], quote: char) -> usize {
    let mut i = 1;
    while i < rest.len() && rest[i] != quote {
        i += if rest[i] == '\\' { 2 } else { 1 };
    }
    (i + 1).min(rest.len())
}

fn character_or_lifetime(rest: &[char]) -> usize {
    match (rest.get(1), rest.get(2)) {
        (Some('\\'), _) | (Some(_), Some('\'')) => quoted(rest, '\''),
        // A lifetime: its name follows as a word of no interest.
        _ => word_end(rest, 1),
    }
}

/// Raw strings, byte strings, raw names: `r"…"`, `r#"…"#`, `b"…"`, `br#"…"#`, `b'…'`.
fn prefixed(rest: &[char]) -> Option<usize> {
    let letters = rest.iter().take_while(|c| matches!(c, 'r' | 'b' | 'c')).count();
    let hashes = rest[letters..].iter().take_while(|c| **c == '#').count();
    let start = letters + hashes;
    match rest.get(start) {
        Some('"') if letters <= 2 && rest[..letters].contains(&'r') => {
            let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
            let body = &rest[start + 1..];
            let length =
                (0..body.len()).find(|i| body[*i..].starts_with(&close)).map_or(body.len(), |i| i + close.len());
            Some(start + 1 + length)
        }
        Some(quote @ ('"' | '\'')) if letters == 1 && hashes == 0 && (*quote == '"' || rest[0] == 'b') => {
            Some(start + quoted(&rest[start..], *quote))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<String> {
        tokens(source).into_iter().map(|t| t.text).collect()
    }

    #[test]
    fn comments_strings_and_characters_are_no_tokens() {
        assert_eq!(words("a // crate::b\n/* c /* d */ e */ f"), ["a", "f"]);
        assert_eq!(words(r#"a "crate::b \" c" b'\'' '"' d"#), ["a", "d"]);
        assert_eq!(words("a r#\"b \" c\"# br\"d\\\" e"), ["a", "e"]);
    }

    #[test]
    fn a_lifetime_is_not_an_open_character() {
        assert_eq!(words("&'a str, 'x', c"), ["&", "str", ",", ",", "c"]);
    }

    #[test]
    fn lines_are_counted_through_comments_and_strings() {
        let all = tokens("a\n/*\n*/ \"\n\" b");
        assert_eq!(all.iter().map(|t| t.line).collect::<Vec<_>>(), [1, 4]);
    }

    #[test]
    fn words_that_begin_like_a_prefix_are_words() {
        assert_eq!(words("runtime::clock bytes core b"), ["runtime", "::", "clock", "bytes", "core", "b"]);
    }
}
