//! What happened, in sentences.

use std::collections::BTreeMap;

use doyen_cluster::decision::{Action, Because, Decision};
use doyen_cluster::effect::{Exit, Status, Warning};
use doyen_cluster::ids::NodeId;
use doyen_cluster::node::Life;
use doyen_cluster::record::{MemberState, Record};

use super::{Kind, Moment, Time};
use crate::plan::{HostNo, Plan, name};
use crate::trace::{Line, Note};

/// Runs of nodes by short names: `A`, and `A(2)` after it has started again.
pub struct Names(BTreeMap<NodeId, (HostNo, usize)>);

impl Names {
    pub fn of(trace: &[Line]) -> Self {
        let mut runs: BTreeMap<HostNo, usize> = BTreeMap::new();
        let mut out = BTreeMap::new();
        for line in trace {
            if let (Note::Started(id) | Note::Reincarnated(id), Some(host)) = (&line.note, line.host) {
                let run = runs.entry(host).or_default();
                *run += 1;
                out.insert(id.clone(), (host, *run));
            }
        }
        Self(out)
    }

    pub fn host(&self, id: &NodeId) -> Option<HostNo> {
        self.0.get(id).map(|(host, _)| *host)
    }

    pub fn short(&self, id: &NodeId) -> String {
        match self.0.get(id) {
            Some((host, 1)) => name(*host),
            Some((host, run)) => format!("{}({run})", name(*host)),
            None => id.to_string(),
        }
    }

    /// By the names that dumps of flight recorders give them.
    pub fn all(&self) -> BTreeMap<String, String> {
        self.0.keys().map(|id| (id.to_string(), self.short(id))).collect()
    }

    fn list<'a>(&self, ids: impl IntoIterator<Item = &'a NodeId>) -> String {
        let all: Vec<String> = ids.into_iter().map(|id| self.short(id)).collect();
        match all.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
            None => "nobody".into(),
        }
    }
}

/// Tells what happened to each; changes of a status are told, not each status.
pub fn moments(plan: &Plan, trace: &[Line], time: &Time, names: &Names) -> Vec<Moment> {
    let mut teller = Teller { names, before: vec![Before::default(); plan.hosts.len()], members: Vec::new() };
    let mut out = Vec::new();
    for line in trace {
        let at_ms = time.ms(line.at_us);
        if let Note::Committed(record) = &line.note {
            teller.members = record.members.iter().map(|member| member.id.clone()).collect();
        }
        let told = match line.host {
            Some(host) => teller.of_node(plan, host, &line.note),
            None => whole(&line.note, names).into_iter().collect(),
        };
        let node = line.host.map(name);
        out.extend(told.into_iter().map(|(kind, what)| Moment { at_ms, node: node.clone(), kind, what }));
    }
    without_passing(out)
}

/// While a silence becomes certain, links seem broken for which somebody is removed in the end.
fn without_passing(all: Vec<Moment>) -> Vec<Moment> {
    let passes = |at: usize| {
        let this = &all[at];
        let soon = all[at + 1..].iter().take_while(|later| later.at_ms < this.at_ms + 1000);
        let mut own = soon.filter(|later| later.node == this.node);
        own.any(|later| matches!(later.kind, Kind::Accusation | Kind::Stop) || later.what == this.what)
    };
    let keep: Vec<bool> = (0..all.len()).map(|at| all[at].kind != Kind::Indirect || !passes(at)).collect();
    all.into_iter().zip(keep).filter_map(|(moment, keep)| keep.then_some(moment)).collect()
}

fn whole(note: &Note, names: &Names) -> Option<(Kind, String)> {
    match note {
        Note::Struck(fault) => Some((Kind::Fault, format!("*** {fault}"))),
        Note::Healed => Some((Kind::Fault, "*** all faults end".into())),
        Note::Committed(record) => {
            Some((Kind::Change, format!("the operator restores the record: {}", brief(record, names))))
        }
        Note::Violated(what) => Some((Kind::Violation, format!("!!! violated: {what}"))),
        _ => None,
    }
}

