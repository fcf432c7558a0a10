//! Binaries: what a client uploads once and jobs name.

use serde::{Deserialize, Serialize};

/// Content in the BinaryStore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobRef {
    pub sha256: String,
    pub size_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BinaryType {
    Jar,
    Egg,
    Wheel,
}

impl BinaryType {
    /// By the media type of an upload, without its parameters; capitals do not matter.
    pub fn of_media_type(media_type: &str) -> Option<Self> {
        match media_type.to_ascii_lowercase().as_str() {
            "application/java-archive" => Some(Self::Jar),
            "application/python-egg" | "application/python-archive" => Some(Self::Egg),
            "application/python-wheel" => Some(Self::Wheel),
            _ => None,
        }
    }

    /// By the ending of a file's or URI's name.
    pub fn of_file_name(name: &str) -> Option<Self> {
        match name.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
            "jar" => Some(Self::Jar),
            "egg" => Some(Self::Egg),
            "whl" => Some(Self::Wheel),
            _ => None,
        }
    }

    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jar => "application/java-archive",
            Self::Egg => "application/python-egg",
            Self::Wheel => "application/python-wheel",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Jar => "Jar",
            Self::Egg => "Egg",
            Self::Wheel => "Wheel",
        }
    }

    pub fn is_python(self) -> bool {
        matches!(self, Self::Egg | Self::Wheel)
    }
}

/// What stands under `binaries/<name>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinaryRecord {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: BinaryType,
    pub content: BlobRef,
    pub uploaded_ms: i64,
    pub principal: String,
}

/// The longest name of a binary, context or data file, in bytes.
pub const MAX_NAME_BYTES: usize = 255;

/// Why a name cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("the name is empty")]
    Empty,
    #[error("the name is {0} bytes long; at most {MAX_NAME_BYTES} are possible")]
    TooLong(usize),
    #[error("the name holds a control character")]
    Control,
    #[error("the name stands for a directory")]
    Directory,
}

/// Any text but what could not be shown or listed: names never become paths.
pub fn check_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(NameError::TooLong(name.len()));
    }
    if name.chars().any(char::is_control) {
        return Err(NameError::Control);
    }
    if name == "." || name == ".." {
        return Err(NameError::Directory);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_of_the_reference_are_known_in_any_case() {
        assert_eq!(BinaryType::of_media_type("Application/Java-Archive"), Some(BinaryType::Jar));
        assert_eq!(BinaryType::of_media_type("application/python-archive"), Some(BinaryType::Egg));
        assert_eq!(BinaryType::of_media_type("python-archive"), None);
    }

    #[test]
    fn names_may_hold_blanks_slashes_and_unicode_but_no_control_characters() {
        assert_eq!(check_name("a/b c ü \"q\" 100%"), Ok(()));
        assert_eq!(check_name(""), Err(NameError::Empty));
        assert_eq!(check_name("a\nb"), Err(NameError::Control));
        assert_eq!(check_name(".."), Err(NameError::Directory));
        assert_eq!(check_name(&"n".repeat(10_000)), Err(NameError::TooLong(10_000)));
    }
}
