//! What a reading of the store means to a node that has read one before.

use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, Term};
use crate::record::Fence;
use crate::store::{Reading, Stored};

/// What a reading says beside what was known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// There is no record, and this node has never read one, not even one that it did not go by. Fences, if any, tell of one that was
    /// deleted; the highest term is told.
    Nothing { fences: Option<Term> },
    /// A record to go by, the same as before or a newer one.
    Good(Box<Stored>),
    /// Not to be believed, or not yet: see [`Doubt`].
    Doubtful(Doubt),
}

/// Why a record is not gone by. If a confirmed reading says the same, the record is lost until an operator restores it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Doubt {
    #[error("it is not there any more")]
    Absent,
    #[error("{0}")]
    Unreadable(String),
    #[error("it is of another cluster")]
    OtherCluster,
    /// Of a lower epoch, or of the same with other content.
    #[error("it is older than what was read before, or another of the same epoch")]
    RolledBack,
    /// The fence beside it is not its own: one of the two was changed by hand.
    #[error("the fence beside it is not its own")]
    Fence { term: Term },
}

/// `known` is the record that the node goes by; `seen`: it has read one, be it doubtful.
pub fn standing(known: Option<&Stored>, seen: bool, reading: &Reading) -> Standing {
    let stored = match &reading.record {
        Err(why) => return Standing::Doubtful(Doubt::Unreadable(why.to_string())),
        Ok(Some(stored)) => stored,
        Ok(None) if known.is_some() || seen => return Standing::Doubtful(Doubt::Absent),
        Ok(None) => return Standing::Nothing { fences: reading.fences.iter().map(|f| f.key.term).max() },
    };
    let record = &stored.record;
    if let Some(known) = known.map(|k| &k.record) {
        if known.cluster_id != record.cluster_id {
            return Standing::Doubtful(Doubt::OtherCluster);
        }
        if record.epoch < known.epoch || (record.epoch == known.epoch && record != known) {
            return Standing::Doubtful(Doubt::RolledBack);
        }
    }
    let ours = |fence: &&Fence| fence.key.cluster_id == record.cluster_id;
    if !reading.fences.iter().filter(ours).eq([&record.fence()]) {
        return Standing::Doubtful(Doubt::Fence { term: record.term });
    }
    Standing::Good(Box::new(stored.clone()))
}

/// Whether a run of a node has ended as far as the store knows.
pub fn is_registered(reading: &Reading, id: &NodeId) -> bool {
    reading.registered.contains(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::Unreadable;
    use crate::fixtures::{by, fence, id, record};
    use crate::ids::{Epoch, Version};
    use crate::record::Record;

    fn stored(record: &Record) -> Stored {
        Stored { record: record.clone(), version: Version(7) }
    }

    fn reading(record: Option<&Record>) -> Reading {
        let fences = record.map(Record::fence).into_iter().collect();
        Reading { record: Ok(record.map(stored)), fences, registered: Vec::new() }
    }

    #[track_caller]
    fn doubtful(known: Option<&Record>, reading: &Reading, expected: &Doubt) {
        assert_eq!(standing(known.map(stored).as_ref(), false, reading), Standing::Doubtful(expected.clone()));
    }

    #[track_caller]
    fn good(known: Option<&Record>, read: &Record) {
        let expected = Standing::Good(Box::new(stored(read)));
        assert_eq!(standing(known.map(stored).as_ref(), false, &reading(Some(read))), expected);
    }

    #[test]
    fn the_first_record_the_same_and_a_newer_one_are_good() {
        let one = record(&["a", "b"]);
        good(None, &one);
        good(Some(&one), &one);
        good(Some(&one), &one.owned_by(&id("b"), by("b")));
    }

    #[test]
    fn never_read_and_absent_is_nothing_but_fences_tell_that_it_was_deleted() {
        let mut empty = reading(None);
        assert_eq!(standing(None, false, &empty), Standing::Nothing { fences: None });
        empty.fences = vec![fence(4, 9)];
        assert_eq!(standing(None, false, &empty), Standing::Nothing { fences: Some(Term(4)) });
    }

    #[test]
    fn one_that_was_read_and_never_gone_by_is_missed_as_well() {
        let mut empty = reading(None);
        for fences in [Vec::new(), vec![fence(4, 9)]] {
            empty.fences = fences;
            assert_eq!(standing(None, true, &empty), Standing::Doubtful(Doubt::Absent));
        }
    }

    #[test]
    fn read_before_and_now_absent_older_or_of_another_cluster_is_doubtful() {
        let one = record(&["a", "b"]);
        doubtful(Some(&one), &reading(None), &Doubt::Absent);
        let newer = one.owned_by(&id("b"), by("b"));
        doubtful(Some(&newer), &reading(Some(&one)), &Doubt::RolledBack);
        let mut other = one.clone();
        other.cluster_id = "other".into();
        doubtful(Some(&one), &reading(Some(&other)), &Doubt::OtherCluster);
    }

    #[test]
    fn another_record_of_the_same_epoch_is_doubtful() {
        let one = record(&["a", "b"]);
        let mut twin = record(&["a", "c"]);
        twin.epoch = one.epoch;
        doubtful(Some(&one), &reading(Some(&twin)), &Doubt::RolledBack);
    }

    #[test]
    fn without_its_fence_or_beside_a_later_one_a_record_is_doubtful_to_newcomers_too() {
        let one = record(&["a", "b"]);
        let mut read = reading(Some(&one));
        read.fences.push(fence(9, 9));
        doubtful(None, &read, &Doubt::Fence { term: Term(1) });
        read.fences.clear();
        doubtful(None, &read, &Doubt::Fence { term: Term(1) });
    }

    #[test]
    fn rolled_back_within_its_term_a_record_is_doubtful_to_newcomers_too() {
        let one = record(&["a", "b"]);
        let mut read = reading(Some(&one));
        read.fences[0].epoch = one.epoch.next();
        doubtful(None, &read, &Doubt::Fence { term: Term(1) });
    }

    #[test]
    fn damaged_and_newer_formats_are_doubtful_and_say_what_to_do() {
        let newer = Unreadable::Newer { format: 9 };
        let read = Reading { record: Err(newer.clone()), fences: Vec::new(), registered: Vec::new() };
        doubtful(None, &read, &Doubt::Unreadable(newer.to_string()));
    }

    #[test]
    fn what_an_operator_restored_is_good() {
        let lost = record(&["a", "b"]);
        let restored = Record::restored("cluster".into(), Epoch(90), Term(9), lost.next_age, by("b"));
        good(Some(&lost), &restored);
    }
}
