//! Events: which objects a batch of changes is about, where a reader may go on after each, and who wants to hear of it.

use std::collections::HashMap;

use super::contexts::ContextRecord;
use super::jobs::JobRecord;
use super::keys;

/// A kind of object that events are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Job,
    Context,
    Binary,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Job, Self::Context, Self::Binary];

    pub fn name(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Context => "context",
            Self::Binary => "binary",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// An object that changed, or went away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    pub kind: Kind,
    /// Of jobs and contexts the id, of binaries the name.
    pub id: String,
    /// Where a reader goes on who has heard of this and of all before it. `None` while more of the same revision follows:
    /// who was cut off there hears all of that revision again.
    pub cursor: Option<u64>,
}

/// A context as a reader calls it, which may be a name or an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedContext {
    /// The full name, if it is a name.
    pub name: String,
    pub id: String,
}

impl WantedContext {
    fn is(&self, name: &str, id: &str) -> bool {
        self.name == name || self.id == id
    }
}

/// What the reader wants to hear of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub kinds: Vec<Kind>,
    pub context: Option<WantedContext>,
    pub job: Option<String>,
    /// Names of states; empty is any.
    pub states: Vec<String>,
}

impl Filter {
    /// Whether any object of this kind and id may be wanted, as far as its key tells.
    pub fn may_want(&self, kind: Kind, id: &str) -> bool {
        self.kinds.contains(&kind)
            && match kind {
                Kind::Job => self.job.as_deref().is_none_or(|job| job == id),
                Kind::Context => self.job.is_none(),
                Kind::Binary => self.job.is_none() && self.context.is_none() && self.states.is_empty(),
            }
    }

    /// Of an object that is gone, only its id is known.
    pub fn wants_removed(&self, kind: Kind, id: &str) -> bool {
        self.may_want(kind, id) && self.states.is_empty() && (self.context.is_none() || self.job.is_some())
    }

    pub fn wants_job(&self, job: &JobRecord) -> bool {
        self.may_want(Kind::Job, &job.id)
            && self.context.as_ref().is_none_or(|wanted| wanted.is(&job.context, &job.context_id))
            && self.wants_state(job.state.name())
    }

    pub fn wants_context(&self, context: &ContextRecord) -> bool {
        self.may_want(Kind::Context, &context.id)
            && self.context.as_ref().is_none_or(|wanted| wanted.is(&context.name, &context.id))
            && self.wants_state(context.state.name())
    }

    fn wants_state(&self, state: &str) -> bool {
        self.states.is_empty() || self.states.iter().any(|wanted| wanted.eq_ignore_ascii_case(state))
    }
}

/// The objects of a batch of changes (key and revision, in order) that may be wanted, each once, at its last change.
pub fn touched<'a>(changes: impl Iterator<Item = (&'a str, u64)>, filter: &Filter) -> Vec<Touched> {
    let mut last: HashMap<(Kind, String), u64> = HashMap::new();
    for (key, revision) in changes {
        if let Some((kind, id)) = object_of(key)
            && filter.may_want(kind, &id)
        {
            last.insert((kind, id), revision);
        }
    }
    let mut in_order: Vec<((Kind, String), u64)> = last.into_iter().collect();
    in_order.sort_by(|a, b| (a.1, &a.0.1).cmp(&(b.1, &b.0.1)));
    let next: Vec<Option<u64>> = in_order.iter().skip(1).map(|(_, revision)| Some(*revision)).chain([None]).collect();
    let touched = |(((kind, id), revision), next): (((Kind, String), u64), Option<u64>)| Touched {
        kind,
        id,
        cursor: (next != Some(revision)).then_some(revision),
    };
    in_order.into_iter().zip(next).map(touched).collect()
}

