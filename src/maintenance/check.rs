//! Reads all of a store, and tells what is wrong with it; repairs what is safe to repair, when it is told to.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};

use super::{Progress, Stores, ToolError, segment_of};
use crate::core::binaries::BlobRef;
use crate::core::consistency::{Around, Contents, Finding, Kind, State, Step, Stored, judge};
use crate::core::history::catalog::Segment;
use crate::core::history::{Bundle, Details};
use crate::core::jobs::JobState;
use crate::core::keys;
use crate::jobs::StoreError;
use crate::ports::{BlobError, BlobReader, Entry};

#[derive(Debug, Clone, Copy)]
pub struct CheckOptions {
    /// Repair what can be.
    pub repair: bool,
    /// Read all content, and verify its hash.
    pub content: bool,
}

/// What became of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repaired {
    /// Nobody asked, or nothing that is safe would help.
    No,
    Yes,
    /// It was no longer as it was seen.
    Changed,
}

/// What was read, and what of it was wrong.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Checked {
    pub entries: u64,
    /// Old jobs in segments.
    pub packed: u64,
    pub blobs: u64,
    pub blob_bytes: u64,
    /// Segments of old jobs that could not be read: nobody knows what they refer to.
    pub unread_segments: u64,
    /// Blobs that nothing was seen to refer to, and their bytes; retention removes them, if all segments can be read.
    pub unreferenced: u64,
    pub unreferenced_bytes: u64,
    /// Keys of families that this version does not know, by family.
    pub unknown: BTreeMap<String, u64>,
    pub findings: BTreeMap<Kind, u64>,
    /// Those that are as they were.
    pub left: BTreeMap<Kind, u64>,
    pub repaired: u64,
    /// Findings that would be repaired with `repair`.
    pub repairable: u64,
}

impl Checked {
    pub fn wrong(&self) -> u64 {
        self.findings.values().sum()
    }

    pub fn is_sound(&self) -> bool {
        self.wrong() == self.repaired
    }
}

struct Checker<'a> {
    stores: &'a Stores,
    options: CheckOptions,
    contents: Contents,
    checked: Checked,
    tell: &'a mut (dyn FnMut(&Finding, Repaired) -> io::Result<()> + Send),
}

/// Tells each finding as it comes.
///
/// # Errors
/// When a store cannot be read or written, or `tell` fails.
pub async fn check(
    stores: &Stores,
    options: CheckOptions,
    tell: &mut (dyn FnMut(&Finding, Repaired) -> io::Result<()> + Send),
    progress: Progress<'_>,
) -> Result<Checked, ToolError> {
    let mut checker = Checker { stores, options, contents: Contents::default(), checked: Checked::default(), tell };
    let damaged = checker.contents(progress).await?;
    let mut entries = stores.entries();
    while let Some(entry) = entries.try_next().await? {
        checker.checked.entries += 1;
        checker.entry(entry).await?;
    }
    for (sha256, kind, wrong) in damaged {
        if checker.contents.is_referenced(&sha256) {
            continue;
        }
        let means = match checker.checked.unread_segments {
            0 => "nothing is seen to refer to it; retention removes it",
            _ => "nothing is seen to refer to it; retention keeps it while a segment of old jobs cannot be read",
        };
        let key = format!("blob {sha256}");
        checker.told(&Finding { kind, key, wrong, means, repair: None }).await?;
    }
    let Checker { contents, mut checked, .. } = checker;
    (checked.blobs, checked.blob_bytes) = contents.total();
    (checked.unreferenced, checked.unreferenced_bytes) = contents.unreferenced();
    Ok(checked)
}

