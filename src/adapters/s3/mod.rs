//! BinaryStore in a bucket of S3 (docs/adr/0025).
//!
//! S3 neither renames nor deletes on a condition. So each upload has a key of its own, and the newest key of a hash is the
//! blob: nothing is overwritten, and a deletion deletes the one key that is meant.

mod credentials;
mod faults;
mod link;
mod names;
mod sweep;
mod upload;

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use async_stream::try_stream;
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use super::blobs::{ALIVE, BETWEEN_SWEEPS, OWNER, OpenBlobsError, Owned, TEMPORARY, verified};
use crate::config;
use crate::ports::{BinaryStore, BlobError, BlobInfo, BlobReader, BlobWriter, Stamp};
use crate::runtime::crash::{self, Side};
use crate::runtime::{clock, random};
use faults::{Fault, Kind};
use link::{Link, Result};
use names::{Found, Name};

/// How often who finds a key that another one just replaced looks again.
const LOOKS: usize = 10;

pub struct S3BinaryStore(Arc<Objects>);

struct Objects {
    link: Arc<Link>,
}

impl S3BinaryStore {
    /// # Errors
    /// When the settings cannot be used, or S3 does not answer or let the bucket be listed.
    pub async fn open(settings: &config::S3) -> std::result::Result<Self, OpenBlobsError> {
        let link = Arc::new(Link::open(settings).map_err(opening)?);
        link.credentials().await.map_err(opening)?;
        // Tells what is wrong with bucket, credentials and endpoint, before anything is written.
        drop(link.list(None, None).next().await.transpose().map_err(opening)?);
        Ok(Self(Arc::new(Objects { link })))
    }

    /// Sweeps again and again.
    pub async fn keep_swept(self: Arc<Self>) {
        loop {
            if let Err(error) = self.sweep().await {
                tracing::warn!(%error, "could not sweep the store of binaries");
            }
            tokio::time::sleep(BETWEEN_SWEEPS).await;
        }
    }

    /// Removes what uploads of any node left in the bucket that began over a day ago.
    ///
    /// # Errors
    /// When S3 does not answer.
    pub async fn sweep(&self) -> std::result::Result<(), BlobError> {
        let removed = sweep::sweep(&self.0.link).await?;
        if removed > 0 {
            tracing::info!(removed, "swept what was left in the store of binaries");
        }
        Ok(())
    }
}

#[async_trait]
impl Owned for S3BinaryStore {
    async fn owner(&self) -> std::result::Result<Option<String>, OpenBlobsError> {
        match self.0.link.get(OWNER).await {
            Ok(found) => Ok(Some(String::from_utf8_lossy(&found).into_owned())),
            Err(fault) if fault.kind == Kind::NotFound => Ok(None),
            Err(fault) => Err(opening(fault)),
        }
    }

    async fn claim(&self, owner: &str) -> std::result::Result<(), OpenBlobsError> {
        let link = &self.0.link;
        // Also where conditions are not known, and everything is overwritten: it is looked for first.
        if self.owner().await?.is_none() {
            match link.create(OWNER, Bytes::from(owner.to_owned())).await {
                Err(fault) if fault.kind != Kind::Exists => return Err(opening(fault)),
                _ => {}
            }
        }
        let found = self.owner().await?.unwrap_or_default();
        if found == owner {
            return Ok(());
        }
        // The name of a metadata store, or what earlier versions wrote.
        if !found.starts_with('{') && !found.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            let found: String = found.chars().take(64).collect();
            return Err(opening(Fault::foreign(link.settings(), &format!("the object `{OWNER}` is {found:?}"))));
        }
        let why = format!(
            "{} holds the binaries of another server ({found}; this one is {owner}), which would delete this one's as unused: \
             give each server a path of its own with store.s3.path; if the other is gone for good, take them over with \
             `doyen store adopt`",
            link.settings().path
        );
        Err(opening(Fault::new(link.settings(), Kind::Settings, &why)))
    }

    async fn hand_over(&self, owner: &str) -> std::result::Result<(), OpenBlobsError> {
        self.0.link.put(OWNER, Bytes::from(owner.to_owned())).await.map_err(opening)
    }

    async fn sign(&self, life: Option<&str>) -> std::result::Result<(), BlobError> {
        let link = &self.0.link;
        match life {
            Some(life) => Ok(link.put(ALIVE, Bytes::from(life.to_owned())).await?),
            None => Ok(link.delete(ALIVE).await?),
        }
    }

    async fn signed(&self) -> std::result::Result<Option<(String, Duration)>, OpenBlobsError> {
        let link = &self.0.link;
        let life = match link.get(ALIVE).await {
            Ok(life) => String::from_utf8_lossy(&life).into_owned(),
            Err(fault) if fault.kind == Kind::NotFound => return Ok(None),
            Err(fault) => return Err(opening(fault)),
        };
        let written = link.modified(ALIVE).await.map_err(opening)?;
        // By its own clock: those of machines differ.
        let now = format!("{TEMPORARY}/{}", random::id());
        link.put(&now, Bytes::from_static(b"now")).await.map_err(opening)?;
        let time = link.modified(&now).await;
        link.delete(&now).await.map_err(opening)?;
        Ok(Some((life, (time.map_err(opening)? - written).to_std().unwrap_or_default())))
    }
}

fn opening(fault: Fault) -> OpenBlobsError {
    let passes = fault.kind == Kind::Unreachable;
    if passes { OpenBlobsError::Away(fault.into()) } else { OpenBlobsError::Wrong(fault.into()) }
}

