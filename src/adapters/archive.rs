//! Check of an uploaded zip archive (wheel, egg, jar), by its central directory: nothing is unpacked but what looks
//! like a bomb.

use std::collections::HashSet;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use crate::ports::ArchiveLimits;
use zip::CompressionMethod;
use zip::read::{Config, ZipFileEntry, ZipReadOptions};
use zip::result::ZipError;
// `ZipArchive` knows entries by name, so it cannot show duplicates.
use zip::unstable::read::ZipIterable;

/// Names longer than this fit no file system.
const MAX_NAME_BYTES: usize = 4096;
/// An entry that promises to unpack to more than this ...
const SUSPICIOUS_BYTES: u64 = 4 * 1024 * 1024;
/// ... at more than this ratio is unpacked to see, without keeping it.
const SUSPICIOUS_RATIO: u64 = 100;
/// Deflate packs no better than 1032:1, and adds at most a few bytes to each 16 kB that it cannot pack.
const BEST_RATIO: u64 = 1040;
const LOCAL_HEADER_BYTES: u64 = 30;
/// The file type in the upper half of the external attributes.
const TYPE_MASK: u32 = 0o170_000;
const TYPE_SYMLINK: u32 = 0o120_000;

/// Why an archive is refused; the text is for the user who uploaded it.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("not a zip archive: {0}")]
    NotZip(String),
    #[error("the archive has {found} entries, more than the {limit} allowed")]
    TooManyEntries { found: u64, limit: u64 },
    #[error("the archive unpacks to more than the {limit_bytes} bytes allowed")]
    TooLarge { limit_bytes: u64 },
    #[error("the archive has an entry with the unsafe name {name:?}: {reason}")]
    BadName { name: String, reason: &'static str },
    #[error("the archive has more than one entry named {0:?}")]
    Duplicate(String),
    #[error("the archive's entry {0:?} is a symbolic link")]
    Symlink(String),
    #[error("the archive's entry {0:?} is encrypted")]
    Encrypted(String),
    #[error("the archive's entry {name:?} does not unpack to the {declared} bytes that it declares")]
    FalseSize { name: String, declared: u64 },
    #[error("the archive's entries {first:?} and {second:?} share the same bytes")]
    Overlap { first: String, second: String },
    #[error("the archive cannot be read")]
    Io(#[from] io::Error),
}

impl From<ZipError> for ArchiveError {
    fn from(error: ZipError) -> Self {
        match error {
            // The archive ends before its own directory does.
            ZipError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => Self::NotZip("it is cut off".into()),
            ZipError::Io(error) => Self::Io(error),
            error => Self::NotZip(error.to_string()),
        }
    }
}

/// Where an entry's bytes are.
struct Extent {
    start: u64,
    end: u64,
    name: String,
}

/// Reads the central directory, and unpacks (keeping nothing) only entries whose sizes look like a bomb. Blocks; an
/// ordinary archive takes milliseconds, a hostile one at most the unpacking of `max_unpacked_bytes`.
///
/// Entries of an ordinary ratio are not unpacked, so whoever unpacks them must still stop at the declared size.
///
/// # Errors
/// When the archive must be refused, or cannot be read.
pub fn check<R: Read + Seek>(open: impl Fn() -> R, limits: ArchiveLimits) -> Result<(), ArchiveError> {
    let mut body = BufReader::new(open());
    let mut archive = ZipIterable::try_new(Near::new(open()), Config::default())?;
    let found = archive.len() as u64;
    if found > limits.max_entries {
        return Err(ArchiveError::TooManyEntries { found, limit: limits.max_entries });
    }
    let mut names = HashSet::new();
    let mut extents = Vec::new();
    let mut unpacked: u64 = 0;
    let mut suspicious = Vec::new();
    for entry in archive.files()? {
        let entry = entry?;
        let name = check_entry(&entry)?;
        // Tools that merge jars repeat directories; that harms nobody.
        if !names.insert(name.clone()) && !name.ends_with('/') {
            return Err(ArchiveError::Duplicate(name));
        }
        unpacked = unpacked.saturating_add(entry.size());
        if unpacked > limits.max_unpacked_bytes {
            return Err(ArchiveError::TooLarge { limit_bytes: limits.max_unpacked_bytes });
        }
        let start = entry.header_start();
        let length = LOCAL_HEADER_BYTES + entry.name_raw().len() as u64;
        let end = start.saturating_add(length).saturating_add(entry.compressed_size());
        extents.push(Extent { start, end, name: name.clone() });
        if is_suspicious(&entry, &name)? {
            suspicious.push((entry, name));
        }
    }
    check_overlap(extents)?;
    // Last, so that the cheap checks have bounded what there is to unpack.
    suspicious.into_iter().try_for_each(|(entry, name)| verify(entry, name, &mut body))
}

fn check_entry(entry: &ZipFileEntry<'_>) -> Result<String, ArchiveError> {
    let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
    if let Some(reason) = unsafe_name(&name) {
        let name = name.chars().take(200).collect();
        return Err(ArchiveError::BadName { name, reason });
    }
    // Whatever system made it. Other types do no harm, and old Maven gives directories a nonsensical one.
    if (entry.external_attributes() >> 16) & TYPE_MASK == TYPE_SYMLINK {
        return Err(ArchiveError::Symlink(name));
    }
    if entry.encrypted() {
        return Err(ArchiveError::Encrypted(name));
    }
    Ok(name)
}

/// Why a name could lead out of the directory that it is unpacked to, or mean two things.
fn unsafe_name(name: &str) -> Option<&'static str> {
    let bytes = name.as_bytes();
    // A directory's name ends with a slash.
    let path = name.strip_suffix('/').unwrap_or(name);
    if name.is_empty() {
        Some("it is empty")
    } else if name.len() > MAX_NAME_BYTES {
        Some("it is too long")
    } else if name.starts_with('/') {
        Some("it is absolute")
    } else if name.contains('\0') {
        Some("it contains a zero byte")
    } else if name.contains('\\') {
        Some("it contains a backslash")
    } else if bytes[0].is_ascii_alphabetic() && bytes.get(1) == Some(&b':') {
        Some("it begins with a drive letter")
    } else if path.split('/').any(|part| part == "..") {
        Some("it leads upwards")
    } else if path.split('/').any(|part| part.is_empty() || part == ".") {
        Some("it is not in its simplest form")
    } else {
        None
    }
}

