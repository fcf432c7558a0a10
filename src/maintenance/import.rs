//! Fills an empty store from a file. A mark keeps servers away from what is not complete, and says which file goes on.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use bytes::Bytes;

use super::frames::{FormatError, Frame, FrameReader, Header};
use super::packing::Packing;
use super::parts::Jobs;
use super::{Progress, Stores, ToolError, segment_of};
use crate::core::history::catalog::Segment;
use crate::core::keys;
use crate::jobs::Records;
use crate::jobs::records::{ImportRecord, Versioned};
use crate::ports::{Entry, Revision};
use crate::runtime::clock;

/// Of one commit: less than any store takes.
const BATCH_BYTES: usize = 256 * 1024;
/// In ZooKeeper each may have what belongs to its job written again.
const BATCH: usize = 128;
/// Of the file.
const BUFFER_BYTES: usize = 256 * 1024;
/// What a store may add to an entry, beside its key and value.
const OVERHEAD_BYTES: usize = 4096;

/// What an import found and did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Imported {
    pub blobs: u64,
    pub entries: u64,
    /// Of these, what an import before had left there.
    pub blobs_there: u64,
    pub entries_there: u64,
    /// Old jobs that were put into segments now, and so many segments.
    pub packed_jobs: u64,
    pub segments: u64,
    pub resumed: bool,
}

/// What is imported.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// Read twice, so that nothing is written of one that is not whole.
    File(&'a Path),
    Stdin,
}

type Input = Box<dyn BufRead + Send>;

impl Source<'_> {
    fn open(self) -> Result<Input, FormatError> {
        match self {
            Self::Stdin => Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, std::io::stdin()))),
            Self::File(path) => {
                let file = File::open(path).map_err(FormatError::Io)?;
                Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, file)))
            }
        }
    }
}

/// Imports the source, or goes on with it.
///
/// # Errors
/// When the store is not empty, the source is not whole, or something cannot be read or written. Said again with the same source, it
/// goes on where it was.
pub async fn import(stores: &Stores, source: Source<'_>, progress: Progress<'_>) -> Result<Imported, ToolError> {
    let (mut reader, header) = FrameReader::new(source.open()?)?;
    let half = look(stores, &header).await?;
    // Also where nothing is packed any more, but was: it is passed over by jobs.
    let gathers = stores.packing.is_some() || half.as_ref().is_some_and(|half| half.record.packed_to.is_some());
    let mut jobs = match source {
        _ if !gathers => None,
        Source::File(path) => Some(Jobs::of_file(path)?),
        Source::Stdin => Some(Jobs::aside(&stores.scratch)?),
    };
    if matches!(source, Source::File(_)) {
        verify(stores, &mut reader, jobs.as_mut(), progress)?;
        (reader, _) = FrameReader::new(source.open()?)?;
    }
    let records = stores.records();
    let id = records.make_store_id().await?;
    let resumed = half.is_some();
    let mark = match half {
        Some(mark) => mark,
        None => {
            let revision = records.revision().await?.0;
            let began_ms = clock::unix_ms();
            records.begin_import(ImportRecord { export: header.id, began_ms, revision, packed_to: None }).await?
        }
    };
    let imported = Imported { resumed, ..Imported::default() };
    let has_packed = mark.record.packed_to.is_some();
    let (batch, batch_bytes, uncleared) = (Vec::new(), 0, Vec::new());
    let mut import = Import { stores, records, imported, has_packed, batch, batch_bytes, uncleared };
    loop {
        let before = reader.at();
        match reader.frame()? {
            Frame::Blob { sha256, size_bytes } => import.blob(&mut reader, &sha256, size_bytes).await?,
            Frame::Entry { key, value } => {
                if let Some(jobs) = &mut jobs
                    && jobs.takes(&key, &value)?
                {
                    continue;
                }
                import.entry(key, value.into()).await?;
            }
            Frame::End => break,
        }
        progress(reader.at() - before);
    }
    import.flush().await?;
    if let Some(jobs) = jobs {
        import.jobs(jobs, mark, progress).await?;
    }
    // Before any server may serve it: a server takes only what belongs to its metadata store.
    stores.belongings.belong_to(&id).await.map_err(ToolError::Belongings)?;
    import.records.end_import().await?;
    Ok(import.imported)
}

/// The mark, when the store holds a part of this import already; else it is empty.
async fn look(stores: &Stores, header: &Header) -> Result<Option<Versioned<ImportRecord>>, ToolError> {
    let place = stores.meta_place.clone();
    match stores.records().half_import().await? {
        Some(half) if half.record.export == header.id => return Ok(Some(half)),
        Some(_) => return Err(ToolError::OtherImport { place }),
        None => {}
    }
    match stores.records().any_key().await? {
        Some(example) => Err(ToolError::NotEmpty { place, example }),
        None => Ok(None),
    }
}

