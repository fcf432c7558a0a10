//! Reading the store whole, and what others have added to its log.

use std::collections::{BTreeMap, HashSet};

use super::entry::{LogEntry, from_value};
use super::history::History;
use super::link::{Link, Trouble};
use super::paths::{Paths, Place};
use super::plan::Operation;
use super::state::{Effects, State};

/// The layout that this program writes, and the newest that it reads.
pub(super) const FORMAT: u32 = 1;
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
    // ZooKeeper's own stands below the root of all.
    let example = children.into_iter().find(|name| name != "zookeeper");
    Ok(example.map_or(Found::Nothing, |example| Found::Foreign { example }))
}

/// Makes an empty store. When another did so first, that is as good.
pub(super) async fn make(link: &Link, paths: &Paths, id: String) -> Result<(), Trouble> {
    let (changes, parents) = (Vec::new(), Vec::new());
    let first = LogEntry { id, before: 0, base: 0, newest: 0, changes, parents, oldest: 0, fence: None };
    if paths.root() != "/" {
        link.make_all(paths.root()).await?;
    }
    let operations = [
        Operation::Create(paths.format(), FORMAT.to_string().into_bytes()),
        Operation::Create(paths.data(), Vec::new()),
        Operation::Create(paths.log(), Vec::new()),
        Operation::Create(paths.bucket(0), Vec::new()),
        Operation::Create(paths.entry(0), first.to_bytes()),
    ];
    match link.transact(&operations).await {
        Err(Trouble::Failed { at: 0, .. }) => Ok(()),
        made => made,
    }
}

/// The whole store, as it was at some moment or later: entries behind the head may have changed values that were read.
pub(super) async fn load(link: &Link, paths: &Paths) -> Result<State, Trouble> {
    for _ in 0..TRIES {
        // The log first: what comes later is told by the entries behind its head.
        let Some(history) = history(link, paths).await? else { continue };
        let (mut values, mut strays, mut parents) = (BTreeMap::new(), HashSet::new(), HashSet::new());
        let data = paths.data();
        let families = link.children(&data).await?.unwrap_or_default();
        let shards = link.all_children(families.iter().map(|family| format!("{data}/{family}")).collect()).await?;
        let shards: Vec<String> = families
            .iter()
            .zip(shards)
            .flat_map(|(family, shards)| shards.into_iter().map(move |shard| format!("{family}/{shard}")))
            .collect();
        let leaves = link.all_children(shards.iter().map(|shard| format!("{data}/{shard}")).collect()).await?;
        let mut keys = Vec::new();
        for (shard, leaves) in shards.iter().zip(leaves) {
            let family = shard.split_once('/').map_or(shard.as_str(), |(family, _)| family);
            let found = leaves.into_iter().filter_map(|leaf| {
                let key = Place::key(family, &leaf);
                // Somebody may have put it where we would not look.
                key.filter(|key| paths.key(key) == format!("{data}/{shard}/{leaf}"))
            });
            keys.extend(found);
        }
        parents.extend(families);
        parents.extend(shards);
        let stored = link.get_all(keys.iter().map(|key| paths.key(key)).collect()).await?;
        for (key, stored) in keys.into_iter().zip(stored) {
            match stored.map(from_value) {
                Some(Some(value)) => drop(values.insert(key, value)),
                Some(None) => {
                    tracing::warn!(%key, "a znode that no server of ours wrote is passed over");
                    strays.insert(key);
                }
                None => {}
            }
        }
        return Ok(State { values, strays, parents, history });
    }
    Err(Trouble::NoAnswer("the log changes faster than it can be read".into()))
}

/// `None` when entries went away meanwhile.
async fn history(link: &Link, paths: &Paths) -> Result<Option<History>, Trouble> {
    let log = paths.log();
    let buckets = link.children(&log).await?.unwrap_or_default();
    let names = link.all_children(buckets.iter().map(|bucket| format!("{log}/{bucket}")).collect()).await?;
    let mut numbers: Vec<u64> = names.into_iter().flatten().filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
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
    /// The entries, and the values now of the keys that they name.
    Entries(Vec<LogEntry>, Effects, Vec<String>),
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
    let keys: HashSet<&String> = entries.iter().flat_map(|entry| &entry.changes).map(|(_, key)| key).collect();
    let keys: Vec<String> = keys.into_iter().cloned().collect();
    let stored = link.get_all(keys.iter().map(|key| paths.key(key)).collect()).await?;
    let (mut effects, mut strays) = (Effects::new(), Vec::new());
    for (key, stored) in keys.into_iter().zip(stored) {
        let value = stored.map(from_value);
        if value == Some(None) {
            strays.push(key.clone());
        }
        effects.insert(key, value.flatten());
    }
    Ok(Ahead::Entries(entries, effects, strays))
}
