//! A list of the newest jobs over records and segments: says what has to be read for it, and no more.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::catalog::{Catalog, Segment};
use super::segment::Block;
use crate::core::jobs::JobState;

/// Records have their jobs as they are, whatever segments say.
const OF_RECORDS: u64 = u64::MAX;

/// What is to be read next; then `index`, `block` or `skip` has to follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    Index(Arc<Segment>),
    Block(Arc<Segment>, Block),
}

#[derive(Debug)]
enum Rest<T> {
    /// Read: the newest is the last.
    Read(Vec<(String, T)>),
    /// Blocks that are not read; the newest is the last.
    Blocks,
    Unopened,
}

/// Where jobs come from.
#[derive(Debug)]
struct Source<T> {
    /// The newest id that it has, or may have while it is not read.
    id: String,
    rank: u64,
    rest: Rest<T>,
    /// Its segment with the blocks that follow.
    beyond: Option<(Arc<Segment>, Vec<Block>)>,
}

impl<T> PartialEq for Source<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Source<T> {}

impl<T> PartialOrd for Source<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Source<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (&self.id, self.rank).cmp(&(&other.id, other.rank))
    }
}

/// The newest jobs first, each once. `T` is what a job is told as.
#[derive(Debug)]
pub struct Merge<T> {
    sources: BinaryHeap<Source<T>>,
    wanted: Option<JobState>,
    limit: usize,
    /// What `need` asked for.
    asked: Option<Source<T>>,
    found: Vec<T>,
    last: Option<String>,
}

impl<T> Merge<T> {
    /// Of `records` come the newest `limit`, in any order; all that are wanted are in state `wanted`, if there is one.
    pub fn new(mut records: Vec<(String, T)>, catalog: &Catalog, wanted: Option<JobState>, limit: usize) -> Self {
        let needed = catalog.segments().iter().filter(|segment| segment.manifest.states.has(wanted));
        let mut sources: BinaryHeap<Source<T>> = needed
            .map(|segment| Source {
                id: segment.manifest.last.clone(),
                rank: segment.number,
                rest: Rest::Unopened,
                beyond: Some((Arc::clone(segment), Vec::new())),
            })
            .collect();
        records.sort_by(|a, b| a.0.cmp(&b.0));
        let newest = records.last().map(|(id, _)| id.clone());
        sources.extend(newest.map(|id| Source { id, rank: OF_RECORDS, rest: Rest::Read(records), beyond: None }));
        Self { sources, wanted, limit, asked: None, found: Vec::new(), last: None }
    }

    /// What has to be read; `None`: the list is complete.
    pub fn need(&mut self) -> Option<Need> {
        while self.found.len() < self.limit {
            let mut source = self.sources.pop()?;
            match &mut source.rest {
                Rest::Read(jobs) => {
                    let (id, job) = jobs.pop()?;
                    if self.last.as_ref() != Some(&id) {
                        self.found.push(job);
                        self.last = Some(id);
                    }
                    self.put_back(source);
                }
                Rest::Blocks => {
                    let (segment, blocks) = source.beyond.as_mut()?;
                    let need = Need::Block(Arc::clone(segment), blocks.pop()?);
                    self.asked = Some(source);
                    return Some(need);
                }
                Rest::Unopened => {
                    let need = Need::Index(Arc::clone(&source.beyond.as_ref()?.0));
                    self.asked = Some(source);
                    return Some(need);
                }
            }
        }
        None
    }

    /// The blocks of records of the segment that was asked for.
    pub fn index(&mut self, blocks: &[Block]) {
        let Some(mut source) = self.asked.take() else { return };
        let needed = blocks.iter().filter(|block| block.states.has(self.wanted)).cloned();
        if let Some((_, beyond)) = &mut source.beyond {
            *beyond = needed.collect();
        }
        source.rest = Rest::Read(Vec::new());
        self.put_back(source);
    }

    /// The wanted jobs of the block that was asked for, by ascending ids.
    pub fn block(&mut self, jobs: Vec<(String, T)>) {
        if let Some(source) = self.asked.take() {
            self.put_back(Source { rest: Rest::Read(jobs), ..source });
        }
    }

    /// What was asked for cannot be read: the list goes without it.
    pub fn skip(&mut self) {
        if let Some(source) = self.asked.take()
            && matches!(source.rest, Rest::Blocks)
        {
            self.put_back(Source { rest: Rest::Read(Vec::new()), ..source });
        }
    }

    pub fn found(self) -> Vec<T> {
        self.found
    }

    fn put_back(&mut self, mut source: Source<T>) {
        if let Rest::Read(jobs) = &source.rest {
            if let Some((id, _)) = jobs.last() {
                source.id.clone_from(id);
                self.sources.push(source);
                return;
            }
            let Some(next) = source.beyond.as_ref().and_then(|(_, blocks)| blocks.last()) else { return };
            source.id.clone_from(&next.last);
            source.rest = Rest::Blocks;
        }
        self.sources.push(source);
    }
}
