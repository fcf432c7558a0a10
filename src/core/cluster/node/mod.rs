//! A node of the cluster: takes events, gives effects. What it decides by is in the rooms beside; here is its state and its clock.

mod bent;
mod member;
mod request;
mod seek;
#[cfg(test)]
mod stage;
mod status;
mod talk;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::decision::View;
use crate::effect::{Effect, Exit, Status, Warning};
use crate::event::Event;
use crate::ids::{Epoch, Millis, Moment, NodeId};
use crate::membership::seeking::Contacts;
use crate::mutations::Mutation;
use crate::reachability::Reachability;
use crate::record::Record;
use crate::settings::Settings;
use crate::singleton::Singleton;
use crate::store::Stored;
use request::Pending;

/// Where a node is in its own life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Life {
    /// It looks for a cluster to join, or waits until it may found one.
    Seeking,
    /// It has written itself into the record, and does not know yet whether that was committed.
    Joining,
    Member,
    Leaving,
    /// It has read a record that is lost now: it neither claims nor creates until an operator has restored it.
    Stranded,
    Ended,
}

impl Life {
    pub const ALL: [Self; 6] = [Self::Seeking, Self::Joining, Self::Member, Self::Leaving, Self::Stranded, Self::Ended];

    /// The one table of what may follow what.
    pub fn may_become(self, next: Self) -> bool {
        use Life::*;
        match self {
            // Found in the record without having seen its own join committed: the join was late.
            Seeking => matches!(next, Joining | Stranded | Ended),
            Joining => matches!(next, Seeking | Member | Ended),
            Member => matches!(next, Leaving | Stranded | Ended),
            Leaving => matches!(next, Stranded | Ended),
            // What was lost is found again.
            Stranded => matches!(next, Seeking | Member | Leaving | Ended),
            Ended => false,
        }
    }

    fn has_record(self) -> bool {
        matches!(self, Self::Member | Self::Leaving)
    }
}

/// Warnings that are remembered, so as not to be told again; beyond it they are.
const MOST_WARNINGS: usize = 64;

/// How far a leaving node has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Leaving {
    since: Moment,
    handed_over: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    settings: Settings,
    now: Moment,
    life: Life,
    /// The newest record that this node has read, with its version in the store.
    known: Option<Stored>,
    /// It has read a record, be it one that it did not go by.
    #[serde(default)]
    seen: bool,
    /// Since when `known` has its epoch.
    known_since: Moment,
    /// When it has sent the newest request that the store has answered.
    stored_at: Option<Moment>,
    /// Since when it has reached the store without a gap.
    stored_since: Moment,
    /// When one that has read a later record than this node, and is not in this node's, had last reached the store.
    #[serde(default)]
    ahead_stored: Option<Moment>,
    /// Those, and how far each had come: what does not go on from there is of the past.
    #[serde(default)]
    ahead: Vec<(NodeId, u64)>,
    /// When the store had answered for the first time.
    first_answer: Option<Moment>,
    /// Since when there is no record; none if there is one, or if it is not known.
    absent_since: Option<Moment>,
    pending: Option<Pending>,
    requests: u64,
    claims: u64,
    /// When to look at the record next.
    look_at: Moment,
    /// When it has last asked for the record.
    looked_at: Moment,
    /// The next look has to be a confirmed one.
    confirm: bool,
    /// It was not running for a while: what it knows of the record does not count before a look that began later.
    unsure_since: Option<Moment>,
    contacts: Contacts,
    /// Since when it asks where it asks now.
    asking_since: Moment,
    /// Rounds of asking, and the first whose answers count.
    asked: u64,
    asked_from: u64,
    reach: Reachability,
    view: View,
    /// Since when the view is as it is.
    view_since: Moment,
    /// Counts the turns of this node's loop, and what it has told beside.
    progress: u64,
    pings: u64,
    beat_at: Moment,
    singleton: Singleton,
    leaving: Option<Leaving>,
    /// When a leave was asked for, if it is not known yet whether the node is a member.
    leave_wanted: Option<Moment>,
    warned: BTreeSet<Warning>,
    told: Option<Status>,
    #[serde(skip)]
    effects: Vec<Effect>,
}

impl Node {
    pub fn new(settings: Settings, now: Moment) -> Self {
        let reach = Reachability::new(settings.broken);
        // So that an answer to an earlier run of this node is none to this one.
        let first = settings.me.id.incarnation.0 & u64::from(u32::MAX);
        Self {
            settings,
            now,
            life: Life::Seeking,
            known: None,
            seen: false,
            known_since: now,
            stored_at: None,
            stored_since: now,
            ahead_stored: None,
            ahead: Vec::new(),
            first_answer: None,
            absent_since: None,
            pending: None,
            requests: 0,
            claims: 0,
            look_at: now,
            looked_at: now,
            confirm: false,
            unsure_since: None,
            contacts: Contacts::default(),
            asking_since: now,
            asked: first,
            asked_from: first,
            reach,
            view: View::default(),
            view_since: now,
            progress: 0,
            pings: first,
            beat_at: now,
            singleton: Singleton::default(),
            leaving: None,
            leave_wanted: None,
            warned: BTreeSet::new(),
            told: None,
            effects: Vec::new(),
        }
    }

