//! Requests under an idempotency key: done once, and answered again from what is remembered.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;

use super::{Principal, Service, ServiceError};
use crate::core::idempotency::{Decision, Effect, Fingerprint, IdempotencyKey, decide, digest};
use crate::jobs::Claim;
use crate::runtime::clock;

/// Keys at work at once.
const MAX_AT_WORK: usize = 10_000;

/// A request that brings a key.
#[derive(Debug, Clone)]
pub struct Keyed {
    key: IdempotencyKey,
    /// Digest of what makes it another request than others, but for its body.
    request: String,
    replayed: Arc<AtomicBool>,
}

impl Keyed {
    pub fn new(key: IdempotencyKey, request: String) -> Self {
        Self { key, request, replayed: Arc::default() }
    }

    /// Whether an earlier request of its key is answered again.
    pub fn is_replayed(&self) -> bool {
        self.replayed.load(Ordering::Relaxed)
    }

    pub(super) fn set_replayed(&self) {
        self.replayed.store(true, Ordering::Relaxed);
    }

    /// With something more that makes it another request.
    pub(super) fn with(self, more: &str) -> Self {
        Self { request: digest(&[&self.request, more]), ..self }
    }
}

/// The keys at work on this node. That a key is used once is for the store to say; this saves a second request from doing
/// all the work in vain, and lets it wait for the first.
#[derive(Clone, Default)]
pub(super) struct Turns(Arc<Mutex<HashMap<String, AtWork>>>);

#[derive(Default)]
struct AtWork {
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Requests that have the turn or wait for it.
    requests: usize,
}

/// A request's place in the table, until it is dropped.
struct Place {
    turns: Turns,
    id: String,
}

/// The right to work under a key, until it is dropped.
pub(super) struct Turn {
    // In this order: who comes next finds the lock free.
    _lock: OwnedMutexGuard<()>,
    _place: Place,
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, AtWork>> {
        self.0.lock().expect("no holder panics")
    }

    /// Waits while another request of the key is at work.
    pub(super) async fn take(&self, id: &str, patience: Duration) -> Result<Turn, ServiceError> {
        let (turn, place) = {
            let mut table = self.lock();
            if table.len() >= MAX_AT_WORK && !table.contains_key(id) {
                return Err(ServiceError::TooManyKeys);
            }
            let at_work = table.entry(id.to_owned()).or_default();
            at_work.requests += 1;
            (Arc::clone(&at_work.turn), Place { turns: self.clone(), id: id.to_owned() })
        };
        match tokio::time::timeout(patience, turn.lock_owned()).await {
            Ok(lock) => Ok(Turn { _lock: lock, _place: place }),
            Err(_) => Err(ServiceError::KeyAtWork),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.turns.lock();
        if let Some(at_work) = table.get_mut(&self.id) {
            at_work.requests -= 1;
            if at_work.requests == 0 {
                table.remove(&self.id);
            }
        }
    }
}

/// How a request under a key goes on.
pub(super) enum Start {
    /// It is the first: the claim goes into the commit that has its effect.
    First(Claim, Turn),
    /// An earlier one has done it, if the body's digest is this, where it is not known yet.
    Done(Effect, Option<String>),
}

/// What came of it.
pub(super) enum Once<T> {
    Ran(T),
    Done(Effect),
}

impl Service {
    /// `body` is the digest of the body, when it is known.
    pub(super) async fn begin(
        &self,
        who: &Principal,
        keyed: &Keyed,
        body: Option<&str>,
    ) -> Result<Start, ServiceError> {
        let id = keyed.key.id(&who.name);
        let turn = self.turns.take(&id, self.config.idempotency.wait).await?;
        let found = self.records.idempotency(&id).await?;
        let created_ms = clock::unix_ms();
        let record = found.as_ref().map(|found| &found.record);
        let decision = decide(record, &keyed.request, body, created_ms, self.keep_ms());
        tracing::debug!(key = id, ?decision, "idempotency key");
        let first = |replaces| {
            let fingerprint = Fingerprint { request: keyed.request.clone(), body: body.unwrap_or_default().to_owned() };
            Start::First(Claim { id, principal: who.name.clone(), fingerprint, created_ms, replaces }, turn)
        };
        let void = match (decision, record) {
            (Decision::Replay | Decision::CompareBody, Some(record)) => self.is_void(&record.effect).await?,
            _ => false,
        };
        match (decision, found) {
            (_, found) if void => Ok(first(found.map(|found| (found.version, found.record.created_ms)))),
            (Decision::Mismatch, _) => Err(ServiceError::KeyMismatch),
            (Decision::Replay, Some(found)) => {
                keyed.set_replayed();
                Ok(Start::Done(found.record.effect, None))
            }
            (Decision::CompareBody, Some(found)) => {
                Ok(Start::Done(found.record.effect, Some(found.record.fingerprint.body)))
            }
            (_, found) => Ok(first(found.map(|found| (found.version, found.record.created_ms)))),
        }
    }

