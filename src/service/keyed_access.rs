//! Tokens and callbacks under an idempotency key; the rest is in `keyed`.

use super::idempotency::{Keyed, Once, unfit};
use super::keyed::NO_BODY;
use super::{CallbackView, NewToken, Principal, Service, ServiceError};
use crate::core::access::{TokenRecord, TokenText};
use crate::core::idempotency::{Effect, digest};

impl Service {
    /// A token is shown once, so a retry cannot have it: it learns which one to revoke.
    pub async fn create_token_once(
        &self,
        who: &Principal,
        keyed: Option<Keyed>,
        wish: NewToken,
    ) -> Result<(TokenText, TokenRecord), ServiceError> {
        let Some(keyed) = keyed else { return self.create_token(who, wish, None).await };
        let said = digest(&[&format!("{wish:?}")]);
        let principal = who.clone();
        let made = self.once(who, &keyed, &said, |service, claim| async move {
            service.create_token(&principal, wish, Some(&claim)).await
        });
        match made.await? {
            Once::Ran(token) => Ok(token),
            Once::Done(Effect::TokenCreated { token }) => Err(ServiceError::TokenWasMade { id: token }),
            Once::Done(other) => Err(unfit(&other)),
        }
    }

    pub async fn revoke_token_once(&self, who: &Principal, keyed: Option<Keyed>, id: &str) -> Result<(), ServiceError> {
        let Some(keyed) = keyed else { return self.revoke_token(who, id, None).await };
        let (principal, id) = (who.clone(), id.to_owned());
        let revoked = self.once(who, &keyed, NO_BODY, |service, claim| async move {
            service.revoke_token(&principal, &id, Some(&claim)).await
        });
        match revoked.await? {
            Once::Ran(()) | Once::Done(Effect::TokenRevoked) => Ok(()),
            Once::Done(other) => Err(unfit(&other)),
        }
    }

    /// Remembered when it is done: if it is cut off before, the retry delivers once more, under the same delivery id.
    pub async fn replay_callback_once(
        &self,
        who: &Principal,
        keyed: Option<Keyed>,
        id: &str,
    ) -> Result<CallbackView, ServiceError> {
        let Some(keyed) = keyed else { return self.replay_callback(who, id).await };
        let (principal, job) = (who.clone(), id.to_owned());
        let replayed = self.once(who, &keyed, NO_BODY, |service, claim| async move {
            let view = service.replay_callback(&principal, &job).await?;
            service.records.claim(&claim, Effect::CallbackReplayed).await?;
            Ok(view)
        });
        match replayed.await? {
            Once::Ran(view) => Ok(view),
            Once::Done(Effect::CallbackReplayed) => self.callback(who, id).await,
            Once::Done(other) => Err(unfit(&other)),
        }
    }
}
