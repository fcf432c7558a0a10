//! Binaries that are not in the data directory, for as long as they are this server's: another one may take them over
//! (`doyen store adopt`), and deletes what its own records do not refer to; so this one must notice. It leaves a sign of life there,
//! so that who takes over notices it, too.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::blobs::Owned;
use crate::core::belonging::StoreName;
use crate::ports::{BinaryStore, BlobError, BlobInfo, BlobReader, BlobWriter, Stamp};
use crate::runtime::clock;
use crate::runtime::possession::Possession;

/// For how long it is known whose they are, while something is written or deleted.
const KNOWN: Duration = Duration::from_secs(5);

/// One run of a server, as it tells of itself beside binaries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Life {
    pub node: String,
    pub data_dir: String,
    pub process: u32,
    /// Of the machine, until it starts anew; empty when it does not say.
    boot: String,
    /// The data directory, on this machine.
    directory: (u64, u64),
}

impl Life {
    /// Of this process.
    ///
    /// # Errors
    /// When the data directory cannot be looked at.
    pub fn of(data_dir: &Path, node: &str) -> std::io::Result<Self> {
        let directory = fs::metadata(data_dir)?;
        Ok(Self {
            node: node.into(),
            data_dir: data_dir.display().to_string(),
            process: std::process::id(),
            boot: fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned(),
            directory: (directory.dev(), directory.ino()),
        })
    }

    /// `None`: not as a server of ours writes it.
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    fn text(&self) -> String {
        serde_json::to_string(self).expect("plain fields")
    }

    /// Whoever has the lock of the same data directory knows that the other has ended.
    pub fn is_of_same_directory(&self, other: &Self) -> bool {
        !self.boot.is_empty() && self.boot == other.boot && self.directory == other.directory
    }
}

impl std::fmt::Display for Life {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "node {:?} (process {}, data directory {})", self.node, self.process, self.data_dir)
    }
}

pub struct PossessedBinaries {
    store: Arc<dyn BinaryStore>,
    owned: Arc<dyn Owned>,
    /// Of the metadata store that they belong to, as long as they are this server's.
    id: String,
    /// For people.
    place: String,
    life: Life,
    possession: Possession,
    /// When they were this server's.
    seen: Mutex<Option<Instant>>,
    /// No sign of life is left any more.
    ended: AtomicBool,
}

impl PossessedBinaries {
    /// `id`: of the metadata store that they belong to now. `possession` is told when that is no longer so.
    pub fn new(
        store: Arc<dyn BinaryStore>,
        owned: Arc<dyn Owned>,
        (id, place): (String, String),
        life: Life,
        possession: Possession,
    ) -> Self {
        Self { store, owned, id, place, life, possession, seen: Mutex::default(), ended: AtomicBool::new(false) }
    }

    /// A sign of life, which each probe renews.
    ///
    /// # Errors
    /// When the store takes no content.
    pub async fn begin(&self) -> Result<(), BlobError> {
        if self.ended.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.owned.sign(Some(&self.life.text())).await
    }

    /// Nobody who takes over has to wait for this server.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn end(&self) -> Result<(), BlobError> {
        self.ended.store(true, Ordering::SeqCst);
        if self.possession.lost().is_some() {
            return Ok(());
        }
        self.owned.sign(None).await
    }

    /// An owner's name that somebody deleted says nothing: the next start writes it again.
    async fn look(&self, known: Duration) -> Result<(), BlobError> {
        if let Some(why) = self.possession.lost() {
            return Err(BlobError::Unavailable(why));
        }
        let now = clock::instant();
        if self.seen.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|seen| now.duration_since(seen) < known)
        {
            return Ok(());
        }
        let owner = match self.owned.owner().await? {
            // What is damaged, or read while it is written, is no reason to end.
            Some(text) => Some(StoreName::parse(&text).ok_or_else(|| {
                BlobError::Unavailable(format!(
                    "the file `owner` in the store of binaries {} cannot be read",
                    self.place
                ))
            })?),
            None => None,
        };
        if let Some(owner) = owner.filter(|owner| owner.store != self.id) {
            let why = format!(
                "the store of binaries {} belongs to the metadata store {} ({}) now, and no longer to {}",
                self.place, owner.store, owner.place, self.id
            );
            self.possession.lose(&why);
            return Err(BlobError::Unavailable(why));
        }
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        Ok(())
    }
}

#[async_trait]
impl BinaryStore for PossessedBinaries {
    async fn create(&self) -> Result<Box<dyn BlobWriter>, BlobError> {
        self.look(KNOWN).await?;
        self.store.create().await
    }

