//! Commits of `doyen store`: an import in parts, and repairs. No server is at work on the store then.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Records, StoreError, Versioned, put};
use crate::core::consistency::Repair;
use crate::core::keys;
use crate::ports::{Commit, Precondition, Revision, Write};

/// What stands under `store-import` while an import is not complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ImportRecord {
    /// Of the export: only the same goes on.
    pub export: String,
    /// Wall clock, milliseconds since the epoch.
    pub began_ms: i64,
    /// Of the store, before the import: jobs that it packs have it as their version.
    #[serde(default)]
    pub revision: u64,
    /// Jobs up to this one are there: packed, or as records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packed_to: Option<String>,
}

impl Records {
    /// The import that is not complete, if there is one.
    pub async fn half_import(&self) -> Result<Option<Versioned<ImportRecord>>, StoreError> {
        self.get(keys::STORE_IMPORT).await
    }

    /// From now on no server serves the store, which has its id already. Conflict: there is more.
    pub async fn begin_import(&self, record: ImportRecord) -> Result<Versioned<ImportRecord>, StoreError> {
        let families = keys::FAMILIES.iter().filter(|family| **family != keys::STORE_ID);
        let preconditions = families.map(|family| Precondition::NoneUnder((*family).to_owned())).collect();
        let writes = vec![put(keys::STORE_IMPORT.to_owned(), &record)];
        let version = self.commit("store-import-begin", Commit { preconditions, writes }).await?;
        Ok(Versioned { record, version })
    }

    /// Adds entries as they were exported. Conflict: the import is over.
    pub async fn add_imported(&self, entries: Vec<(String, Bytes)>) -> Result<(), StoreError> {
        let preconditions = vec![Precondition::Exists(keys::STORE_IMPORT.to_owned())];
        let writes = entries.into_iter().map(|(key, value)| Write::Put(key, value)).collect();
        self.commit("store-import", Commit { preconditions, writes }).await?;
        Ok(())
    }

    /// All is there: servers may serve it.
    pub async fn end_import(&self) -> Result<(), StoreError> {
        let preconditions = vec![Precondition::Exists(keys::STORE_IMPORT.to_owned())];
        let writes = vec![Write::Delete(keys::STORE_IMPORT.to_owned())];
        self.commit("store-import-end", Commit { preconditions, writes }).await?;
        Ok(())
    }

    /// Conflict: what was wrong is no longer as it was seen.
    pub async fn repair(&self, repair: &Repair) -> Result<(), StoreError> {
        let preconditions = repair.seen.iter().map(|(key, version)| match version {
            Some(version) => Precondition::At(key.clone(), Revision(*version)),
            None => Precondition::Absent(key.clone()),
        });
        let writes = repair.writes.iter().map(|(key, value)| match value {
            Some(value) => Write::Put(key.clone(), Bytes::copy_from_slice(value)),
            None => Write::Delete(key.clone()),
        });
        let commit = Commit { preconditions: preconditions.collect(), writes: writes.collect() };
        self.commit("store-repair", commit).await?;
        Ok(())
    }
}
