//! Text into tokens. It never fails: what is wrong becomes a [`Token::Problem`], for the parser to report in context.

use std::borrow::Cow;
use std::fmt;

/// A number as the reference library types it: integral and within `i64`, or a finite double.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Int(i64),
    Float(f64),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token<'t> {
    Eof,
    Newline,
    /// A run of whitespace without a newline.
    Space(&'t str),
    Comma,
    Colon,
    Equals,
    PlusEquals,
    OpenBrace,
    CloseBrace,
    OpenBracket,
    CloseBracket,
    /// `${`, or `${?` when optional.
    Substitution {
        optional: bool,
    },
    Quoted(Cow<'t, str>),
    Text(&'t str),
    Number(&'t str, Number),
    True,
    False,
    Null,
    Problem {
        what: String,
        why: String,
    },
}

impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Token::Eof => return f.write_str("end of file"),
            Token::Newline => return f.write_str("end of line"),
            Token::Problem { what, why } => return write!(f, "'{what}' ({why})"),
            Token::Quoted(text) => return write!(f, "\"{}\"", shorten(text)),
            Token::Space(text) | Token::Text(text) | Token::Number(text, _) => shorten(text),
            Token::Comma => ",".into(),
            Token::Colon => ":".into(),
            Token::Equals => "=".into(),
            Token::PlusEquals => "+=".into(),
            Token::OpenBrace => "{".into(),
            Token::CloseBrace => "}".into(),
            Token::OpenBracket => "[".into(),
            Token::CloseBracket => "]".into(),
            Token::Substitution { optional: false } => "${".into(),
            Token::Substitution { optional: true } => "${?".into(),
            Token::True => "true".into(),
            Token::False => "false".into(),
            Token::Null => "null".into(),
        };
        write!(f, "'{text}'")
    }
}