/// What was last told of a host's process.
#[derive(Debug, Clone, Default)]
struct Before {
    status: Option<Status>,
    accuses: Vec<NodeId>,
}

struct Teller<'a> {
    names: &'a Names,
    before: Vec<Before>,
    /// By the record.
    members: Vec<NodeId>,
}

impl Teller<'_> {
    fn of_node(&mut self, plan: &Plan, host: HostNo, note: &Note) -> Vec<(Kind, String)> {
        let me = name(host);
        let one = |kind, what: String| vec![(kind, format!("{me} {what}"))];
        match note {
            Note::Started(id) | Note::Reincarnated(id) => {
                self.before[host] = Before::default();
                let run = self.names.short(id);
                let again = if run == me { String::new() } else { format!(" again, as {run}") };
                let named = &plan.hosts[host].name;
                let named = if *named == me { String::new() } else { format!("; its name is {named}") };
                let how = if matches!(note, Note::Started(_)) { "starts" } else { "begins anew in the same process" };
                one(Kind::Start, format!("{how}{again}{named}"))
            }
            Note::Exited(exit) => one(Kind::Stop, self.exit(exit)),
            Note::Accuses(whom) => self.accuses(host, whom),
            Note::Decided(decision) => one(Kind::Claim, self.decided(decision)),
            Note::Status(status) => self.status(host, status),
            Note::Warned(warning) => one(Kind::Other, warned(warning, self.names)),
            Note::Committed(record) => {
                vec![(Kind::Change, format!("the store takes {me}'s change: {}", brief(record, self.names)))]
            }
            Note::Refused(_) => vec![(Kind::Refusal, format!("the store refuses {me}'s change: another came first"))],
            Note::Runs(term) => one(Kind::Owner, format!("runs the singleton, in term {term}")),
            Note::Stops(term) => one(Kind::Owner, format!("stops the singleton of term {term}")),
            Note::SessionOver(id) => {
                vec![(Kind::Other, format!("the store lets the session of {} expire", self.names.short(id)))]
            }
            _ => Vec::new(),
        }
    }

    fn accuses(&mut self, host: HostNo, whom: &[NodeId]) -> Vec<(Kind, String)> {
        let before = std::mem::replace(&mut self.before[host].accuses, whom.to_vec());
        let new: Vec<&NodeId> = whom.iter().filter(|id| !before.contains(id)).collect();
        // A removed member is no longer accused, and is not heard for that.
        let heard: Vec<&NodeId> = before.iter().filter(|id| !whom.contains(id) && self.members.contains(id)).collect();
        let mut out = Vec::new();
        if !new.is_empty() {
            out.push((Kind::Accusation, format!("{} does not hear {}, and accuses", name(host), self.names.list(new))));
        }
        if !heard.is_empty() {
            out.push((Kind::Other, format!("{} no longer accuses {}", name(host), self.names.list(heard))));
        }
        out
    }

    fn status(&mut self, host: HostNo, status: &Status) -> Vec<(Kind, String)> {
        let before = self.before[host].status.replace(status.clone());
        let mut out = Vec::new();
        let mut say = |kind, what: String| out.push((kind, format!("{} {what}", name(host))));
        let old = |ids: fn(&Status) -> &Vec<NodeId>| before.as_ref().map(|b| ids(b).clone()).unwrap_or_default();
        let new: Vec<&NodeId> = status.unreachable.iter().filter(|id| !old(|s| &s.unreachable).contains(id)).collect();
        if !new.is_empty() {
            say(Kind::Accusation, format!("holds {} to be unreachable", self.names.list(new)));
        }
        let new: Vec<&NodeId> = status.indirect.iter().filter(|id| !old(|s| &s.indirect).contains(id)).collect();
        if !new.is_empty() && status.unreachable.is_empty() {
            say(
                Kind::Indirect,
                format!("shows a broken link of {}, for which nobody is removed", self.names.list(new)),
            );
        }
        let Some(before) = before.filter(|before| before.life == status.life) else { return out };
        match (before.ready, status.ready) {
            (true, false) => say(Kind::Other, "is not ready: it is not to be sent requests".into()),
            (false, true) => say(Kind::Other, "is ready again".into()),
            _ => {}
        }
        let is_member = matches!(status.life, Life::Member | Life::Leaving);
        match (is_member && before.store_reached, is_member && status.store_reached) {
            (true, false) => say(Kind::Other, "does not reach the store".into()),
            (false, true) => say(Kind::Other, "reaches the store again".into()),
            _ => {}
        }
        out
    }

    fn decided(&self, decision: &Decision) -> String {
        let what = match &decision.action {
            Action::Found => "founds the cluster".into(),
            Action::Join => "joins".into(),
            Action::Rejoin { instead_of } => format!("joins in the place of {}", self.names.short(instead_of)),
            Action::TakeOver => "takes over: all members have gone".into(),
            Action::Remove { members, owner } => {
                format!("CLAIMS the cluster without {}, owner {}", self.names.list(members), self.names.short(owner))
            }
            Action::MoveOwner { to } => format!("CLAIMS the singleton for {}", self.names.short(to)),
            Action::BeginToLeave => "begins to leave".into(),
            Action::Leave => "leaves".into(),
            Action::StandDown => "stands down: the record is without it".into(),
            Action::Strand => "strands: it neither claims nor creates until an operator has restored the record".into(),
        };
        let waited = decision.stable;
        match &decision.because {
            Because::Rule => what,
            Because::OwnerGone => format!("{what}: the owner's process is gone"),
            Because::OwnerLostStore => {
                format!("{what}: the owner does not reach the store, and {} does", self.names.short(&decision.by))
            }
            because => format!("{what}: {because}; the same view for {}", super::seconds(super::signed(waited.0))),
        }
    }

    fn exit(&self, exit: &Exit) -> String {
        match exit {
            Exit::Left => "ends: it has left".into(),
            Exit::Removed { epoch } => {
                format!("STOPS: epoch {epoch} is without it; its supervisor will start it again")
            }
            Exit::NameTaken { by, .. } => format!("stops: {} lives and has its name", self.names.short(by)),
            Exit::OtherCluster { .. } => "stops: the record is of a cluster of another name".into(),
            Exit::Versions { .. } => "stops: its version does not fit the cluster's".into(),
            Exit::Full => "stops: the cluster has as many members as it may have".into(),
        }
    }
}

