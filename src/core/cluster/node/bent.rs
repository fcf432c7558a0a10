//! Changes as nodes make them of which a mechanism is broken, for tests of the tests.

use super::Node;
use super::request::Change;
use crate::mutations::Mutation;
use crate::record::{Reason, Record};

impl Node {
    /// The change as it was meant, unless it is broken.
    pub(super) fn bent(&self, change: Change) -> Change {
        match change {
            Change::Swap { base, mut record } if self.settings.broken.any() => {
                self.bend(&base.record, &mut record);
                Change::Swap { base, record }
            }
            change => change,
        }
    }

    fn bend(&self, base: &Record, record: &mut Record) {
        let broken = self.settings.broken;
        if broken.is(Mutation::TermKept) {
            record.term = base.term;
        }
        let removes = record.reason == Reason::Unreachable && base.reason == Reason::Join;
        if broken.is(Mutation::JoinerForgotten) && removes && record.members.len() > 1 {
            let joined = record.members.pop();
            if joined.is_some_and(|member| record.is_owner(&member.id)) {
                record.owner = record.members.first().map(|member| member.id.clone());
            }
        }
        let before = base.named(&self.id().name).filter(|_| record.reason == Reason::Rejoin);
        if let Some(before) = before.cloned() {
            if broken.is(Mutation::RejoinKeepsAge) {
                record.members.iter_mut().filter(|m| m.id == *self.id()).for_each(|m| m.age = before.age);
                record.members.sort_by_key(|member| member.age);
            }
            if broken.is(Mutation::RejoinKeepsRun) {
                record.members.push(before);
                record.members.sort_by_key(|member| member.age);
            }
        }
    }
}
