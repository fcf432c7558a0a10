//! Who hears whom. Each node accuses those whose heartbeats it misses, and tells the others; a member is unreachable only when
//! enough of those that are heard accuse it, so that a single broken link, or a single sick node, removes nobody.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::detector::Detector;
use crate::ids::{Millis, Moment, NodeId};
use crate::message::Row;
use crate::mutations::{Broken, Mutation};
use crate::record::{MOST_MEMBERS, Member};
use crate::settings::Timing;

/// So many accusers make a member unreachable, if so many are heard at all.
pub const ENOUGH_ACCUSERS: usize = 2;

/// Another member, as this node hears it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Peer {
    detector: Detector,
    accused: bool,
    /// Nobody listens at its address.
    gone: bool,
    /// The newest ping that was sent to it.
    pinged: Option<(u64, Moment)>,
    /// Its newest row, heard from itself or from others, and when that had last advanced.
    row: Option<(Row, Moment)>,
}

impl Peer {
    /// It is not accused before one detection time has passed since its join was read.
    fn new(now: Moment, timing: &Timing) -> Self {
        Self { detector: Detector::new(now, timing), accused: false, gone: false, pinged: None, row: None }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reachability {
    #[serde(with = "pairs")]
    peers: BTreeMap<NodeId, Peer>,
    #[serde(default)]
    broken: Broken,
}

/// What follows from all that was heard.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Heard {
    pub unreachable: BTreeSet<NodeId>,
    pub accusations: BTreeSet<(NodeId, NodeId)>,
    pub gone: BTreeSet<NodeId>,
    /// How long ago each that is heard had reached the store.
    pub store: BTreeMap<NodeId, Millis>,
}

impl Reachability {
    pub fn new(broken: Broken) -> Self {
        Self { broken, ..Self::default() }
    }

    /// Follows the record: those who are new are heard as of now, those who are no members are forgotten.
    pub fn follow(&mut self, members: &[Member], me: &NodeId, now: Moment, timing: &Timing) {
        self.peers.retain(|id, _| members.iter().any(|m| m.id == *id));
        for member in members.iter().filter(|m| m.id != *me) {
            let broken = self.broken;
            self.peers.entry(member.id.clone()).or_insert_with(|| {
                let mut peer = Peer::new(now, timing);
                peer.accused = broken.is(Mutation::NewcomerNotGraced);
                peer
            });
        }
    }

    /// This node was not running: what it did not hear meanwhile says nothing of others.
    pub fn forgive(&mut self, now: Moment) {
        for peer in self.peers.values_mut() {
            peer.detector.forgive(now);
            peer.accused = false;
            peer.pinged = None;
        }
    }

    pub fn pinged(&mut self, to: &NodeId, number: u64, now: Moment) {
        if let Some(peer) = self.peers.get_mut(to) {
            peer.pinged = Some((number, now));
        }
    }

    /// Whether each other member but these has been heard at least once.
    pub fn has_heard_but(&self, unreachable: &BTreeSet<NodeId>) -> bool {
        self.peers.iter().all(|(id, peer)| peer.row.is_some() || unreachable.contains(id))
    }

    /// Whether this was the newest ping to it.
    pub fn was_pinged_by(&self, id: &NodeId, number: u64) -> bool {
        self.peers.get(id).and_then(|peer| peer.pinged).is_some_and(|(sent, _)| sent == number)
    }

    /// An answer to a ping: the way there and back works, and the peer's loop runs. Whether anything changed is told.
    pub fn ponged(&mut self, from: &NodeId, number: u64, progress: u64, now: Moment, timing: &Timing) -> bool {
        let Some(peer) = self.peers.get_mut(from) else { return false };
        // Old traffic that a paused node, or its network, brings up proves nothing.
        let newest = peer.pinged.is_some_and(|(sent, _)| number == sent);
        let wedged = peer
            .row
            .as_ref()
            .is_some_and(|(row, at)| row.progress >= progress && now.since(*at) > timing.heartbeat.times(2));
        if !newest || (wedged && !self.broken.is(Mutation::WedgedLooksHealthy)) {
            return false;
        }
        if self.broken.is(Mutation::PauseNotAccepted) {
            let mut nervous = timing.clone();
            nervous.detector.acceptable_pause = Millis::ZERO;
            peer.detector.heard(now, &nervous);
        } else {
            peer.detector.heard(now, timing);
        }
        let forgiven = !self.broken.is(Mutation::AccusedForever) && std::mem::take(&mut peer.accused);
        std::mem::take(&mut peer.gone) | forgiven
    }

