//! Being a member: following the record, claiming for others, leaving.

use std::collections::BTreeSet;

use super::request::Change;
use super::{Leaving, Life, Node};
use crate::decision::{Action, Because};
use crate::effect::{Effect, Exit};
use crate::ids::{Epoch, Millis, NodeId};
use crate::membership::claims::{Due, Situation};
use crate::mutations::Mutation;
use crate::record::{Member, MemberState, Record};
use crate::store::Stored;

impl Node {
    /// Goes by a record from now on. A member that is not in it stops.
    pub(super) fn adopt(&mut self, stored: Stored) {
        let newer = self.known.as_ref().is_none_or(|known| known.record.epoch < stored.record.epoch);
        let here = stored.record.contains(self.id());
        if self.life.has_record() && !here && !self.settings.broken.is(Mutation::RemovedGoesOn) {
            self.stand_down(stored.record.epoch);
            return;
        }
        if self.life == Life::Joining && here {
            self.become_(Life::Member);
            if self.leave_wanted.take().is_some() {
                self.begin_to_leave();
            }
        }
        self.known = Some(stored);
        if newer {
            self.known_since = self.now;
            self.asking_since = self.now;
            self.follow_members();
        }
    }

    fn follow_members(&mut self) {
        let Some(known) = &self.known else { return };
        let timing = &self.settings.timing;
        self.reach.follow(&known.record.members, &self.settings.me.id, self.now, timing);
        self.look_around();
    }

    /// The record is newer and without this node.
    pub(super) fn stand_down(&mut self, epoch: Epoch) {
        self.decided(Action::StandDown, Because::Rule, Millis::ZERO);
        self.exit(if self.leaving.is_some() { Exit::Left } else { Exit::Removed { epoch } });
    }

    /// Claims what is due, if no other request is under way.
    pub(super) fn lead(&mut self) {
        let silently = self.leaving.is_some() && self.settings.broken.is(Mutation::LeavesSilently);
        if self.gives_up_leaving() || silently {
            // The store does not take it; the others will find out.
            self.exit(Exit::Left);
            return;
        }
        if self.pending.is_some() || self.unsure_since.is_some() {
            return;
        }
        if self.life == Life::Leaving && self.go_on_leaving() {
            return;
        }
        if self.due().is_none_or(|due| self.now < due.at) {
            return;
        }
        // The view is as old as the last beat, and whoever was silent then may have been heard since.
        self.look_around();
        let Some(due) = self.due().filter(|due| self.now >= due.at) else { return };
        let (by, Some(base)) = (self.by(), self.known.clone()) else { return };
        let record = match &due.action {
            Action::Remove { members, owner } => base.record.without(members, owner, by),
            Action::MoveOwner { to } => base.record.owned_by(to, by),
            _ => return,
        };
        let stable = self.now.since(self.view_since);
        self.change(due.action, due.because, stable, Change::Swap { base, record });
    }

    pub(super) fn due(&self) -> Option<Due> {
        let record = self.sure_record()?;
        let owner = record.owner.as_ref()?;
        let alone = self.settings.broken.is(Mutation::PatienceWithoutStore);
        let heard_each = self.reach.has_heard_but(&self.view.unreachable);
        // Who has just joined may hear those who are missed here: it has as long to say so.
        let waits = !heard_each && !self.settings.broken.is(Mutation::NewcomerNotAwaited);
        let since = if waits { self.view_since.max(self.known_since) } else { self.view_since };
        let situation = Situation {
            me: self.id(),
            record,
            view: &self.view,
            since,
            stored_since: self.stored_since,
            owner_stored: self.stored_lately(owner).map(|at| if alone { at } else { at.max(self.stored_since) }),
            heard_each,
            timing: &self.settings.timing,
            keep_oldest: &self.settings.keep_oldest,
            broken: self.settings.broken,
        };
        situation.due()
    }

    pub(super) fn leave(&mut self) {
        match self.life {
            Life::Seeking | Life::Stranded => self.exit(Exit::Left),
            Life::Joining => {
                self.leave_wanted.get_or_insert(self.now);
            }
            Life::Member => self.begin_to_leave(),
            Life::Leaving | Life::Ended => {}
        }
    }

    fn begin_to_leave(&mut self) {
        self.become_(Life::Leaving);
        self.leaving = Some(Leaving { since: self.now, handed_over: false });
        self.effects.push(Effect::HandOver);
    }

    pub(super) fn handed_over(&mut self) {
        if let Some(leaving) = &mut self.leaving {
            leaving.handed_over = true;
        }
    }

    /// First it says that it leaves, and gives the singleton away; then, when all is handed over, it goes. Whether it has asked for
    /// something is told.
    fn go_on_leaving(&mut self) -> bool {
        let (Some(leaving), Some(base)) = (self.leaving, self.known.clone()) else { return false };
        let waited = self.now.since(leaving.since);
        let timing = &self.settings.timing;
        let (me, reaching): (NodeId, BTreeSet<NodeId>) = (self.id().clone(), self.able_heirs(&base.record));
        let said = base.record.member(&me).is_some_and(|m| m.state == MemberState::Leaving);
        // Nobody who leaves as well: they would hand it to each other until both are done.
        let stays = |m: &Member| m.state == MemberState::Up && reaching.contains(&m.id);
        let owns_still = base.record.is_owner(&me) && base.record.members.iter().any(stays);
        let (action, record) = if !said || (owns_still && !leaving.handed_over) {
            (Action::BeginToLeave, base.record.leaving(&me, &reaching, self.by()))
        } else if leaving.handed_over || waited >= timing.leave_timeout {
            (Action::Leave, base.record.left(&me, &reaching, self.by()))
        } else {
            return false;
        };
        self.change(action, Because::Rule, waited, Change::Swap { base, record });
        true
    }

    pub(super) fn gives_up_leaving(&self) -> bool {
        let timing = &self.settings.timing;
        let patience = timing.leave_timeout + timing.store_deadline.times(2);
        let since = self.leaving.map(|leaving| leaving.since).or(self.leave_wanted);
        since.is_some_and(|since| self.now.since(since) >= patience)
    }

    /// Who could own next: members that this node hears, and that reach the store.
    fn able_heirs(&self, record: &Record) -> BTreeSet<NodeId> {
        let able = |id: &&NodeId| *id != self.id() && !self.view.unreachable.contains(*id) && record.contains(id);
        self.view.reaching.iter().filter(able).cloned().collect()
    }
}
