//! Reading the store whole, and what others have added to its log.

use std::collections::BTreeSet;

use super::entry::{Cell, LogEntry, Read, Value, from_apart, from_cell};
use super::fixed::{self, Fixed};
use super::history::History;
use super::link::{Link, Trouble};
use super::paths::{self, Paths};
use super::plan::Operation;
use super::state::{Cells, State, Strays};

/// The layout that this program writes, and the newest that it reads.
pub(super) const FORMAT: u32 = 2;
/// Entries that are read at once when others have written.
pub(super) const ENTRIES_AHEAD: usize = 16;
/// The store is read again when entries go away, or it is made, in the meantime.
const TRIES: u32 = 10;

/// What stands below a chroot.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Ours { format: String },
    Foreign { example: String },
}

pub(super) async fn look(link: &Link, paths: &Paths) -> Result<Found, Trouble> {
    if let Some(format) = link.get(&paths.format()).await? {
        return Ok(Found::Ours { format: String::from_utf8_lossy(&format).into_owned() });
    }
    let children = link.children(paths.root()).await?.unwrap_or_default();
    // It may have been made in between; its parts come together.
    if let Some(format) = link.get(&paths.format()).await? {
        return Ok(Found::Ours { format: String::from_utf8_lossy(&format).into_owned() });
    }
    let fixed = Fixed::of(&children);
    if fixed.is_ours() {
        let damage = fixed.damage(paths).unwrap_or_else(|| fixed::without_format(paths));
        return Err(Trouble::Damaged(damage));
    }
    // ZooKeeper's own stands below the root of all.
    let example = children.into_iter().find(|name| name != "zookeeper");
    Ok(example.map_or(Found::Nothing, |example| Found::Foreign { example }))
}

/// Fails with words when the store that was there is not any more, or not whole.
pub(super) async fn is_there(link: &Link, paths: &Paths) -> Result<(), Trouble> {
    Fixed::look(link, paths).await?.damage(paths).map_or(Ok(()), |damage| Err(Trouble::Damaged(damage)))
}

/// Makes an empty store. When another did so first, that is as good.
pub(super) async fn make(link: &Link, paths: &Paths, id: String) -> Result<(), Trouble> {
    let first = LogEntry { id, before: 0, base: 0, newest: 0, changes: Vec::new(), oldest: 0, fence: None };
    if paths.root() != "/" {
        link.make_all(paths.root()).await?;
    }
    let mut operations = vec![
        Operation::Create(paths.format(), FORMAT.to_string().into_bytes()),
        Operation::Create(paths.data(), Vec::new()),
        Operation::Create(paths.log(), Vec::new()),
        Operation::Create(paths.holder(), Vec::new()),
        Operation::Create(paths.bucket(0), Vec::new()),
        Operation::Create(paths.entry(0), first.to_bytes()),
    ];
    operations.extend(paths.shards().map(|shard| Operation::Create(shard, Vec::new())));
    match link.transact(&operations).await {
        Err(Trouble::Failed { at: 0, .. }) => Ok(()),
        made => made,
    }
}

