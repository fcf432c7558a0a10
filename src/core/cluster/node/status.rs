//! What others see of the node.

use super::{Life, Node};
use crate::effect::{Effect, Status};
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
        let ahead_reaches = self.ahead_stored.is_some_and(|at| self.now.since(at) <= fresh);
        let member_reaches = self.view.reaching.iter().any(|id| id != self.id() && !self.view.unreachable.contains(id));
        let other_reaches = member_reaches || ahead_reaches;
        let subjects = self.view.accusations.iter().map(|(_, subject)| subject);
        let broken = self.settings.broken;
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