impl Checker<'_> {
    /// Blobs that are damaged or cannot be read, and why.
    async fn contents(&mut self, progress: Progress<'_>) -> Result<Vec<(String, Kind, String)>, ToolError> {
        let mut damaged = Vec::new();
        let mut blobs = self.stores.all_blobs();
        while let Some(blob) = blobs.try_next().await? {
            self.contents.add(&blob.sha256, blob.size_bytes);
            if !self.options.content {
                continue;
            }
            match verify(self.stores, &blob.sha256, blob.size_bytes, progress).await {
                Ok(()) => {}
                Err(BlobError::Damaged { why, .. }) => {
                    self.contents.set_damaged(&blob.sha256);
                    damaged.push((blob.sha256, Kind::DamagedContent, why));
                }
                Err(error) => {
                    let why = self.stores.unreadable(error).await?;
                    self.contents.set_unreadable(&blob.sha256, why.clone());
                    damaged.push((blob.sha256, Kind::UnreadableContent, why));
                }
            }
        }
        Ok(damaged)
    }

    async fn entry(&mut self, entry: Entry) -> Result<(), ToolError> {
        let segment = segment_of(&entry);
        let stored = Stored { version: entry.version.0, value: entry.value };
        self.judged(&entry.key, &stored, Around::default()).await?;
        match segment {
            Some(segment) => self.packed(&entry.key, segment).await,
            None => Ok(()),
        }
    }

    /// Each job of a segment, as if it stood where it stood before.
    async fn packed(&mut self, key: &str, segment: Segment) -> Result<(), ToolError> {
        // What is missing is told with its manifest.
        let BlobRef { sha256, size_bytes } = &segment.manifest.segment;
        self.checked.unread_segments += 1;
        if self.contents.refer(sha256, *size_bytes) == State::Missing {
            return Ok(());
        }
        let bundles = match self.stores.segments().bundles(&segment).await {
            Ok(bundles) => {
                self.checked.unread_segments -= 1;
                bundles
            }
            Err(StoreError::Corrupt { cause, .. }) => {
                let (key, wrong) = (key.to_owned(), format!("its segment cannot be read: {cause}"));
                let means = "the old jobs in it are no longer found";
                return self.told(&Finding { kind: Kind::Unreadable, key, wrong, means, repair: None }).await;
            }
            // Told with its manifest.
            Err(StoreError::Unavailable(_)) if self.contents.unreadable(&segment.manifest.segment.sha256).is_some() => {
                return Ok(());
            }
            Err(StoreError::Unavailable(cause)) if self.stores.is_there().await => {
                let (key, wrong) = (key.to_owned(), format!("its segment cannot be read: {cause}"));
                let means = "the old jobs in it are not found";
                return self.told(&Finding { kind: Kind::UnreadableContent, key, wrong, means, repair: None }).await;
            }
            Err(error) => return Err(error.into()),
        };
        for Bundle { id, record, details } in bundles {
            let Details { config, result, callback, .. } = details;
            let mut around = Around::default();
            let whole = |value| Stored { version: record.version, value };
            around.add(keys::job_config(&id), config.map(whole));
            around.add(keys::job_result(&id), result.map(whole));
            around.add(keys::job_callback(&id), callback.map(|it| Stored { version: it.version, value: it.value }));
            for state in [JobState::Finished, JobState::Error, JobState::Killed] {
                around.add(keys::job_ended(state.name(), &id), Some(whole(Bytes::new())));
            }
            self.checked.packed += 1;
            let record = Stored { version: record.version, value: record.value };
            self.judged(&keys::job(&id), &record, around).await?;
        }
        Ok(())
    }

    async fn judged(&mut self, key: &str, stored: &Stored, mut around: Around) -> Result<(), ToolError> {
        loop {
            match judge(key, stored, &around, &mut self.contents) {
                Step::Read(asked) => {
                    for key in asked {
                        let found = self.stores.meta.get(&key).await?;
                        around.add(key, found.map(|found| Stored { version: found.version.0, value: found.value }));
                    }
                }
                Step::Told(findings) => {
                    for finding in findings {
                        self.told(&finding).await?;
                    }
                    return Ok(());
                }
                Step::Unknown => {
                    *self.checked.unknown.entry(keys::family(key).to_owned()).or_default() += 1;
                    return Ok(());
                }
            }
        }
    }

    async fn told(&mut self, finding: &Finding) -> Result<(), ToolError> {
        *self.checked.findings.entry(finding.kind).or_default() += 1;
        let repaired = match &finding.repair {
            Some(repair) if self.options.repair => match self.stores.records().repair(repair).await {
                Ok(()) => Repaired::Yes,
                Err(StoreError::Conflict(_)) => Repaired::Changed,
                Err(error) => return Err(error.into()),
            },
            _ => Repaired::No,
        };
        self.checked.repairable += u64::from(finding.repair.is_some());
        match repaired {
            Repaired::Yes => self.checked.repaired += 1,
            Repaired::No | Repaired::Changed => *self.checked.left.entry(finding.kind).or_default() += 1,
        }
        (self.tell)(finding, repaired).map_err(ToolError::Output)
    }
}

/// Reads all of a blob.
pub(super) async fn verify(
    stores: &Stores,
    sha256: &str,
    size_bytes: u64,
    progress: Progress<'_>,
) -> Result<(), BlobError> {
    if size_bytes == 0 {
        // Nothing is read of what is empty, so nothing would be noticed.
        let why = || format!("it is empty, and {sha256} is not the hash of that");
        let damaged = || BlobError::Damaged { sha256: sha256.to_owned(), why: why() };
        return if sha256 == EMPTY { Ok(()) } else { Err(damaged()) };
    }
    let (mut content, _): (BlobReader, u64) = stores.blobs.read(sha256, 0, None).await?;
    while let Some(chunk) = content.next().await.transpose()? {
        progress(chunk.len() as u64);
    }
    Ok(())
}

/// SHA-256 of nothing.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
