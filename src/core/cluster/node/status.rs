//! What others see of the node.

use super::{Life, Node};
use crate::effect::{Effect, Status};
use crate::ids::NodeId;
use crate::mutations::Mutation;

impl Node {
    /// Tells the status if it has changed.
    pub(super) fn tell_status(&mut self) {
        let status = self.status();
        if self.told.as_ref() != Some(&status) {
            self.told = Some(status.clone());
            self.effects.push(Effect::Status(status));
        }
    }

    /// A member that cannot reach the store is not ready while another can: requests go there. When none can, all stay ready, and
    /// say that they are degraded; else every proxy would drop every node.
    fn status(&self) -> Status {
        let store_reached = self.view.reaching.contains(self.id());
        let fresh = self.settings.timing.store_fresh();
        let broken = self.settings.broken;
        let ahead = self.ahead_stored.filter(|_| !broken.is(Mutation::UnknownNotBelieved));
        let ahead_reaches = ahead.is_some_and(|at| self.now.since(at) <= fresh);
        // Whom others accuse counts if this node hears it, but not if this node accuses it as well: what that says may be old.
        let accused = |id: &NodeId| self.view.accusations.contains(&(self.id().clone(), id.clone()));
        let heard = |id: &NodeId| !accused(id) && !broken.is(Mutation::AccusedReachNothing);
        let counts = |id: &NodeId| !self.view.unreachable.contains(id) || heard(id);
        let member_reaches = self.view.reaching.iter().any(|id| id != self.id() && counts(id));
        let other_reaches = member_reaches || ahead_reaches;
        let subjects = self.view.accusations.iter().map(|(_, subject)| subject);
        let regardless = broken.is(Mutation::ReadyWithoutStore);
        let mut indirect: Vec<_> = subjects.filter(|id| !self.view.unreachable.contains(*id)).cloned().collect();
        indirect.dedup();
        Status {
            life: self.life,
            epoch: self.epoch(),
            owner: self.record().and_then(|record| record.owner.clone()),
            ready: self.life == Life::Member
                && (store_reached || (!other_reaches && !broken.is(Mutation::UnreadyTogether)) || regardless),
            degraded: !store_reached || !self.view.unreachable.is_empty(),
            unreachable: self.view.unreachable.iter().cloned().collect(),
            indirect,
            store_reached,
        }
    }
}