/// The object whose record stands under the key.
fn object_of(key: &str) -> Option<(Kind, String)> {
    if let Some(id) = key.strip_prefix(keys::JOBS) {
        return Some((Kind::Job, id.to_owned()));
    }
    if let Some(id) = key.strip_prefix(keys::CONTEXTS) {
        return Some((Kind::Context, id.to_owned()));
    }
    let name = key.strip_prefix(keys::BINARIES)?;
    Some((Kind::Binary, name.replace("%2F", "/").replace("%25", "%")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Filter {
        Filter { kinds: Kind::ALL.to_vec(), ..Filter::default() }
    }

    fn context(said: &str) -> Option<WantedContext> {
        Some(WantedContext { name: format!("ann~{said}"), id: said.into() })
    }

    fn told(changes: &[(&str, u64)], filter: &Filter) -> Vec<(String, Option<u64>)> {
        touched(changes.iter().copied(), filter).into_iter().map(|t| (t.id, t.cursor)).collect()
    }

    fn job(context: &str, state: &str) -> JobRecord {
        let record = serde_json::json!({
            "id": "j", "class-path": "a.B", "context": context, "context-id": "cid", "attempt": 1, "state": state,
            "started-ms": 0, "binaries": [], "principal": "p",
        });
        serde_json::from_value(record).unwrap()
    }

    #[test]
    fn only_records_are_objects_and_indexes_are_not() {
        let changes =
            [("jobs-active/1", 1), ("jobs/1", 1), ("binaries/a%2Fb%25", 2), ("contexts/c", 3), ("contexts-live/c", 3)];
        let expected = [("1".into(), Some(1)), ("a/b%".into(), Some(2)), ("c".into(), Some(3))];
        assert_eq!(told(&changes, &all()), expected);
    }

    #[test]
    fn an_object_that_changed_twice_is_told_once_at_its_last_change() {
        let changes = [("jobs/1", 1), ("jobs/2", 2), ("jobs/1", 3)];
        assert_eq!(told(&changes, &all()), [("2".into(), Some(2)), ("1".into(), Some(3))]);
    }

    #[test]
    fn within_one_revision_only_the_last_is_a_place_to_go_on_from() {
        let changes = [("jobs/1", 5), ("jobs/2", 5), ("jobs/3", 5), ("jobs/4", 6)];
        let cursors: Vec<_> = told(&changes, &all()).into_iter().map(|(_, cursor)| cursor).collect();
        assert_eq!(cursors, [None, None, Some(5), Some(6)]);
    }

    #[test]
    fn filters_are_by_kind_job_context_and_state() {
        let only = |change: fn(&mut Filter)| {
            let mut filter = all();
            change(&mut filter);
            filter
        };
        let running = job("ann~c", "RUNNING");
        assert!(all().wants_job(&running));
        assert!(only(|f| f.context = context("c")).wants_job(&running));
        assert!(only(|f| f.context = context("cid")).wants_job(&running));
        assert!(!only(|f| f.context = context("d")).wants_job(&running));
        assert!(only(|f| f.states = vec!["running".into()]).wants_job(&running));
        assert!(!only(|f| f.states = vec!["ERROR".into()]).wants_job(&running));
        assert!(!only(|f| f.kinds = vec![Kind::Context]).wants_job(&running));
        let of_job = only(|f| f.job = Some("other".into()));
        assert!(!of_job.wants_job(&running) && !of_job.may_want(Kind::Context, "c"));
    }

    #[test]
    fn of_what_is_gone_only_the_id_can_be_wanted() {
        assert!(all().wants_removed(Kind::Job, "1"));
        let of_context = Filter { context: context("c"), ..all() };
        assert!(!of_context.wants_removed(Kind::Job, "1"));
        let of_job = Filter { job: Some("1".into()), ..all() };
        assert!(of_job.wants_removed(Kind::Job, "1") && !of_job.wants_removed(Kind::Job, "2"));
        let of_state = Filter { states: vec!["ERROR".into()], ..all() };
        assert!(!of_state.wants_removed(Kind::Job, "1"));
    }
}
