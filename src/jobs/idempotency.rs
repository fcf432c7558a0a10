//! Removes idempotency keys that are old, or more than may be: in batches, so that it never holds others up.

use std::time::Duration;

use super::{Records, StoreError};
use crate::config::Idempotency;
use crate::runtime::clock;

/// Between two looks at what has become old.
const EVERY: Duration = Duration::from_secs(60);
/// The number may be exceeded by a part of this before it is seen to.
const SLACK: u64 = 10;

/// How many there are, as far as this process knows: counted once, then added up.
struct Known {
    counted: u64,
    /// What `Claims::made` said then.
    made: u64,
}

/// Never ends: a task for the life of the server.
pub async fn keep_within(records: Records, settings: Idempotency) {
    let mut known = None;
    loop {
        if let Err(error) = sweep(&records, &settings, &mut known).await {
            tracing::warn!(%error, "cannot remove old idempotency keys; trying again later");
        }
        let full = async {
            let most = settings.max_keys + settings.max_keys / SLACK;
            while known.as_ref().is_none_or(|known| number(&records, known) <= most) {
                records.claims().changed.notified().await;
            }
        };
        let _ = tokio::time::timeout(EVERY, full).await;
    }
}

fn number(records: &Records, known: &Known) -> u64 {
    known.counted + (records.claims().made() - known.made)
}

async fn sweep(records: &Records, settings: &Idempotency, known: &mut Option<Known>) -> Result<(), StoreError> {
    let keep_ms = i64::try_from(settings.keep.as_millis()).unwrap_or(i64::MAX);
    let before_ms = clock::unix_ms().saturating_sub(keep_ms);
    // A key that is used anew is counted twice; so what is summed up is checked before any is removed for it.
    if known.as_ref().is_none_or(|known| number(records, known) > settings.max_keys) {
        let made = records.claims().made();
        *known = Some(Known { counted: records.count_idempotency().await?, made });
    }
    let Some(known) = known else { return Ok(()) };
    loop {
        let surplus = number(records, known).saturating_sub(settings.max_keys);
        let (removed, more) = records.expire_idempotency(before_ms, surplus).await?;
        known.counted = known.counted.saturating_sub(removed);
        if !more {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::adapters::memory::MemoryStore;
    use crate::core::idempotency::{Effect, Fingerprint};
    use crate::jobs::Claim;

    fn claim(id: &str, created_ms: i64) -> Claim {
        let fingerprint = Fingerprint { request: String::new(), body: String::new() };
        Claim { id: id.into(), principal: "p".into(), fingerprint, created_ms, replaces: None }
    }

    async fn with_keys(ages_ms: impl Iterator<Item = i64>) -> Records {
        let records = Records::new(Arc::new(MemoryStore::default()));
        for (at, age) in ages_ms.enumerate() {
            let claim = claim(&format!("k{at}"), clock::unix_ms() - age);
            records.claim(&claim, Effect::BinaryStored).await.unwrap();
        }
        records
    }

    async fn is_known(records: &Records, id: &str) -> bool {
        records.idempotency(id).await.unwrap().is_some()
    }

    #[tokio::test]
    async fn old_ones_go_in_batches_and_young_ones_stay() {
        let hour = 3_600_000;
        let records = with_keys((0..1200).map(|at| if at < 1100 { 25 * hour } else { 23 * hour })).await;
        let settings = Idempotency { keep: Duration::from_secs(24 * 3600), ..Idempotency::default() };
        sweep(&records, &settings, &mut None).await.unwrap();
        assert_eq!(records.count_idempotency().await.unwrap(), 100);
        assert!(!is_known(&records, "k0").await && is_known(&records, "k1100").await);
    }

    #[tokio::test]
    async fn of_too_many_the_oldest_go() {
        let records = with_keys((0..30).map(|at| 30_000 - at * 1000)).await;
        let settings = Idempotency { max_keys: 10, ..Idempotency::default() };
        let mut known = None;
        sweep(&records, &settings, &mut known).await.unwrap();
        assert_eq!(records.count_idempotency().await.unwrap(), 10);
        assert!(!is_known(&records, "k19").await && is_known(&records, "k20").await);
        records.claim(&claim("new", clock::unix_ms()), Effect::BinaryStored).await.unwrap();
        sweep(&records, &settings, &mut known).await.unwrap();
        assert_eq!(records.count_idempotency().await.unwrap(), 10);
        assert!(!is_known(&records, "k20").await && is_known(&records, "new").await);
    }

    #[tokio::test]
    async fn a_key_is_claimed_once_and_again_only_in_place_of_the_old_record() {
        let records = with_keys(std::iter::once(1000)).await;
        let found = records.idempotency("k0").await.unwrap().unwrap();
        let mut again = claim("k0", clock::unix_ms());
        assert_eq!(records.claim(&again, Effect::BinaryDeleted).await, Err(StoreError::Claimed));
        again.replaces = Some((found.version, found.record.created_ms));
        records.claim(&again, Effect::BinaryDeleted).await.unwrap();
        assert_eq!(records.count_idempotency().await.unwrap(), 1);
        assert_eq!(records.idempotency("k0").await.unwrap().unwrap().record.effect, Effect::BinaryDeleted);
    }
}
