//! Stores in memory, for tests: plain, and alike in what they answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream;
use sha2::{Digest, Sha256};

use super::changes::ChangeLog;
use super::embedded::{MAX_COMMIT_BYTES, size_bytes};
use super::hex;
use crate::ports::{
    BinaryStore, BlobError, BlobInfo, BlobReader, BlobWriter, Change, Changes, Commit, CommitError, Entry, MetaStore,
    Precondition, ReadError, Revision, Stamp, Write,
};

type Map = BTreeMap<String, (Revision, Bytes)>;

pub struct MemoryStore {
    entries: Mutex<Map>,
    changes: ChangeLog,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self { entries: Mutex::default(), changes: ChangeLog::new(Revision(0)) }
    }
}

#[async_trait]
impl MetaStore for MemoryStore {
    async fn commit(&self, commit: Commit) -> Result<Revision, CommitError> {
        let size_bytes = size_bytes(&commit);
        if size_bytes > MAX_COMMIT_BYTES {
            return Err(CommitError::TooLarge { size_bytes, limit_bytes: MAX_COMMIT_BYTES });
        }
        let mut entries = lock(&self.entries);
        if let Some(index) = commit.preconditions.iter().position(|precondition| !holds(&entries, precondition)) {
            return Err(CommitError::Conflict(index));
        }
        let before = self.changes.revision();
        let revision = Revision(before.0 + 1);
        let mut changes = Vec::new();
        for write in commit.writes {
            let key = match write {
                Write::Put(key, value) => {
                    entries.insert(key.clone(), (revision, value));
                    key
                }
                Write::Delete(key) => {
                    entries.remove(&key);
                    key
                }
            };
            changes.push(Change { revision, key });
        }
        // Under the lock, so that revisions are published in order.
        self.changes.publish(before, revision, changes);
        Ok(revision)
    }

    async fn get(&self, key: &str) -> Result<Option<Entry>, ReadError> {
        Ok(lock(&self.entries).get_key_value(key).map(entry))
    }

    async fn range(
        &self,
        prefix: &str,
        after: Option<&str>,
        descending: bool,
        limit: usize,
    ) -> Result<Vec<Entry>, ReadError> {
        let entries = lock(&self.entries);
        let under = entries.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
        Ok(if descending {
            let mut under: Vec<_> = under.filter(|(key, _)| after.is_none_or(|after| key.as_str() < after)).collect();
            under.reverse();
            under.into_iter().take(limit).map(entry).collect()
        } else {
            under.filter(|(key, _)| after.is_none_or(|after| key.as_str() > after)).take(limit).map(entry).collect()
        })
    }

    fn max_commit_bytes(&self) -> usize {
        MAX_COMMIT_BYTES
    }

    async fn changes(&self, cursor: Revision) -> Result<Changes, ReadError> {
        Ok(self.changes.after(cursor).await)
    }

    async fn revision(&self) -> Result<Revision, ReadError> {
        Ok(self.changes.revision())
    }
}

fn holds(entries: &Map, precondition: &Precondition) -> bool {
    match precondition {
        Precondition::Absent(key) => !entries.contains_key(key),
        Precondition::Exists(key) => entries.contains_key(key),
        Precondition::At(key, version) => entries.get(key).is_some_and(|(found, _)| found == version),
        Precondition::Fence(_) => true,
        Precondition::NoneUnder(prefix) => !entries.keys().any(|key| key.starts_with(prefix)),
    }
}

fn entry((key, (version, value)): (&String, &(Revision, Bytes))) -> Entry {
    Entry { key: key.clone(), value: value.clone(), version: *version }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

type Blobs = Arc<Mutex<Kept>>;

#[derive(Default)]
struct Kept {
    content: BTreeMap<String, (Stamp, Bytes)>,
    /// The newest that was given.
    stamp: i64,
}

impl Kept {
    fn next_stamp(&mut self) -> Stamp {
        self.stamp += 1;
        Stamp(self.stamp)
    }
}

fn info((sha256, (stamp, content)): (&String, &(Stamp, Bytes))) -> BlobInfo {
    BlobInfo { sha256: sha256.clone(), size_bytes: content.len() as u64, stamp: *stamp }
}

#[derive(Default)]
pub struct MemoryBlobs {
    blobs: Blobs,
}

struct MemoryBlobWriter {
    blobs: Blobs,
    content: BytesMut,
}

#[async_trait]
impl BlobWriter for MemoryBlobWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<(), BlobError> {
        self.content.extend_from_slice(&chunk);
        Ok(())
    }

    async fn finish(self: Box<Self>, expected: Option<&str>) -> Result<(String, u64), BlobError> {
        let content = self.content.freeze();
        let found = hex(&Sha256::digest(&content));
        if let Some(expected) = expected
            && expected != found
        {
            return Err(BlobError::WrongHash { expected: expected.to_owned(), found });
        }
        let size = content.len() as u64;
        let mut blobs = lock(&self.blobs);
        let stamp = blobs.next_stamp();
        blobs.content.insert(found.clone(), (stamp, content));
        Ok((found, size))
    }
}

#[async_trait]
impl BinaryStore for MemoryBlobs {
    async fn create(&self) -> Result<Box<dyn BlobWriter>, BlobError> {
        Ok(Box::new(MemoryBlobWriter { blobs: self.blobs.clone(), content: BytesMut::new() }))
    }

    async fn read(&self, sha256: &str, offset: u64, length: Option<u64>) -> Result<(BlobReader, u64), BlobError> {
        let found = lock(&self.blobs).content.get(sha256).cloned();
        let (_, content) = found.ok_or_else(|| BlobError::NotFound(sha256.to_owned()))?;
        let size = content.len() as u64;
        let begin = offset.min(size);
        let end = begin.saturating_add(length.unwrap_or(size)).min(size);
        let index = |position: u64| usize::try_from(position).expect("within the content");
        let part = content.slice(index(begin)..index(end));
        let chunks = if part.is_empty() { Vec::new() } else { vec![Ok(part)] };
        Ok((stream::iter(chunks).boxed(), size))
    }

    async fn size(&self, sha256: &str) -> Result<Option<u64>, BlobError> {
        Ok(self.stat(sha256).await?.map(|info| info.size_bytes))
    }

    async fn delete(&self, sha256: &str) -> Result<(), BlobError> {
        lock(&self.blobs).content.remove(sha256);
        Ok(())
    }

    async fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<BlobInfo>, BlobError> {
        let blobs = lock(&self.blobs);
        let behind = blobs.content.iter().filter(|(sha256, _)| after.is_none_or(|after| sha256.as_str() > after));
        Ok(behind.take(limit).map(info).collect())
    }

    async fn stat(&self, sha256: &str) -> Result<Option<BlobInfo>, BlobError> {
        Ok(lock(&self.blobs).content.get_key_value(sha256).map(info))
    }

    async fn refresh(&self, sha256: &str) -> Result<Option<u64>, BlobError> {
        let mut blobs = lock(&self.blobs);
        let next = blobs.next_stamp();
        Ok(blobs.content.get_mut(sha256).map(|(stamp, content)| {
            *stamp = next;
            content.len() as u64
        }))
    }

    async fn delete_unchanged(&self, sha256: &str, stamp: Stamp) -> Result<bool, BlobError> {
        let mut blobs = lock(&self.blobs);
        let unchanged = blobs.content.get(sha256).is_some_and(|(found, _)| *found == stamp);
        Ok(unchanged && blobs.content.remove(sha256).is_some())
    }
}
