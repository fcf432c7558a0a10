//! What a batch of commits becomes: one transaction of ZooKeeper, and an answer for each commit. Pure.

use std::collections::BTreeSet;

use super::entry::{LogEntry, to_value};
use super::paths::{self, Paths, Place};
use super::state::{Effects, State};
use crate::core::cluster::record::FenceKey;
use crate::ports::{Commit, Precondition, Revision, Write};

/// ZooKeeper drops the connection of who sends more than 1 MiB.
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
    CreateEphemeral(String),
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
    pub(super) effects: Effects,
    /// The fences that it checks, right behind the entry that it makes.
    pub(super) fences: Vec<FenceKey>,
    /// Of each commit its revision, or the first precondition that does not hold.
    pub(super) outcomes: Vec<Result<Revision, usize>>,
}

impl Plan {
    /// False: no commit of it is possible.
    pub(super) fn writes(&self) -> bool {
        self.outcomes.iter().any(Result::is_ok)
    }

    /// The fence that this operation checks.
    pub(super) fn fence_at(&self, operation: usize) -> Option<&FenceKey> {
        self.fences.get(operation.checked_sub(self.makes_entry + 1)?)
    }
}

impl Operation {
    pub(super) fn path(&self) -> &str {
        match self {
            Self::Check(path) | Self::Delete(path) | Self::CreateEphemeral(path) => path,
            Self::Create(path, _) | Self::Set(path, _) | Self::SetAt(path, _, _) => path,
        }
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

/// The most that the commit adds to a transaction.
pub(super) fn size_bytes(commit: &Commit, paths: &Paths) -> usize {
    let checks = commit.preconditions.iter().map(|precondition| match precondition {
        Precondition::Exists(key) | Precondition::At(key, _) => paths.key(key).len() + OPERATION_BYTES,
        // It stands in the entry, too.
        Precondition::Fence(fence) => 2 * paths.fence(fence).len() + OPERATION_BYTES,
        Precondition::Absent(_) | Precondition::NoneUnder(_) => 0,
    });
    let mut parents = BTreeSet::new();
    let writes = commit.writes.iter().map(|write| {
        let (key, value_bytes) = match write {
            Write::Put(key, value) => (key, value.len()),
            Write::Delete(key) => (key, 0),
        };
        let Place { family, shard, .. } = Place::of(key);
        parents.insert((family.clone(), String::new()));
        parents.insert((family, shard));
        // It stands in the entry, too.
        paths.key(key).len() + value_bytes + OPERATION_BYTES + json_bytes(key) + CHANGE_BYTES
    });
    let (checks, writes): (usize, usize) = (checks.sum(), writes.sum());
    let root = paths.data().len() + OPERATION_BYTES;
    let parents = parents.iter().map(|(family, shard)| root + 2 * (family.len() + shard.len() + 5));
    checks + writes + parents.sum::<usize>()
}

fn json_bytes(key: &str) -> usize {
    serde_json::to_string(key).map_or(0, |json| json.len())
}

/// Decides on each commit in its turn, and joins those that are possible.
pub(super) fn plan<'a>(
    state: &State,
    paths: &Paths,
    commits: impl Iterator<Item = &'a Commit>,
    gap: Gap,
    id: String,
) -> Plan {
    let newest = state.history.revision().0;
    let base = newest + gap.length;
    let (mut effects, mut outcomes, mut checked, mut changes) =
        (Effects::new(), Vec::new(), BTreeSet::new(), Vec::new());
    let (mut above, mut fences) = (0, Vec::new());
    // The latest term that a commit was taken of: an earlier one writes nothing any more, whatever stands in ZooKeeper.
    let mut latest = state.history.fence().cloned();
    for commit in commits {
        let fails = |precondition: &Precondition| match precondition {
            Precondition::Fence(key) => is_superseded(key, latest.as_ref()),
            other => !state.holds(other, &effects),
        };
        if let Some(failed) = commit.preconditions.iter().position(fails) {
            outcomes.push(Err(failed));
            continue;
        }
        above += 1;
        let revision = Revision(base + u64::from(above));
        for precondition in &commit.preconditions {
            match precondition {
                Precondition::Exists(key) | Precondition::At(key, _) if !effects.contains_key(key) => {
                    checked.insert(key.clone());
                }
                Precondition::Fence(key) => {
                    latest = Some(key.clone());
                    if !fences.contains(key) {
                        fences.push(key.clone());
                    }
                }
                _ => {}
            }
        }
        for write in &commit.writes {
            let (key, value) = match write {
                Write::Put(key, value) => (key, Some((revision, value.clone()))),
                Write::Delete(key) => (key, None),
            };
            effects.insert(key.clone(), value);
            changes.push((above, key.clone()));
        }
        outcomes.push(Ok(revision));
    }
    let number = state.history.head() + 1;
    let removed = state.history.removable();
    let before = if gap.broken { base } else { newest };
    let mut entry = LogEntry {
        id,
        before,
        base,
        newest: base + u64::from(above),
        changes,
        parents: Vec::new(),
        oldest: removed.end,
        fence: latest,
    };
    let writes = writes(state, paths, &effects, &mut entry.parents);
    let mut operations = vec![Operation::Check(paths.entry(number - 1))];
    if paths::begins_bucket(number) {
        operations.push(Operation::Create(paths.bucket(number), Vec::new()));
    }
    let makes_entry = operations.len();
    operations.push(Operation::Create(paths.entry(number), entry.to_bytes()));
    operations.extend(fences.iter().map(|fence| Operation::Check(paths.fence(fence))));
    // What somebody deleted by hand is noticed. What is deleted in this transaction is looked for by that.
    operations.extend(checked.iter().map(|key| Operation::Check(paths.key(key))));
    operations.extend(writes);
    for number in removed {
        operations.push(Operation::Delete(paths.entry(number)));
        if paths::ends_bucket(number) {
            operations.push(Operation::Delete(paths.bucket(number)));
        }
    }
    Plan { number, reading: 0, entry, operations, makes_entry, effects, fences, outcomes }
}

fn is_superseded(key: &FenceKey, latest: Option<&FenceKey>) -> bool {
    latest.is_some_and(|latest| latest.cluster_id == key.cluster_id && latest.term > key.term)
}

fn writes(state: &State, paths: &Paths, effects: &Effects, parents: &mut Vec<String>) -> Vec<Operation> {
    let mut operations = Vec::new();
    for (key, effect) in effects {
        let path = paths.key(key);
        match (effect, state.has_znode(key)) {
            (Some((revision, value)), true) => operations.push(Operation::Set(path, to_value(*revision, value))),
            (Some((revision, value)), false) => {
                for parent in state.missing_parents(&Place::of(key)) {
                    if !parents.contains(&parent) {
                        operations.push(Operation::Create(format!("{}/{parent}", paths.data()), Vec::new()));
                        parents.push(parent);
                    }
                }
                operations.push(Operation::Create(path, to_value(*revision, value)));
            }
            (None, true) => operations.push(Operation::Delete(path)),
            (None, false) => {}
        }
    }
    operations
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::state::tests::state;
    use super::*;

    fn commit(preconditions: &[Precondition], writes: &[Write]) -> Commit {
        Commit { preconditions: preconditions.to_vec(), writes: writes.to_vec() }
    }

    fn put(key: &str) -> Write {
        Write::Put(key.into(), Bytes::from_static(b"v"))
    }

    fn planned(keys: &[&str], commits: &[Commit]) -> Plan {
        plan(&state(keys), &Paths::new("/d"), commits.iter(), Gap::default(), "id".into())
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
        assert_eq!(plan.outcomes, [Ok(Revision(6)), Err(1), Ok(Revision(7)), Ok(Revision(8))]);
        assert_eq!(plan.effects, Effects::from([("b".into(), None)]));
        assert_eq!((plan.entry.before, plan.entry.base, plan.entry.newest), (5, 5, 8));
        assert_eq!(plan.entry.changes, [(1, "b".into()), (2, "b".into())]);
        // Of `b`, made and deleted, ZooKeeper hears nothing; of `a` that it must be there.
        let checks = [Operation::Check(Paths::new("/d").entry(3)), Operation::Check(Paths::new("/d").key("a"))];
        assert_eq!([&plan.operations[0], &plan.operations[2]], [&checks[0], &checks[1]]);
        assert_eq!((plan.operations.len(), plan.makes_entry), (3, 1));
    }

    #[test]
    fn parents_are_made_once_and_before_their_children() {
        let plan = planned(&[], &[commit(&[], &[put("jobs/1"), put("jobs/2"), put("jobs/1")])]);
        let mut made = BTreeSet::from([String::new()]);
        for operation in &plan.operations[2..] {
            let Operation::Create(path, _) = operation else { panic!("{operation:?}") };
            let below = path.strip_prefix("/d/data/").unwrap();
            assert!(made.contains(below.rsplit_once('/').map_or("", |(parent, _)| parent)), "{path}");
            assert!(made.insert(below.to_owned()), "{path} twice");
        }
        assert!(plan.entry.parents.contains(&"jobs".to_owned()));
    }

    #[test]
    fn a_gap_is_passed_over_and_a_break_is_known_by_its_entry() {
        let gap = Gap { length: 100, broken: true };
        let plan = plan(&state(&[]), &Paths::new("/d"), [commit(&[], &[])].iter(), gap, "id".into());
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
        assert_eq!(plan.outcomes, [Ok(Revision(6)), Err(1), Ok(Revision(7)), Ok(Revision(8))]);
        let paths = Paths::new("/d");
        for (at, name) in [(2, "7#c"), (3, "1#other")] {
            assert_eq!(plan.operations[at], Operation::Check(format!("/d/fence/{name}")));
            assert_eq!(plan.fence_at(at).map(|fence| paths.fence(fence)), Some(format!("/d/fence/{name}")));
        }
        assert!(plan.fence_at(1).is_none() && plan.fence_at(4).is_none());
        // From entry to entry, also by those who check none.
        let mut later = state(&[]);
        later.apply(LogEntry { fence: plan.entry.fence.clone(), ..plan.entry.clone() }, Effects::new());
        let next = super::plan(&later, &paths, commits[3..].iter(), Gap::default(), "id".into());
        assert_eq!(next.entry.fence, plan.entry.fence);
    }

    #[test]
    fn a_size_is_no_less_than_what_is_sent() {
        let paths = Paths::new("/a/rather/long/chroot");
        let awkward = "\u{1}\"\\é".repeat(50);
        let fence = Precondition::Fence(FenceKey { cluster_id: awkward.as_str().into(), term: Default::default() });
        let commit =
            commit(&[Precondition::Exists("a".into()), fence], &[put(&awkward), put(&format!("{awkward}/{awkward}"))]);
        let plan = plan(&state(&["a"]), &paths, [&commit].into_iter(), Gap::default(), "id".into());
        let sent: usize = plan.operations[1..]
            .iter()
            .map(|operation| match operation {
                Operation::Check(path) | Operation::Delete(path) => path.len() + 24,
                Operation::Create(path, data) | Operation::Set(path, data) => path.len() + data.len() + 56,
                other => panic!("{other:?} is not of a plan"),
            })
            .sum();
        assert!(size_bytes(&commit, &paths) + 500 > sent, "{} {sent}", size_bytes(&commit, &paths));
    }
}
