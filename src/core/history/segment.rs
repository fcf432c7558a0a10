//! Reading a segment: its index, blocks of records, blocks of details, and what its jobs refer to.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::codec::{self, Fields, Place};
use super::{Bundle, Damaged, Details, FORMAT, States, Stored};

/// What a segment begins with.
pub(super) const MAGIC: &[u8; 8] = b"DOYENSEG";

pub(super) const HAS_CONFIG: u8 = 1;
pub(super) const HAS_RESULT: u8 = 2;
pub(super) const HAS_TIMELINE: u8 = 4;
pub(super) const HAS_CALLBACK: u8 = 8;

/// Jobs that lie together, in the order of their ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    pub first: String,
    pub last: String,
    #[serde(default)]
    pub states: States,
    pub place: Place,
}

/// What lies where in a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    pub format: u32,
    /// Blocks of records, and of what else is kept of the jobs: a list reads records only.
    pub records: Vec<Block>,
    pub details: Vec<Block>,
}

/// A job's record in a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    pub id: String,
    pub record: Stored,
}

/// What the jobs of a segment refer to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References {
    /// Of the hashes of their results and logs the first eight bytes.
    pub contents: Vec<u64>,
    /// Names of uploaded binaries, and when a job that used one ended last, ms.
    pub uses: Vec<(String, i64)>,
}

impl Index {
    /// # Errors
    /// It is damaged, or a newer version wrote it.
    pub fn open(place: &Place, packed: &[u8]) -> Result<Self, Damaged> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let bad = |_| Damaged::Bad("the index cannot be read");
        let raw = codec::open(place, packed)?;
        let Format { format } = serde_json::from_slice(&raw).map_err(bad)?;
        if format > FORMAT {
            return Err(Damaged::Newer(format));
        }
        serde_json::from_slice(&raw).map_err(bad)
    }
}

/// The one block that may have this job.
pub fn block_of<'a>(blocks: &'a [Block], id: &str) -> Option<&'a Block> {
    let block = blocks.get(blocks.partition_point(|block| block.last.as_str() < id))?;
    (block.first.as_str() <= id).then_some(block)
}

/// The records of a block, by ascending ids.
///
/// # Errors
/// It is damaged.
pub fn records(place: &Place, packed: &[u8]) -> Result<Vec<Packed>, Damaged> {
    let mut fields = Fields(codec::open(place, packed)?);
    let mut all = Vec::new();
    while !fields.is_empty() {
        let id = fields.text()?;
        all.push(Packed { id, record: stored(&mut fields)? });
    }
    if all.is_sorted_by(|a, b| a.id < b.id) { Ok(all) } else { Err(Damaged::Bad("records are out of order")) }
}

fn stored(fields: &mut Fields) -> Result<Stored, Damaged> {
    Ok(Stored { version: fields.u64()?, value: fields.bytes()? })
}

/// The details of a block's jobs, by ascending ids.
///
/// # Errors
/// It is damaged.
pub fn details(place: &Place, packed: &[u8]) -> Result<Vec<(String, Details)>, Damaged> {
    let mut fields = Fields(codec::open(place, packed)?);
    let mut all = Vec::new();
    while !fields.is_empty() {
        let id = fields.text()?;
        let has = fields.u8()?;
        let mut field = |bit: u8| if has & bit == 0 { Ok(None) } else { fields.bytes().map(Some) };
        let (config, result, timeline) = (field(HAS_CONFIG)?, field(HAS_RESULT)?, field(HAS_TIMELINE)?);
        let callback = if has & HAS_CALLBACK == 0 { None } else { Some(stored(&mut fields)?) };
        all.push((id, Details { config, result, timeline, callback }));
    }
    if all.is_sorted_by(|a, b| a.0 < b.0) { Ok(all) } else { Err(Damaged::Bad("details are out of order")) }
}

/// What the segment's jobs refer to.
///
/// # Errors
/// It is damaged.
pub fn references(place: &Place, packed: &[u8]) -> Result<References, Damaged> {
    let mut fields = Fields(codec::open(place, packed)?);
    let mut found = References::default();
    for _ in 0..fields.u32()? {
        found.contents.push(fields.u64()?);
    }
    while !fields.is_empty() {
        let name = fields.text()?;
        found.uses.push((name, fields.u64()?.cast_signed()));
    }
    Ok(found)
}

/// The part of the segment that lies at a place.
fn part<'a>(segment: &'a [u8], place: &Place) -> Result<&'a [u8], Damaged> {
    let at = usize::try_from(place.at).map_err(|_| Damaged::Bad("a place is outside of the segment"))?;
    let end = at.checked_add(place.length as usize).filter(|end| *end <= segment.len());
    Ok(&segment[at..end.ok_or(Damaged::Bad("a place is outside of the segment"))?])
}

/// All jobs of a segment that is in memory, by ascending ids.
///
/// # Errors
/// It is damaged.
pub fn bundles(segment: &Bytes, index: &Place) -> Result<Vec<Bundle>, Damaged> {
    if !segment.starts_with(MAGIC) {
        return Err(Damaged::Bad("it is no segment"));
    }
    let index = Index::open(index, part(segment, index)?)?;
    let (mut all, mut beside) = (Vec::new(), Vec::new());
    for block in &index.records {
        all.extend(records(&block.place, part(segment, &block.place)?)?);
    }
    for block in &index.details {
        beside.extend(details(&block.place, part(segment, &block.place)?)?);
    }
    if !all.iter().map(|packed| &packed.id).eq(beside.iter().map(|(id, _)| id)) {
        return Err(Damaged::Bad("records and details are of different jobs"));
    }
    let bundle = |(packed, (id, details)): (Packed, _)| Bundle { id, record: packed.record, details };
    Ok(all.into_iter().zip(beside).map(bundle).collect())
}
