//! Writing a segment: jobs in the order of their ids become blocks, and what the catalog has to know of them.

use std::collections::{BTreeMap, BTreeSet};

use super::catalog::Manifest;
use super::codec::{self, put_bytes};
use super::segment::{Block, HAS_CALLBACK, HAS_CONFIG, HAS_RESULT, HAS_TIMELINE, Index, MAGIC};
use super::{Bundle, Details, FORMAT, States, Stored};
use crate::core::binaries::BlobRef;
use crate::core::jobs::JobRecord;
use crate::core::retention::{contents, shortened};

/// Jobs of a block: who looks one up reads all of them.
const BLOCK_JOBS: u64 = 32;
/// A block with so much in it is closed, whatever the number of its jobs.
const BLOCK_BYTES: usize = 128 << 10;

/// A block that is being filled.
#[derive(Debug, Default)]
struct Open {
    raw: Vec<u8>,
    first: String,
    last: String,
    jobs: u64,
    states: States,
}

impl Open {
    fn began(&mut self, job: &JobRecord) -> &mut Vec<u8> {
        if self.jobs == 0 {
            self.first.clone_from(&job.id);
        }
        self.last.clone_from(&job.id);
        self.jobs += 1;
        self.states.add(job.state);
        &mut self.raw
    }

    fn close_if(&mut self, least_jobs: u64, least_bytes: usize, out: &mut Vec<u8>, blocks: &mut Vec<Block>) {
        if self.jobs > 0 && (self.jobs >= least_jobs || self.raw.len() >= least_bytes) {
            let Self { raw, first, last, states, .. } = std::mem::take(self);
            blocks.push(Block { first, last, states, place: codec::append(out, &raw) });
        }
    }
}

/// A segment in the making.
#[derive(Debug)]
pub struct Builder {
    out: Vec<u8>,
    records: Open,
    details: Open,
    record_blocks: Vec<Block>,
    detail_blocks: Vec<Block>,
    contents: BTreeSet<u64>,
    uses: BTreeMap<String, i64>,
    raw_bytes: usize,
    facts: Option<Facts>,
}

/// What the manifest tells beyond places.
#[derive(Debug)]
struct Facts {
    first: String,
    last: String,
    jobs: u64,
    states: States,
    oldest_end_ms: i64,
    newest_end_ms: i64,
    results_ms: Option<i64>,
    logs_ms: Option<i64>,
    newest_version: u64,
}

/// A whole segment, not yet stored.
#[derive(Debug)]
pub struct Finished {
    pub bytes: Vec<u8>,
    index: codec::Place,
    references: codec::Place,
    facts: Facts,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            out: MAGIC.to_vec(),
            records: Open::default(),
            details: Open::default(),
            record_blocks: Vec::new(),
            detail_blocks: Vec::new(),
            contents: BTreeSet::new(),
            uses: BTreeMap::new(),
            raw_bytes: 0,
            facts: None,
        }
    }
}

fn put_stored(out: &mut Vec<u8>, stored: &Stored) {
    out.extend(stored.version.to_le_bytes());
    put_bytes(out, &stored.value);
}

fn put_details(out: &mut Vec<u8>, details: &Details) {
    let Details { config, result, timeline, callback } = details;
    let texts = [(HAS_CONFIG, config), (HAS_RESULT, result), (HAS_TIMELINE, timeline)];
    let there = texts.iter().filter(|(_, text)| text.is_some()).fold(0, |bits, (bit, _)| bits | bit);
    out.push(there | if callback.is_some() { HAS_CALLBACK } else { 0 });
    texts.iter().filter_map(|(_, text)| text.as_ref()).for_each(|text| put_bytes(out, text));
    callback.iter().for_each(|stored| put_stored(out, stored));
}

