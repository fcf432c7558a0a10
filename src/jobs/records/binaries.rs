//! Commits and reads of binaries.

use super::{Claim, PAGE, Records, StoreError, Versioned, put, read};
use crate::core::binaries::BinaryRecord;
use crate::core::idempotency::Effect;
use crate::core::keys;
use crate::ports::{Commit, Precondition, Write};

impl Records {
    pub async fn binary(&self, name: &str) -> Result<Option<Versioned<BinaryRecord>>, StoreError> {
        self.get(&keys::binary(name)).await
    }

    pub async fn binaries(&self) -> Result<Vec<BinaryRecord>, StoreError> {
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.store.range(keys::BINARIES, after.as_deref(), false, PAGE).await?;
            for entry in &page {
                all.push(read(&entry.key, &entry.value)?);
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(last.key.clone()),
                _ => return Ok(all),
            }
        }
    }

    /// Replaces what had the name. Jobs that use the older content go on with it.
    pub async fn put_binary(&self, binary: &BinaryRecord, claim: Option<&Claim>) -> Result<(), StoreError> {
        let writes = vec![put(keys::binary(&binary.name), binary)];
        let commit = Commit { preconditions: Vec::new(), writes };
        self.commit_claimed("binary-put", commit, claim, || Effect::BinaryStored).await?;
        Ok(())
    }

    /// Conflict 0: there is none of that name; 1: jobs use it.
    pub async fn delete_binary(&self, name: &str, claim: Option<&Claim>) -> Result<(), StoreError> {
        let preconditions =
            vec![Precondition::Exists(keys::binary(name)), Precondition::NoneUnder(keys::binary_uses(name))];
        let writes = vec![Write::Delete(keys::binary(name))];
        let commit = Commit { preconditions, writes };
        self.commit_claimed("binary-delete", commit, claim, || Effect::BinaryDeleted).await?;
        Ok(())
    }

    /// Ids of the jobs that have not ended and use the binary.
    pub async fn users_of_binary(&self, name: &str) -> Result<Vec<String>, StoreError> {
        self.leaves(&keys::binary_uses(name)).await
    }
}
