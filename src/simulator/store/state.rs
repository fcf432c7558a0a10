//! What lies in the store.

use std::collections::BTreeSet;
use std::rc::Rc;

use doyen_cluster::encoding::{self, Unreadable};
use doyen_cluster::ids::{NodeId, Version};
use doyen_cluster::record::{Fence, Record};
use doyen_cluster::store::Stored;

#[derive(Debug, Clone, Default)]
pub struct State {
    /// Counts the changes of anything.
    pub number: u64,
    record: Option<Kept>,
    pub fences: BTreeSet<Fence>,
    /// The parent of the fences is there since the first record was created.
    pub founded: bool,
    pub registered: BTreeSet<NodeId>,
}

#[derive(Debug, Clone)]
struct Kept {
    bytes: Rc<[u8]>,
    /// What the bytes mean, so that not each read decodes them.
    means: Rc<Result<Record, Unreadable>>,
    version: Version,
}

impl State {
    /// The bytes of a record.
    ///
    /// # Errors
    /// It breaks the rules of records.
    pub fn encoded(record: &Record) -> Result<Vec<u8>, String> {
        encoding::encode(record).map_err(|invalid| format!("a record was to be written that is invalid: {invalid}"))
    }

    pub fn set(&mut self, bytes: Vec<u8>, version: Version) {
        let means = Rc::new(encoding::decode(&bytes));
        self.record = Some(Kept { bytes: bytes.into(), means, version });
    }

    pub fn touch(&mut self, version: Version) {
        if let Some(kept) = &mut self.record {
            kept.version = version;
        }
    }

    pub fn delete(&mut self) {
        self.record = None;
    }

    pub fn exists(&self) -> bool {
        self.record.is_some()
    }

    pub fn version(&self) -> Option<Version> {
        self.record.as_ref().map(|kept| kept.version)
    }

    pub fn bytes(&self) -> Option<&[u8]> {
        self.record.as_ref().map(|kept| &*kept.bytes)
    }

    /// The record, if there is one that can be read.
    pub fn record(&self) -> Option<&Record> {
        self.record.as_ref().and_then(|kept| kept.means.as_ref().as_ref().ok())
    }

    pub fn reads_as(&self) -> Result<Option<Stored>, Unreadable> {
        let Some(kept) = &self.record else { return Ok(None) };
        kept.means.as_ref().clone().map(|record| Some(Stored { record, version: kept.version }))
    }
}
