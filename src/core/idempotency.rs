//! Idempotency keys: what a key may look like, what makes two requests the same, what is remembered, and what a known key
//! means for the request that brings it.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The longest key, in bytes, without quotes.
pub const MAX_KEY_BYTES: usize = 255;

/// Parameters that say how long a client waits, and not what is to be done: a retry may wait longer.
const ABOUT_WAITING: [&str; 3] = ["_method", "sync", "timeout"];

/// A name that a client gives to one thing that it wants done once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("it is empty")]
    Empty,
    #[error("it is {0} bytes long; at most {MAX_KEY_BYTES} are possible")]
    TooLong(usize),
    #[error("it is given more than once")]
    Twice,
    #[error("a bare key is visible ASCII without blanks, commas and quotes; anything else stands in quotes")]
    Bare,
    #[error("a quoted key is printable ASCII, with a backslash before each quote and backslash, and nothing after it")]
    Quoted,
}

impl IdempotencyKey {
    /// A header's value: a string as structured fields have it (`"…"`, RFC 8941), or the bare text that most clients send.
    /// Both name the same key.
    ///
    /// # Errors
    /// When it is neither, or too long.
    pub fn parse(value: &str) -> Result<Self, KeyError> {
        let value = value.trim();
        let key = match value.strip_prefix('"') {
            Some(rest) => unquoted(rest)?,
            None if value.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '"' | ',')) => value.to_owned(),
            None => return Err(KeyError::Bare),
        };
        match key.len() {
            0 => Err(KeyError::Empty),
            length if length > MAX_KEY_BYTES => Err(KeyError::TooLong(length)),
            _ => Ok(Self(key)),
        }
    }

    /// Under what it is remembered. Two principals may choose the same key, and mean two things by it.
    pub fn id(&self, principal: &str) -> String {
        digest(&[principal, &self.0])
    }
}

/// What follows the opening quote, up to the closing one.
fn unquoted(rest: &str) -> Result<String, KeyError> {
    let mut key = String::new();
    let mut characters = rest.chars();
    loop {
        match characters.next() {
            Some('"') if characters.as_str().is_empty() => return Ok(key),
            Some('\\') => match characters.next() {
                Some(escaped @ ('"' | '\\')) => key.push(escaped),
                _ => return Err(KeyError::Quoted),
            },
            Some(c @ (' '..='!' | '#'..='~')) => key.push(c),
            _ => return Err(KeyError::Quoted),
        }
    }
}

/// What makes two requests the same. SHA-256 in hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Of method, path and query.
    pub request: String,
    /// Of the body.
    pub body: String,
}

/// Of a request's method, its path in decoded segments, and its query in decoded pairs. The order of different parameters
/// does not count; `/jars` is `/binaries`.
pub fn request_digest<'a>(method: &str, segments: impl Iterator<Item = &'a str>, query: &[(String, String)]) -> String {
    let mut parts = vec![method];
    parts.extend(segments.enumerate().map(|(at, part)| if (at, part) == (0, "jars") { "binaries" } else { part }));
    // No segment is told from a parameter otherwise: `?` cannot be a method, and stands in a place of its own.
    parts.push("?");
    let mut pairs: Vec<&(String, String)> =
        query.iter().filter(|(name, _)| !ABOUT_WAITING.contains(&name.as_str())).collect();
    pairs.sort_by(|one, other| one.0.cmp(&other.0));
    parts.extend(pairs.into_iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]));
    digest(&parts)
}

/// SHA-256 in hex of all parts, each told from the next by its length.
pub fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hex(&hash.finalize())
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a request did, or is to do: by it the request can be answered again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Effect {
    /// Done in the commit that remembers it.
    JobSubmitted {
        job: String,
    },
    ContextCreated {
        context: String,
    },
    BinaryStored,
    BinaryDeleted,
    /// Done before.
    DataStored {
        path: String,
    },
    AllDataDeleted,
    /// Decided; whoever finds it sees to it that it is done. Ids and paths name one thing for ever, so doing it again
    /// changes nothing.
    StopContexts {
        contexts: Vec<String>,
    },
    KillJob {
        job: String,
    },
    DeleteData {
        path: String,
    },
    /// Done in the commit that remembers it; the token itself is nowhere.
    TokenCreated {
        token: String,
    },
    TokenRevoked,
    /// Done before.
    CallbackReplayed,
}

/// What stands under `idempotency/<id>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct IdempotencyRecord {
    pub principal: String,
    pub fingerprint: Fingerprint,
    pub created_ms: i64,
    pub effect: Effect,
}

/// What a key means for the request that brings it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is unknown: do it.
    Run,
    /// It is too old to count: do it, and remember it in place of what is there.
    RunAnew,
    /// It is done: answer again.
    Replay,
    /// The same as far as it is known; the body, which has not arrived, decides.
    CompareBody,
    /// Another request has used the key.
    Mismatch,
}

/// Whether a key of this age no longer counts. A clock that was set back makes none older.
pub fn has_expired(created_ms: i64, now_ms: i64, keep_ms: i64) -> bool {
    now_ms.saturating_sub(created_ms) > keep_ms
}

