//! Requests to the store: one at a time, each with a deadline, and what its answer means.

use serde::{Deserialize, Serialize};

use super::{Life, Node};
use crate::changes::By;
use crate::decision::{Action, Because, Decision};
use crate::effect::{Effect, Exit, Warning};
use crate::ids::{ClaimId, Millis, Moment, Term, Version};
use crate::membership::standing::{Doubt, Standing, standing};
use crate::message::Body;
use crate::mutations::Mutation;
use crate::record::Record;
use crate::store::{Reading, Refusal, StoreAnswer, StoreOp, Stored};
use crate::succession::follows;

/// A change of the record that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Change {
    Found { record: Record },
    Swap { base: Stored, record: Record },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Purpose {
    Look {
        confirm: bool,
    },
    Change(Change),
    /// No answer came to a change. Nothing else is asked before a write has settled whether it was committed: a read cannot, as the
    /// change may be committed after it.
    Settle(Change),
    /// It was settled by a write that found another record: what that says is read now.
    Judge(Change),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pending {
    request: u64,
    purpose: Purpose,
    pub(super) sent: Moment,
    /// The answer did not come; the same is asked again then.
    again_at: Option<Moment>,
}

impl Node {
    pub(super) fn look_now(&mut self) {
        self.look_at = self.now;
    }

    pub(super) fn by(&mut self) -> By {
        self.claims += 1;
        let id = self.id().clone();
        By { claim_id: ClaimId::from(format!("{id}/{}", self.claims).as_str()), node: id }
    }

    fn ask(&mut self, purpose: Purpose) {
        let op = match &purpose {
            Purpose::Look { confirm } => StoreOp::Read { confirm: *confirm },
            Purpose::Judge(_) => StoreOp::Read { confirm: true },
            Purpose::Change(Change::Found { record }) | Purpose::Settle(Change::Found { record }) => {
                StoreOp::Create { record: record.clone() }
            }
            Purpose::Settle(Change::Swap { base, .. }) => {
                StoreOp::Touch { base: base.version, fence: base.record.fence() }
            }
            Purpose::Change(Change::Swap { base, record }) => {
                debug_assert!(self.settings.broken.any() || follows(&base.record, record) == Ok(()));
                StoreOp::Swap { base: base.version, fence: base.record.fence(), record: record.clone() }
            }
        };
        self.requests += 1;
        self.pending = Some(Pending { request: self.requests, purpose, sent: self.now, again_at: None });
        self.effects.push(Effect::Store { request: self.requests, op });
    }

    /// Looks at the record if it is time, and nothing else is asked.
    pub(super) fn look(&mut self) {
        if self.pending.is_none() && self.now >= self.look_at {
            self.look_at = self.now + self.settings.timing.store_poll;
            self.looked_at = self.now;
            let confirm = self.confirm || self.life == Life::Stranded;
            self.ask(Purpose::Look { confirm });
        }
    }

    /// For the log.
    pub(super) fn decided(&mut self, action: Action, because: Because, stable: Millis) {
        let decision = Decision { by: self.id().clone(), action, because, view: self.view.clone(), stable };
        self.effects.push(Effect::Decided(Box::new(decision)));
    }

    pub(super) fn change(&mut self, action: Action, because: Because, stable: Millis, change: Change) {
        let change = self.bent(change);
        self.decided(action, because, stable);
        self.ask(Purpose::Change(change));
    }

    /// A request that has had no answer for too long has got none; what was lost is asked again after a while.
    pub(super) fn give_up_waiting(&mut self) {
        let Some(pending) = &self.pending else { return };
        match pending.again_at {
            Some(at) if self.now >= at => {
                let purpose = pending.purpose.clone();
                self.ask(purpose);
            }
            None if self.now >= pending.sent + self.settings.timing.store_deadline => {
                let request = pending.request;
                self.answered(request, StoreAnswer::Lost);
            }
            _ => {}
        }
    }

    pub(super) fn answered(&mut self, request: u64, answer: StoreAnswer) {
        self.notice_record(&answer);
        let awaited = |p: &mut Pending| p.request == request && p.again_at.is_none();
        let Some(pending) = self.pending.take_if(awaited) else { return };
        if answer != StoreAnswer::Lost {
            let fresh = self.settings.timing.store_fresh();
            if self.stored_at.is_none_or(|at| pending.sent.since(at) > fresh) {
                self.stored_since = pending.sent;
            }
            self.stored_at = Some(pending.sent);
            self.first_answer.get_or_insert(self.now);
        }
        match (pending.purpose, answer) {
            (purpose, StoreAnswer::Lost) => self.lost(purpose, pending.sent),
            (Purpose::Look { confirm }, StoreAnswer::Read(reading)) => self.read(*reading, confirm, pending.sent),
            (Purpose::Judge(_), StoreAnswer::Read(reading)) => self.judge(*reading, pending.sent),
            (
                Purpose::Change(change) | Purpose::Settle(change @ Change::Found { .. }),
                StoreAnswer::Done { version },
            ) => {
                self.done(change, version);
            }
            (Purpose::Settle(Change::Swap { base, .. }), StoreAnswer::Done { version }) => {
                // It was not committed, and now it never can be.
                self.known = Some(Stored { record: base.record, version });
                self.unsettled();
            }
            (Purpose::Change(change), StoreAnswer::Refused(refusal)) => self.refused_change(&change, refusal),
            (Purpose::Settle(change), StoreAnswer::Refused(_)) => self.ask(Purpose::Judge(change)),
            // An answer to another question: the shell is wrong. As if none had come.
            (purpose, _) => self.lost(purpose, pending.sent),
        }
    }

    /// Also one that is doubtful, or that comes too late to be gone by, has been there: if it is gone then, it was deleted, and there is nothing to
    /// found.
    fn notice_record(&mut self, answer: &StoreAnswer) {
        let StoreAnswer::Read(reading) = answer else { return };
        self.seen |= !matches!(reading.record, Ok(None)) && !self.settings.broken.is(Mutation::DoubtfulForgotten);
    }

    fn lost(&mut self, purpose: Purpose, sent: Moment) {
        let purpose = match purpose {
            Purpose::Look { .. } => {
                self.look_at = self.look_at.max(sent + self.settings.timing.store_poll);
                return;
            }
            Purpose::Change(change) if self.settings.broken.is(Mutation::LostIsCommitted) => {
                let version = match &change {
                    Change::Found { .. } => Version(0),
                    Change::Swap { base, .. } => base.version.next(),
                };
                return self.done(change, version);
            }
            Purpose::Change(change) => Purpose::Settle(change),
            again => again,
        };
        let again_at = Some(self.now + self.settings.timing.heartbeat);
        self.pending = Some(Pending { request: self.requests, purpose, sent: self.now, again_at });
    }

    /// A change of this node's is committed.
    fn done(&mut self, change: Change, version: Version) {
        let (Change::Found { record } | Change::Swap { record, .. }) = change;
        self.adopt(Stored { record, version });
        self.look_now();
        let epoch = self.epoch();
        self.tell_members(&Body::Changed { epoch });
    }

    fn refused_change(&mut self, change: &Change, refusal: Refusal) {
        if let (Change::Found { .. }, Refusal::Fence) = (change, refusal) {
            self.absent_since = None;
            // The fences' parent, at least.
            self.warn(Warning::FencesLeft { highest: Term(0) });
        }
        self.unsettled();
        self.confirm = true;
        self.look_now();
    }

    /// A change was certainly not made.
    fn unsettled(&mut self) {
        if self.life == Life::Joining {
            self.become_(Life::Seeking);
            self.look_now();
            if self.leave_wanted.is_some() {
                self.exit(Exit::Left);
            }
        }
    }

    /// A change got no answer, and the record is not what it was made for: the record's content says what has come of it. Its
    /// `claim_id` does not, as that names only the last change.
    fn judge(&mut self, reading: Reading, sent: Moment) {
        let joining = self.life == Life::Joining;
        let there = match standing(self.known.as_ref(), self.seen, &reading) {
            Standing::Good(stored) => stored.record.contains(self.id()),
            _ => false,
        };
        if joining && !there && !self.settings.broken.is(Mutation::JoinRetriedAsTheSame) {
            // It may have been a member, of a record that is lost now too; a removed run of a node never comes back.
            self.begin_anew();
            return;
        }
        if joining && !there {
            self.become_(Life::Seeking);
        }
        self.read(reading, true, sent);
    }

    fn read(&mut self, reading: Reading, confirmed: bool, sent: Moment) {
        let mut found = standing(self.known.as_ref(), self.seen, &reading);
        if let (Standing::Doubtful(Doubt::Fence { .. }), Ok(Some(stored)), true) =
            (&found, &reading.record, self.settings.broken.is(Mutation::FenceNotCompared))
        {
            found = Standing::Good(Box::new(stored.clone()));
        }
        match found {
            Standing::Good(stored) => {
                if self.unsure_since.is_some_and(|since| sent >= since) {
                    self.unsure_since = None;
                }
                self.confirm = false;
                self.absent_since = None;
                self.found_again(&stored);
                if self.life != Life::Ended {
                    self.adopt(*stored);
                }
                self.seek_by(&reading);
                // Before it looks again: if the store takes longer to answer than it waits between two looks, it would never come to claim.
                if self.life.has_record() && !self.settings.broken.is(Mutation::LooksFirst) {
                    self.lead();
                }
            }
            Standing::Nothing { fences } => {
                self.confirm = false;
                match fences {
                    // A read may come from a follower that lags, but fences are as old as it is.
                    Some(highest) if !self.settings.broken.is(Mutation::FencesLeftIgnored) => {
                        self.absent_since = None;
                        self.warn(Warning::FencesLeft { highest });
                    }
                    _ => {
                        self.absent_since.get_or_insert(self.now);
                        self.seek_by(&reading);
                    }
                }
            }
            Standing::Doubtful(_) if !confirmed && !self.settings.broken.is(Mutation::DoubtNotConfirmed) => {
                self.confirm = true;
                self.look_now();
            }
            Standing::Doubtful(doubt) => self.strand(&doubt),
        }
    }

    fn strand(&mut self, doubt: &Doubt) {
        self.warn(match doubt {
            Doubt::Fence { term } => Warning::FenceMissing { term: *term },
            other => Warning::RecordLost { why: other.to_string() },
        });
        if self.settings.broken.is(Mutation::LostRecordIgnored) && *doubt == Doubt::Absent {
            (self.known, self.seen) = (None, false);
            self.become_(Life::Stranded);
            self.become_(Life::Seeking);
            return;
        }
        if self.life != Life::Stranded {
            self.become_(Life::Stranded);
            self.decided(Action::Strand, Because::Rule, Millis::ZERO);
        }
    }

    /// The record was lost, and is there again, as it was or restored by an operator.
    fn found_again(&mut self, stored: &Stored) {
        if self.life != Life::Stranded {
            return;
        }
        self.warned.retain(|w| !matches!(w, Warning::RecordLost { .. } | Warning::FenceMissing { .. }));
        let was_member = self.known.as_ref().is_some_and(|known| known.record.contains(self.id()));
        if !was_member {
            self.become_(Life::Seeking);
        } else if stored.record.contains(self.id()) {
            self.become_(if self.leaving.is_some() { Life::Leaving } else { Life::Member });
        } else {
            self.stand_down(stored.record.epoch);
        }
    }
}