    /// Takes in what has happened, and says what is to be done. `now` is the node's own clock; a step back of it is taken for a stop.
    pub fn step(&mut self, now: Moment, event: Event) -> Vec<Effect> {
        if self.life == Life::Ended {
            return Vec::new();
        }
        self.now = self.now.max(now);
        self.notice_pause();
        match event {
            Event::Wake => {}
            Event::Heard(message) => self.heard(message),
            Event::Refused { address } => self.refused(address),
            Event::Answered { request, answer } => self.answered(request, answer),
            Event::RecordChanged => self.look_now(),
            Event::Leave => self.leave(),
            Event::HandedOver => self.handed_over(),
        }
        if self.life != Life::Ended {
            self.give_up_waiting();
            self.beat();
            self.look();
            match self.life {
                Life::Seeking => self.seek(),
                Life::Member | Life::Leaving => self.lead(),
                // The store does not say, or there is no record to leave: it goes all the same, and the others will find out.
                Life::Joining | Life::Stranded if self.gives_up_leaving() => self.exit(Exit::Left),
                Life::Joining | Life::Stranded | Life::Ended => {}
            }
        }
        self.follow_record();
        self.tell_status();
        debug_assert!(
            self.settings.broken.any() || self.known.as_ref().is_none_or(|k| k.record.validate().is_ok()),
            "a record that is known is valid"
        );
        std::mem::take(&mut self.effects)
    }

    /// When it wants to be woken at the latest, if nothing happens before.
    pub fn next_wake(&self) -> Moment {
        if self.life == Life::Ended {
            return Moment(u64::MAX);
        }
        let timing = &self.settings.timing;
        let mut at = self.beat_at;
        match &self.pending {
            Some(pending) => at = at.min(pending.sent + timing.store_deadline),
            None => at = at.min(self.look_at),
        }
        if self.life.has_record() {
            at = self.reach.next().map_or(at, |next| at.min(next));
            if self.pending.is_none() {
                at = self.due().map_or(at, |due| at.min(due.at));
            }
        }
        at.max(self.now + Millis(1))
    }

    pub fn id(&self) -> &NodeId {
        &self.settings.me.id
    }

    pub fn life(&self) -> Life {
        self.life
    }

    /// The newest record that it has read.
    pub fn record(&self) -> Option<&Record> {
        self.known.as_ref().map(|known| &known.record)
    }

    pub fn view(&self) -> &View {
        &self.view
    }

    fn epoch(&self) -> Epoch {
        self.record().map_or(Epoch(0), |record| record.epoch)
    }

    fn become_(&mut self, next: Life) {
        if self.life != next {
            assert!(self.life.may_become(next), "{:?} never becomes {next:?}", self.life);
            if next.has_record() && !self.life.has_record() {
                // Until now it has asked nobody for heartbeats, so silence says nothing.
                self.reach.forgive(self.now);
            }
            self.life = next;
        }
    }

    fn exit(&mut self, why: Exit) {
        self.become_(Life::Ended);
        self.effects.extend(self.singleton.follow(None, &self.settings.me.id));
        self.effects.push(Effect::Exit(why));
    }

    fn warn(&mut self, warning: Warning) {
        if self.warned.len() >= MOST_WARNINGS {
            self.warned.clear();
        }
        if self.warned.insert(warning.clone()) {
            self.effects.push(Effect::Warn(warning));
        }
    }

    /// The timers of a node that runs are never late by much. If they were, it was stopped: its silence was its own, what it knows is
    /// old, and what comes out of its network now may be, too.
    fn notice_pause(&mut self) {
        let late = self.now.since(self.beat_at);
        if late <= self.settings.timing.detector.acceptable_pause || self.settings.broken.is(Mutation::PauseNotNoticed)
        {
            return;
        }
        self.effects.push(Effect::Warn(Warning::Paused { ms: late.0 }));
        self.reach.forgive(self.now);
        self.contacts.forget_before(self.now);
        self.asking_since = self.now;
        self.asked_from = self.asked + 1;
        self.view_since = self.now;
        self.unsure_since = Some(self.now).filter(|_| !self.settings.broken.is(Mutation::PauseWithoutLook));
        self.beat_at = self.now;
        self.look_now();
    }

    /// The record that can be gone by just now.
    fn sure_record(&self) -> Option<&Record> {
        let stranded = self.life == Life::Stranded && self.settings.broken.is(Mutation::StrandedGoesOn);
        let sure = (self.life.has_record() || stranded) && self.unsure_since.is_none();
        self.record().filter(|_| sure)
    }

    fn follow_record(&mut self) {
        if self.life != Life::Ended {
            let mut singleton = self.singleton;
            let stays = self.settings.broken.is(Mutation::SingletonNotStopped) && singleton.running().is_some();
            if stays {
                return;
            }
            self.effects.extend(singleton.follow(self.sure_record(), &self.settings.me.id));
            self.singleton = singleton;
        }
    }
}
