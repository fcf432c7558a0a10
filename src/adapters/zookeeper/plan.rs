//! What a batch of commits becomes: one transaction of ZooKeeper, and an answer for each commit. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::entry::{Cell, LogEntry, Value, to_apart, to_cell};
use super::paths::{self, Paths, split};
use super::state::{Cells, Effects, State};
use crate::core::cluster::record::FenceKey;
use crate::ports::{Commit, Precondition, Revision, Write};

/// ZooKeeper drops the connection of who sends more than 1 MiB. What each transaction has beside its commits has room above this.
pub const MAX_BYTES: usize = 900_000;
/// Commits in one transaction.
pub(super) const MAX_COMMITS: usize = 512;
/// What an operation takes beside its path and value.
const OPERATION_BYTES: usize = 80;
/// What an entry says of a change beside its key.
const CHANGE_BYTES: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operation {
    /// The znode is there.
    Check(String),
    Create(String, Vec<u8>),
    Set(String, Vec<u8>),
    /// If it has this version.
    SetAt(String, Vec<u8>, i32),
    Delete(String),
    /// It goes away with the session.
    CreateEphemeral(String, Vec<u8>),
}

/// In each plan the first operation checks that the head of the log is there, and the next but for a bucket's creation
/// makes the entry behind it. So of all plans for one place in the log one happens at most, whoever sends them, and how often.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// Of the entry.
    pub(super) number: u64,
    /// Which reading of the store it was made for.
    pub(super) reading: u32,
    pub(super) entry: LogEntry,
    pub(super) operations: Vec<Operation>,
    /// The operation that makes the entry.
    pub(super) makes_entry: usize,
    /// The cells that it changes, as they are afterwards.
    pub(super) cells: Cells,
    /// The fences that it checks, right behind the entry that it makes.
    pub(super) fences: Vec<FenceKey>,
    /// Of each commit its revision, or why it has none. Those that are not told of did not fit.
    pub(super) outcomes: Vec<Result<Revision, Impossible>>,
}

/// Why a commit writes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Impossible {
    /// The first precondition that does not hold.
    Conflict(usize),
    /// For a transaction of its own, with the cells that it changes.
    TooLarge { size_bytes: usize },
}

impl Plan {
    /// False: no commit of it is possible.
    pub(super) fn writes(&self) -> bool {
        self.outcomes.iter().any(Result::is_ok)
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.operations.iter().map(Operation::size_bytes).sum()
    }

    /// The fence that this operation checks.
    pub(super) fn fence_at(&self, operation: usize) -> Option<&FenceKey> {
        self.fences.get(operation.checked_sub(self.makes_entry + 1)?)
    }
}

impl Operation {
    pub(super) fn path(&self) -> &str {
        match self {
            Self::Check(path) | Self::Delete(path) | Self::CreateEphemeral(path, _) => path,
            Self::Create(path, _) | Self::Set(path, _) | Self::SetAt(path, _, _) => path,
        }
    }

    fn size_bytes(&self) -> usize {
        let data = match self {
            Self::Create(_, data) | Self::Set(_, data) | Self::SetAt(_, data, _) => data.len(),
            Self::CreateEphemeral(_, data) => data.len(),
            Self::Check(_) | Self::Delete(_) => 0,
        };
        self.path().len() + data + OPERATION_BYTES
    }
}

/// How revisions go on from the head.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Gap {
    /// So many are passed over.
    pub(super) length: u64,
    /// Cursors from before the gap are no longer known: something changed that no entry tells.
    pub(super) broken: bool,
}

/// What the commit adds to a transaction, but for the rest of the cells that it changes.
pub(super) fn size_bytes(commit: &Commit) -> usize {
    let checks = commit.preconditions.iter().map(|precondition| match precondition {
        Precondition::Exists(key) | Precondition::At(key, _) => key.len(),
        Precondition::Fence(_) | Precondition::Absent(_) | Precondition::NoneUnder(_) => 0,
    });
    let writes = commit.writes.iter().map(|write| match write {
        Write::Put(key, value) => 2 * key.len() + value.len(),
        Write::Delete(key) => key.len(),
    });
    OPERATION_BYTES + checks.chain(writes).sum::<usize>()
}

fn json_bytes(key: &str) -> usize {
    serde_json::to_string(key).map_or(0, |json| json.len())
}

