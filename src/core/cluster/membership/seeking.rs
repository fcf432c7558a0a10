//! How a newcomer comes in: it joins a cluster that lives, takes over one whose members have all gone, or founds one. What it may do
//! follows from one reading of the store and from who answers it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::effect::Exit;
use crate::ids::{Address, Moment, NodeId};
use crate::membership::standing::is_registered;
use crate::message::{Rejection, Said};
use crate::mutations::Mutation;
use crate::reachability::ENOUGH_ACCUSERS;
use crate::record::{MOST_MEMBERS, Member, Record};
use crate::settings::Settings;
use crate::store::Reading;

/// What came of asking at an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contact {
    Answered { by: NodeId, said: Said },
    Refused,
}

/// What came of asking, by address, and when.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Contacts(BTreeMap<Address, (Contact, Moment)>);

impl Contacts {
    /// More addresses than there can be members are not remembered.
    pub fn note(&mut self, address: Address, contact: Contact, now: Moment) {
        if self.0.len() < 2 * MOST_MEMBERS || self.0.contains_key(&address) {
            self.0.insert(address, (contact, now));
        }
    }

    /// What is older says nothing any more.
    pub fn forget_before(&mut self, moment: Moment) {
        self.0.retain(|_, (_, at)| *at >= moment);
    }

    fn at(&self, address: &Address) -> Option<&Contact> {
        self.0.get(address).map(|(contact, _)| contact)
    }

    fn answers(&self) -> impl Iterator<Item = (&Address, &NodeId, &Said)> {
        self.0.iter().filter_map(|(address, (contact, _))| match contact {
            Contact::Answered { by, said } => Some((address, by, said)),
            Contact::Refused => None,
        })
    }
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Course {
    /// Ask on, and look again.
    Wait,
    Found,
    Join {
        instead_of: Option<NodeId>,
        reaching: BTreeSet<NodeId>,
    },
    TakeOver,
    /// It is welcome, but so many members do not answer it that they would have it removed again.
    Unheard {
        by: Vec<NodeId>,
    },
    /// Somebody tells of a newer record than was read.
    ReadAgain,
    GiveUp(Exit),
}

/// All that a course follows from.
pub struct Situation<'a> {
    pub settings: &'a Settings,
    pub contacts: &'a Contacts,
    /// When the store had answered this node for the first time.
    pub first_answer: Moment,
    /// Since when there is no record; none if there is one.
    pub absent_since: Option<Moment>,
    /// Since when this node asks at the addresses that it asks at now.
    pub asking_since: Moment,
    pub now: Moment,
}

