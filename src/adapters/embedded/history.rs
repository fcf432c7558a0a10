//! The table of changes, by which cursors outlive the process: a row for each batch, written in its transaction.
//!
//! A row covers the revisions from its base, exclusive, to its key. `before` is the revision that the store was at: the key
//! of the row before it, unless an older program wrote in between, which knows no such table. Between `before` and the base
//! of a process's first batch lies a gap of random length. So the cursor of another store, or of what this one has lost
//! when it was put back to a copy, is in no row, but for few cases in a million: docs/adr/0018.

use redb::{ReadableTable, Table, TableDefinition};

use super::database::{Failure, corrupted};
use crate::ports::{Change, Revision};

/// The newest revision of a batch → `before`, base and `total` (8 bytes each, big-endian), then its changes: how far each is
/// above the base, the length of its key (4 bytes each), and the key.
pub(super) const CHANGES: TableDefinition<u64, &[u8]> = TableDefinition::new("changes");
/// Rows that are older than those of so many bytes are removed. They are some 250,000 changes, those of 25,000 jobs.
const KEPT_BYTES: u64 = 16 * 1024 * 1024;
/// So many bytes of them at once: a removal costs pages of its own.
const REMOVED_BYTES: u64 = KEPT_BYTES / 64;

/// Changes, and where to go on.
pub(super) type Told = (Vec<Change>, Revision);

/// What a batch of commits did.
pub(super) struct Batch<'a> {
    pub(super) before: Revision,
    pub(super) base: Revision,
    pub(super) newest: Revision,
    pub(super) changes: &'a [Change],
}

struct Row<'a> {
    before: u64,
    base: u64,
    /// Bytes of all rows ever, up to this one.
    total: u64,
    changes: &'a [u8],
}

impl Batch<'_> {
    fn row(&self, total_before: u64) -> Vec<u8> {
        let mut changes = Vec::new();
        for Change { revision, key } in self.changes {
            let above = u32::try_from(revision.0 - self.base.0).expect("a batch has few commits");
            let length = u32::try_from(key.len()).expect("a commit is at most 64 MiB");
            changes.extend_from_slice(&above.to_be_bytes());
            changes.extend_from_slice(&length.to_be_bytes());
            changes.extend_from_slice(key.as_bytes());
        }
        let total = total_before + (Row::HEAD + changes.len()) as u64;
        let head = [self.before.0, self.base.0, total].map(u64::to_be_bytes);
        [head.concat(), changes].concat()
    }
}

impl<'a> Row<'a> {
    const HEAD: usize = 24;

    fn read(stored: &'a [u8]) -> Result<Self, Failure> {
        let mut rest = stored;
        let mut number = || {
            let (first, behind) = rest.split_first_chunk::<8>()?;
            rest = behind;
            Some(u64::from_be_bytes(*first))
        };
        let head = number().zip(number()).zip(number());
        let ((before, base), total) = head.ok_or_else(|| corrupted("a row of changes has no head"))?;
        Ok(Self { before, base, total, changes: rest })
    }

    fn next(&mut self) -> Result<Option<(Revision, &'a str)>, Failure> {
        if self.changes.is_empty() {
            return Ok(None);
        }
        let change = self.split().ok_or_else(|| corrupted("a row of changes is cut off"))?;
        Ok(Some(change))
    }

    fn split(&mut self) -> Option<(Revision, &'a str)> {
        let (above, rest) = self.changes.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (key, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        self.changes = rest;
        Some((Revision(self.base + u64::from(u32::from_be_bytes(*above))), str::from_utf8(key).ok()?))
    }

    /// Whether the cursor is a place in this row, or where it begins.
    fn knows(&self, cursor: Revision, newest: u64) -> bool {
        cursor.0 == self.before || (self.base..=newest).contains(&cursor.0)
    }
}

/// Adds the batch to the table of its transaction, and removes rows that are too old.
pub(super) fn add(table: &mut Table<'_, u64, &'static [u8]>, batch: &Batch<'_>) -> Result<(), Failure> {
    let total = match table.last()? {
        Some((_, row)) => Row::read(row.value())?.total,
        None => 0,
    };
    let row = batch.row(total);
    let total = total + row.len() as u64;
    table.insert(batch.newest.0, row.as_slice())?;
    if newer_than_oldest(table, total)? < KEPT_BYTES + REMOVED_BYTES {
        return Ok(());
    }
    while newer_than_oldest(table, total)? >= KEPT_BYTES {
        table.pop_first()?;
    }
    Ok(())
}

/// Bytes of the rows behind the oldest.
fn newer_than_oldest(table: &Table<'_, u64, &'static [u8]>, total: u64) -> Result<u64, Failure> {
    let Some((_, oldest)) = table.first()? else { return Ok(0) };
    Ok(total.saturating_sub(Row::read(oldest.value())?.total))
}

/// What happened after the cursor, and where to go on. After `most` changes it ends with the commit. `None` when the table
/// does not know. Rows beyond the revision `last` are not yet published: who were told of them would be ahead of the store.
pub(super) fn after(
    table: &impl ReadableTable<u64, &'static [u8]>,
    cursor: Revision,
    last: Revision,
    most: usize,
) -> Result<Option<Told>, Failure> {
    if cursor > last {
        return Ok(None);
    }
    let mut changes: Vec<Change> = Vec::new();
    let mut reached = cursor;
    for stored in table.range(cursor.0..=last.0)? {
        let (newest, stored) = stored?;
        let newest = newest.value();
        let mut row = Row::read(stored.value())?;
        let follows = if changes.is_empty() { row.knows(reached, newest) } else { row.before == reached.0 };
        if !follows {
            break;
        }
        while let Some((revision, key)) = row.next()? {
            if let Some(last) = changes.last().map(|last| last.revision)
                && changes.len() >= most
                && last < revision
            {
                return Ok(Some((changes, last)));
            }
            if revision > cursor {
                changes.push(Change { revision, key: key.to_owned() });
            }
        }
        reached = Revision(newest);
    }
    Ok((reached > cursor).then_some((changes, reached)))
}