/// A cell that the transaction changes.
struct Draft {
    cell: Cell,
    operations: Vec<Operation>,
}

impl Draft {
    fn size_bytes(&self) -> usize {
        self.operations.iter().map(Operation::size_bytes).sum()
    }
}

/// Decides on each commit in its turn, and joins those that are possible, as far as they fit. `holder` is the znode that must be
/// there for this process to write; several commits have so much room together.
pub(super) fn plan<'a>(
    state: &State,
    paths: &Paths,
    holder: Option<&str>,
    commits: impl Iterator<Item = &'a Commit>,
    room_bytes: usize,
    gap: Gap,
    id: String,
) -> Plan {
    let newest = state.history.revision().0;
    let base = newest + gap.length;
    let (mut effects, mut outcomes, mut checked, mut changes) =
        (Effects::new(), Vec::new(), BTreeSet::new(), Vec::new());
    let (mut above, mut fences, mut size_bytes) = (0, Vec::new(), 0);
    let mut drafts: BTreeMap<String, Draft> = BTreeMap::new();
    // The latest term that a commit was taken of: an earlier one writes nothing any more, whatever stands in ZooKeeper.
    let mut latest = state.history.fence().cloned();
    for commit in commits {
        let fails = |precondition: &Precondition| match precondition {
            Precondition::Fence(key) => is_superseded(key, latest.as_ref()),
            other => !state.holds(other, &effects),
        };
        if let Some(failed) = commit.preconditions.iter().position(fails) {
            outcomes.push(Err(Impossible::Conflict(failed)));
            continue;
        }
        let revision = Revision(base + u64::from(above) + 1);
        let touched = touched(state, paths, &drafts, commit, revision);
        let (checks, needed) = checks(paths, commit, &effects);
        let replaced: usize = touched.keys().filter_map(|leaf| drafts.get(leaf)).map(Draft::size_bytes).sum();
        let added: usize = touched.values().map(Draft::size_bytes).sum();
        let with = size_bytes - replaced + added + needed;
        if above > 0 && with > room_bytes {
            break;
        }
        if with > MAX_BYTES {
            outcomes.push(Err(Impossible::TooLarge { size_bytes: with }));
            continue;
        }
        size_bytes = with;
        above += 1;
        drafts.extend(touched);
        checked.extend(checks);
        for precondition in &commit.preconditions {
            if let Precondition::Fence(key) = precondition {
                latest = Some(key.clone());
                if !fences.contains(key) {
                    fences.push(key.clone());
                }
            }
        }
        for write in &commit.writes {
            let (key, version) = match write {
                Write::Put(key, _) => (key, Some(revision)),
                Write::Delete(key) => (key, None),
            };
            effects.insert(key.clone(), version);
            changes.push((above, key.clone()));
        }
        outcomes.push(Ok(revision));
    }
    let number = state.history.head() + 1;
    let removed = state.history.removable();
    let before = if gap.broken { base } else { newest };
    let newest = base + u64::from(above);
    let entry = LogEntry { id, before, base, newest, changes, oldest: removed.end, fence: latest };
    let mut operations = vec![Operation::Check(paths.entry(number - 1))];
    if paths::begins_bucket(number) {
        operations.push(Operation::Create(paths.bucket(number), Vec::new()));
    }
    let makes_entry = operations.len();
    operations.push(Operation::Create(paths.entry(number), entry.to_bytes()));
    operations.extend(fences.iter().map(|fence| Operation::Check(paths.fence(fence))));
    operations.extend(holder.map(|path| Operation::Check(path.to_owned())));
    // What somebody deleted by hand is noticed. What is deleted in this transaction is looked for by that.
    operations.extend(checked.into_iter().map(Operation::Check));
    let mut cells = Cells::new();
    for (leaf, draft) in drafts {
        operations.extend(draft.operations);
        cells.insert(leaf, draft.cell);
    }
    for number in removed {
        operations.push(Operation::Delete(paths.entry(number)));
        if paths::ends_bucket(number) {
            operations.push(Operation::Delete(paths.bucket(number)));
        }
    }
    Plan { number, reading: 0, entry, operations, makes_entry, cells, fences, outcomes }
}

