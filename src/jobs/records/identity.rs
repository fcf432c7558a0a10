//! Which metadata store it is.

use super::{Records, StoreError, Versioned, put};
use crate::core::belonging::StoreIdRecord;
use crate::core::keys;
use crate::ports::{Commit, Precondition};
use crate::runtime::{clock, random};

impl Records {
    /// Of a store that was made once.
    pub async fn store_id(&self) -> Result<Option<String>, StoreError> {
        Ok(self.get(keys::STORE_ID).await?.map(|found: Versioned<StoreIdRecord>| found.record.id))
    }

    /// Conflict: it has an id, which it keeps.
    pub async fn set_store_id(&self, record: &StoreIdRecord) -> Result<(), StoreError> {
        let preconditions = vec![Precondition::Absent(keys::STORE_ID.to_owned())];
        let writes = vec![put(keys::STORE_ID.to_owned(), record)];
        self.commit("store-id", Commit { preconditions, writes }).await?;
        Ok(())
    }

    /// The store's id, which is made if it has none. All who make it get the same.
    pub async fn make_store_id(&self) -> Result<String, StoreError> {
        loop {
            if let Some(id) = self.store_id().await? {
                return Ok(id);
            }
            let record = StoreIdRecord { id: random::id(), made_ms: clock::unix_ms() };
            match self.set_store_id(&record).await {
                Ok(()) => return Ok(record.id),
                Err(StoreError::Conflict(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Some key of the store, but for its id.
    pub async fn any_key(&self) -> Result<Option<String>, StoreError> {
        let entries = self.store.range("", None, false, 2).await?;
        Ok(entries.into_iter().map(|entry| entry.key).find(|key| key != keys::STORE_ID))
    }
}