    /// What an observer says, heard from itself or from another. Whether it changes whom it accuses is told.
    pub fn row(&mut self, observer: &NodeId, mut row: Row, now: Moment) -> bool {
        row.accused.truncate(MOST_MEMBERS);
        row.deaf_to.truncate(MOST_MEMBERS);
        let Some(peer) = self.peers.get_mut(observer) else { return false };
        match &mut peer.row {
            Some((old, _)) if row.progress < old.progress => false,
            Some((old, at)) => {
                if row.progress > old.progress {
                    *at = now;
                } else {
                    // The same, perhaps passed on by another and older by that: its age counts from when it was first heard.
                    let since = now.since(*at);
                    let then = row.store.map(|ago| Millis(ago.0.saturating_sub(since.0)));
                    row.store = old.store.into_iter().chain(then).min();
                }
                let changed = row.accused != old.accused || row.deaf_to != old.deaf_to;
                *old = row;
                changed
            }
            none => {
                *none = Some((row, now));
                true
            }
        }
    }

    /// Nobody listens there any more. Whether that is new is told.
    pub fn gone(&mut self, id: &NodeId) -> bool {
        let Some(peer) = self.peers.get_mut(id) else { return false };
        let new = !peer.gone;
        peer.gone = true;
        peer.accused = true;
        new
    }

    /// Accuses those whose silence has become suspicious. Whether there are new ones is told.
    pub fn accuse(&mut self, now: Moment) -> bool {
        let mut new = false;
        for peer in self.peers.values_mut().filter(|p| !p.accused) {
            if now >= peer.detector.suspicious_at() {
                peer.accused = true;
                new = true;
            }
        }
        new
    }

    /// When the next silence becomes suspicious, if it lasts.
    pub fn next(&self) -> Option<Moment> {
        self.peers.values().filter(|p| !p.accused).map(|p| p.detector.suspicious_at()).min()
    }

    /// Whom this node accuses.
    pub fn accused(&self) -> Vec<NodeId> {
        self.peers.iter().filter(|(_, p)| p.accused).map(|(id, _)| id.clone()).collect()
    }

    /// Those of them of whom nothing at all is heard.
    pub fn deaf_to(&self, now: Moment, timing: &Timing) -> Vec<NodeId> {
        let deaf = self.peers.iter().filter(|(_, p)| p.accused && !self.is_fresh(p, now, timing));
        deaf.map(|(id, _)| id.clone()).collect()
    }

    /// The only one that is heard, if it hears nothing of this node, and does not answer it: the way there is broken. Of two, each is then a
    /// side of its own, as if no way led back either, or only the one that hears nothing would claim.
    fn deaf_peer(&self, me: &NodeId, now: Moment, timing: &Timing) -> Option<&NodeId> {
        let mut fresh = self.peers.iter().filter(|(_, p)| self.is_fresh(p, now, timing));
        let (Some((id, peer)), None) = (fresh.next(), fresh.next()) else { return None };
        let told = !self.broken.is(Mutation::DeafnessIgnored);
        let deaf = told && peer.row.as_ref().is_some_and(|(row, _)| row.deaf_to.contains(me));
        Some(id).filter(|_| deaf && peer.accused)
    }

    /// Rows to pass on: of those that are heard, and that somebody who is heard does not hear.
    pub fn relayed(&self, now: Moment, timing: &Timing) -> Vec<(NodeId, Row)> {
        let heard = |p: &&Peer| self.is_fresh(p, now, timing);
        let told = self.peers.values().filter(heard).filter_map(|p| p.row.as_ref());
        let mut missed: BTreeSet<&NodeId> = told.flat_map(|(row, _)| &row.accused).collect();
        missed.extend(self.peers.iter().filter(|(_, p)| p.accused).map(|(id, _)| id));
        // In a whole cluster nobody is accused, and nothing is passed on.
        if missed.is_empty() {
            return Vec::new();
        }
        let fresh = self.peers.iter().filter(|(_, p)| self.is_fresh(p, now, timing) && !p.accused);
        fresh.filter_map(|(id, p)| p.row.as_ref().map(|(row, at)| (id.clone(), aged(row, now.since(*at))))).collect()
    }