    /// Runs what has an effect, unless it has been done. It is run to its end even if the client goes away: its next try
    /// waits for it.
    pub(super) async fn once<T, F, R>(
        &self,
        who: &Principal,
        keyed: &Keyed,
        body: &str,
        run: F,
    ) -> Result<Once<T>, ServiceError>
    where
        T: Send + 'static,
        F: FnOnce(Service, Claim) -> R,
        R: Future<Output = Result<T, ServiceError>> + Send + 'static,
    {
        match self.begin(who, keyed, Some(body)).await? {
            Start::Done(effect, _) => Ok(Once::Done(effect)),
            Start::First(claim, turn) => self.run(claim.clone(), turn, run(self.clone(), claim)).await,
        }
    }

    /// An error counts only if nothing was done: the commit may have been made although its answer was lost, or by the same
    /// request on another node.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        claim: Claim,
        turn: Turn,
        work: impl Future<Output = Result<T, ServiceError>> + Send + 'static,
    ) -> Result<Once<T>, ServiceError> {
        let task = tokio::spawn(async move {
            let done = work.await;
            drop(turn);
            done
        });
        let error = match task.await.map_err(|e| ServiceError::Internal(e.to_string()))? {
            Ok(done) => return Ok(Once::Ran(done)),
            Err(error) => error,
        };
        let Ok(Some(found)) = self.records.idempotency(&claim.id).await else { return Err(error) };
        if claim.replaces.is_some_and(|(version, _)| version == found.version) {
            // Only the old one, which does not count.
            return Err(error);
        }
        let Fingerprint { request, body } = &claim.fingerprint;
        // An upload that broke has no digest; nor has it an effect.
        match decide(Some(&found.record), request, Some(body), clock::unix_ms(), self.keep_ms()) {
            Decision::Replay => Ok(Once::Done(found.record.effect)),
            _ => Err(error),
        }
    }

    /// Whether what was begun came to nothing: a context that never ran. Its key may be used to try again.
    async fn is_void(&self, effect: &Effect) -> Result<bool, ServiceError> {
        let Effect::ContextCreated { context } = effect else { return Ok(false) };
        if self.contexts.registry().with_id(context).is_some() {
            return Ok(false);
        }
        let record = self.records.context(context).await?;
        Ok(record.is_some_and(|record| record.state.has_ended() && !record.initialized))
    }

    fn keep_ms(&self) -> i64 {
        i64::try_from(self.config.idempotency.keep.as_millis()).unwrap_or(i64::MAX)
    }
}

/// A record whose effect is of another kind than its request has: it cannot be.
pub(super) fn unfit(effect: &Effect) -> ServiceError {
    ServiceError::Internal(format!("an idempotency key is recorded with another effect: {effect:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_second_request_of_a_key_waits_for_the_first_and_others_do_not() {
        let turns = Turns::default();
        let first = turns.take("a", LONG).await.unwrap();
        turns.take("b", LONG).await.unwrap();
        let late = turns.take("a", Duration::ZERO).await;
        assert_eq!(late.err(), Some(ServiceError::KeyAtWork));
        let second = tokio::spawn({
            let turns = turns.clone();
            async move { turns.take("a", LONG).await.is_ok() }
        });
        drop(first);
        assert!(second.await.unwrap());
        assert!(turns.lock().is_empty());
    }

    #[tokio::test]
    async fn beyond_the_most_keys_at_work_only_known_ones_are_taken() {
        let turns = Turns::default();
        let mut taken = Vec::new();
        for at in 0..MAX_AT_WORK {
            taken.push(turns.take(&at.to_string(), LONG).await.unwrap());
        }
        assert_eq!(turns.take("more", LONG).await.err(), Some(ServiceError::TooManyKeys));
        assert_eq!(turns.take("0", Duration::ZERO).await.err(), Some(ServiceError::KeyAtWork));
        drop(taken);
        assert!(turns.lock().is_empty());
    }
}
