//! Storage that can be read only, for a database that wants to write when it is opened: what it writes stays in memory.

use std::io::{Error, ErrorKind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

/// Opening writes some pages; more than this is no opening.
const MOST_BYTES: usize = 64 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Overlay<B> {
    storage: B,
    stored_len: u64,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    len: u64,
    bytes: usize,
    /// In order: later ones lie above earlier ones.
    writes: Vec<(u64, Vec<u8>)>,
}

impl<B: StorageBackend> Overlay<B> {
    pub(super) fn over(storage: B) -> Result<Self, Error> {
        let len = storage.len()?;
        let written = Mutex::new(Written { len, bytes: 0, writes: Vec::new() });
        Ok(Self { storage, stored_len: len, written })
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where both the part at `offset` and the one at `above` have bytes, within each of them.
fn shared(offset: u64, len: usize, above: u64, above_len: usize) -> Option<(usize, usize, usize)> {
    let begin = offset.max(above);
    let end = (offset + len as u64).min(above + above_len as u64);
    let count = usize::try_from(end.checked_sub(begin)?).ok().filter(|count| *count > 0)?;
    Some((usize::try_from(begin - offset).ok()?, usize::try_from(begin - above).ok()?, count))
}

impl<B: StorageBackend> StorageBackend for Overlay<B> {
    fn len(&self) -> Result<u64, Error> {
        Ok(self.written().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let written = self.written();
        if offset + out.len() as u64 > written.len {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let stored = usize::try_from(self.stored_len.saturating_sub(offset)).unwrap_or(usize::MAX).min(out.len());
        let (from_storage, beyond) = out.split_at_mut(stored);
        if !from_storage.is_empty() {
            self.storage.read(offset, from_storage)?;
        }
        beyond.fill(0);
        for (at, data) in &written.writes {
            if let Some((here, there, count)) = shared(offset, out.len(), *at, data.len()) {
                out[here..here + count].copy_from_slice(&data[there..there + count]);
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        self.written().len = len;
        Ok(())
    }

    fn sync_data(&self) -> Result<(), Error> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        let mut written = self.written();
        written.bytes += data.len();
        if written.bytes > MOST_BYTES {
            return Err(ErrorKind::StorageFull.into());
        }
        written.writes.push((offset, data.to_vec()));
        Ok(())
    }

    fn close(&self) -> Result<(), Error> {
        self.storage.close()
    }
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;

    use super::*;

    #[test]
    fn what_is_written_is_read_above_what_is_stored_and_goes_no_further() {
        let storage = InMemoryBackend::new();
        storage.set_len(8).unwrap();
        storage.write(0, b"abcdefgh").unwrap();
        let overlay = Overlay::over(storage).unwrap();
        overlay.set_len(12).unwrap();
        overlay.write(2, b"123").unwrap();
        overlay.write(4, b"XYZ").unwrap();
        let mut all = [0; 12];
        overlay.read(0, &mut all).unwrap();
        assert_eq!(&all, b"ab12XYZh\0\0\0\0");
        let mut part = [0; 2];
        overlay.read(3, &mut part).unwrap();
        assert_eq!(&part, b"2X");
        overlay.read(9, &mut part).unwrap();
        assert_eq!(part, [0; 2]);
        assert!(overlay.read(11, &mut part).is_err());
        overlay.storage.read(2, &mut part).unwrap();
        assert_eq!(&part, b"cd");
    }
}
