//! Bytes of segments: sections that are compressed and have a checksum, and fields with their lengths.

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, Decompress, FlushCompress, FlushDecompress, Status};
use serde::{Deserialize, Serialize};

use super::Damaged;

/// A section is never larger: a commit has at most 64 MiB, so one job has not either.
const MAX_SECTION_BYTES: usize = 96 << 20;

/// Where a section lies in the segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub at: u64,
    /// Compressed, as it lies there.
    pub length: u32,
    pub raw_length: u32,
    /// CRC-32 of the compressed bytes.
    pub crc: u32,
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Appends the section to the segment, compressed.
pub(super) fn append(segment: &mut Vec<u8>, raw: &[u8]) -> Place {
    let at = segment.len();
    let mut compress = Compress::new(Compression::default(), true);
    loop {
        segment.reserve((raw.len() / 4).max(256));
        let read = usize::try_from(compress.total_in()).expect("it is in memory");
        match compress.compress_vec(&raw[read..], segment, FlushCompress::Finish) {
            Ok(Status::StreamEnd) => break,
            Ok(Status::Ok | Status::BufError) => {}
            Err(error) => unreachable!("a new stream has no wrong state: {error}"),
        }
    }
    let length = |bytes: usize| u32::try_from(bytes).expect("sections are bounded");
    let packed = &segment[at..];
    Place { at: at as u64, length: length(packed.len()), raw_length: length(raw.len()), crc: checksum(packed) }
}

/// The section as it was, of the bytes that lie at its place.
pub(super) fn open(place: &Place, packed: &[u8]) -> Result<Bytes, Damaged> {
    if packed.len() != place.length as usize {
        return Err(Damaged::Bad("the segment is cut short"));
    }
    if checksum(packed) != place.crc {
        return Err(Damaged::Bad("a checksum does not hold"));
    }
    let length = place.raw_length as usize;
    if length > MAX_SECTION_BYTES {
        return Err(Damaged::Bad("a section is too large"));
    }
    let mut raw = Vec::with_capacity(length);
    let done = Decompress::new(true).decompress_vec(packed, &mut raw, FlushDecompress::Finish);
    if !matches!(done, Ok(Status::StreamEnd)) || raw.len() != length {
        return Err(Damaged::Bad("a section does not decompress"));
    }
    Ok(raw.into())
}

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(u32::try_from(bytes.len()).expect("sections are bounded").to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Reads fields in the order in which they were put.
pub(super) struct Fields(pub(super) Bytes);

impl Fields {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self, length: usize) -> Result<Bytes, Damaged> {
        if length > self.0.len() {
            return Err(Damaged::Bad("a section ends in the middle of a field"));
        }
        Ok(self.0.split_to(length))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let taken = self.take(N)?;
        Ok(taken.as_ref().try_into().expect("as many as were asked for"))
    }

    pub(super) fn u8(&mut self) -> Result<u8, Damaged> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Damaged> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Damaged> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(super) fn bytes(&mut self) -> Result<Bytes, Damaged> {
        let length = self.u32()?;
        self.take(length as usize)
    }

    pub(super) fn text(&mut self) -> Result<String, Damaged> {
        let bytes = self.bytes()?;
        String::from_utf8(bytes.into()).map_err(|_| Damaged::Bad("an id is no text"))
    }
}
