//! The file of an export: docs/adr/0026. A header, then frames, each a line of JSON and the bytes that it announces, and at the end a
//! line with the hash of all before it. It is written and read as a stream.

use std::io::{self, BufRead, Read, Write};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::core::idempotency::hex;

/// Raise it when an older version could no longer read the file.
const FORMAT: u32 = 1;
/// Of a line. The longest keys have names of some hundred bytes in them.
const MAX_LINE_BYTES: usize = 64 * 1024;
/// Of a value. No store takes a longer one.
const MAX_VALUE_BYTES: u64 = 64 * 1024 * 1024;
/// Of content, at once.
const CHUNK_BYTES: usize = 256 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    #[error("cannot read the file: {0}")]
    Io(io::Error),
    #[error("it is no export of a store")]
    Foreign,
    #[error("it has format {found}, written by version {version}; this version reads format {FORMAT}")]
    Newer { found: u32, version: String },
    #[error("it is cut: it ends after {at} bytes, before its last line")]
    Cut { at: u64 },
    #[error("it is damaged: {why}, at byte {at} or before it")]
    Damaged { at: u64, why: String },
}

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Header {
    /// The format.
    pub doyen_export: u32,
    /// Of the program that wrote it.
    pub version: String,
    /// Tells this export from all others.
    pub id: String,
    /// Wall clock, milliseconds since the epoch.
    pub made_ms: i64,
    /// For people.
    pub metadata: String,
    pub binaries: String,
}

impl Header {
    pub fn new(id: String, made_ms: i64, metadata: &str, binaries: &str) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self { doyen_export: FORMAT, version, id, made_ms, metadata: metadata.into(), binaries: binaries.into() }
    }
}

/// A line before bytes, or the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Line {
    Blob { sha256: String, bytes: u64 },
    Entry { key: String, bytes: u64 },
    End { blobs: u64, entries: u64, sha256: String },
}

/// What follows next in a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// Its bytes are to be read by `chunk`.
    Blob {
        sha256: String,
        size_bytes: u64,
    },
    Entry {
        key: String,
        value: Vec<u8>,
    },
    End,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub blobs: u64,
    pub entries: u64,
}

pub(super) struct FrameWriter<W> {
    out: W,
    hash: Sha256,
    at: u64,
    counts: Counts,
}

impl<W: Write> FrameWriter<W> {
    pub(super) fn new(out: W, header: &Header) -> io::Result<Self> {
        let mut this = Self::without_header(out);
        this.line(header)?;
        Ok(this)
    }

    /// What is written by it is no export.
    pub(super) fn without_header(out: W) -> Self {
        Self { out, hash: Sha256::new(), at: 0, counts: Counts::default() }
    }

    pub(super) fn at(&self) -> u64 {
        self.at
    }

    fn line(&mut self, line: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.raw(&text)
    }

    fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.at += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    /// Its bytes follow by `chunk`, and then `end_blob`.
    pub(super) fn blob(&mut self, sha256: &str, bytes: u64) -> io::Result<()> {
        self.counts.blobs += 1;
        self.line(&Line::Blob { sha256: sha256.to_owned(), bytes })
    }

    pub(super) fn chunk(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.raw(chunk)
    }

    pub(super) fn end_blob(&mut self) -> io::Result<()> {
        self.raw(b"\n")
    }

    pub(super) fn entry(&mut self, key: &str, value: &[u8]) -> io::Result<()> {
        self.counts.entries += 1;
        self.line(&Line::Entry { key: key.to_owned(), bytes: value.len() as u64 })?;
        self.raw(value)?;
        self.raw(b"\n")
    }

    pub(super) fn finish(mut self) -> io::Result<Counts> {
        let (Counts { blobs, entries }, sha256) = (self.counts, hex(&self.hash.clone().finalize()));
        self.line(&Line::End { blobs, entries, sha256 })?;
        self.out.flush()?;
        Ok(self.counts)
    }
}

