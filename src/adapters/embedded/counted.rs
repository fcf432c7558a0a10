//! Storage that counts successful flushes: redb's two-phase commit makes nothing valid before its first one.

use std::io::Error;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::{BackendError, StorageBackend};

#[derive(Debug)]
pub(super) struct Counted<B> {
    pub(super) storage: B,
    pub(super) flushes: Arc<AtomicU64>,
}

impl<B: StorageBackend> StorageBackend for Counted<B> {
    fn sync_data(&self) -> Result<(), Error> {
        self.storage.sync_data()?;
        self.flushes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn len(&self) -> Result<u64, Error> {
        self.storage.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        self.storage.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        self.storage.set_len(len)
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        self.storage.write(offset, data)
    }

    fn close(&self) -> Result<(), Error> {
        self.storage.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.storage.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.storage.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.storage.query_lock_range(start, end)
    }
}