impl Situation<'_> {
    /// Nobody has turned this node down who has a say in it.
    fn rejected(&self, record: Option<&Record>) -> Option<Exit> {
        let me = &self.settings.me;
        for (address, by, said) in self.contacts.answers() {
            let Said::Rejected(rejection) = said else { continue };
            // Once there is a record, its members have the say.
            let counts = record.is_none_or(|record| record.contains(by));
            match rejection {
                Rejection::NameTaken if counts && by.name == me.id.name && by.incarnation != me.id.incarnation => {
                    return Some(Exit::NameTaken { by: by.clone(), at: address.clone() });
                }
                Rejection::OtherCluster { ours } if counts => {
                    let (ours, theirs) = (self.settings.cluster.clone(), ours.clone());
                    return Some(Exit::OtherCluster { ours, theirs });
                }
                Rejection::Versions { ours } if counts => {
                    return Some(Exit::Versions { ours: me.versions, theirs: *ours });
                }
                _ => {}
            }
        }
        None
    }

    /// Where there is no record. The list of seeds is an order: the first founds when all others say that they are no members
    /// either, or after its time; the k-th after k times that. Who is not listed never does.
    pub fn without_record(&self) -> Course {
        if let Some(exit) = self.rejected(None) {
            return Course::GiveUp(exit);
        }
        let (mine, seeds) = (&self.settings.me.address, &self.settings.seeds);
        let Some(absent_since) = self.absent_since else { return Course::Wait };
        if seeds.is_empty() {
            return Course::Found;
        }
        let Some(place) = seeds.iter().position(|seed| seed == mine) else { return Course::Wait };
        let others = || seeds.iter().filter(|seed| *seed != mine);
        let all_refuse = others().all(|seed| matches!(self.contacts.at(seed), Some(Contact::Refused)));
        let no_member = |seed: &Address| match self.contacts.at(seed) {
            Some(Contact::Refused) => true,
            Some(Contact::Answered { said, .. }) => *said == Said::NotMember,
            None => false,
        };
        let none_is_member = place == 0 && others().all(no_member);
        let waited = self.now.since(absent_since) >= self.settings.timing.seed_timeout.times(place as u64 + 1);
        let at_once = self.settings.broken.is(Mutation::FoundedWithoutWait);
        if waited || all_refuse || none_is_member || at_once { Course::Found } else { Course::Wait }
    }

    pub fn with_record(&self, record: &Record, reading: &Reading) -> Course {
        let me = &self.settings.me;
        if let Some(exit) = self.rejected(Some(record)) {
            return Course::GiveUp(exit);
        }
        // Those who have gone do not matter: after an upgrade of all that had lost power there would be no way in.
        let unfit = |m: &&Member| m.id.name != me.id.name && !m.versions.fits(me.versions);
        if let Some(member) = record.members.iter().find(|m| unfit(m) && !self.is_gone(m, reading)) {
            return match self.contacts.at(&member.address) {
                Some(Contact::Answered { by, .. }) if *by == member.id => {
                    Course::GiveUp(Exit::Versions { ours: me.versions, theirs: member.versions })
                }
                _ => Course::Wait,
            };
        }
        let namesake = record.named(&me.id.name);
        let asks = !self.settings.broken.is(Mutation::NamesakeNotAsked);
        if let Some(namesake) = namesake.filter(|n| asks && !self.is_gone(n, reading)) {
            return match self.contacts.at(&namesake.address) {
                Some(Contact::Answered { by, .. }) if *by == namesake.id => {
                    Course::GiveUp(Exit::NameTaken { by: by.clone(), at: namesake.address.clone() })
                }
                _ => Course::Wait,
            };
        }
        let others: Vec<&Member> = record.members.iter().filter(|m| m.id.name != me.id.name).collect();
        let mut reaching = BTreeSet::new();
        let mut welcome = record.members.is_empty();
        for member in &others {
            let Some(Contact::Answered { by, said }) = self.contacts.at(&member.address) else { continue };
            let Said::Welcome { epoch, reaching: told } = said else { continue };
            if *by != member.id {
                continue;
            }
            if *epoch > record.epoch {
                return Course::ReadAgain;
            }
            welcome = true;
            reaching.extend(told.iter().cloned());
        }
        let unheard: Vec<NodeId> =
            others.iter().filter(|member| self.is_silent(member, reading)).map(|member| member.id.clone()).collect();
        // There is no room in any case.
        let full = namesake.is_none() && record.members.len() >= MOST_MEMBERS;
        let regardless = full || self.settings.broken.is(Mutation::JoinsUnheard);
        if welcome && unheard.len() >= ENOUGH_ACCUSERS && !regardless {
            return if self.has_asked() { Course::Unheard { by: unheard } } else { Course::Wait };
        }
        if welcome {
            return Course::Join { instead_of: namesake.map(|n| n.id.clone()), reaching };
        }
        let all_gone = others.iter().all(|member| self.is_gone(member, reading));
        if all_gone && (self.has_asked() || self.settings.exclusive_store) { Course::TakeOver } else { Course::Wait }
    }

    /// Everyone gets time to answer before nobody's answer counts.
    fn has_asked(&self) -> bool {
        self.now.since(self.asking_since) >= self.settings.timing.heartbeat.times(4)
    }

    /// It does not answer, and as far as can be known it lives.
    fn is_silent(&self, member: &Member, reading: &Reading) -> bool {
        let answers =
            matches!(self.contacts.at(&member.address), Some(Contact::Answered { by, .. }) if *by == member.id);
        !answers && !self.is_gone(member, reading)
    }

    /// Whether that run of a node has certainly ended, or cannot come back as a member before it has read the record.
    fn is_gone(&self, member: &Member, reading: &Reading) -> bool {
        if self.settings.exclusive_store || member.address == self.settings.me.address {
            return true;
        }
        match self.contacts.at(&member.address) {
            // Also a firewall may reject, and who has taken over would be taken over the same way: who is registered lives.
            Some(Contact::Refused) => return !is_registered(reading, &member.id),
            Some(Contact::Answered { by, .. }) if *by == member.id => return false,
            Some(Contact::Answered { by, .. }) if by.name == member.id.name => return true,
            // Nobody, or some other node that has its address now.
            _ => {}
        }
        if self.settings.broken.is(Mutation::SilenceIsProof) {
            return true;
        }
        let waited = self.now.since(self.first_answer) >= self.settings.timing.session_timeout;
        let asks = !self.settings.broken.is(Mutation::RegistrationIgnored);
        waited && !(asks && is_registered(reading, &member.id))
    }
}