pub(super) struct FrameReader<R> {
    input: R,
    hash: Sha256,
    at: u64,
    counts: Counts,
    /// Bytes of a blob that are still to be read.
    left: Option<u64>,
}

impl<R: BufRead> FrameReader<R> {
    pub(super) fn new(input: R) -> Result<(Self, Header), FormatError> {
        let mut this = Self::within(input, 0);
        let line = this.line().map_err(|error| match error {
            FormatError::Damaged { .. } => FormatError::Foreign,
            other => other,
        })?;
        /// What a header of any format has.
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case")]
        struct Any {
            doyen_export: u32,
            #[serde(default)]
            version: String,
        }
        let any: Any = serde_json::from_slice(&line).map_err(|_| FormatError::Foreign)?;
        if any.doyen_export > FORMAT {
            return Err(FormatError::Newer { found: any.doyen_export, version: any.version });
        }
        let header = serde_json::from_slice(&line).map_err(|error| this.damaged(error.to_string()))?;
        this.hash.update(&line);
        Ok((this, header))
    }

    /// In the middle of a file: frames that begin at this byte.
    pub(super) fn within(input: R, at: u64) -> Self {
        Self { input, hash: Sha256::new(), at, counts: Counts::default(), left: None }
    }

    pub(super) fn damaged(&self, why: impl Into<String>) -> FormatError {
        FormatError::Damaged { at: self.at, why: why.into() }
    }

    /// With its end.
    fn line(&mut self) -> Result<Vec<u8>, FormatError> {
        let mut line = Vec::new();
        let mut limited = (&mut self.input).take(MAX_LINE_BYTES as u64);
        let read = limited.read_until(b'\n', &mut line).map_err(FormatError::Io)?;
        self.at += read as u64;
        match line.last() {
            Some(b'\n') => Ok(line),
            _ if read == MAX_LINE_BYTES => Err(self.damaged("a line is too long")),
            _ => Err(FormatError::Cut { at: self.at }),
        }
    }

    fn exact(&mut self, bytes: &mut [u8]) -> Result<(), FormatError> {
        let mut filled = 0;
        while filled < bytes.len() {
            match self.input.read(&mut bytes[filled..]) {
                Ok(0) => return Err(FormatError::Cut { at: self.at + filled as u64 }),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(FormatError::Io(error)),
            }
        }
        self.hash.update(&*bytes);
        self.at += filled as u64;
        Ok(())
    }

    fn line_end(&mut self) -> Result<(), FormatError> {
        let mut end = [0];
        self.exact(&mut end)?;
        if end == *b"\n" { Ok(()) } else { Err(self.damaged("there are more bytes than announced")) }
    }

    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// What follows; the bytes of a blob before it must have been read.
    pub(super) fn frame(&mut self) -> Result<Frame, FormatError> {
        let line = self.line()?;
        match serde_json::from_slice(&line).map_err(|error| self.damaged(error.to_string()))? {
            Line::Blob { sha256, bytes } => {
                self.hash.update(&line);
                self.counts.blobs += 1;
                self.left = Some(bytes);
                Ok(Frame::Blob { sha256, size_bytes: bytes })
            }
            Line::Entry { bytes, .. } if bytes > MAX_VALUE_BYTES => Err(self.damaged("a value is too long")),
            Line::Entry { key, bytes } => {
                self.hash.update(&line);
                self.counts.entries += 1;
                // Not more than is there, whatever was announced.
                let mut value = Vec::new();
                while (value.len() as u64) < bytes {
                    let next = CHUNK_BYTES.min(usize::try_from(bytes).unwrap_or(usize::MAX) - value.len());
                    let begin = value.len();
                    value.resize(begin + next, 0);
                    self.exact(&mut value[begin..])?;
                }
                self.line_end()?;
                Ok(Frame::Entry { key, value })
            }
            Line::End { blobs, entries, sha256 } => {
                if sha256 != hex(&self.hash.clone().finalize()) {
                    return Err(self.damaged("it has not the hash that its last line tells"));
                }
                if (Counts { blobs, entries }) != self.counts {
                    return Err(self.damaged("it has not as many parts as its last line tells"));
                }
                let mut more = [0];
                match self.input.read(&mut more) {
                    Ok(0) => Ok(Frame::End),
                    Ok(_) => Err(self.damaged("more follows behind its last line")),
                    Err(error) => Err(FormatError::Io(error)),
                }
            }
        }
    }

