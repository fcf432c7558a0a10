//! Talking to other nodes: heartbeats between members, questions of newcomers.

use super::{Life, Node};
use crate::decision::View;
use crate::effect::{Effect, Warning};
use crate::ids::{Address, ClusterId, Epoch, Millis, Moment, NodeId};
use crate::membership::seeking::Contact;
use crate::message::{Body, Gossip, Hello, Message, Rejection, Row, Said};
use crate::mutations::Mutation;
use crate::record::MOST_MEMBERS;
use crate::settings::Settings;

/// Messages make it look at the record no more often than this.
const MESSAGES_LOOK_EACH: Millis = Millis(50);

impl Node {
    fn send(&mut self, to: Address, body: Body) {
        let cluster_id = self.record().filter(|_| self.life.has_record()).map(|record| record.cluster_id.clone());
        let message = Message { from: self.id().clone(), address: self.settings.me.address.clone(), cluster_id, body };
        self.effects.push(Effect::Send { to, message });
    }

    /// Once each heartbeat: members ping, newcomers ask.
    pub(super) fn beat(&mut self) {
        let due = self.now >= self.beat_at;
        let new = self.life.has_record() && self.reach.accuse(self.now);
        if due {
            self.beat_at = self.now + self.settings.timing.heartbeat;
        }
        if due || new {
            self.progress += 1;
            self.look_around();
        }
        match self.life {
            Life::Member | Life::Leaving if due || new => self.ping_all(),
            Life::Seeking if due => self.ask_around(),
            _ => {}
        }
    }

    fn ping_all(&mut self) {
        let gossip = self.gossip();
        for (id, address) in self.others() {
            self.pings += 1;
            self.reach.pinged(&id, self.pings, self.now);
            self.send(address, Body::Ping { number: self.pings, to: id, gossip: gossip.clone() });
        }
    }

    fn ask_around(&mut self) {
        let mut addresses = self.settings.seeds.clone();
        addresses.extend(self.others().into_iter().map(|(_, address)| address));
        addresses.sort();
        addresses.dedup();
        addresses.retain(|address| *address != self.settings.me.address);
        self.asked += 1;
        let Settings { cluster, me, seeds, .. } = &self.settings;
        let (cluster, versions, seeds) = (cluster.clone(), me.versions, seeds.clone());
        let hello = Hello { number: self.asked, cluster, versions, seeds };
        for address in addresses {
            self.send(address, Body::Hello(hello.clone()));
        }
    }

    pub(super) fn tell_members(&mut self, body: &Body) {
        for (_, address) in self.others() {
            self.send(address, body.clone());
        }
    }

    fn others(&self) -> Vec<(NodeId, Address)> {
        let members = self.record().map(|record| record.members.as_slice()).unwrap_or_default();
        members.iter().filter(|m| m.id != *self.id()).map(|m| (m.id.clone(), m.address.clone())).collect()
    }

    fn gossip(&self) -> Gossip {
        let timing = &self.settings.timing;
        let (accused, deaf_to) = (self.reach.accused(), self.reach.deaf_to(self.now, timing));
        let row = Row { progress: self.progress, accused, deaf_to, store: self.stored_ago() };
        Gossip { epoch: self.epoch(), row, relayed: self.reach.relayed(self.now, timing) }
    }

    pub(super) fn stored_ago(&self) -> Option<Millis> {
        self.stored_at.map(|at| self.now.since(at))
    }

    pub(super) fn heard(&mut self, message: Message) {
        let Message { from, address, cluster_id, body } = message;
        if from == *self.id() {
            if address != self.settings.me.address {
                self.warn(Warning::TwoSpeakAs { id: from, at: address });
            }
            return;
        }
        match body {
            Body::Ping { number, to, gossip } => {
                // Also a newcomer answers, from before it has joined; and who is asked for an earlier run of its name says who it is.
                // What was meant for that may be old, and says nothing.
                if to == *self.id() {
                    self.take_gossip(&from, gossip, cluster_id.as_ref());
                }
                let mute = self.settings.broken.is(Mutation::NewcomerIsMute) && !self.life.has_record();
                if to.name == self.id().name && !mute {
                    let gossip = self.gossip();
                    self.send(address, Body::Pong { number, gossip });
                }
            }
            Body::Pong { number, gossip } => {
                self.notice_successor(&from, &address, number);
                let progress = gossip.row.progress;
                self.take_gossip(&from, gossip, cluster_id.as_ref());
                if self.reach.ponged(&from, number, progress, self.now, &self.settings.timing) {
                    self.look_around();
                }
            }
            Body::Hello(hello) => self.greet(&from, address, &hello),
            Body::Answer { number, seeds, said } => {
                self.compare_seeds(&from, seeds);
                self.note(address, from, number, said);
            }
            Body::Changed { epoch } => self.told_of(epoch, cluster_id.as_ref()),
        }
    }

    /// Only answers to what was asked lately count: a node that was stopped, or its network, may bring up old ones.
    fn note(&mut self, address: Address, by: NodeId, number: u64, said: Said) {
        let lately = number >= self.asked_from && number <= self.asked && number.saturating_add(4) > self.asked;
        if self.life == Life::Seeking && lately {
            let news = Contact::Answered { by, said };
            self.contacts.note(address, news, self.now);
        }
    }

    /// Somebody knows of a newer record: it may be that a follower which lags was read, so the next look is a confirmed one.
    fn told_of(&mut self, epoch: Epoch, cluster_id: Option<&ClusterId>) {
        let ours = self.record().map(|record| &record.cluster_id);
        if cluster_id.is_some() && cluster_id == ours && epoch > self.epoch() {
            self.confirm = true;
            // However often it is told, it does not look all the time.
            let soon = self.looked_at + MESSAGES_LOOK_EACH;
            self.look_at = self.look_at.min(soon.max(self.now));
        }
    }