    async fn read(&self, sha256: &str, offset: u64, length: Option<u64>) -> Result<(BlobReader, u64), BlobError> {
        self.store.read(sha256, offset, length).await
    }

    async fn size(&self, sha256: &str) -> Result<Option<u64>, BlobError> {
        self.store.size(sha256).await
    }

    async fn delete(&self, sha256: &str) -> Result<(), BlobError> {
        self.look(KNOWN).await?;
        self.store.delete(sha256).await
    }

    async fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<BlobInfo>, BlobError> {
        self.store.list(after, limit).await
    }

    async fn stat(&self, sha256: &str) -> Result<Option<BlobInfo>, BlobError> {
        self.store.stat(sha256).await
    }

    async fn refresh(&self, sha256: &str) -> Result<Option<u64>, BlobError> {
        self.look(KNOWN).await?;
        self.store.refresh(sha256).await
    }

    async fn delete_unchanged(&self, sha256: &str, stamp: Stamp) -> Result<bool, BlobError> {
        self.look(KNOWN).await?;
        self.store.delete_unchanged(sha256, stamp).await
    }

    async fn probe(&self) -> Result<(), BlobError> {
        self.look(Duration::ZERO).await?;
        self.begin().await?;
        self.store.probe().await
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::adapters::blobs::ObjectBinaryStore;

    async fn of(directory: &Path, id: &str) -> PossessedBinaries {
        let store = Arc::new(ObjectBinaryStore::open_shared(directory).unwrap());
        let name = StoreName { store: id.into(), place: format!("/{id}") };
        store.hand_over(&name.text()).await.unwrap();
        let life = Life::of(directory, id).unwrap();
        let (store, owned): (Arc<dyn BinaryStore>, Arc<dyn Owned>) = (Arc::clone(&store) as _, store);
        PossessedBinaries::new(store, owned, (id.into(), "/share".into()), life, Possession::default())
    }

    async fn upload(store: &PossessedBinaries, content: &'static [u8]) -> Result<String, BlobError> {
        let mut writer = store.create().await?;
        writer.write(Bytes::from_static(content)).await?;
        Ok(writer.finish(None).await?.0)
    }

    #[tokio::test]
    async fn what_another_store_took_over_is_read_and_neither_written_nor_deleted_any_more() {
        let directory = tempfile::tempdir().unwrap();
        let old = of(directory.path(), "old").await;
        let blob = upload(&old, b"content").await.unwrap();
        old.probe().await.unwrap();
        let new = of(directory.path(), "new").await;
        upload(&new, b"more").await.unwrap();

        let refused = old.probe().await.unwrap_err().to_string();
        let words = "the store of binaries /share belongs to the metadata store new (/new) now, and no longer to old";
        assert!(refused.contains(words), "{refused}");
        assert_eq!(old.possession.lost().as_deref(), Some(words));
        let stamp = new.stat(&blob).await.unwrap().unwrap().stamp;
        assert!(upload(&old, b"late").await.is_err() && old.refresh(&blob).await.is_err());
        assert!(old.delete(&blob).await.is_err() && old.delete_unchanged(&blob, stamp).await.is_err());
        assert_eq!(old.size(&blob).await.unwrap(), Some(7));

        new.owned.hand_over("").await.unwrap();
        assert!(new.probe().await.unwrap_err().to_string().contains("`owner`"));
        assert_eq!(new.possession.lost(), None);
        new.owned.hand_over(&StoreName { store: "new".into(), place: "/new".into() }.text()).await.unwrap();
        assert!(new.delete_unchanged(&blob, stamp).await.unwrap());
    }

    #[tokio::test]
    async fn a_sign_of_life_is_renewed_by_each_probe_and_goes_with_an_orderly_end() {
        let directory = tempfile::tempdir().unwrap();
        let store = of(directory.path(), "a").await;
        assert_eq!(store.owned.signed().await.unwrap(), None);
        store.begin().await.unwrap();
        store.probe().await.unwrap();
        let (life, age) = store.owned.signed().await.unwrap().unwrap();
        let life = Life::read(&life).unwrap();
        assert!(age < Duration::from_secs(60) && life == store.life && life.is_of_same_directory(&store.life));
        store.end().await.unwrap();
        assert_eq!(store.owned.signed().await.unwrap(), None);
        store.begin().await.unwrap();
        assert_eq!(store.owned.signed().await.unwrap(), None);
        // Of whoever has it now.
        store.owned.sign(Some(&store.life.text())).await.unwrap();
        store.possession.lose("");
        store.end().await.unwrap();
        assert!(store.owned.signed().await.unwrap().is_some());
    }
}