/// `body` is `None` while it has not arrived.
pub fn decide(
    found: Option<&IdempotencyRecord>,
    request: &str,
    body: Option<&str>,
    now_ms: i64,
    keep_ms: i64,
) -> Decision {
    let Some(record) = found else { return Decision::Run };
    if has_expired(record.created_ms, now_ms, keep_ms) {
        return Decision::RunAnew;
    }
    match body {
        _ if record.fingerprint.request != request => Decision::Mismatch,
        None => Decision::CompareBody,
        Some(body) if record.fingerprint.body == body => Decision::Replay,
        Some(_) => Decision::Mismatch,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(value: &str) -> Result<String, KeyError> {
        IdempotencyKey::parse(value).map(|key| key.0)
    }

    fn request(method: &str, path: &str, query: &[(&str, &str)]) -> String {
        let query: Vec<_> = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        request_digest(method, path.split('/'), &query)
    }

    fn remembered(age_ms: i64) -> IdempotencyRecord {
        let fingerprint = Fingerprint { request: "r".into(), body: "b".into() };
        let created_ms = 1000 - age_ms;
        IdempotencyRecord { principal: "p".into(), fingerprint, created_ms, effect: Effect::BinaryStored }
    }

    #[test]
    fn a_quoted_key_and_the_bare_one_are_the_same() {
        for value in ["8e03978e-40d5-43e8-bc93-6894a57f9324", "\"8e03978e-40d5-43e8-bc93-6894a57f9324\"", " a_b:c/d=; "]
        {
            assert_eq!(key(value).unwrap(), value.trim_matches([' ', '"']));
        }
        assert_eq!(key(r#""a \"b\" \\ c, d""#).unwrap(), r#"a "b" \ c, d"#);
    }

    #[test]
    fn what_is_no_key_is_told_why() {
        for (value, error) in [
            ("", KeyError::Empty),
            ("\"\"", KeyError::Empty),
            ("a b", KeyError::Bare),
            ("a,b", KeyError::Bare),
            ("a\"b", KeyError::Bare),
            ("ü", KeyError::Bare),
            ("\"a", KeyError::Quoted),
            ("\"a\"b", KeyError::Quoted),
            ("\"a\\n\"", KeyError::Quoted),
            ("\"ü\"", KeyError::Quoted),
            ("\"a\tb\"", KeyError::Quoted),
        ] {
            assert_eq!(key(value), Err(error), "{value}");
        }
        assert!(key(&"k".repeat(255)).is_ok());
        assert_eq!(key(&"k".repeat(256)), Err(KeyError::TooLong(256)));
    }

    #[test]
    fn one_key_of_two_principals_is_two() {
        let key = IdempotencyKey::parse("k").unwrap();
        assert_eq!(key.id("ada"), key.id("ada"));
        assert_ne!(key.id("ada"), key.id("bob"));
        assert_ne!(IdempotencyKey::parse("bk").unwrap().id("a"), key.id("ab"));
    }

    #[test]
    fn the_order_of_parameters_and_how_long_to_wait_do_not_make_another_request() {
        let one = request("POST", "jobs", &[("cp", "a"), ("mainClass", "M"), ("sync", "true"), ("timeout", "10")]);
        assert_eq!(one, request("POST", "jobs", &[("mainClass", "M"), ("timeout", "60"), ("cp", "a")]));
        assert_eq!(request("DELETE", "jars/a", &[]), request("DELETE", "binaries/a", &[("_method", "DELETE")]));
    }

    #[test]
    fn method_path_parameters_and_the_order_of_equal_ones_make_another_request() {
        let all = [
            request("POST", "jobs", &[("a", "1"), ("a", "2")]),
            request("POST", "jobs", &[("a", "2"), ("a", "1")]),
            request("POST", "jobs", &[("a", "1")]),
            request("POST", "jobs", &[]),
            request("PUT", "jobs", &[]),
            request("POST", "jobs/a", &[("1", "")]),
            request("POST", "jobs/a/1", &[]),
            request("POST", "contexts/jars", &[]),
            request("POST", "contexts/binaries", &[]),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[at + 1..].contains(one), "{at}");
        }
    }

    #[test]
    fn an_unknown_key_runs_and_an_old_one_runs_anew() {
        assert_eq!(decide(None, "r", Some("b"), 1000, 100), Decision::Run);
        assert_eq!(decide(Some(&remembered(101)), "r", Some("b"), 1000, 100), Decision::RunAnew);
        assert_eq!(decide(Some(&remembered(101)), "other", None, 1000, 100), Decision::RunAnew);
    }

    #[test]
    fn a_known_key_is_answered_again_only_to_the_same_request() {
        let known = remembered(100);
        assert_eq!(decide(Some(&known), "r", Some("b"), 1000, 100), Decision::Replay);
        assert_eq!(decide(Some(&known), "r", Some("other"), 1000, 100), Decision::Mismatch);
        assert_eq!(decide(Some(&known), "other", Some("b"), 1000, 100), Decision::Mismatch);
        assert_eq!(decide(Some(&known), "r", None, 1000, 100), Decision::CompareBody);
        assert_eq!(decide(Some(&known), "other", None, 1000, 100), Decision::Mismatch);
    }

    #[test]
    fn a_clock_that_was_set_back_makes_no_key_old() {
        assert_eq!(decide(Some(&remembered(-5000)), "r", Some("b"), 1000, 100), Decision::Replay);
    }
}
