//! What somebody may do to the store past all nodes, and how the operator restores it.

use crate::node::Ask;
use crate::register::{Flight, Reading};
use crate::rules::Happened;
use crate::world::{State, Step, World};

impl World {
    /// Versions that matter to somebody: all others are as good as the next that never was.
    fn versions(&self, state: &State) -> Vec<u8> {
        if !self.bounds.rewinds {
            return vec![state.store.highest + 1];
        }
        let writes = state.nodes.iter().filter_map(|node| match node.ask {
            Ask::Nothing => None,
            Ask::Waiting(write) | Ask::Settling { write, .. } | Ask::Judging(write) => Some(write.flight),
        });
        let flights = writes.chain(state.adrift.iter().copied());
        let known = state.nodes.iter().filter_map(|node| node.known);
        let mut versions: Vec<u8> = flights.filter_map(Flight::base).chain(known).map(|(_, version)| version).collect();
        versions.extend([0, state.store.highest + 1]);
        versions.sort_unstable();
        versions.dedup();
        versions
    }

    pub fn by_hand(&self, state: &State, steps: &mut Vec<Step>) {
        let store = &state.store;
        if self.bounds.hands == 0 || store.last.is_none() {
            return;
        }
        let versions = self.versions(state);
        if state.hands < self.bounds.hands {
            if store.now.content.is_some() {
                steps.extend([false, true].map(|fence| Step::Delete { fence }));
            }
            let back = store.history.iter().flat_map(|rec| versions.iter().map(|version| (*rec, *version)));
            steps.extend(
                back.filter(|put| store.now.content != Some(*put)).map(|(rec, version)| Step::Put(rec, version)),
            );
        }
        if store.now.fence.is_some() && store.is_lost(&self.records) {
            steps.extend(versions.into_iter().map(Step::Restore));
        }
    }

    /// What somebody writes into the store past all rules.
    pub fn hand(&mut self, state: &mut State, step: Step) {
        let (content, fence) = (state.store.now.content, state.store.now.fence);
        let (happened, content, fence) = match step {
            Step::Delete { fence: true } => (Happened::DeletedWithFence, None, None),
            Step::Delete { fence: false } => (Happened::DeletedByHand, None, fence),
            Step::Put(rec, version) => {
                let right = fence == Some(self.records.facts(rec).fence);
                let happened = if right { Happened::PutRightByHand } else { Happened::PutBackByHand };
                (happened, Some((rec, version)), fence)
            }
            Step::Restore(version) => {
                let rec = self.records.restored(fence.expect("a fence is left"), content.map(|(rec, _)| rec));
                self.tally.note(Happened::Restored);
                let fence = Some(self.records.facts(rec).fence);
                return state.store.put(rec, fence, version, self.bounds);
            }
            _ => return,
        };
        state.hands += 1;
        self.tally.note(happened);
        state.store.replace(Reading { content, fence }, self.bounds);
    }
}
