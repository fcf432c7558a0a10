//! Coming in: does what `membership::seeking` says, and takes the record over once it is there.

use super::request::Change;
use super::{Life, Node};
use crate::decision::{Action, Because};
use crate::effect::{Effect, Exit, Warning};
use crate::ids::Millis;
use crate::membership::seeking::{Course, Situation};
use crate::record::Record;
use crate::store::{Reading, Stored};

impl Node {
    /// Looks more often than a member does, as it waits for others.
    pub(super) fn seek(&mut self) {
        let soon = self.now + self.settings.timing.heartbeat;
        self.look_at = self.look_at.min(soon);
    }

    /// What follows from a reading, with what others have said by now.
    pub(super) fn seek_by(&mut self, reading: &Reading) {
        if self.life != Life::Seeking {
            return;
        }
        let record = match &reading.record {
            Ok(Some(stored)) => Some(&stored.record),
            Ok(None) => None,
            Err(_) => return,
        };
        if record.is_some_and(|record| record.contains(self.id())) {
            // This very run, though it has not joined: another has its name and its number, or its join was committed late.
            self.begin_anew();
            return;
        }
        let lately = self.settings.timing.heartbeat.times(4);
        self.contacts.forget_before(self.now - lately);
        let situation = Situation {
            settings: &self.settings,
            contacts: &self.contacts,
            first_answer: self.first_answer.unwrap_or(self.now),
            absent_since: self.absent_since,
            asking_since: self.asking_since,
            now: self.now,
        };
        let course = match record {
            Some(record) => situation.with_record(record, reading),
            None => situation.without_record(),
        };
        self.take(course, record);
    }

    fn take(&mut self, course: Course, record: Option<&Record>) {
        match course {
            Course::Wait => {}
            Course::ReadAgain => {
                self.confirm = true;
                self.look_now();
            }
            Course::Unheard { by } => self.warn(Warning::Unheard { by }),
            Course::GiveUp(exit) => self.exit(exit),
            Course::Found => {
                let by = self.by();
                let first = Record::first(self.settings.new_cluster_id.clone(), &self.settings.me, by);
                self.become_(Life::Joining);
                self.change(Action::Found, Because::Rule, Millis::ZERO, Change::Found { record: first });
            }
            Course::Join { instead_of, reaching } => {
                let (by, Some(base)) = (self.by(), self.known.clone()) else { return };
                match base.record.joined(&self.settings.me, &reaching, by) {
                    Ok(record) => {
                        let action = instead_of.map_or(Action::Join, |instead_of| Action::Rejoin { instead_of });
                        self.come_in(action, base, record);
                    }
                    Err(_) => self.exit(Exit::Full),
                }
            }
            Course::TakeOver => {
                let (by, Some(base), Some(record)) = (self.by(), self.known.clone(), record) else { return };
                let record = record.taken_over(&self.settings.me, by);
                self.come_in(Action::TakeOver, base, record);
            }
        }
    }

    fn come_in(&mut self, action: Action, base: Stored, record: Record) {
        self.become_(Life::Joining);
        self.change(action, Because::Rule, Millis::ZERO, Change::Swap { base, record });
    }

    /// This run ends, and the process goes on as another.
    pub(super) fn begin_anew(&mut self) {
        self.become_(Life::Ended);
        self.effects.push(if self.leave_wanted.is_some() { Effect::Exit(Exit::Left) } else { Effect::Reincarnate });
    }
}
