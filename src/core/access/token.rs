//! Bearer tokens: what a client holds, and what is kept of it.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const PREFIX: &str = "doyen";
const ID_DIGITS: usize = 16;
const SECRET_DIGITS: usize = 64;

/// A token as its holder has it: `doyen_<id>_<secret>`. The secret has 256 random bits, so a fast hash of it is enough.
/// Its `Debug` shows the id alone.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenText {
    id: String,
    secret: String,
}

fn are_digits(text: &str, number: usize) -> bool {
    text.len() == number && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

impl TokenText {
    /// From randomness: at least 80 hexadecimal digits.
    ///
    /// # Panics
    /// When there are fewer, or others.
    pub fn of_random(digits: &str) -> Self {
        let (id, rest) = digits.split_at(ID_DIGITS);
        let secret = &rest[..SECRET_DIGITS];
        assert!(
            are_digits(id, ID_DIGITS) && are_digits(secret, SECRET_DIGITS),
            "a token is made of hexadecimal digits"
        );
        Self { id: id.into(), secret: secret.into() }
    }

    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.strip_prefix('_')?.split_once('_')?;
        let sound = are_digits(id, ID_DIGITS) && are_digits(secret, SECRET_DIGITS);
        sound.then(|| Self { id: id.into(), secret: secret.into() })
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// All of it, to be shown to its holder once.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}_{}_{}", self.id, self.secret)
    }

    /// SHA-256 in hexadecimal digits.
    pub fn hash(&self) -> String {
        Sha256::digest(self.reveal()).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.id)
    }
}

/// What stands under `tokens/<id>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TokenRecord {
    pub id: String,
    /// Of the whole token.
    pub sha256: String,
    pub principal: String,
    /// Words of permissions; what the principal may do otherwise is not for the holder.
    pub permissions: Vec<String>,
    pub created_ms: i64,
    pub expires_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl TokenRecord {
    pub fn has_expired(&self, now_ms: i64) -> bool {
        now_ms >= self.expires_ms
    }

    /// Whether this is the token, and is still good.
    pub fn accepts(&self, token: &TokenText, now_ms: i64) -> bool {
        // Both are hashes of what has 256 random bits: how long the comparison takes tells nothing of use.
        self.id == token.id && self.sha256 == token.hash() && !self.has_expired(now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(digit: char) -> TokenText {
        TokenText::of_random(&digit.to_string().repeat(ID_DIGITS + SECRET_DIGITS))
    }

    fn record(token: &TokenText) -> TokenRecord {
        let permissions = vec!["jobs".into()];
        let principal = "ann".into();
        let (id, sha256) = (token.id().to_owned(), token.hash());
        TokenRecord { id, sha256, principal, permissions, created_ms: 0, expires_ms: 1000, note: None }
    }

    #[test]
    fn what_is_shown_reads_back_and_the_record_holds_no_secret() {
        let token = token('a');
        assert_eq!(TokenText::parse(&token.reveal()), Some(token.clone()));
        let kept = serde_json::to_string(&record(&token)).unwrap();
        assert!(!kept.contains(&token.secret) && !format!("{token:?}").contains(&token.secret));
    }

    #[test]
    fn a_token_is_good_until_its_time_and_not_at_it() {
        let token = token('b');
        assert!(record(&token).accepts(&token, 999));
        assert!(!record(&token).accepts(&token, 1000));
    }

    #[test]
    fn another_secret_with_the_same_id_is_refused() {
        let other = TokenText { secret: "c".repeat(SECRET_DIGITS), ..token('b') };
        assert!(!record(&token('b')).accepts(&other, 0));
    }

    #[test]
    fn what_is_no_token_is_none() {
        let good = token('a').reveal();
        for wrong in ["", "doyen_", "doyen__", &good[1..], &good[..good.len() - 1], &good.to_uppercase()] {
            assert_eq!(TokenText::parse(wrong), None, "{wrong}");
        }
    }
}