    /// Puts together what is heard. `mine` is how long ago this node has reached the store.
    pub fn heard(&self, me: &NodeId, mine: Option<Millis>, now: Moment, timing: &Timing) -> Heard {
        let mut heard = Heard { gone: self.marked(|p| p.gone), ..Heard::default() };
        heard.store.extend(mine.map(|ago| (me.clone(), ago)));
        heard.accusations.extend(self.accused().into_iter().map(|subject| (me.clone(), subject)));
        let mut listened = 1;
        let deaf = self.deaf_peer(me, now, timing);
        for (id, peer) in &self.peers {
            let Some((row, at)) = peer.row.as_ref().filter(|_| self.is_fresh(peer, now, timing)) else { continue };
            listened += usize::from(deaf != Some(id));
            heard.store.extend(row.store.map(|ago| (id.clone(), ago + now.since(*at))));
            let known = |subject: &&NodeId| {
                if *subject == me { deaf != Some(id) } else { self.peers.contains_key(*subject) }
            };
            heard.accusations.extend(row.accused.iter().filter(known).map(|subject| (id.clone(), subject.clone())));
        }
        let enough = if self.broken.is(Mutation::OneAccuserIsEnough) { 1 } else { ENOUGH_ACCUSERS.min(listened) };
        let mut accusers: BTreeMap<&NodeId, usize> = BTreeMap::new();
        for (_, subject) in &heard.accusations {
            *accusers.entry(subject).or_default() += 1;
        }
        let reached = accusers.into_iter().filter(|(_, count)| *count >= enough);
        let unreachable = reached.map(|(subject, _)| subject.clone()).collect();
        heard.unreachable = unreachable;
        heard
    }

    /// When that member has last reached the store, if it is heard just now; `never` if it says that it has not. While it is silent it may
    /// reach the store all the same.
    pub fn stored_at(&self, id: &NodeId, never: Moment, now: Moment, timing: &Timing) -> Option<Moment> {
        let peer = self.peers.get(id).filter(|peer| self.is_fresh(peer, now, timing))?;
        let just_now = |at: Moment| now.since(at) <= timing.heartbeat.times(2);
        let regardless = self.broken.is(Mutation::SilenceIsNoStore);
        let (row, at) = peer.row.as_ref().filter(|(_, at)| just_now(*at) || regardless)?;
        Some(row.store.map_or(never, |ago| *at - ago))
    }

    fn marked(&self, which: impl Fn(&Peer) -> bool) -> BTreeSet<NodeId> {
        self.peers.iter().filter(|(_, p)| which(p)).map(|(id, _)| id.clone()).collect()
    }

    /// Whether it was heard of lately. Shorter than the detection time, so that who is accused for its own silence does not count any more.
    fn is_fresh(&self, peer: &Peer, now: Moment, timing: &Timing) -> bool {
        let lately = timing.heartbeat + timing.detector.acceptable_pause;
        let fresh = |at: Moment| now.since(at) <= lately || self.broken.is(Mutation::RowsForever);
        !peer.gone && peer.row.as_ref().is_some_and(|(_, at)| fresh(*at))
    }
}

/// The row as of now.
fn aged(row: &Row, by: Millis) -> Row {
    Row { store: row.store.map(|ago| ago + by), ..row.clone() }
}

/// A map whose keys are no strings, for JSON.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{NodeId, Peer};

    pub fn serialize<S: Serializer>(map: &BTreeMap<NodeId, Peer>, to: S) -> Result<S::Ok, S::Error> {
        map.iter().collect::<Vec<_>>().serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<NodeId, Peer>, D::Error> {
        Ok(Vec::<(NodeId, Peer)>::deserialize(from)?.into_iter().collect())
    }
}
