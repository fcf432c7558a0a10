//! Tokens on the wire.

use serde::{Deserialize, Serialize};

use crate::core::access::{TokenRecord, TokenText};
use crate::core::timestamp;

/// A wish for a token.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TokenWish {
    /// Whose; without it, of who asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Like `jobs` or `jobs:read`; without any, all that the user may do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<String>,
    /// How long it is good for, like `12h` or `30d`: 90 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub life: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A token, without what its holder has.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Token {
    pub id: String,
    pub user: String,
    pub permissions: Vec<String>,
    /// RFC 3339, UTC.
    pub created: String,
    pub expires: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What to send as `Authorization: Bearer …`. It is shown once, when the token is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

impl From<&TokenRecord> for Token {
    fn from(record: &TokenRecord) -> Self {
        Self {
            id: record.id.clone(),
            user: record.principal.clone(),
            permissions: record.permissions.clone(),
            created: timestamp::text(record.created_ms),
            expires: timestamp::text(record.expires_ms),
            note: record.note.clone(),
            token: None,
        }
    }
}

impl Token {
    pub fn revealed(record: &TokenRecord, token: &TokenText) -> Self {
        Self { token: Some(token.reveal()), ..Self::from(record) }
    }
}
