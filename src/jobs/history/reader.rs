//! Reads segments from the BinaryStore: an index or a block at a time, through a cache.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::MutexGuard;

use super::cache::Cache;
use crate::core::binaries::BlobRef;
use crate::core::history::catalog::{Catalog, Segment};
use crate::core::history::segment::{self, Index, Packed, References};
use crate::core::history::{Bundle, Damaged, Details, Place};
use crate::core::keys;
use crate::jobs::StoreError;
use crate::ports::{BinaryStore, BlobError, Revision};

/// What is written at once.
const CHUNK_BYTES: usize = 1 << 20;

/// What history has done since the server started.
#[derive(Debug, Default)]
pub struct Counts {
    /// Jobs that were packed.
    pub packed: AtomicU64,
    /// Parts of segments that were read, from the BinaryStore.
    pub reads: AtomicU64,
    /// Parts that could not be read.
    pub unreadable: AtomicU64,
}

/// A block, as it is cached.
#[derive(Debug, Clone)]
enum Content {
    Records(Arc<Vec<Packed>>),
    Details(Arc<Vec<(String, Details)>>),
}

pub struct Segments {
    blobs: Arc<dyn BinaryStore>,
    /// Apart from blocks, of which a lookup anywhere brings another.
    indexes: Cache<Arc<Index>>,
    blocks: Cache<Content>,
    /// With the version of the head at which it was read.
    catalog: Mutex<Option<(Revision, Arc<Catalog>)>>,
    turn: tokio::sync::Mutex<()>,
    pub counts: Counts,
}

impl Segments {
    pub fn new(blobs: Arc<dyn BinaryStore>, cache_bytes: usize) -> Self {
        let (indexes, blocks) = (Cache::new(cache_bytes / 2), Cache::new(cache_bytes / 2));
        let (catalog, turn) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { blobs, indexes, blocks, catalog, turn, counts: Counts::default() }
    }

    /// Jobs are packed, or removed, by one at a time: else what was removed could come back with its segment.
    pub async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// The catalog, if it has been read at this version of the head.
    pub fn catalog_at(&self, head: Revision) -> Option<Arc<Catalog>> {
        let known = self.catalog.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().filter(|(version, _)| *version == head).map(|(_, catalog)| Arc::clone(catalog))
    }

    pub fn keep_catalog(&self, head: Revision, catalog: Arc<Catalog>) {
        let mut known = self.catalog.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref().is_none_or(|(version, _)| *version < head) {
            *known = Some((head, catalog));
        }
    }

    /// # Errors
    /// The BinaryStore is away, or the segment is damaged; so of all that reads.
    pub async fn index(&self, of: &Segment) -> Result<Arc<Index>, StoreError> {
        let place = &of.manifest.index;
        let open = |packed: &[u8]| Index::open(place, packed).map(Arc::new);
        self.part(&self.indexes, of, place, open).await
    }

    pub async fn records(&self, of: &Segment, place: &Place) -> Result<Arc<Vec<Packed>>, StoreError> {
        let open = |packed: &[u8]| segment::records(place, packed).map(|all| Content::Records(Arc::new(all)));
        match self.part(&self.blocks, of, place, open).await? {
            Content::Records(records) => Ok(records),
            Content::Details(_) => Err(self.failed(of, &Damaged::Bad("two parts have one place"))),
        }
    }

    pub async fn details(&self, of: &Segment, place: &Place) -> Result<Arc<Vec<(String, Details)>>, StoreError> {
        let open = |packed: &[u8]| segment::details(place, packed).map(|all| Content::Details(Arc::new(all)));
        match self.part(&self.blocks, of, place, open).await? {
            Content::Details(details) => Ok(details),
            Content::Records(_) => Err(self.failed(of, &Damaged::Bad("two parts have one place"))),
        }
    }

    /// Not cached: only retention asks, of all segments.
    pub async fn references(&self, of: &Segment) -> Result<References, StoreError> {
        let place = &of.manifest.references;
        let packed = self.fetch(of, Some(place)).await?;
        segment::references(place, &packed).map_err(|error| self.failed(of, &error))
    }

    /// All jobs of the segment; its checksums and its hash are verified.
    pub async fn bundles(&self, of: &Segment) -> Result<Vec<Bundle>, StoreError> {
        let (whole, index) = (self.fetch(of, None).await?, of.manifest.index);
        let read = tokio::task::spawn_blocking(move || segment::bundles(&whole, &index)).await;
        let read = read.unwrap_or(Err(Damaged::Bad("reading it broke")));
        read.map_err(|error| self.failed(of, &error))
    }

    /// Stores a segment.
    ///
    /// # Errors
    /// The BinaryStore's.
    pub async fn store(&self, segment: Vec<u8>) -> Result<BlobRef, BlobError> {
        let mut writer = self.blobs.create().await?;
        let mut rest = Bytes::from(segment);
        while !rest.is_empty() {
            writer.write(rest.split_to(CHUNK_BYTES.min(rest.len()))).await?;
        }
        let (sha256, size_bytes) = writer.finish(None).await?;
        Ok(BlobRef { sha256, size_bytes })
    }

    async fn part<T: Clone>(
        &self,
        cache: &Cache<T>,
        of: &Segment,
        place: &Place,
        open: impl FnOnce(&[u8]) -> Result<T, Damaged>,
    ) -> Result<T, StoreError> {
        let sha256 = &of.manifest.segment.sha256;
        if let Some(known) = cache.get(sha256, place.at) {
            return Ok(known);
        }
        let packed = self.fetch(of, Some(place)).await?;
        let content = open(&packed).map_err(|error| self.failed(of, &error))?;
        cache.put(sha256, place.at, content.clone(), place.raw_length as usize);
        Ok(content)
    }

    /// The bytes at a place, or the whole.
    async fn fetch(&self, of: &Segment, place: Option<&Place>) -> Result<Bytes, StoreError> {
        self.counts.reads.fetch_add(1, Ordering::Relaxed);
        let (at, length) = place.map_or((0, None), |place| (place.at, Some(u64::from(place.length))));
        let read = async {
            let (mut content, _) = self.blobs.read(&of.manifest.segment.sha256, at, length).await?;
            let mut all = Vec::new();
            while let Some(part) = content.next().await {
                all.extend_from_slice(&part?);
            }
            Ok::<_, BlobError>(Bytes::from(all))
        };
        read.await.map_err(|error| match error {
            BlobError::Unavailable(_) | BlobError::Unreadable { .. } | BlobError::Full(_) => {
                StoreError::Unavailable(format!("{} cannot be read: {error}", keys::history(of.number)))
            }
            error => self.failed(of, &error),
        })
    }

    /// Of a segment that is not what it was.
    fn failed(&self, of: &Segment, cause: &impl std::fmt::Display) -> StoreError {
        self.counts.unreadable.fetch_add(1, Ordering::Relaxed);
        let (key, manifest) = (keys::history(of.number), &of.manifest);
        tracing::error!(
            segment = key, sha256 = manifest.segment.sha256, first = manifest.first, last = manifest.last, %cause,
            "old jobs cannot be read"
        );
        StoreError::Corrupt { key, cause: cause.to_string() }
    }
}
