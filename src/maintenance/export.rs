//! Writes all of a store into a file, as a stream.

use std::future::ready;
use std::io::Write;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};

use super::check::verify;
use super::frames::{Counts, FrameWriter, Header};
use super::{Progress, Stores, ToolError};
use crate::core::contexts::ContextRecord;
use crate::core::keys;
use crate::ports::{BlobError, Entry};
use crate::runtime::{clock, random};

#[derive(Debug, Clone, Copy)]
pub struct ExportOptions {
    /// Export contexts that live and jobs that have not ended, without their drivers: as a restart of the machine leaves them.
    pub as_lost: bool,
    /// Leave out content that is damaged or cannot be read. All content is read twice.
    pub without_unreadable: bool,
}

/// Answers how much was written; `left_out` is told of each blob that was not, and why.
///
/// # Errors
/// When contexts live, content is damaged and may not be left out, or something cannot be read or written. What was written then is cut.
pub async fn export(
    stores: &Stores,
    options: ExportOptions,
    out: impl Write,
    left_out: &mut (dyn FnMut(&BlobError) + Send),
    progress: Progress<'_>,
) -> Result<Counts, ToolError> {
    let records = stores.records();
    if records.half_import().await?.is_some() {
        return Err(ToolError::HalfImported { place: stores.meta_place.clone() });
    }
    let (contexts, jobs) = (records.live_contexts().await?, records.active_jobs().await?);
    let live = !contexts.is_empty() || !jobs.is_empty();
    if live && !options.as_lost {
        let queued = jobs.iter().filter(|job| job.queued.is_some()).count();
        return Err(ToolError::Live { contexts: contexts.len(), jobs: jobs.len(), queued });
    }
    let header = Header::new(random::id(), clock::unix_ms(), &stores.meta_place, &stores.blobs_place);
    let mut writer = FrameWriter::new(out, &header).map_err(ToolError::Output)?;
    blobs(stores, options, &mut writer, left_out, progress).await?;
    // Which store it is, is no part of what is in it.
    let mut entries = stores.entries().try_filter(|entry| ready(entry.key != keys::STORE_ID));
    while let Some(entry) = entries.try_next().await? {
        writer.entry(&entry.key, &exported(&entry)).map_err(ToolError::Output)?;
        progress((entry.key.len() + entry.value.len()) as u64);
    }
    writer.finish().map_err(ToolError::Output)
}

/// All of them: what no record of this version refers to may be of a later one.
async fn blobs(
    stores: &Stores,
    options: ExportOptions,
    writer: &mut FrameWriter<impl Write>,
    left_out: &mut (dyn FnMut(&BlobError) + Send),
    progress: Progress<'_>,
) -> Result<(), ToolError> {
    let mut all = stores.all_blobs();
    while let Some(blob) = all.try_next().await? {
        // Before its first byte is written: a file cannot be taken back, least of all a pipe.
        if options.without_unreadable
            && let Err(error) = verify(stores, &blob.sha256, blob.size_bytes, &|_| {}).await
        {
            if !matches!(error, BlobError::Damaged { .. }) {
                stores.unreadable(error.clone()).await?;
            }
            left_out(&error);
            progress(blob.size_bytes);
            continue;
        }
        let (mut content, size_bytes) = stores.blobs.read(&blob.sha256, 0, None).await?;
        writer.blob(&blob.sha256, size_bytes).map_err(ToolError::Output)?;
        while let Some(chunk) = content.next().await.transpose()? {
            progress(chunk.len() as u64);
            writer.chunk(&chunk).map_err(ToolError::Output)?;
        }
        writer.end_blob().map_err(ToolError::Output)?;
    }
    Ok(())
}

/// The value as it stands in the file. A context's process is not of the machine where the file is imported; were it known there, a
/// server might take another process for it, or end a driver that belongs to the store that was exported.
fn exported(entry: &Entry) -> Bytes {
    if !entry.key.starts_with(keys::CONTEXTS) {
        return entry.value.clone();
    }
    match serde_json::from_slice::<ContextRecord>(&entry.value) {
        Ok(context) if context.process.is_some() && !context.state.has_ended() => {
            let context = ContextRecord { process: None, ..context };
            serde_json::to_vec(&context).expect("plain fields").into()
        }
        _ => entry.value.clone(),
    }
}
