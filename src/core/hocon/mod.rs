//! HOCON for bodies from strangers: a parser of our own, within limits, that reads nothing but its text.
//!
//! It follows the published HOCON specification, with these deliberate differences: `include` is refused; `${X}` is
//! looked up in the text alone, never in the environment, system properties or files; the root must be an object (empty
//! text is the empty object); `+=` also works inside lists; a number that no finite double can hold is text.
//!
//! # How a text becomes an object
//!
//! 1. `lexer` cuts the text into tokens; `parser` (recursive descent, at most [`Limits::max_depth`] deep) turns
//!    them into a `document`: an arena of nodes in which each field is a *slot* holding a stack of layers, the oldest
//!    first. A literal that is not an object discards the layers below it; an object on an object merges at once. A
//!    layer that cannot merge yet (a substitution, a concatenation with one) stays on the stack.
//! 2. `resolve` evaluates the root object. A slot is the merge of its layers from the newest down, ending at the
//!    first that is not an object, so what is hidden is never evaluated. A path is followed slot by slot, so `${a.b}`
//!    evaluates `b` alone and an object may refer to its own fields.
//! 3. While a substitution or concatenation is evaluated as layer *k* of a slot, that slot's *ceiling* is *k*: whoever
//!    comes back to the slot sees only the layers below. That is the look-back of `path = ${path} [x]`, and of a cycle
//!    through other fields. With nothing below, the value is missing: an error, or nothing for `${?…}`.
//! 4. While an object or array is evaluated as a layer, the slot is *open*: coming back for the whole of it is a cycle.
//!
//! # Why it ends, and soon
//!
//! Each visit of a slot lowers its ceiling, opens it, or descends a finite path, and each of these is bounded. A value
//! that depends on no slot still in progress further out is kept, so an ordinary slot is evaluated once. What looks
//! back from within another field's cycle is evaluated anew when it is asked for outside of it. That could repeat
//! without end for practical purposes (many long cycles), so each visit is a step, and steps, recursion, values and
//! expanded bytes are limited. A value that is substituted is shared, not copied; its whole size is charged before
//! anything is built, so 32 doublings fail after some 20 cheap steps. A thousand `path = ${path} [x]` over a list are
//! appended while parsing.

mod document;
mod join;
mod lexer;
mod map;
mod parser;
mod path;
mod resolve;
mod resolved;
mod value;

#[cfg(test)]
mod tests;

pub use value::{Object, Value};

/// No text may nest deeper than this, whatever [`Limits::max_depth`] says: the stack of a thread is finite. The worst
/// text takes some 256 KiB of it, and some 1.3 MiB without optimisation.
const DEEPEST: usize = 200;

/// What a text may cost. A text beyond one of these is refused with [`ErrorKind::Limit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Levels of objects and arrays, each element of a dotted key counting as one. More than 200 counts as 200.
    pub max_depth: usize,
    /// Values of all kinds, in the text and after substitution.
    pub max_values: usize,
    /// Bytes that substitutions may add to what the text itself holds.
    pub max_expanded_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_depth: 200, max_values: 50_000, max_expanded_bytes: 4 * 1024 * 1024 }
    }
}

impl Limits {
    fn depth(&self) -> usize {
        self.max_depth.min(DEEPEST)
    }
}

/// What sort of mistake an [`Error`] reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The text is not HOCON.
    Syntax,
    /// An `include` statement, which is never followed.
    Include,
    /// A root that is not an object, or a concatenation of kinds that do not go together.
    WrongType,
    /// A substitution without a value, or a cycle of them.
    Unresolved,
    /// The text exceeds one of the [`Limits`].
    Limit,
}

/// Why a text was refused, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("String: {line}: {message}")]
pub struct Error {
    pub kind: ErrorKind,
    /// Counted from 1.
    pub line: usize,
    pub message: String,
}

impl Error {
    fn new(kind: ErrorKind, line: usize, message: impl Into<String>) -> Self {
        Self { kind, line, message: message.into() }
    }
}

/// Parses `text` and resolves its substitutions.
///
/// # Errors
/// See [`ErrorKind`]; the first mistake found is reported.
pub fn parse(text: &str, limits: &Limits) -> Result<Object, Error> {
    let document = parser::Parser::new(text, limits).document()?;
    resolve::resolve(&document, limits)
}