fn now_ns() -> u64 {
    let since = clock::system_time().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn id() -> u64 {
    random::below(1 << 32) << 32 | random::below(1 << 32)
}

impl Objects {
    /// All uploads of a content, the newest last.
    async fn find(&self, sha256: &str) -> Result<Vec<Found>> {
        if !names::is_hash(sha256) {
            return Ok(Vec::new());
        }
        let keys: Vec<_> = self.link.list(Some(&names::directory(sha256)), None).try_collect().await?;
        let mut found: Vec<Found> = keys.iter().filter_map(|(key, meta)| Found::of(key, meta.size)).collect();
        found.sort_by_key(|found| found.name);
        Ok(found)
    }

    async fn newest(&self, sha256: &str) -> Result<Option<Found>> {
        Ok(self.find(sha256).await?.pop())
    }

    /// There is a newer one, so what is left of them does no harm: the next upload or deletion finds it.
    async fn delete_older(&self, older: &[Found]) {
        for found in older {
            if let Err(error) = self.link.delete(&found.key()).await {
                return tracing::debug!(%error, "an older upload is left");
            }
        }
    }

    /// Nobody waits for it; what it cannot delete is swept.
    fn discard(self: &Arc<Self>, key: String) {
        let objects = Arc::clone(self);
        tokio::spawn(async move { objects.link.delete(&key).await });
    }

    /// As its chunks come, each within the deadline.
    async fn content(&self, found: &Found, begin: u64, end: u64) -> Result<BlobReader> {
        if begin == end {
            return Ok(stream::empty().boxed());
        }
        let mut content = self.link.stream(&found.key(), begin, end).await?;
        let link = Arc::clone(&self.link);
        let chunks = try_stream! {
            while let Some(chunk) = link.next(&mut content).await? {
                yield chunk;
            }
        };
        Ok(chunks.boxed())
    }
}

#[async_trait]
impl BinaryStore for S3BinaryStore {
    async fn create(&self) -> std::result::Result<Box<dyn BlobWriter>, BlobError> {
        Ok(Box::new(upload::Writer::new(&self.0)))
    }

    async fn read(
        &self,
        sha256: &str,
        offset: u64,
        length: Option<u64>,
    ) -> std::result::Result<(BlobReader, u64), BlobError> {
        let missing = || BlobError::NotFound(sha256.to_owned());
        for _ in 0..LOOKS {
            let found = self.0.newest(sha256).await?.ok_or_else(missing)?;
            let size = found.size_bytes;
            let begin = offset.min(size);
            let end = begin.saturating_add(length.unwrap_or(size)).min(size);
            let content = match self.0.content(&found, begin, end).await {
                // Another upload took its place.
                Err(fault) if fault.kind == Kind::NotFound => continue,
                content => content?,
            };
            let whole = end - begin == size;
            return Ok((if whole { verified::verified(content, sha256.to_owned(), size) } else { content }, size));
        }
        Err(missing())
    }

    async fn size(&self, sha256: &str) -> std::result::Result<Option<u64>, BlobError> {
        Ok(self.stat(sha256).await?.map(|blob| blob.size_bytes))
    }

    async fn delete(&self, sha256: &str) -> std::result::Result<(), BlobError> {
        for found in self.0.find(sha256).await? {
            crash::point("blob-delete", Side::Before);
            self.0.link.delete(&found.key()).await?;
            crash::point("blob-delete", Side::After);
        }
        Ok(())
    }

    async fn list(&self, after: Option<&str>, limit: usize) -> std::result::Result<Vec<BlobInfo>, BlobError> {
        let after = after.filter(|after| names::is_hash(after)).map(names::behind);
        let mut keys = self.0.link.list(None, after.as_deref());
        let mut blobs: Vec<BlobInfo> = Vec::new();
        while let Some((key, meta)) = keys.next().await.transpose()? {
            let Some(found) = Found::of(&key, meta.size) else { continue };
            // The newest comes last.
            if blobs.last().is_some_and(|last| last.sha256 == found.sha256) {
                blobs.pop();
            } else if blobs.len() == limit {
                break;
            }
            blobs.push(found.info());
        }
        Ok(blobs)
    }

    async fn stat(&self, sha256: &str) -> std::result::Result<Option<BlobInfo>, BlobError> {
        Ok(self.0.newest(sha256).await?.map(|found| found.info()))
    }

    async fn refresh(&self, sha256: &str) -> std::result::Result<Option<u64>, BlobError> {
        for _ in 0..LOOKS {
            let older = self.0.find(sha256).await?;
            let Some(newest) = older.last() else { return Ok(None) };
            let name = Name::after(Some(newest.name), now_ns(), id());
            match self.0.link.copy(&newest.key(), &names::key(sha256, name), newest.size_bytes).await {
                // It was deleted, or another upload took its place.
                Err(fault) if fault.kind == Kind::NotFound => {}
                copied => {
                    copied?;
                    self.0.delete_older(&older).await;
                    return Ok(Some(newest.size_bytes));
                }
            }
        }
        Err(BlobError::Unavailable(format!("{sha256} is uploaded and deleted again and again")))
    }

    async fn delete_unchanged(&self, sha256: &str, stamp: Stamp) -> std::result::Result<bool, BlobError> {
        let mut found = self.0.find(sha256).await?;
        let Some(newest) = found.pop().filter(|newest| newest.name.stamp() == stamp) else { return Ok(false) };
        crash::point("blob-delete", Side::Before);
        self.0.link.delete(&newest.key()).await?;
        crash::point("blob-delete", Side::After);
        // What a broken-off upload left, or one that came meanwhile, is the blob now.
        Ok(found.is_empty())
    }
}