fn warned(warning: &Warning, names: &Names) -> String {
    match warning {
        Warning::Seeds { of, .. } => format!("warns: {} has another list of seeds", names.short(of)),
        Warning::RecordLost { why } => format!("warns: the record is lost: {why}"),
        Warning::FenceMissing { term } => format!("warns: the fence of term {term} is missing"),
        Warning::FencesLeft { highest } => format!("warns: there are fences up to term {highest}, and no record"),
        Warning::Paused { ms } => format!("notices that it stood still for {}", super::seconds(super::signed(*ms))),
        Warning::TwoSpeakAs { id, .. } => format!("warns: two nodes say that they are {}", names.short(id)),
        Warning::Unheard { by } => {
            let by: Vec<String> = by.iter().map(|id| names.short(id)).collect();
            format!("stays outside: it is not heard by {}", by.join(" and "))
        }
    }
}

/// A record in a few words.
fn brief(record: &Record, names: &Names) -> String {
    let members: Vec<String> = record
        .members
        .iter()
        .map(|m| names.short(&m.id) + if m.state == MemberState::Leaving { " (leaving)" } else { "" })
        .collect();
    let members = if members.is_empty() { "nobody".into() } else { members.join(" ") };
    let owner = record.owner.as_ref().map_or("none".into(), |owner| names.short(owner));
    format!("epoch {}, term {}: {members}; owner {owner}", record.epoch, record.term)
}