/// Messages go back to clients and into logs: they quote a bounded piece.
pub(super) fn shorten(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

fn problem<'t>(what: impl fmt::Display, why: impl Into<String>) -> Token<'t> {
    Token::Problem { what: what.to_string(), why: why.into() }
}

/// The specification's whitespace: the separators of Unicode, and the controls it lists. A newline is its own token.
fn is_space(c: char) -> bool {
    match c {
        '\n' | '\u{85}' => false,
        '\u{1c}'..='\u{1f}' | '\u{feff}' => true,
        _ => c.is_whitespace(),
    }
}

fn is_reserved(c: char) -> bool {
    matches!(
        c,
        '$' | '"'
            | '{'
            | '}'
            | '['
            | ']'
            | ':'
            | '='
            | ','
            | '+'
            | '#'
            | '`'
            | '^'
            | '?'
            | '!'
            | '@'
            | '*'
            | '&'
            | '\\'
    )
}

pub(super) struct Lexer<'t> {
    text: &'t str,
    at: usize,
    line: usize,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0, line: 1 }
    }

    /// The line of the next token, counted from 1.
    pub(super) fn line(&self) -> usize {
        self.line
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    /// The text from here up to the first character that is not `wanted`.
    fn take_while(&mut self, mut wanted: impl FnMut(char) -> bool) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn take(&mut self, length: usize, token: Token<'t>) -> Token<'t> {
        self.at += length;
        token
    }

    pub(super) fn next_token(&mut self) -> Token<'t> {
        let rest = self.rest();
        let Some(c) = rest.chars().next() else { return Token::Eof };
        match c {
            '\n' => {
                self.line += 1;
                self.take(1, Token::Newline)
            }
            '#' => self.comment(),
            '/' if rest.starts_with("//") => self.comment(),
            ',' => self.take(1, Token::Comma),
            ':' => self.take(1, Token::Colon),
            '=' => self.take(1, Token::Equals),
            '{' => self.take(1, Token::OpenBrace),
            '}' => self.take(1, Token::CloseBrace),
            '[' => self.take(1, Token::OpenBracket),
            ']' => self.take(1, Token::CloseBracket),
            '"' if rest.starts_with("\"\"\"") => self.triple_quoted(),
            '"' => self.quoted(),
            '+' if rest.starts_with("+=") => self.take(2, Token::PlusEquals),
            '$' if rest.starts_with("${?") => self.take(3, Token::Substitution { optional: true }),
            '$' if rest.starts_with("${") => self.take(2, Token::Substitution { optional: false }),
            '$' => problem('$', "'$' not followed by {"),
            '+' => problem('+', "'+' not followed by ="),
            '0'..='9' | '-' => self.number(),
            c if is_space(c) => Token::Space(self.take_while(is_space)),
            c if is_reserved(c) => problem(c, format!("Reserved character '{c}' is not allowed outside quotes")),
            _ => self.unquoted(),
        }
    }

    /// A comment is as good as nothing: the next token is what follows it.
    fn comment(&mut self) -> Token<'t> {
        self.take_while(|c| c != '\n');
        if self.rest().is_empty() {
            return Token::Eof;
        }
        self.line += 1;
        self.take(1, Token::Newline)
    }

    /// An initial `true`, `false` or `null` is a token of its own, whatever follows.
    fn unquoted(&mut self) -> Token<'t> {
        let rest = self.rest();
        for (word, token) in [("true", Token::True), ("false", Token::False), ("null", Token::Null)] {
            if rest.starts_with(word) {
                return self.take(word.len(), token);
            }
        }
        let from = self.at;
        let mut before = ' ';
        self.take_while(|c| {
            let comment = c == '/' && before == '/';
            before = c;
            !comment && c != '\n' && !is_space(c) && !is_reserved(c)
        });
        // A comment was noticed at its second slash.
        if before == '/' && self.rest().starts_with('/') {
            self.at -= 1;
        }
        Token::Text(&self.text[from..self.at])
    }

    fn number(&mut self) -> Token<'t> {
        let text = self.take_while(|c| matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'));
        match parse_number(text) {
            Some(number) => Token::Number(text, number),
            None if text.contains('+') => problem('+', "Reserved character '+' is not allowed outside quotes"),
            None => Token::Text(text),
        }
    }

    /// Three or more quotes end it; those beyond three belong to the string.
    fn triple_quoted(&mut self) -> Token<'t> {
        self.at += 3;
        let rest = self.rest();
        let Some(end) = rest.find("\"\"\"") else {
            return problem("\"\"\"", "End of input but triple-quoted string was still open");
        };
        let quotes = rest[end..].bytes().take_while(|b| *b == b'"').count();
        let text = &rest[..end + quotes - 3];
        self.line += text.bytes().filter(|b| *b == b'\n').count();
        self.at += end + quotes;
        Token::Quoted(text.into())
    }

    fn quoted(&mut self) -> Token<'t> {
        self.at += 1;
        let mut owned: Option<String> = None;
        loop {
            let piece = self.take_while(|c| c != '"' && c != '\\' && c >= ' ');
            let Some(c) = self.rest().chars().next() else {
                return problem("", "End of input but string quote was still open");
            };
            match c {
                '"' => {
                    self.at += 1;
                    return Token::Quoted(match owned {
                        None => piece.into(),
                        Some(text) => (text + piece).into(),
                    });
                }
                '\\' => match self.escape() {
                    Ok(c) => {
                        let text = owned.get_or_insert_default();
                        text.push_str(piece);
                        text.push(c);
                    }
                    Err(token) => return token,
                },
                c => {
                    let why =
                        "JSON does not allow unescaped control characters in quoted strings, use a backslash escape";
                    return problem(c.escape_default(), why);
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, Token<'t>> {
        self.at += 1;
        let Some(c) = self.rest().chars().next() else {
            return Err(problem('\\', "End of input but string quote was still open"));
        };
        self.at += c.len_utf8();
        Ok(match c {
            '"' | '\\' | '/' => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => self.unicode()?,
            c => {
                let why = format!(
                    "backslash followed by '{}', this is not a valid escape sequence (quoted strings use JSON \
                     escaping, so use double-backslash \\\\ for literal backslash)",
                    c.escape_default()
                );
                return Err(problem(c.escape_default(), why));
            }
        })
    }

    fn unicode(&mut self) -> Result<char, Token<'t>> {
        let lone = || problem("\\u", "\\u escape of half a surrogate pair");
        let unit = self.hex()?;
        if !(0xd800..0xe000).contains(&unit) {
            return char::from_u32(unit).ok_or_else(lone);
        }
        if unit >= 0xdc00 || !self.rest().starts_with("\\u") {
            return Err(lone());
        }
        self.at += 2;
        let low = self.hex()?;
        if !(0xdc00..0xe000).contains(&low) {
            return Err(lone());
        }
        char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)).ok_or_else(lone)
    }

    fn hex(&mut self) -> Result<u32, Token<'t>> {
        let digits = self.rest().get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let unit = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        self.at += if unit.is_some() { 4 } else { 0 };
        unit.ok_or_else(|| problem("\\u", "\\u must be followed by four hexadecimal digits"))
    }
}

/// `None` when the text is no number, or one that no finite double can hold.
fn parse_number(text: &str) -> Option<Number> {
    if !text.contains(['.', 'e', 'E'])
        && let Ok(number) = text.parse()
    {
        return Some(Number::Int(number));
    }
    if !text.ends_with(|c: char| c.is_ascii_digit() || c == '.') || !text.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let number: f64 = text.parse().ok().filter(|number: &f64| number.is_finite())?;
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if number.fract() == 0.0 && (-BEYOND..BEYOND).contains(&number) {
        #[allow(clippy::cast_possible_truncation, reason = "integral and in range")]
        return Some(Number::Int(number as i64));
    }
    Some(Number::Float(number))
}
