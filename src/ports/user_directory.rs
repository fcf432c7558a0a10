//! UserDirectory: who there is, what they may do, and whether a password is theirs.

use async_trait::async_trait;

use crate::core::access::User;

/// A look into the directory.
#[derive(Debug, Clone)]
pub struct Found {
    /// Grows with each change of the directory.
    pub generation: u64,
    pub user: Option<User>,
}

#[async_trait]
pub trait UserDirectory: Send + Sync + 'static {
    /// The user of this name, as of a second ago at most.
    async fn find(&self, name: &str) -> Found;

    /// Whether the password is what the hash was made of. It costs what it must; without a hash the answer is no, and costs
    /// the same, so that its time tells nobody which users there are.
    async fn is_password(&self, password: String, hash: Option<String>) -> bool;
}