    /// The next bytes of a blob; `None` at its end.
    pub(super) fn chunk(&mut self) -> Result<Option<Vec<u8>>, FormatError> {
        match self.left {
            None => Ok(None),
            Some(0) => {
                self.left = None;
                self.line_end()?;
                Ok(None)
            }
            Some(left) => {
                let next = left.min(CHUNK_BYTES as u64);
                let mut chunk = vec![0; usize::try_from(next).unwrap_or(CHUNK_BYTES)];
                self.exact(&mut chunk)?;
                self.left = Some(left - next);
                Ok(Some(chunk))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> Vec<u8> {
        let mut out = Vec::new();
        let header = Header::new("id".into(), 1, "embedded", "local");
        let mut writer = FrameWriter::new(&mut out, &header).unwrap();
        writer.blob(&"ab".repeat(32), 3).unwrap();
        writer.chunk(b"a\nb").unwrap();
        writer.end_blob().unwrap();
        writer.entry("jobs/1", b"{}").unwrap();
        writer.entry("jobs-active/\u{e9}\n", b"").unwrap();
        assert_eq!(writer.finish().unwrap(), Counts { blobs: 1, entries: 2 });
        out
    }

    fn read(mut bytes: &[u8]) -> Result<Vec<String>, FormatError> {
        let (mut reader, _) = FrameReader::new(&mut bytes)?;
        let mut told = Vec::new();
        loop {
            match reader.frame()? {
                Frame::Blob { size_bytes, .. } => {
                    let mut content = Vec::new();
                    while let Some(chunk) = reader.chunk()? {
                        content.extend(chunk);
                    }
                    told.push(format!("{size_bytes} {}", String::from_utf8_lossy(&content)));
                }
                Frame::Entry { key, value } => told.push(format!("{key}={}", String::from_utf8_lossy(&value))),
                Frame::End => return Ok(told),
            }
        }
    }

    #[test]
    fn what_was_written_is_read() {
        assert_eq!(read(&written()).unwrap(), ["3 a\nb", "jobs/1={}", "jobs-active/\u{e9}\n="]);
    }

    #[test]
    fn a_cut_anywhere_is_noticed() {
        let whole = written();
        for end in 0..whole.len() {
            assert!(matches!(read(&whole[..end]), Err(FormatError::Cut { .. })), "cut after {end}");
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed() {
        let whole = written();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            assert!(read(&flipped).is_err(), "byte {at}");
        }
    }

    #[test]
    fn what_follows_the_end_is_refused() {
        assert!(matches!(read(&[written(), b"x".to_vec()].concat()), Err(FormatError::Damaged { .. })));
    }

    #[test]
    fn other_files_and_newer_formats_are_told() {
        for other in [&b"\n"[..], b"hello\n", b"{}\n", b"\x00\xff\n", &[b'a'; 100_000]] {
            assert!(matches!(read(other), Err(FormatError::Foreign)), "{other:?}");
        }
        let newer = b"{\"doyen-export\":2,\"version\":\"9\",\"what\":1}\n";
        assert!(matches!(read(newer), Err(FormatError::Newer { found: 2, .. })));
    }

    #[test]
    fn a_length_that_is_announced_wrongly_takes_no_memory() {
        let mut bytes = written()[..written().iter().position(|byte| *byte == b'\n').unwrap() + 1].to_vec();
        bytes.extend(b"{\"entry\":{\"key\":\"a\",\"bytes\":99999999999}}\n");
        assert!(matches!(read(&bytes), Err(FormatError::Damaged { .. })));
    }
}
