//! The singleton: the owner runs it, and nobody else.

use serde::{Deserialize, Serialize};

use crate::effect::Effect;
use crate::ids::{NodeId, Term};
use crate::record::Record;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Singleton {
    running: Option<Term>,
}

impl Singleton {
    pub fn running(self) -> Option<Term> {
        self.running
    }

    /// Level-triggered: brings what runs to what the record says. None is a record that cannot be relied on just now.
    pub fn follow(&mut self, record: Option<&Record>, me: &NodeId) -> Vec<Effect> {
        let due = record.filter(|record| record.is_owner(me)).map(|record| record.term);
        let before = std::mem::replace(&mut self.running, due);
        if before == due {
            return Vec::new();
        }
        let stop = before.map(|term| Effect::Stop { term });
        stop.into_iter().chain(due.map(|term| Effect::Run { term })).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{by, id, ids, record};

    #[test]
    fn runs_while_the_record_says_so() {
        let (mut singleton, owned) = (Singleton::default(), record(&["a", "b"]));
        assert_eq!(singleton.follow(Some(&owned), &id("a")), [Effect::Run { term: Term(1) }]);
        assert_eq!(singleton.follow(Some(&owned), &id("a")), []);
        let lost = owned.without(&ids(&["a"]), &id("b"), by("b"));
        assert_eq!(singleton.follow(Some(&lost), &id("a")), [Effect::Stop { term: Term(1) }]);
    }

    #[test]
    fn stops_while_nothing_is_known_for_sure() {
        let (mut singleton, owned) = (Singleton::default(), record(&["a"]));
        singleton.follow(Some(&owned), &id("a"));
        assert_eq!(singleton.follow(None, &id("a")), [Effect::Stop { term: Term(1) }]);
    }

    #[test]
    fn a_new_term_of_the_same_node_is_another_run() {
        let (mut singleton, first) = (Singleton::default(), record(&["a", "b"]));
        singleton.follow(Some(&first), &id("a"));
        let back = first.owned_by(&id("b"), by("b")).owned_by(&id("a"), by("a"));
        let expected = [Effect::Stop { term: Term(1) }, Effect::Run { term: Term(3) }];
        assert_eq!(singleton.follow(Some(&back), &id("a")), expected);
    }
}
