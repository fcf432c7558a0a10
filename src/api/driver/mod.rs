//! The driver protocol of `docs/driver-protocol.md`: both layers, and the file that starts a shim.
//!
//! A message is an object with one member, which is what serde makes of an enum; so results and configs travel as raw
//! JSON and are never parsed on the way.

pub mod attach;
pub mod line;
pub mod spec;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The version of both layers.
pub const PROTOCOL: u32 = 1;

/// The longest message of either layer, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// JSON that passes through unread. Cheap to clone where it is behind an `Arc`; here it is owned.
pub type Raw = Box<RawValue>;

/// Reads one message of either layer; `None` for a kind that this version does not know, which is to be ignored.
///
/// # Errors
/// When it is no message, or one of a known kind with wrong fields.
pub fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<Option<T>, serde_json::Error> {
    match serde_json::from_str(text) {
        Ok(message) => Ok(Some(message)),
        // serde gives this error no type of its own; a test pins the words.
        Err(error) if error.is_data() && error.to_string().starts_with("unknown variant") => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a driver says of itself once its context is up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ui_url: Option<String>,
}

/// Why a context cannot be built, in words for its user.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Unable {
    pub message: String,
}

/// A message that is about one job and says nothing else.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OfJob {
    pub job: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Progress {
    pub job: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Stop {
    pub graceful: bool,
    pub grace_ms: u64,
}

pub use crate::core::jobs::Failure;
pub use crate::core::timeline::{Spans, bounded};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_kinds_and_fields_are_ignored_malformed_messages_are_not() {
        let read = read::<line::FromDriver>;
        assert!(matches!(read(r#"{"accepted":{"job":"a","new":[1]}}"#), Ok(Some(line::FromDriver::Accepted(_)))));
        assert!(matches!(read(r#"{"sings":{"job":"a"}}"#), Ok(None)));
        for malformed in [r#"{"accepted":{"task":"a"}}"#, r#"{"accepted":{"job":"a"}"#, "[]", "", "7"] {
            assert!(read(malformed).is_err(), "{malformed}");
        }
    }
}
