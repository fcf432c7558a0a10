//! Why a command did not do what it was asked, in words and as an exit code.

use std::io::{self, Write};

use crate::config::Errors;

use super::exit::Exit;

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{message}")]
    Told { exit: Exit, message: String, hint: Option<String> },
    #[error("{0}")]
    Config(Errors),
    /// Whoever read our output has enough, like `head`.
    #[error("nobody reads the output any more")]
    ReaderGone,
}

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self::Told { exit, message: message.into(), hint: None }
    }

    /// With what to do about it.
    pub fn hint(self, text: impl Into<String>) -> Self {
        match self {
            Self::Told { exit, message, .. } => Self::Told { exit, message, hint: Some(text.into()) },
            other => other,
        }
    }

    /// With what it is about before its words.
    pub fn of(self, what: &str) -> Self {
        match self {
            Self::Told { exit, message, hint } => Self::Told { exit, message: format!("{what}: {message}"), hint },
            other => other,
        }
    }

    /// Prints `error:` and `hint:` lines on stderr, and gives the code to end with.
    pub fn report(&self) -> Exit {
        let (exit, text) = match self {
            Self::Told { exit, message, hint } => {
                let hint = hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
                (*exit, format!("error: {message}{hint}"))
            }
            Self::Config(errors) => (Exit::ConfigInvalid, errors.to_string()),
            Self::ReaderGone => return Exit::Ok,
        };
        note(text);
        exit
    }
}

impl From<io::Error> for Failure {
    /// For writing to stdout.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => Self::new(Exit::Failed, format!("cannot write to stdout: {error}")),
        }
    }
}

impl From<Errors> for Failure {
    fn from(errors: Errors) -> Self {
        Self::Config(errors)
    }
}

/// A line for people, on stderr. That nobody reads it is no reason to fail.
pub fn note(text: impl AsRef<str>) {
    let _ = writeln!(io::stderr(), "{}", text.as_ref());
}
