//! Records of tokens.

use super::idempotency::Claim;
use super::{PAGE, Records, StoreError, put, read};
use crate::core::access::TokenRecord;
use crate::core::idempotency::Effect;
use crate::core::keys;
use crate::ports::{Commit, Precondition, Write};

impl Records {
    pub async fn token(&self, id: &str) -> Result<Option<TokenRecord>, StoreError> {
        Ok(self.get(&keys::token(id)).await?.map(|v| v.record))
    }

    /// All tokens, expired ones among them.
    pub async fn tokens(&self) -> Result<Vec<TokenRecord>, StoreError> {
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.store.range(keys::TOKENS, after.as_deref(), false, PAGE).await?;
            for entry in &page {
                all.push(read(&entry.key, &entry.value)?);
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(last.key.clone()),
                _ => return Ok(all),
            }
        }
    }

    /// Keeps a new token, and forgets others, which have expired. Conflict: one of the id is there already.
    pub async fn create_token(
        &self,
        token: &TokenRecord,
        forgotten: &[String],
        claim: Option<&Claim>,
    ) -> Result<(), StoreError> {
        let mut writes: Vec<Write> = forgotten.iter().map(|id| Write::Delete(keys::token(id))).collect();
        writes.push(put(keys::token(&token.id), token));
        let preconditions = vec![Precondition::Absent(keys::token(&token.id))];
        let effect = || Effect::TokenCreated { token: token.id.clone() };
        self.commit_claimed("token-create", Commit { preconditions, writes }, claim, effect).await?;
        Ok(())
    }

    /// Conflict 0: there is none.
    pub async fn delete_token(&self, id: &str, claim: Option<&Claim>) -> Result<(), StoreError> {
        let preconditions = vec![Precondition::Exists(keys::token(id))];
        let writes = vec![Write::Delete(keys::token(id))];
        let commit = Commit { preconditions, writes };
        self.commit_claimed("token-revoke", commit, claim, || Effect::TokenRevoked).await?;
        Ok(())
    }
}
