//! Idempotency keys: recorded in the commit that has the effect, found again, and removed when they are old or too many.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use super::{PAGE, Records, StoreError, Versioned, mark, put};
use crate::core::idempotency::{Effect, Fingerprint, IdempotencyRecord};
use crate::core::keys;
use crate::ports::{Commit, CommitError, Precondition, Revision, Write};

/// Records that are removed in one commit.
const BATCH: usize = 500;

/// A request's key on its way into the commit that has its effect.
#[derive(Debug, Clone)]
pub struct Claim {
    pub id: String,
    pub principal: String,
    pub fingerprint: Fingerprint,
    pub created_ms: i64,
    /// Version and time of a record that no longer counts.
    pub replaces: Option<(Revision, i64)>,
}

impl Claim {
    /// With the digest of a body that was not known before.
    pub fn of_body(mut self, sha256: &str) -> Self {
        sha256.clone_into(&mut self.fingerprint.body);
        self
    }
}

/// How many keys this process has recorded: so that one that removes them need not count them all the time.
#[derive(Debug, Default)]
pub struct Claims {
    made: AtomicU64,
    /// Told with each of them.
    pub changed: Notify,
}

impl Claims {
    pub fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }
}

impl Records {
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    pub async fn idempotency(&self, id: &str) -> Result<Option<Versioned<IdempotencyRecord>>, StoreError> {
        self.get(&keys::idempotency(id)).await
    }

    /// Commits with what the key's record needs, when there is a key. `Claimed` when it was recorded in this moment; the
    /// conflicts of the commit itself keep their indexes.
    pub(super) async fn commit_claimed(
        &self,
        name: &'static str,
        mut commit: Commit,
        claim: Option<&Claim>,
        effect: impl FnOnce() -> Effect,
    ) -> Result<Revision, StoreError> {
        let Some(claim) = claim else { return Ok(self.commit(name, commit).await?) };
        let key = keys::idempotency(&claim.id);
        // First: a repeated request fails for what the first one changed, too, but this is the reason to tell.
        let free = match claim.replaces {
            None => Precondition::Absent(key.clone()),
            Some((version, _)) => Precondition::At(key.clone(), version),
        };
        commit.preconditions.insert(0, free);
        if let Some((_, created_ms)) = claim.replaces {
            commit.writes.push(Write::Delete(keys::idempotency_time(created_ms, &claim.id)));
        }
        let record = IdempotencyRecord {
            principal: claim.principal.clone(),
            fingerprint: claim.fingerprint.clone(),
            created_ms: claim.created_ms,
            effect: effect(),
        };
        commit.writes.push(put(key, &record));
        commit.writes.push(mark(keys::idempotency_time(claim.created_ms, &claim.id)));
        match self.commit(name, commit).await {
            Ok(revision) => {
                self.claims.made.fetch_add(1, Ordering::Relaxed);
                self.claims.changed.notify_one();
                Ok(revision)
            }
            Err(CommitError::Conflict(0)) => Err(StoreError::Claimed),
            Err(CommitError::Conflict(index)) => Err(StoreError::Conflict(index - 1)),
            Err(error) => Err(error.into()),
        }
    }

    /// Records a key by itself: for effects that are no commit.
    pub async fn claim(&self, claim: &Claim, effect: Effect) -> Result<(), StoreError> {
        self.commit_claimed("idempotency-claim", Commit::default(), Some(claim), || effect).await?;
        Ok(())
    }

    pub async fn count_idempotency(&self) -> Result<u64, StoreError> {
        let (mut count, mut after) = (0, None::<String>);
        loop {
            let page = self.store.range(keys::IDEMPOTENCY_TIMES, after.as_deref(), false, PAGE).await?;
            count += page.len() as u64;
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(last.key.clone()),
                _ => return Ok(count),
            }
        }
    }

    /// Removes a batch of the oldest: at most `surplus` of any age, and those older than `before_ms`. Answers how many it
    /// removed, and whether there may be more.
    pub async fn expire_idempotency(&self, before_ms: i64, surplus: u64) -> Result<(u64, bool), StoreError> {
        let page = self.store.range(keys::IDEMPOTENCY_TIMES, None, false, BATCH).await?;
        let mut commit = Commit::default();
        let mut removed = 0;
        for entry in &page {
            let Some((created_ms, id)) = keys::idempotency_time_of(&entry.key) else { continue };
            if created_ms >= before_ms && removed >= surplus {
                break;
            }
            // The key may have been used anew in this moment; then the whole batch is tried again.
            commit.preconditions.push(Precondition::At(entry.key.clone(), entry.version));
            commit.writes.push(Write::Delete(keys::idempotency(id)));
            commit.writes.push(Write::Delete(entry.key.clone()));
            removed += 1;
        }
        if removed == 0 {
            return Ok((0, false));
        }
        self.commit("idempotency-expire", commit).await?;
        Ok((removed, removed == BATCH as u64))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::adapters::memory::MemoryStore;
    use crate::core::binaries::{BinaryRecord, BinaryType, BlobRef};

    fn claim(id: &str) -> Claim {
        let fingerprint = Fingerprint { request: "r".into(), body: String::new() };
        Claim { id: id.into(), principal: "p".into(), fingerprint, created_ms: 1, replaces: None }
    }

    fn binary() -> BinaryRecord {
        let content = BlobRef { sha256: "0".repeat(64), size_bytes: 1 };
        BinaryRecord { name: "b".into(), kind: BinaryType::Wheel, content, uploaded_ms: 1, principal: "p".into() }
    }

    #[tokio::test]
    async fn a_key_used_twice_is_told_before_what_the_first_use_has_changed() {
        let records = Records::new(Arc::new(MemoryStore::default()));
        assert_eq!(records.delete_binary("b", Some(&claim("k"))).await, Err(StoreError::Conflict(0)));
        assert!(records.idempotency("k").await.unwrap().is_none());
        records.put_binary(&binary(), None).await.unwrap();
        assert_eq!(records.delete_binary("b", Some(&claim("k"))).await, Ok(()));
        assert_eq!(records.delete_binary("b", Some(&claim("k"))).await, Err(StoreError::Claimed));
        assert_eq!(records.idempotency("k").await.unwrap().unwrap().record.effect, Effect::BinaryDeleted);
        assert_eq!(records.claims().made(), 1);
    }
}