/// The cells that the commit changes, as they are afterwards.
fn touched(
    state: &State,
    paths: &Paths,
    drafts: &BTreeMap<String, Draft>,
    commit: &Commit,
    revision: Revision,
) -> BTreeMap<String, Draft> {
    let mut touched: BTreeMap<String, Draft> = BTreeMap::new();
    for write in &commit.writes {
        let (Write::Put(key, _) | Write::Delete(key)) = write;
        let leaf = split(key).1;
        if !touched.contains_key(leaf) {
            let cell = drafts.get(leaf).map_or_else(|| state.cell(leaf), |draft| draft.cell.clone());
            touched.insert(leaf.to_owned(), Draft { cell, operations: Vec::new() });
        }
        let cell = &mut touched.get_mut(leaf).expect("just made").cell;
        match write {
            Write::Put(key, bytes) => drop(cell.insert(key.clone(), Value { revision, bytes: bytes.clone() })),
            Write::Delete(key) => drop(cell.remove(key)),
        }
    }
    for (leaf, draft) in &mut touched {
        draft.operations = cell_operations(state, paths, leaf, &draft.cell);
    }
    touched
}

/// Paths that must be there for what the commit needs, and what they and the commit's part of the entry take.
fn checks(paths: &Paths, commit: &Commit, effects: &Effects) -> (Vec<String>, usize) {
    let mut checks = Vec::new();
    let mut size_bytes = 0;
    for precondition in &commit.preconditions {
        match precondition {
            Precondition::Exists(key) | Precondition::At(key, _) if !effects.contains_key(key) => {
                checks.push(paths.cell(split(key).1));
            }
            // It stands in the entry, too.
            Precondition::Fence(fence) => size_bytes += 2 * paths.fence(fence).len() + OPERATION_BYTES,
            _ => {}
        }
    }
    size_bytes += checks.iter().map(|path| path.len() + OPERATION_BYTES).sum::<usize>();
    for Write::Put(key, _) | Write::Delete(key) in &commit.writes {
        size_bytes += json_bytes(key) + CHANGE_BYTES;
    }
    (checks, size_bytes)
}

/// What makes of the cell that is there the one that shall be.
fn cell_operations(state: &State, paths: &Paths, leaf: &str, cell: &Cell) -> Vec<Operation> {
    let before = state.cell(leaf);
    // Of what stands apart the revision; none, when it is not ours.
    let mut apart: BTreeMap<&str, Option<Revision>> = BTreeMap::new();
    for (key, value) in before.iter().filter(|(_, value)| value.is_apart()) {
        apart.insert(key, Some(value.revision));
    }
    let mut is_there = !before.is_empty();
    for stray in state.strays(leaf) {
        match stray {
            Some(key) => drop(apart.insert(key, None)),
            None => is_there = true,
        }
    }
    let path = paths.cell(leaf);
    let mut operations = Vec::new();
    match (is_there, cell.is_empty()) {
        (true, false) => operations.push(Operation::Set(path.clone(), to_cell(cell))),
        (false, false) => operations.push(Operation::Create(path.clone(), to_cell(cell))),
        (_, true) => {}
    }
    for (key, value) in cell.iter().filter(|(_, value)| value.is_apart()) {
        match apart.remove(key.as_str()) {
            None => operations.push(Operation::Create(paths.apart(key), to_apart(value))),
            Some(revision) if revision == Some(value.revision) => {}
            Some(_) => operations.push(Operation::Set(paths.apart(key), to_apart(value))),
        }
    }
    operations.extend(apart.keys().map(|key| Operation::Delete(paths.apart(key))));
    if is_there && cell.is_empty() {
        operations.push(Operation::Delete(path));
    }
    operations
}