/// The whole store, as it was at some moment or later: entries behind the head may have changed cells that were read.
pub(super) async fn load(link: &Link, paths: &Paths) -> Result<State, Trouble> {
    for _ in 0..TRIES {
        is_there(link, paths).await?;
        // The log first: what comes later is told by the entries behind its head.
        let Some(history) = history(link, paths).await? else { continue };
        let shards: Vec<String> = paths.shards().collect();
        let there: BTreeSet<String> = link.children(&paths.data()).await?.unwrap_or_default().into_iter().collect();
        let name = |shard: &str| shard.rsplit('/').next().unwrap_or(shard).to_owned();
        let missing: Vec<&String> = shards.iter().filter(|shard| !there.contains(&name(shard))).collect();
        if let Some(path) = missing.first() {
            tracing::warn!(
                %path,
                shards = missing.len(),
                "somebody deleted shards of the store: they are made again, and what they held is lost; `doyen store check` tells what it leaves \
                 without its counterpart"
            );
        }
        for path in missing {
            link.make_all(path).await?;
        }
        let mut leaves = Vec::new();
        for (shard, names) in shards.iter().zip(link.all_children(shards.clone()).await?) {
            let found = names.into_iter().filter_map(|name| {
                let leaf = paths::leaf(&name);
                // Somebody may have put it where we would not look.
                leaf.filter(|leaf| paths.cell(leaf) == format!("{shard}/{name}"))
            });
            leaves.extend(found);
        }
        let (cells, strays) = cells(link, paths, leaves).await?;
        return Ok(State::new(history, cells, strays));
    }
    if entries(link, paths).await?.is_empty() {
        let found = format!("{} holds no entry: somebody deleted them,", paths.log());
        return Err(Trouble::Damaged(fixed::without_log(&found)));
    }
    Err(Trouble::NoAnswer("the log changes faster than it can be read".into()))
}

/// What the cells hold: each as it was at one moment.
async fn cells(link: &Link, paths: &Paths, mut leaves: Vec<String>) -> Result<(Cells, Strays), Trouble> {
    let (mut cells, mut strays) = (Cells::new(), Strays::new());
    for left in (0..TRIES).rev() {
        let stored = link.get_all(leaves.iter().map(|leaf| paths.cell(leaf)).collect()).await?;
        let mut read = Vec::new();
        for (leaf, stored) in std::mem::take(&mut leaves).into_iter().zip(stored) {
            let Some(stored) = stored else {
                cells.insert(leaf, Cell::new());
                continue;
            };
            match from_cell(&leaf, stored) {
                Some(keys) => read.push((leaf, keys)),
                None => {
                    let below = beside(link, paths, &leaf).await?;
                    strays.insert(leaf.clone(), below);
                    cells.insert(leaf, Cell::new());
                }
            }
        }
        let apart = read.iter().flat_map(|(_, keys)| keys).filter(|(_, _, value)| value.is_none());
        let mut apart = link.get_all(apart.map(|(key, ..)| paths.apart(key)).collect()).await?.into_iter();
        for (leaf, keys) in read {
            let (cell, odd) = joined(keys, &mut apart);
            if !odd.is_empty() && left > 0 {
                // What it says of them has changed meanwhile, or somebody has changed them.
                leaves.push(leaf);
                continue;
            }
            let odd = odd.into_iter().filter(|(_, is_there)| *is_there).map(|(key, _)| Some(key));
            // Of a cell without values of ours its znode is there, too.
            let theirs: BTreeSet<_> = odd.chain(cell.is_empty().then_some(None)).collect();
            if !theirs.is_empty() {
                tracing::warn!(
                    path = paths.cell(&leaf),
                    "it, or what stands below it, is not as it was written, and is passed over"
                );
                strays.insert(leaf.clone(), theirs);
            }
            cells.insert(leaf, cell);
        }
        if leaves.is_empty() {
            break;
        }
    }
    Ok((cells, strays))
}

/// The cell with its values that stand apart, and the keys whose values there are not those that the cell means: whether a znode is there.
fn joined(keys: Vec<Read>, apart: &mut impl Iterator<Item = Option<Vec<u8>>>) -> (Cell, Vec<(String, bool)>) {
    let (mut cell, mut odd) = (Cell::new(), Vec::new());
    for (key, revision, inline) in keys {
        if let Some(bytes) = inline {
            cell.insert(key, Value { revision, bytes });
            continue;
        }
        let stored = apart.next().flatten();
        let is_there = stored.is_some();
        match stored.and_then(from_apart).filter(|value| value.revision == revision && value.is_apart()) {
            Some(value) => drop(cell.insert(key, value)),
            None => odd.push((key, is_there)),
        }
    }
    (cell, odd)
}