impl Builder {
    /// Takes the next job; `job` is what its record says. The ids have to ascend.
    pub fn add(&mut self, bundle: &Bundle, job: &JobRecord) {
        let before = self.records.raw.len() + self.details.raw.len();
        let out = self.records.began(job);
        put_bytes(out, job.id.as_bytes());
        put_stored(out, &bundle.record);
        let out = self.details.began(job);
        put_bytes(out, job.id.as_bytes());
        put_details(out, &bundle.details);
        self.raw_bytes += self.records.raw.len() + self.details.raw.len() - before;
        self.records.close_if(BLOCK_JOBS, BLOCK_BYTES, &mut self.out, &mut self.record_blocks);
        self.details.close_if(BLOCK_JOBS, BLOCK_BYTES, &mut self.out, &mut self.detail_blocks);

        self.contents.extend(contents(job).filter_map(shortened));
        let end_ms = job.ended_ms.unwrap_or(job.started_ms);
        for binary in job.binaries.iter().filter(|binary| binary.uploaded) {
            let last = self.uses.entry(binary.name.clone()).or_insert(end_ms);
            *last = end_ms.max(*last);
        }
        self.facts = Some(Facts::with(self.facts.take(), bundle, job, end_ms));
    }

    /// Before compression.
    pub fn raw_bytes(&self) -> usize {
        self.raw_bytes
    }

    /// `None`: it has no job.
    pub fn finish(mut self) -> Option<Finished> {
        let facts = self.facts?;
        self.records.close_if(1, 0, &mut self.out, &mut self.record_blocks);
        self.details.close_if(1, 0, &mut self.out, &mut self.detail_blocks);
        let mut raw = Vec::new();
        raw.extend(u32::try_from(self.contents.len()).expect("segments are bounded").to_le_bytes());
        self.contents.iter().for_each(|short| raw.extend(short.to_le_bytes()));
        for (name, end_ms) in &self.uses {
            put_bytes(&mut raw, name.as_bytes());
            raw.extend(end_ms.to_le_bytes());
        }
        let references = codec::append(&mut self.out, &raw);
        let index = Index { format: FORMAT, records: self.record_blocks, details: self.detail_blocks };
        let raw = serde_json::to_vec(&index).expect("an index is plain data");
        let index = codec::append(&mut self.out, &raw);
        Some(Finished { bytes: self.out, index, references, facts })
    }
}

fn earlier(known: Option<i64>, has: bool, end_ms: i64) -> Option<i64> {
    if has { Some(known.map_or(end_ms, |known| known.min(end_ms))) } else { known }
}

impl Facts {
    fn with(before: Option<Self>, bundle: &Bundle, job: &JobRecord, end_ms: i64) -> Self {
        let mut facts = before.unwrap_or_else(|| Self {
            first: job.id.clone(),
            last: String::new(),
            jobs: 0,
            states: States::default(),
            oldest_end_ms: end_ms,
            newest_end_ms: end_ms,
            results_ms: None,
            logs_ms: None,
            newest_version: 0,
        });
        facts.last.clone_from(&job.id);
        facts.jobs += 1;
        facts.states.add(job.state);
        facts.oldest_end_ms = facts.oldest_end_ms.min(end_ms);
        facts.newest_end_ms = facts.newest_end_ms.max(end_ms);
        facts.results_ms = earlier(facts.results_ms, job.result.is_some(), end_ms);
        facts.logs_ms = earlier(facts.logs_ms, job.logs().next().is_some(), end_ms);
        facts.newest_version = facts.newest_version.max(bundle.record.version);
        facts
    }
}

impl Finished {
    /// What is recorded of the segment once it is stored as `segment`.
    pub fn manifest(&self, segment: BlobRef, clearing: bool) -> Manifest {
        let Facts { first, last, jobs, states, oldest_end_ms, newest_end_ms, results_ms, logs_ms, newest_version } =
            &self.facts;
        Manifest {
            format: FORMAT,
            segment,
            index: self.index,
            references: self.references,
            first: first.clone(),
            last: last.clone(),
            jobs: *jobs,
            states: *states,
            oldest_end_ms: *oldest_end_ms,
            newest_end_ms: *newest_end_ms,
            results_ms: *results_ms,
            logs_ms: *logs_ms,
            newest_version: *newest_version,
            clearing,
            stale: 0,
        }
    }
}
