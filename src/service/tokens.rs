//! Tokens: made for oneself or, with the permission, for others; shown once; kept as hashes.

use std::time::Duration;

use super::permissions::{Permission, Principal, Via};
use super::{Service, ServiceError};
use crate::core::access::{Grants, TokenRecord, TokenText};
use crate::jobs::{Claim, StoreError};
use crate::runtime::{clock, random};

/// Good tokens of one user.
const MOST_OF_A_USER: usize = 100;
/// Good tokens of all.
const MOST: usize = 10_000;
/// Expired tokens that are forgotten at once, of whomever.
const FORGOTTEN_AT_ONCE: usize = 1000;
const MAX_NOTE_CHARS: usize = 200;
const DEFAULT_LIFE: Duration = Duration::from_secs(90 * 24 * 3600);

/// A wish for a token.
#[derive(Debug, Clone, Default)]
pub struct NewToken {
    /// Whose: without it, of who asks.
    pub user: Option<String>,
    /// Words; without any, all that the user may do.
    pub permissions: Vec<String>,
    pub life: Option<Duration>,
    pub note: Option<String>,
}

impl Service {
    /// # Errors
    /// When who asks may not, or the wish is no good.
    pub(super) async fn create_token(
        &self,
        who: &Principal,
        wish: NewToken,
        claim: Option<&Claim>,
    ) -> Result<(TokenText, TokenRecord), ServiceError> {
        let user = wish.user.clone().unwrap_or_else(|| who.name.clone());
        self.permit_tokens_of(who, &user)?;
        if matches!(who.via, Via::Token(_)) {
            // What leaks for a while must not become what lasts.
            return Err(ServiceError::BadTokenWish("a token is not made with a token; log in with a password".into()));
        }
        let permissions = self.token_permissions(who, &user, &wish).await?;
        let most = self.config.security.max_token_life;
        let life = wish.life.unwrap_or(DEFAULT_LIFE.min(most));
        if life.is_zero() || life > most {
            let most = crate::config::duration::text(most);
            return Err(ServiceError::BadTokenWish(format!("a token is good for at most {most}, and not for nothing")));
        }
        if wish.note.as_ref().is_some_and(|note| note.chars().count() > MAX_NOTE_CHARS) {
            return Err(ServiceError::BadTokenWish(format!("a note has at most {MAX_NOTE_CHARS} characters")));
        }
        let now_ms = clock::unix_ms();
        let all = self.records.tokens().await?;
        let (expired, good): (Vec<_>, Vec<_>) = all.into_iter().partition(|token| token.has_expired(now_ms));
        let of_user = good.iter().filter(|token| token.principal == user).count();
        if of_user >= MOST_OF_A_USER || good.len() >= MOST {
            return Err(ServiceError::TooManyTokens { max: MOST_OF_A_USER });
        }
        let token = TokenText::of_random(&(random::secret() + &random::secret()));
        let record = TokenRecord {
            id: token.id().into(),
            sha256: token.hash(),
            principal: user,
            permissions,
            created_ms: now_ms,
            expires_ms: now_ms.saturating_add(i64::try_from(life.as_millis()).unwrap_or(i64::MAX)),
            note: wish.note,
        };
        let forgotten: Vec<String> = expired.into_iter().map(|token| token.id).take(FORGOTTEN_AT_ONCE).collect();
        self.records.create_token(&record, &forgotten, claim).await?;
        Ok((token, record))
    }

    /// Words that the user may grant, and who asks too: nobody gives away what is not theirs.
    async fn token_permissions(
        &self,
        who: &Principal,
        user: &str,
        wish: &NewToken,
    ) -> Result<Vec<String>, ServiceError> {
        let authentication = self.authentication.as_ref().ok_or(ServiceError::NoUsers)?;
        let found = authentication.directory().find(user).await.user;
        let found = found.ok_or_else(|| ServiceError::BadTokenWish(format!("there is no user {user}")))?;
        let possible = found.grants.and(who.grants);
        if wish.permissions.is_empty() {
            let single = Permission::ALL.into_iter().filter(|one| possible.allows(*one));
            return Ok(single.map(|one| one.name().to_owned()).collect());
        }
        for word in &wish.permissions {
            let grants = Grants::of_word(word).map_err(|error| ServiceError::BadTokenWish(error.to_string()))?;
            if !grants.is_within(possible) {
                return Err(ServiceError::BadTokenWish(format!("`{word}` is more than may be granted to {user}")));
            }
        }
        Ok(wish.permissions.clone())
    }

    /// One's own, or with the permission everybody's; the newest first. Expired ones are not listed.
    pub async fn list_tokens(&self, who: &Principal) -> Result<Vec<TokenRecord>, ServiceError> {
        let sees_all = self.permit_any_tokens(who)?;
        let now_ms = clock::unix_ms();
        let mut tokens = self.records.tokens().await?;
        tokens.retain(|token| !token.has_expired(now_ms) && (sees_all || token.principal == who.name));
        tokens.sort_by_key(|token| std::cmp::Reverse(token.created_ms));
        Ok(tokens)
    }

    /// A token that is somebody else's is not found, unless who asks may see it.
    pub(super) async fn revoke_token(
        &self,
        who: &Principal,
        id: &str,
        claim: Option<&Claim>,
    ) -> Result<(), ServiceError> {
        let sees_all = self.permit_any_tokens(who)?;
        let not_found = || ServiceError::TokenNotFound(id.into());
        let record = self.records.token(id).await?.ok_or_else(not_found)?;
        if !sees_all && record.principal != who.name {
            return Err(not_found());
        }
        self.records.delete_token(id, claim).await.map_err(|error| match error {
            StoreError::Conflict(_) => not_found(),
            other => other.into(),
        })
    }

    /// Whether those of others too.
    fn permit_any_tokens(&self, who: &Principal) -> Result<bool, ServiceError> {
        if !self.authenticates() {
            return Err(ServiceError::NoUsers);
        }
        if self.permit(who, Permission::TokensAll).is_ok() {
            return Ok(true);
        }
        self.permit(who, Permission::TokensOwn).map(|()| false)
    }

    fn permit_tokens_of(&self, who: &Principal, user: &str) -> Result<(), ServiceError> {
        if !self.permit_any_tokens(who)? && user != who.name {
            return Err(ServiceError::Forbidden(Permission::TokensAll.name()));
        }
        Ok(())
    }
}