/// A cell that no server of ours wrote, and what stands below it.
async fn beside(link: &Link, paths: &Paths, leaf: &str) -> Result<BTreeSet<Option<String>>, Trouble> {
    let path = paths.cell(leaf);
    tracing::warn!(path, "a znode that no server of ours wrote is passed over");
    let names = link.children(&path).await?.unwrap_or_default();
    // Of cells and what stands below them the names are written alike.
    let keys = names.iter().filter_map(|name| paths::leaf(name)).map(|prefix| Some(format!("{prefix}{leaf}")));
    Ok(keys.chain([None]).collect())
}

/// The numbers of the log's entries, in their order.
async fn entries(link: &Link, paths: &Paths) -> Result<Vec<u64>, Trouble> {
    let log = paths.log();
    let buckets = link.children(&log).await?.unwrap_or_default();
    let names = link.all_children(buckets.iter().map(|bucket| format!("{log}/{bucket}")).collect()).await?;
    let mut numbers: Vec<u64> = names.into_iter().flatten().filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// `None` when entries went away meanwhile.
async fn history(link: &Link, paths: &Paths) -> Result<Option<History>, Trouble> {
    let numbers = entries(link, paths).await?;
    let stored = link.get_all(numbers.iter().map(|number| paths.entry(*number)).collect()).await?;
    // From the newest on, as far as none is missing.
    let mut newest_first = Vec::new();
    for (number, stored) in numbers.into_iter().zip(stored).rev() {
        let follows = newest_first.last().is_none_or(|(later, _)| number + 1 == *later);
        let Some(entry) = stored.filter(|_| follows) else { break };
        newest_first.push((number, readable(paths, number, &entry)?));
    }
    let mut oldest_first = newest_first.into_iter().rev();
    let Some((oldest, first)) = oldest_first.next() else { return Ok(None) };
    let mut history = History::new(oldest, first);
    oldest_first.for_each(|(_, entry)| history.push(entry));
    Ok(Some(history))
}

fn readable(paths: &Paths, number: u64, entry: &[u8]) -> Result<LogEntry, Trouble> {
    let path = paths.entry(number);
    LogEntry::from_bytes(entry).ok_or_else(|| {
        Trouble::Damaged(format!(
            "{path} is no entry of its log; if somebody made it by hand, delete it with ZooKeeper's shell"
        ))
    })
}

/// What stands in the log behind the head that we know.
pub(super) enum Ahead {
    Nothing,
    /// The entries, and the cells now whose keys they name.
    Entries(Vec<LogEntry>, Cells, Strays),
    /// Our head is no longer there: we were away for too long, or the store was put back to an older state.
    Gone,
}

pub(super) async fn ahead(link: &Link, paths: &Paths, head: u64) -> Result<Ahead, Trouble> {
    let next = (head + 1..=head + ENTRIES_AHEAD as u64).map(|number| paths.entry(number));
    // Each read sees at least what the one before it has seen.
    let stored = link.get_all(next.collect()).await?;
    let entries = stored.into_iter().map_while(|entry| entry);
    let entries = entries.zip(head + 1..).map(|(entry, number)| readable(paths, number, &entry));
    let entries: Vec<LogEntry> = entries.collect::<Result<_, _>>()?;
    if entries.is_empty() {
        // Entries go away in their order: if ours is there now, the next one was not there before.
        let there = link.get(&paths.entry(head)).await?.is_some();
        return Ok(if there { Ahead::Nothing } else { Ahead::Gone });
    }
    let keys = entries.iter().flat_map(|entry| &entry.changes).map(|(_, key)| key);
    let leaves: BTreeSet<&str> = keys.map(|key| paths::split(key).1).collect();
    let (cells, strays) = cells(link, paths, leaves.into_iter().map(str::to_owned).collect()).await?;
    Ok(Ahead::Entries(entries, cells, strays))
}