/// Whether the rest of a file is whole, and fits; notes where the parts of jobs stand. Writes nothing.
fn verify(
    stores: &Stores,
    reader: &mut FrameReader<Input>,
    mut jobs: Option<&mut Jobs>,
    progress: Progress<'_>,
) -> Result<(), ToolError> {
    loop {
        let before = reader.at();
        match reader.frame()? {
            Frame::Blob { .. } => while reader.chunk()?.is_some() {},
            Frame::Entry { key, value } => {
                fits(stores, &key, value.len())?;
                if let Some(jobs) = &mut jobs {
                    jobs.note(&key, &value, before, reader.at()).map_err(|why| reader.damaged(why))?;
                }
            }
            Frame::End => return Ok(()),
        }
        progress(reader.at() - before);
    }
}

fn fits(stores: &Stores, key: &str, value_bytes: usize) -> Result<(), ToolError> {
    let (size_bytes, limit_bytes) = (key.len() + value_bytes, stores.commit_bytes.saturating_sub(OVERHEAD_BYTES));
    if size_bytes <= limit_bytes {
        return Ok(());
    }
    Err(ToolError::TooLarge { key: key.to_owned(), size_bytes, limit_bytes, place: stores.meta_place.clone() })
}

pub(super) struct Import<'a> {
    pub(super) stores: &'a Stores,
    pub(super) records: Records,
    pub(super) imported: Imported,
    /// Before it was broken off.
    has_packed: bool,
    batch: Vec<(String, Bytes)>,
    batch_bytes: usize,
    /// Segments whose jobs may stand under own keys in the file.
    pub(super) uncleared: Vec<Segment>,
}

impl Import<'_> {
    /// Content that is there with its size is as it was published: by its hash.
    async fn blob(&mut self, reader: &mut FrameReader<Input>, sha256: &str, size_bytes: u64) -> Result<(), ToolError> {
        self.imported.blobs += 1;
        if self.stores.blobs.size(sha256).await? == Some(size_bytes) {
            while reader.chunk()?.is_some() {}
            self.imported.blobs_there += 1;
            return Ok(());
        }
        let mut writer = self.stores.blobs.create().await?;
        while let Some(chunk) = reader.chunk()? {
            writer.write(chunk.into()).await?;
        }
        writer.finish(Some(sha256)).await?;
        Ok(())
    }

    /// Jobs by jobs, after all else.
    async fn jobs(
        &mut self,
        jobs: Jobs,
        mark: Versioned<ImportRecord>,
        progress: Progress<'_>,
    ) -> Result<(), ToolError> {
        let (rule, records) = (self.stores.packing, jobs.records());
        let mut reader = jobs.read()?;
        let mut packing = Packing::new(self, rule, mark, records).await?;
        while let Some(parts) = reader.next(progress)? {
            packing.job(parts).await?;
        }
        packing.end().await
    }

    /// Counts entries that an import before had left, or packed.
    pub(super) fn was_there(&mut self, entries: usize) {
        self.imported.entries += entries as u64;
        self.imported.entries_there += entries as u64;
    }

    /// Counts a segment.
    pub(super) fn packed(&mut self, jobs: usize, entries: usize) {
        self.imported.entries += entries as u64;
        self.imported.packed_jobs += jobs as u64;
        self.imported.segments += 1;
    }

    pub(super) async fn entry(&mut self, key: String, value: Bytes) -> Result<(), ToolError> {
        if key == keys::STORE_ID {
            return Ok(());
        }
        if key == keys::HISTORY_HEAD && self.has_packed {
            self.was_there(1);
            return Ok(());
        }
        if key.starts_with(keys::HISTORY) {
            let entry = Entry { key: key.clone(), value: value.clone(), version: Revision(0) };
            self.uncleared.extend(segment_of(&entry).filter(|segment| segment.manifest.clearing));
        }
        self.imported.entries += 1;
        fits(self.stores, &key, value.len())?;
        if self.imported.resumed
            && let Some(there) = self.stores.meta.get(&key).await?
        {
            if there.value != value {
                return Err(ToolError::Differs { key });
            }
            self.imported.entries_there += 1;
            return Ok(());
        }
        let bytes = key.len() + value.len();
        if self.batch.len() >= BATCH || self.batch_bytes + bytes > BATCH_BYTES {
            self.flush().await?;
        }
        self.batch_bytes += bytes;
        self.batch.push((key, value));
        Ok(())
    }

    pub(super) async fn flush(&mut self) -> Result<(), ToolError> {
        self.batch_bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        if !batch.is_empty() {
            self.records.add_imported(batch).await?;
        }
        Ok(())
    }
}