/// Whether the sizes must be seen to be believed. Those that cannot be true are refused at once.
fn is_suspicious(entry: &ZipFileEntry<'_>, name: &str) -> Result<bool, ArchiveError> {
    let (packed, declared) = (entry.compressed_size(), entry.size());
    let possible = match entry.compression() {
        CompressionMethod::Stored => packed == declared,
        CompressionMethod::Deflated => {
            // An empty file packs to two bytes and more; incompressible content grows by far less than an eighth.
            packed <= declared.saturating_add(declared / 8).saturating_add(64)
                && declared <= packed.saturating_mul(BEST_RATIO)
        }
        _ => declared <= SUSPICIOUS_BYTES || declared / SUSPICIOUS_RATIO <= packed,
    };
    if !possible {
        return Err(ArchiveError::FalseSize { name: name.to_owned(), declared });
    }
    let deflated = entry.compression() == CompressionMethod::Deflated;
    Ok(deflated && declared > SUSPICIOUS_BYTES && declared / SUSPICIOUS_RATIO > packed)
}

/// Two entries over the same bytes are how a small file unpacks to a huge one within the best ratio.
fn check_overlap(mut extents: Vec<Extent>) -> Result<(), ArchiveError> {
    extents.sort_unstable_by_key(|extent| extent.start);
    for pair in extents.windows(2) {
        if pair[1].start < pair[0].end {
            return Err(ArchiveError::Overlap { first: pair[0].name.clone(), second: pair[1].name.clone() });
        }
    }
    Ok(())
}

/// Unpacks to nowhere, and stops behind the declared size.
fn verify<R: Read + Seek>(entry: ZipFileEntry<'_>, name: String, body: &mut BufReader<R>) -> Result<(), ArchiveError> {
    let declared = entry.size();
    let content = entry.with_reader(body, ZipReadOptions::new())?;
    match io::copy(&mut content.take(declared + 1), &mut io::sink()) {
        Ok(found) if found == declared => Ok(()),
        // What does not unpack, or not to its checksum, has a false size as well.
        _ => Err(ArchiveError::FalseSize { name, declared }),
    }
}

/// A buffered file that keeps its buffer when a seek stays within it, as those between two headers do.
struct Near<R> {
    file: BufReader<R>,
    position: u64,
}

impl<R: Read> Near<R> {
    fn new(file: R) -> Self {
        Self { file: BufReader::with_capacity(64 * 1024, file), position: 0 }
    }
}

impl<R: Read> Read for Near<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl<R: Read + Seek> Seek for Near<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match to {
            SeekFrom::Start(target) => match i64::try_from(i128::from(target) - i128::from(self.position)) {
                Ok(distance) => {
                    self.file.seek_relative(distance)?;
                    self.position = target;
                }
                Err(_) => self.position = self.file.seek(to)?,
            },
            to => self.position = self.file.seek(to)?,
        }
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests;
