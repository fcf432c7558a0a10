//! Checks archives where they are stored: reads the parts of a blob that the check wants.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use tokio::runtime::Handle;

use super::archive;
use crate::ports::{ArchiveError, ArchiveLimits, Archives, BinaryStore};

/// Read at once.
const WINDOW_BYTES: u64 = 256 << 10;

pub struct StoredArchives {
    blobs: Arc<dyn BinaryStore>,
}

impl StoredArchives {
    pub fn new(blobs: Arc<dyn BinaryStore>) -> Self {
        Self { blobs }
    }
}

#[async_trait]
impl Archives for StoredArchives {
    async fn check(&self, sha256: &str, size_bytes: u64, limits: ArchiveLimits) -> Result<(), ArchiveError> {
        let (blobs, sha256, runtime) = (Arc::clone(&self.blobs), sha256.to_owned(), Handle::current());
        let open = move || StoredFile {
            blobs: Arc::clone(&blobs),
            sha256: sha256.clone(),
            runtime: runtime.clone(),
            size: size_bytes,
            position: 0,
            window: Bytes::new(),
            window_at: 0,
        };
        let checked = tokio::task::spawn_blocking(move || archive::check(open, limits)).await;
        match checked {
            Ok(Ok(())) => Ok(()),
            Ok(Err(archive::ArchiveError::NotZip(_))) => Err(ArchiveError::NotAnArchive),
            Ok(Err(archive::ArchiveError::Io(error))) => {
                Err(ArchiveError::Store(crate::ports::BlobError::Unavailable(error.to_string())))
            }
            Ok(Err(refusal)) => Err(ArchiveError::Refused(refusal.to_string())),
            Err(panicked) => Err(ArchiveError::Refused(format!("the check failed: {panicked}"))),
        }
    }
}

/// A blob as a file, for code that blocks.
struct StoredFile {
    blobs: Arc<dyn BinaryStore>,
    sha256: String,
    runtime: Handle,
    size: u64,
    position: u64,
    window: Bytes,
    window_at: u64,
}

impl StoredFile {
    fn load(&mut self) -> io::Result<()> {
        let read = async {
            let (mut reader, _) = self.blobs.read(&self.sha256, self.position, Some(WINDOW_BYTES)).await?;
            let mut all = Vec::new();
            while let Some(part) = reader.next().await {
                all.extend_from_slice(&part?);
            }
            Ok::<_, crate::ports::BlobError>(all)
        };
        self.window = self.runtime.block_on(read).map_err(io::Error::other)?.into();
        self.window_at = self.position;
        Ok(())
    }
}

impl Read for StoredFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.size || buffer.is_empty() {
            return Ok(0);
        }
        let end = self.window_at + self.window.len() as u64;
        if self.position < self.window_at || self.position >= end {
            self.load()?;
        }
        let from = usize::try_from(self.position - self.window_at).expect("within the window");
        let part = &self.window[from..];
        let count = part.len().min(buffer.len());
        buffer[..count].copy_from_slice(&part[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for StoredFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => i128::from(offset),
            SeekFrom::End(offset) => i128::from(self.size) + i128::from(offset),
            SeekFrom::Current(offset) => i128::from(self.position) + i128::from(offset),
        };
        self.position = u64::try_from(target)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "seek before the beginning"))?;
        Ok(self.position)
    }
}