fn is_superseded(key: &FenceKey, latest: Option<&FenceKey>) -> bool {
    latest.is_some_and(|latest| latest.cluster_id == key.cluster_id && latest.term > key.term)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::state::Strays;
    use super::super::state::tests::state;
    use super::*;

    fn commit(preconditions: &[Precondition], writes: &[Write]) -> Commit {
        Commit { preconditions: preconditions.to_vec(), writes: writes.to_vec() }
    }

    fn put(key: &str) -> Write {
        Write::Put(key.into(), Bytes::from_static(b"v"))
    }

    fn planned(keys: &[&str], commits: &[Commit]) -> Plan {
        plan(&state(keys), &Paths::new("/d"), None, commits.iter(), MAX_BYTES, Gap::default(), "id".into())
    }

    #[test]
    fn the_poisoned_are_left_out_and_the_rest_have_a_revision_each() {
        let exists = |key: &str| Precondition::Exists(key.into());
        let plan = planned(
            &["a"],
            &[
                commit(&[exists("a")], &[put("b")]),
                commit(&[exists("a"), exists("never")], &[put("c")]),
                // Sees what the first of the batch has written.
                commit(&[exists("b"), Precondition::At("b".into(), Revision(6))], &[Write::Delete("b".into())]),
                commit(&[Precondition::Absent("b".into())], &[]),
            ],
        );
        let conflict = Err(Impossible::Conflict(1));
        assert_eq!(plan.outcomes, [Ok(Revision(6)), conflict, Ok(Revision(7)), Ok(Revision(8))]);
        assert_eq!(plan.cells, Cells::from([("b".into(), Cell::new())]));
        assert_eq!((plan.entry.before, plan.entry.base, plan.entry.newest), (5, 5, 8));
        assert_eq!(plan.entry.changes, [(1, "b".into()), (2, "b".into())]);
        // Of `b`, made and deleted, ZooKeeper hears nothing; of `a` that it must be there.
        let checks = [Operation::Check(Paths::new("/d").entry(3)), Operation::Check(Paths::new("/d").cell("a"))];
        assert_eq!([&plan.operations[0], &plan.operations[2]], [&checks[0], &checks[1]]);
        assert_eq!((plan.operations.len(), plan.makes_entry), (3, 1));
    }

    #[test]
    fn what_belongs_together_is_one_znode_and_long_values_stand_below_it() {
        let paths = Paths::new("/d");
        let (short, long) = (Bytes::from_static(b"v"), Bytes::from(vec![b'x'; 2000]));
        let put = |key: &str, value: &Bytes| Write::Put(key.into(), value.clone());
        let mut state = state(&[]);
        let mut then = |writes: &[Write]| {
            let plan =
                super::plan(&state, &paths, None, [commit(&[], writes)].iter(), MAX_BYTES, Gap::default(), "id".into());
            state.history.push(plan.entry);
            state.set(plan.cells, Strays::new());
            let operations = plan.operations.into_iter().skip(2);
            let shown = operations.map(|operation| match operation {
                Operation::Create(path, _) => format!("+{path}"),
                Operation::Set(path, _) => format!("={path}"),
                Operation::Delete(path) => format!("-{path}"),
                other => panic!("{other:?}"),
            });
            shown.collect::<Vec<_>>().join(" ").replace(&paths.cell("7"), "CELL")
        };
        assert_eq!(then(&[put("jobs/7", &short), put("active/7", &short), put("jobs/7", &short)]), "+CELL");
        assert_eq!(then(&[put("result/7", &long), Write::Delete("active/7".into())]), "=CELL +CELL/result%2f");
        assert_eq!(then(&[put("jobs/7", &short)]), "=CELL");
        assert_eq!(then(&[put("result/7", &long)]), "=CELL =CELL/result%2f");
        assert_eq!(then(&[put("result/7", &short), put("jobs/7", &long)]), "=CELL +CELL/jobs%2f -CELL/result%2f");
        assert_eq!(then(&[Write::Delete("result/7".into()), Write::Delete("jobs/7".into())]), "-CELL/jobs%2f -CELL");
        assert_eq!(then(&[Write::Delete("jobs/7".into())]), "");
    }

    #[test]
    fn what_is_there_and_not_ours_is_overwritten_or_goes_with_its_cell() {
        let paths = Paths::new("/d");
        let (short, long) = (Bytes::from_static(b"v"), Bytes::from(vec![b'x'; 2000]));
        for (value, expected) in [(&long, ["=", "="]), (&short, ["=", "-"])] {
            let mut state = state(&[]);
            let strays = BTreeSet::from([None, Some("result/7".to_owned())]);
            state.set(Cells::from([("7".into(), Cell::new())]), Strays::from([("7".into(), strays)]));
            let writes = [Write::Put("result/7".into(), value.clone())];
            let plan = super::plan(
                &state,
                &paths,
                None,
                [commit(&[], &writes)].iter(),
                MAX_BYTES,
                Gap::default(),
                "id".into(),
            );
            let kinds = plan.operations[2..].iter().map(|operation| match operation {
                Operation::Set(..) => "=",
                Operation::Delete(_) => "-",
                other => panic!("{other:?}"),
            });
            assert_eq!(kinds.collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn a_gap_is_passed_over_and_a_break_is_known_by_its_entry() {
        let gap = Gap { length: 100, broken: true };
        let plan = plan(&state(&[]), &Paths::new("/d"), None, [commit(&[], &[])].iter(), MAX_BYTES, gap, "id".into());
        assert_eq!((plan.entry.before, plan.entry.base, plan.entry.newest), (105, 105, 106));
    }

    #[test]
    fn an_earlier_term_writes_nothing_once_a_later_one_of_the_cluster_has_and_what_is_written_is_checked() {
        let fence = |cluster: &str, term: u64| {
            Precondition::Fence(FenceKey { cluster_id: cluster.into(), term: crate::core::cluster::ids::Term(term) })
        };
        let commits = [
            commit(&[fence("c", 7)], &[put("a")]),
            commit(&[Precondition::Exists("a".into()), fence("c", 6)], &[put("b")]),
            commit(&[fence("other", 1)], &[put("d")]),
            commit(&[], &[put("e")]),
        ];
        let plan = planned(&[], &commits);
        let conflict = Err(Impossible::Conflict(1));
        assert_eq!(plan.outcomes, [Ok(Revision(6)), conflict, Ok(Revision(7)), Ok(Revision(8))]);
        let paths = Paths::new("/d");
        for (at, name) in [(2, "7#c"), (3, "1#other")] {
            assert_eq!(plan.operations[at], Operation::Check(format!("/d/fence/{name}")));
            assert_eq!(plan.fence_at(at).map(|fence| paths.fence(fence)), Some(format!("/d/fence/{name}")));
        }
        assert!(plan.fence_at(1).is_none() && plan.fence_at(4).is_none());
        // From entry to entry, also by those who check none.
        let mut later = state(&[]);
        later.history.push(plan.entry.clone());
        let next = super::plan(&later, &paths, None, commits[3..].iter(), MAX_BYTES, Gap::default(), "id".into());
        assert_eq!(next.entry.fence, plan.entry.fence);
    }

    #[test]
    fn a_transaction_has_room_for_all_that_it_takes_and_the_rest_is_left() {
        let paths = Paths::new("/a/rather/long/chroot");
        let awkward = "\u{1}\"\\é".repeat(50);
        let fence = Precondition::Fence(FenceKey { cluster_id: awkward.as_str().into(), term: Default::default() });
        let value = Bytes::from(vec![b'x'; 1000]);
        let commits: Vec<Commit> = (0..MAX_COMMITS)
            .map(|n| {
                let writes = ["", "a/"].map(|prefix| Write::Put(format!("{prefix}{awkward}/{n}"), value.clone()));
                commit(&[Precondition::Exists("a".into()), fence.clone()], &writes)
            })
            .collect();
        let plan = plan(&state(&["a"]), &paths, None, commits.iter(), MAX_BYTES, Gap::default(), "id".into());
        let taken = plan.outcomes.len();
        assert!((100..MAX_COMMITS).contains(&taken) && plan.cells.len() == taken, "{taken}");
        let sent: usize = plan
            .operations
            .iter()
            .map(|operation| match operation {
                Operation::Check(path) | Operation::Delete(path) => path.len() + 24,
                Operation::Create(path, data) | Operation::Set(path, data) => path.len() + data.len() + 56,
                other => panic!("{other:?} is not of a plan"),
            })
            .sum();
        assert!((MAX_BYTES / 2..MAX_BYTES + 1000).contains(&sent), "{sent}");
    }

    #[test]
    fn what_is_too_large_with_the_cells_that_it_changes_is_refused_alone() {
        let long = Bytes::from(vec![b'x'; MAX_BYTES]);
        let commits = [commit(&[], &[Write::Put("a".into(), long.clone())]), commit(&[], &[put("b")])];
        let plan = planned(&[], &commits);
        assert!(
            matches!(plan.outcomes[..], [Err(Impossible::TooLarge { size_bytes }), Ok(_)] if size_bytes > MAX_BYTES)
        );
        // Behind another it has a transaction of its own, which tells.
        assert_eq!(planned(&[], &[commits[1].clone(), commits[0].clone()]).outcomes.len(), 1);
    }
}
