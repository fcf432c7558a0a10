//! What a request says of who asks: the header `Authorization`.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::TokenText;

/// Longer headers are nobody's.
const MAX_HEADER_BYTES: usize = 4096;

/// Its `Debug` shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing was presented.
    None,
    Basic {
        user: String,
        password: String,
    },
    Bearer(TokenText),
    /// A token that is none.
    BadToken,
    /// A client certificate that was checked names the user.
    Certificate {
        user: String,
    },
    /// A header that says nothing which can be understood.
    Malformed,
}

impl Credentials {
    /// Reads the value of `Authorization`.
    pub fn of_header(value: &[u8]) -> Self {
        let Some((scheme, rest)) = split(value) else { return Self::Malformed };
        if scheme.eq_ignore_ascii_case("basic") {
            return basic(rest).unwrap_or(Self::Malformed);
        }
        if scheme.eq_ignore_ascii_case("bearer") {
            return TokenText::parse(rest).map_or(Self::BadToken, Self::Bearer);
        }
        Self::Malformed
    }

    /// Whether it came as a token, good or not.
    pub fn is_bearer(&self) -> bool {
        matches!(self, Self::Bearer(_) | Self::BadToken)
    }

    /// The name that was claimed, for the audit log.
    pub fn claimed(&self) -> Option<&str> {
        match self {
            Self::Basic { user, .. } | Self::Certificate { user } => Some(user),
            Self::None | Self::Bearer(_) | Self::BadToken | Self::Malformed => None,
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Basic { user, .. } => write!(f, "Basic({user:?})"),
            Self::Bearer(token) => write!(f, "Bearer({token:?})"),
            Self::BadToken => f.write_str("BadToken"),
            Self::Certificate { user } => write!(f, "Certificate({user:?})"),
            Self::Malformed => f.write_str("Malformed"),
        }
    }
}

fn split(value: &[u8]) -> Option<(&str, &str)> {
    if value.len() > MAX_HEADER_BYTES {
        return None;
    }
    let (scheme, rest) = std::str::from_utf8(value).ok()?.trim().split_once(' ')?;
    Some((scheme, rest.trim()))
}

/// The name ends at the first colon; a password may hold more.
fn basic(encoded: &str) -> Option<Credentials> {
    let decoded = STANDARD.decode(encoded).or_else(|_| STANDARD_NO_PAD.decode(encoded)).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    Some(Credentials::Basic { user: user.into(), password: password.into() })
}

/// The value of `Authorization` for a user and password.
pub fn encode_basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_is_a_name_and_a_password_that_may_hold_colons() {
        let expected = Credentials::Basic { user: "ann".into(), password: "a:b ü".into() };
        let header = encode_basic("ann", "a:b ü");
        assert_eq!(Credentials::of_header(header.as_bytes()), expected);
        assert_eq!(Credentials::of_header(header.replace("Basic", "bAsIc ").as_bytes()), expected);
        assert_eq!(Credentials::of_header(header.trim_end_matches('=').as_bytes()), expected);
    }

    #[test]
    fn a_malformed_header_is_told_from_none() {
        let long = format!("Basic {}", "A".repeat(10_000));
        for wrong in ["", "Basic", "Basic ", "Basic !!!", "Basic YW5u", "Digest x", "Basic /////w==", long.as_str()] {
            assert_eq!(Credentials::of_header(wrong.as_bytes()), Credentials::Malformed, "{wrong}");
        }
        assert_eq!(Credentials::of_header(b"Basic \xff\xfe"), Credentials::Malformed);
        assert_eq!(Credentials::of_header(b"Bearer x"), Credentials::BadToken);
    }

    #[test]
    fn nothing_secret_is_shown() {
        let shown = format!("{:?}", Credentials::of_header(encode_basic("ann", "hush").as_bytes()));
        assert_eq!(shown, "Basic(\"ann\")");
    }
}
