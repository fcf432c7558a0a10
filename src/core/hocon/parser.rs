//! Tokens into a [`Document`], by recursive descent. Messages follow the reference library's wording.

use std::sync::Arc;

use super::document::{Concat, Document, Node, NodeId, Reference};
use super::lexer::{Lexer, Token};
use super::map::Map;
use super::path::{PathBuilder, render};
use super::{Error, ErrorKind, Limits};

pub(super) struct Parser<'t> {
    lexer: Lexer<'t>,
    token: Token<'t>,
    /// The line of `token`.
    line: usize,
    document: Document<'t>,
    /// Where the value being parsed will stand, except for the lists around it.
    path: Vec<Arc<str>>,
    depth: usize,
    lists: usize,
    references: usize,
    max_depth: usize,
    max_values: usize,
}

impl<'t> Parser<'t> {
    pub(super) fn new(text: &'t str, limits: &Limits) -> Self {
        let mut parser = Self {
            lexer: Lexer::new(text),
            token: Token::Eof,
            line: 1,
            document: Document::new(),
            path: Vec::new(),
            depth: 0,
            lists: 0,
            references: 0,
            max_depth: limits.depth(),
            max_values: limits.max_values,
        };
        parser.advance();
        parser
    }

    fn advance(&mut self) -> Token<'t> {
        self.line = self.lexer.line();
        let next = self.lexer.next_token();
        std::mem::replace(&mut self.token, next)
    }

    fn skip_blank(&mut self) {
        while matches!(self.token, Token::Space(_) | Token::Newline) {
            self.advance();
        }
    }

    fn error(&self, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Syntax, self.line, message)
    }

    /// `expected`, then the token that came instead.
    fn unexpected(&self, expected: &str) -> Error {
        self.unexpected_as(&format!("{expected} {}", self.token))
    }

    /// `message`, with a hint how the token could have been meant.
    fn unexpected_as(&self, message: &str) -> Error {
        let token = &self.token;
        if matches!(token, Token::Eof | Token::Newline) {
            return self.error(message);
        }
        self.error(format!(
            "{message} (if you intended {token} to be part of a key or string value, try enclosing the key or value in \
             double quotes)"
        ))
    }

    fn limit(&self, message: String) -> Error {
        Error::new(ErrorKind::Limit, self.line, message)
    }

    fn count(&mut self) -> Result<(), Error> {
        self.document.values += 1;
        if self.document.values > self.max_values {
            return Err(self.limit(format!("More than {} values", self.max_values)));
        }
        Ok(())
    }

    fn deepen(&mut self, levels: usize) -> Result<(), Error> {
        self.depth += levels;
        if self.depth > self.max_depth {
            return Err(self.limit(format!("Nested more than {} levels deep", self.max_depth)));
        }
        Ok(())
    }

    pub(super) fn document(mut self) -> Result<Document<'t>, Error> {
        self.skip_blank();
        match self.token {
            Token::OpenBracket => {
                return Err(Error::new(
                    ErrorKind::WrongType,
                    self.line,
                    "has type LIST rather than object at file root",
                ));
            }
            Token::OpenBrace => {
                self.advance();
                self.fields(Document::ROOT, true)?;
                self.skip_blank();
                if self.token != Token::Eof {
                    return Err(self.unexpected("Document has trailing tokens after first object or array:"));
                }
            }
            _ => self.fields(Document::ROOT, false)?,
        }
        Ok(self.document)
    }

    /// The fields of one object, up to and with its closing brace, or to the end of the text without braces.
    fn fields(&mut self, object: NodeId, braces: bool) -> Result<(), Error> {
        loop {
            self.skip_blank();
            if self.end_of_fields(braces)? {
                return Ok(());
            }
            self.field(object, braces)?;
            if self.separator() {
                continue;
            }
            if self.end_of_fields(braces)? {
                return Ok(());
            }
            let expected = if braces {
                "Expecting close brace } or a comma, got"
            } else {
                "Expecting end of input or a comma, got"
            };
            return Err(self.unexpected(expected));
        }
    }

    fn end_of_fields(&mut self, braces: bool) -> Result<bool, Error> {
        match self.token {
            Token::CloseBrace if braces => {
                self.advance();
                Ok(true)
            }
            Token::CloseBrace => Err(self.unexpected_as("unbalanced close brace '}' with no open brace")),
            Token::Eof if !braces => Ok(true),
            _ => Ok(false),
        }
    }

    /// Passes what separates two elements: newlines, one comma, or both. False when there is neither.
    fn separator(&mut self) -> bool {
        let mut newline = false;
        loop {
            match self.token {
                Token::Space(_) => {}
                Token::Newline => newline = true,
                Token::Comma => {
                    self.advance();
                    return true;
                }
                _ => return newline,
            }
            self.advance();
        }
    }

    fn field(&mut self, object: NodeId, braces: bool) -> Result<(), Error> {
        if self.token == Token::Text("include") {
            let message = "include statements are not supported: put the included text into the body itself";
            return Err(Error::new(ErrorKind::Include, self.line, message));
        }
        let key = self.key(braces)?;
        self.skip_blank();
        let append = match self.token {
            Token::OpenBrace => false,
            Token::Colon | Token::Equals => {
                self.advance();
                false
            }
            Token::PlusEquals => {
                self.advance();
                true
            }
            _ => return Err(self.unexpected(&format!("Key '{}' may not be followed by token:", render(&key)))),
        };
        self.deepen(key.len() - 1)?;
        let outer = self.path.len();
        self.path.extend_from_slice(&key);
        self.skip_blank();
        let value = if append { self.appended()? } else { self.value()? };
        self.path.truncate(outer);
        self.depth -= key.len() - 1;
        self.document.set(object, &key, value);
        if self.document.values > self.max_values {
            return Err(self.limit(format!("More than {} values", self.max_values)));
        }
        Ok(())
    }

    fn key(&mut self, braces: bool) -> Result<Vec<Arc<str>>, Error> {
        let mut path = PathBuilder::default();
        let line = self.line;
        while path.push(&self.token, line)? {
            self.advance();
        }
        if path.is_empty() {
            let expected = if braces {
                "Expecting close brace } or a field name here, got"
            } else {
                "Expecting a field name here, got"
            };
            return Err(self.unexpected(expected));
        }
        path.finish(line, self.max_depth)
    }

    /// The value of `+=`: the value below, if any, followed by a list of what is written.
    fn appended(&mut self) -> Result<NodeId, Error> {
        let line = self.line;
        let below = if self.lists == 0 {
            Node::Reference(Reference { path: self.path.clone(), optional: true, line })
        } else {
            Node::Below
        };
        let below = self.document.add(below);
        let references = self.references;
        self.deepen(1)?;
        self.lists += 1;
        let item = self.value()?;
        self.lists -= 1;
        self.depth -= 1;
        let list = self.document.add(Node::Array(vec![item]));
        let appends = self.references == references;
        self.references += 1;
        Ok(self.document.add(Node::Concat(Concat { parts: vec![below, list], line, appends })))
    }

    /// One value, or several on one line, which are concatenated.
    fn value(&mut self) -> Result<NodeId, Error> {
        let line = self.line;
        let references = self.references;
        let mut parts = Vec::new();
        let mut space = None;
        loop {
            if let Token::Space(text) = self.token {
                space = Some(text);
                self.advance();
                continue;
            }
            let simple = self.at_simple_value();
            if !simple && !matches!(self.token, Token::OpenBrace | Token::OpenBracket) {
                break;
            }
            let before = parts.last().map(|last| self.document.node(*last));
            let joins = simple && !matches!(before, None | Some(Node::Array(_) | Node::Object(_)));
            if let Some(text) = space.take().filter(|_| joins) {
                let space = self.document.add(Node::Space(text));
                self.join(&mut parts, space)?;
            }
            let part = self.part()?;
            self.join(&mut parts, part)?;
        }
        match parts.len() {
            0 => Err(self.unexpected("Expecting a value but got wrong token:")),
            1 => Ok(parts[0]),
            _ => {
                let appends = parts.len() == 2 && self.references == references + 1 && self.is_self(parts[0]);
                Ok(self.document.add(Node::Concat(Concat { parts, line, appends })))
            }
        }
    }

    fn is_self(&self, part: NodeId) -> bool {
        self.lists == 0 && matches!(self.document.node(part), Node::Reference(reference) if reference.path == self.path)
    }

    fn at_simple_value(&self) -> bool {
        matches!(
            self.token,
            Token::Quoted(_)
                | Token::Text(_)
                | Token::Number(..)
                | Token::True
                | Token::False
                | Token::Null
                | Token::Substitution { .. }
        )
    }

    /// Adds a part to a concatenation, joining literals of one kind at once.
    fn join(&mut self, parts: &mut Vec<NodeId>, part: NodeId) -> Result<(), Error> {
        let Some(&last) = parts.last() else {
            parts.push(part);
            return Ok(());
        };
        match (self.document.node(last), self.document.node(part)) {
            (Node::Reference(_), _) | (_, Node::Reference(_)) => parts.push(part),
            (Node::Object(_), Node::Object(_)) => self.document.merge(last, part),
            (Node::Array(_), Node::Array(_)) => {
                let Node::Array(more) = std::mem::replace(self.document.node_mut(part), Node::Null) else {
                    unreachable!("just seen")
                };
                let Node::Array(items) = self.document.node_mut(last) else { unreachable!("just seen") };
                items.extend(more);
            }
            // Objects with numeric keys can stand for lists, which resolution sees to.
            (Node::Array(_), Node::Object(_)) | (Node::Object(_), Node::Array(_)) => parts.push(part),
            _ => match (self.document.text(last), self.document.text(part)) {
                (Some(_), Some(more)) => {
                    let more = more.to_owned();
                    self.append_text(last, &more);
                }
                _ => {
                    let message = "Cannot concatenate object or list with a non-object-or-list";
                    return Err(Error::new(ErrorKind::WrongType, self.line, message));
                }
            },
        }
        Ok(())
    }

    fn append_text(&mut self, to: NodeId, more: &str) {
        if let Node::Text(text) = self.document.node_mut(to) {
            text.to_mut().push_str(more);
            return;
        }
        let text = self.document.text(to).unwrap_or_default().to_owned() + more;
        *self.document.node_mut(to) = Node::Text(text.into());
    }

    fn part(&mut self) -> Result<NodeId, Error> {
        self.count()?;
        let node = match self.advance() {
            Token::OpenBrace => {
                self.deepen(1)?;
                let object = self.document.add(Node::Object(Map::default()));
                self.fields(object, true)?;
                self.depth -= 1;
                return Ok(object);
            }
            Token::OpenBracket => self.array()?,
            Token::Substitution { optional } => self.substitution(optional)?,
            Token::Quoted(text) => Node::Text(text),
            Token::Text(text) => Node::Text(text.into()),
            Token::Number(text, number) => Node::Number(text, number),
            Token::True => Node::Bool(true),
            Token::False => Node::Bool(false),
            Token::Null => Node::Null,
            _ => unreachable!("the caller has seen the beginning of a value"),
        };
        Ok(self.document.add(node))
    }

    fn array(&mut self) -> Result<Node<'t>, Error> {
        self.deepen(1)?;
        self.lists += 1;
        let mut items = Vec::new();
        loop {
            self.skip_blank();
            if self.token == Token::CloseBracket {
                break;
            }
            let starts = self.at_simple_value() || matches!(self.token, Token::OpenBrace | Token::OpenBracket);
            if !starts {
                let first = "List should have ] or a first element after the open [, instead had token:";
                let next = "List should have had new element after a comma, instead had token:";
                return Err(self.unexpected(if items.is_empty() { first } else { next }));
            }
            items.push(self.value()?);
            if !self.separator() && self.token != Token::CloseBracket {
                return Err(self.unexpected("List should have ended with ] or had a comma, instead had token:"));
            }
        }
        self.advance();
        self.lists -= 1;
        self.depth -= 1;
        Ok(Node::Array(items))
    }

    fn substitution(&mut self, optional: bool) -> Result<Node<'t>, Error> {
        let line = self.line;
        let mut path = PathBuilder::default();
        while path.push(&self.token, line)? {
            self.advance();
        }
        match self.token {
            Token::CloseBrace => {}
            Token::Eof => return Err(self.error("Substitution ${ was not closed with a }")),
            _ => return Err(self.unexpected("Token not allowed in path expression:")),
        }
        self.advance();
        self.references += 1;
        Ok(Node::Reference(Reference { path: path.finish(line, self.max_depth)?, optional, line }))
    }
}