    fn take_gossip(&mut self, from: &NodeId, gossip: Gossip, cluster_id: Option<&ClusterId>) {
        self.told_of(gossip.epoch, cluster_id);
        // A run that is no member says nothing of others: it may have been removed, and speak from the past.
        if !self.record().is_some_and(|record| record.contains(from)) {
            self.notice_ahead(from, &gossip, cluster_id);
            return;
        }
        let mut changed = self.reach.row(from, gossip.row, self.now);
        for (observer, row) in gossip.relayed.into_iter().take(MOST_MEMBERS) {
            changed |= self.reach.row(&observer, row, self.now);
        }
        if changed && self.life.has_record() {
            self.look_around();
        }
    }

    /// One that this node does not know has read a later record: it has joined since, if this node cannot read that.
    fn notice_ahead(&mut self, from: &NodeId, gossip: &Gossip, cluster_id: Option<&ClusterId>) {
        let ours = self.record().map(|record| &record.cluster_id);
        let ahead = cluster_id.is_some() && cluster_id == ours && gossip.epoch > self.epoch();
        if ahead && self.goes_on(from, gossip.row.progress) {
            let at = gossip.row.store.map(|ago| self.now - ago);
            self.ahead_stored = self.ahead_stored.max(at);
        }
    }

    /// Whether a run that this node does not know has come further than it had when it was last heard of.
    fn goes_on(&mut self, run: &NodeId, progress: u64) -> bool {
        let before = self.ahead.iter().position(|(id, _)| id == run).map(|at| self.ahead.remove(at).1);
        self.ahead.truncate(MOST_MEMBERS - 1);
        self.ahead.insert(0, (run.clone(), before.map_or(progress, |before| before.max(progress))));
        before.is_none_or(|before| progress > before)
    }

    /// A newer run answers at the place of one that the record names: that one has ended.
    fn notice_successor(&mut self, from: &NodeId, address: &Address, number: u64) {
        let Some(record) = self.record() else { return };
        let before = record.named(&from.name).filter(|m| m.id != *from && m.address == *address);
        let before = before.map(|m| m.id.clone());
        let any = self.settings.broken.is(Mutation::StaleAnswerIsProof);
        if let Some(id) = before.filter(|id| any || self.reach.was_pinged_by(id, number)) {
            self.lost_process(&id);
        }
    }

    pub(super) fn refused(&mut self, address: Address) {
        if self.life == Life::Seeking {
            self.contacts.note(address, Contact::Refused, self.now);
            return;
        }
        let at = self.others().into_iter().find(|(_, theirs)| *theirs == address);
        if let Some((id, _)) = at {
            self.lost_process(&id);
        }
    }

    fn lost_process(&mut self, id: &NodeId) {
        if self.life.has_record() && self.reach.gone(id) {
            self.look_around();
            self.progress += 1;
            self.ping_all();
        }
    }

    /// A newcomer is told whether it fits, and by a member that it may come.
    fn greet(&mut self, from: &NodeId, address: Address, hello: &Hello) {
        let Settings { cluster, me, seeds, .. } = &self.settings;
        let rejection = if hello.cluster != *cluster {
            Some(Rejection::OtherCluster { ours: cluster.clone() })
        } else if !hello.versions.fits(me.versions) {
            Some(Rejection::Versions { ours: me.versions })
        } else if from.name == me.id.name && self.life.has_record() {
            Some(Rejection::NameTaken)
        } else {
            None
        };
        let (number, seeds) = (hello.number, seeds.clone());
        let said = match rejection {
            Some(rejection) => Said::Rejected(rejection),
            None if self.life == Life::Member => {
                Said::Welcome { epoch: self.epoch(), reaching: self.view.reaching.iter().cloned().collect() }
            }
            None => Said::NotMember,
        };
        self.compare_seeds(from, hello.seeds.clone());
        self.send(address, Body::Answer { number, seeds, said });
    }

    fn compare_seeds(&mut self, of: &NodeId, theirs: Vec<Address>) {
        if theirs != self.settings.seeds {
            let ours = self.settings.seeds.clone();
            self.warn(Warning::Seeds { ours, theirs, of: of.clone() });
        }
    }

    /// Puts together what is heard of the members; whoever counts on the view counts from its last change.
    pub(super) fn look_around(&mut self) {
        let Some(known) = &self.known else { return };
        let (me, timing) = (&self.settings.me.id, &self.settings.timing);
        let heard = self.reach.heard(me, self.stored_ago(), self.now, timing);
        let fresh = timing.store_fresh();
        let view = View {
            epoch: known.record.epoch,
            members: known.record.members.iter().map(|m| m.id.clone()).collect(),
            owner: known.record.owner.clone(),
            reaching: heard.store.iter().filter(|(_, ago)| **ago <= fresh).map(|(id, _)| id.clone()).collect(),
            unreachable: heard.unreachable,
            accusations: heard.accusations,
            gone: heard.gone,
        };
        let keeps = self.settings.broken.is(Mutation::ViewChangeKeepsClock) && !self.view.unreachable.is_empty();
        if view.unreachable != self.view.unreachable && !keeps {
            self.view_since = self.now;
        }
        self.view = view;
    }

    /// When a member has last reached the store, by this node's clock, if it is heard.
    pub(super) fn stored_lately(&self, id: &NodeId) -> Option<Moment> {
        self.reach.stored_at(id, self.known_since, self.now, &self.settings.timing)
    }
}
