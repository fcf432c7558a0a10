//! Path expressions: `a.b."c.d"`, in keys, in substitutions and in queries of an object.

use std::sync::Arc;

use super::lexer::{Lexer, Token, shorten};
use super::{Error, ErrorKind};

const BAD_DOTS: &str = "Path has a leading, trailing, or two adjacent period '.' (use quoted \"\" empty string if you \
                        want an empty element)";

/// Collects the tokens of one path expression. Dots outside quotes separate, whitespace between tokens is kept.
#[derive(Default)]
pub(super) struct PathBuilder<'t> {
    elements: Vec<Arc<str>>,
    current: String,
    /// The current element has a quoted part, so it may be empty.
    quoted: bool,
    space: Option<&'t str>,
    any: bool,
}

impl<'t> PathBuilder<'t> {
    /// False when the token cannot be part of a path.
    pub(super) fn push(&mut self, token: &Token<'t>, line: usize) -> Result<bool, Error> {
        let text = match token {
            Token::Space(space) => {
                self.space = self.any.then_some(*space);
                return Ok(true);
            }
            Token::Quoted(text) => {
                self.begin();
                self.current.push_str(text);
                self.quoted = true;
                return Ok(true);
            }
            Token::Text(text) | Token::Number(text, _) => *text,
            Token::True => "true",
            Token::False => "false",
            Token::Null => "null",
            _ => return Ok(false),
        };
        self.begin();
        for (n, piece) in text.split('.').enumerate() {
            if n > 0 {
                self.end_element(line)?;
            }
            self.current.push_str(piece);
        }
        Ok(true)
    }

    fn begin(&mut self) {
        self.any = true;
        if let Some(space) = self.space.take() {
            self.current.push_str(space);
        }
    }

    fn end_element(&mut self, line: usize) -> Result<(), Error> {
        if self.current.is_empty() && !self.quoted {
            return Err(Error::new(ErrorKind::Syntax, line, BAD_DOTS));
        }
        self.elements.push(Arc::from(self.current.as_str()));
        self.current.clear();
        self.quoted = false;
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.any
    }

    /// At least one element.
    pub(super) fn finish(mut self, line: usize, max: usize) -> Result<Vec<Arc<str>>, Error> {
        if !self.any {
            let message = "Expecting a field name or path here, but got nothing";
            return Err(Error::new(ErrorKind::Syntax, line, message));
        }
        self.end_element(line)?;
        if self.elements.len() > max {
            return Err(Error::new(ErrorKind::Limit, line, format!("A path of more than {max} elements")));
        }
        Ok(self.elements)
    }
}

/// Reads a whole string as one path expression.
pub(super) fn parse_path(text: &str, max: usize) -> Result<Vec<Arc<str>>, Error> {
    let mut lexer = Lexer::new(text);
    let mut path = PathBuilder::default();
    loop {
        match lexer.next_token() {
            Token::Eof => return path.finish(1, max),
            token if path.push(&token, 1)? => {}
            token => {
                let message = format!("Token not allowed in path expression: {token}");
                return Err(Error::new(ErrorKind::Syntax, 1, message));
            }
        }
    }
}

/// As it would be written, shortened: elements that need it are quoted.
pub(super) fn render(path: &[Arc<str>]) -> String {
    let plain = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let elements = path.iter().map(|element| {
        if !element.is_empty() && element.chars().all(plain) { element.to_string() } else { format!("{element:?}") }
    });
    shorten(&elements.collect::<Vec<_>>().join(".")).into_owned()
}
