//! A small store that is sound, damaged by hand in each way that is told.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;

const BLOB: &str = "ab";

/// A store of a few entries, by key.
#[derive(Clone)]
struct Small(BTreeMap<String, Stored>);

fn blob() -> Value {
    json!({"sha256": BLOB.repeat(32), "size_bytes": 7})
}

fn job(id: &str, state: &str) -> Value {
    json!({"id": id, "class-path": "a.B", "context": "c", "context-id": "c1", "attempt": 1, "state": state, "started-ms": 1,
        "binaries": [{"name": "b/b", "type": "Wheel", "content": blob(), "uploaded": true}], "principal": "p"})
}

fn with(mut value: Value, more: &Value) -> Value {
    let more = more.as_object().unwrap().clone();
    value.as_object_mut().unwrap().extend(more);
    value
}

fn context(id: &str, name: &str, state: &str) -> Value {
    json!({"id": id, "name": name, "kind": "python", "state": state, "started-ms": 1, "settings": "{}", "max-jobs": 8,
        "principal": "p", "attempt": 1, "secret-hash": ""})
}

impl Small {
    fn sound() -> Self {
        let mut small = Self(BTreeMap::new());
        small.put(
            "binaries/b%2Fb",
            &json!({"name": "b/b", "type": "Wheel", "content": blob(), "uploaded_ms": 1, "principal": "p"}),
        );
        small.put("contexts/c1", &context("c1", "c", "RUNNING"));
        small.put("context-names/c", &json!({"context-id": "c1", "live": true}));
        small.put("attachments/c1", &json!({"attempt": 1, "node": "n"}));
        small.put("contexts/c0", &context("c0", "c", "FINISHED"));
        small.put("contexts/d1", &context("d1", "d", "FINISHED"));
        small.put("context-names/d", &json!({"context-id": "d1", "live": false}));
        let done = json!({"result": "inline", "ended-ms": 2, "log": blob(), "callback": "http://h/x"});
        small.put("jobs/1", &with(job("1", "FINISHED"), &done));
        small.put("jobs/2", &with(job("2", "ERROR"), &json!({"result": {"blob": blob()}, "ended-ms": 2})));
        small.put("jobs/3", &job("3", "STARTED"));
        small.put("jobs/4", &with(job("4", "STARTED"), &json!({"queued": {}})));
        let waiting = json!({"target": "h:80", "state": "waiting", "due-ms": 9, "round-began-ms": 1, "round-attempts": 0, "attempts": 0});
        small.put("job-callbacks/1", &waiting);
        small.put("job-timelines/1", &json!({"marks": []}));
        small.put("idempotency/k", &json!({"principal": "p", "fingerprint": {"request": "", "body": ""}, "created-ms": 5, "effect": "binary-stored"}));
        small.put(
            "tokens/t",
            &json!({"id": "t", "sha256": "", "principal": "p", "permissions": [], "created-ms": 1, "expires-ms": 2}),
        );
        for id in 1..=4 {
            small.set(&format!("job-configs/{id}"), b"{}");
        }
        small.set("job-results/1", b"42");
        for entry in MARKS {
            small.set(entry, b"");
        }
        small
    }

    fn put(&mut self, key: &str, value: &Value) {
        self.set(key, value.to_string().as_bytes());
    }

    fn set(&mut self, key: &str, value: &[u8]) {
        let version = self.0.len() as u64 + 1;
        self.0.insert(key.to_owned(), Stored { version, value: Bytes::copy_from_slice(value) });
    }

    /// The record with other members.
    fn change(mut self, key: &str, more: &Value) -> Self {
        let before: Value = serde_json::from_slice(&self.0[key].value).unwrap();
        self.put(key, &with(before, more));
        self
    }

    fn without(mut self, key: &str) -> Self {
        self.0.remove(key).unwrap();
        self
    }

    fn and(mut self, key: &str, value: &str) -> Self {
        self.set(key, value.as_bytes());
        self
    }

    fn findings(&self) -> Vec<Finding> {
        let mut contents = Contents::default();
        contents.add(&BLOB.repeat(32), 7);
        self.findings_with(&mut contents)
    }

    fn findings_with(&self, contents: &mut Contents) -> Vec<Finding> {
        let mut all = Vec::new();
        for (key, stored) in &self.0 {
            let mut around = Around::default();
            loop {
                match judge(key, stored, &around, contents) {
                    Step::Read(asked) => {
                        asked.into_iter().for_each(|key| around.add(key.clone(), self.0.get(&key).cloned()));
                    }
                    Step::Told(told) => break all.extend(told),
                    Step::Unknown => break,
                }
            }
        }
        all
    }

    /// After all repairs, each on the condition that it names.
    fn repaired(mut self) -> Self {
        for repair in self.findings().into_iter().filter_map(|finding| finding.repair) {
            let as_seen =
                |(key, version): &(String, Option<u64>)| self.0.get(key).map(|stored| stored.version) == *version;
            assert!(repair.seen.iter().all(as_seen), "{repair:?}");
            for (key, value) in repair.writes {
                match value {
                    Some(value) => self.set(&key, &value),
                    None => drop(self.0.remove(&key)),
                }
            }
        }
        self
    }
}

const MARKS: [&str; 10] = [
    "contexts-live/c1",
    "jobs-active/3",
    "jobs-active/4",
    "jobs-ended/FINISHED/1",
    "jobs-ended/ERROR/2",
    "binary-uses/b%2Fb/3",
    "binary-uses/b%2Fb/4",
    "job-queue/c1/100/4",
    "outbox/h:80/000000000000009/1",
    "idempotency-times/0000000000000005/k",
];

fn told(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|finding| format!("{} {}", finding.kind.name(), finding.key)).collect()
}

/// This is wrong, and a repair leaves nothing of it.
#[track_caller]
fn repairable(damaged: Small, expected: &str) {
    assert_eq!(told(&damaged.findings()), [expected]);
    assert_eq!(told(&damaged.repaired().findings()), [""; 0]);
}

/// This is wrong, and nothing is touched.
#[track_caller]
fn only_told(damaged: &Small, expected: &[&str]) {
    let findings = damaged.findings();
    assert_eq!(told(&findings), expected);
    assert!(findings.iter().all(|finding| finding.repair.is_none()), "{findings:?}");
}

#[test]
fn a_store_without_damage_has_no_findings() {
    assert_eq!(told(&Small::sound().findings()), [""; 0]);
}

#[test]
fn each_index_entry_that_is_missing_is_added_again() {
    for entry in MARKS {
        let findings = Small::sound().without(entry).findings();
        assert_eq!(findings.len(), 1, "{entry}: {findings:?}");
        assert!(findings[0].kind == Kind::MissingEntry && findings[0].wrong.contains(entry), "{findings:?}");
        let repaired = Small::sound().without(entry).repaired();
        assert!(repaired.0.contains_key(entry) && repaired.findings().is_empty(), "{entry}");
    }
}

#[test]
fn each_index_entry_of_what_is_not_there_is_deleted() {
    for entry in [
        "contexts-live/x",
        "jobs-active/x",
        "jobs-ended/KILLED/x",
        "binary-uses/b%2Fb/x",
        "job-queue/c1/100/x",
        "outbox/h:80/000000000000009/x",
        "idempotency-times/0000000000000005/x",
    ] {
        repairable(Small::sound().and(entry, ""), &format!("dangling-entry {entry}"));
    }
    repairable(Small::sound().and("attachments/x", r#"{"attempt":1,"node":"n"}"#), "dangling-entry attachments/x");
    let name = r#"{"context-id":"x","live":true}"#;
    repairable(Small::sound().and("context-names/x", name), "dangling-entry context-names/x");
}

#[test]
fn each_index_entry_that_its_record_contradicts_is_deleted() {
    for entry in [
        "contexts-live/d1",
        "jobs-active/1",
        "jobs-ended/KILLED/1",
        "jobs-ended/FINISHED/3",
        "binary-uses/b%2Fb/1",
        "binary-uses/other/3",
        "job-queue/c1/100/3",
        "job-queue/c1/099/4",
        "outbox/h:80/000000000000010/1",
        "idempotency-times/0000000000000006/k",
    ] {
        repairable(Small::sound().and(entry, ""), &format!("dangling-entry {entry}"));
    }
    repairable(Small::sound().and("attachments/d1", r#"{"attempt":1,"node":"n"}"#), "dangling-entry attachments/d1");
}

#[test]
fn a_callback_that_was_delivered_waits_nowhere() {
    let damaged = Small::sound().change("job-callbacks/1", &json!({"state": "delivered"}));
    repairable(damaged, "dangling-entry outbox/h:80/000000000000009/1");
}

#[test]
fn the_name_of_a_context_says_whether_it_lives() {
    let dead = Small::sound().change("context-names/c", &json!({"live": false}));
    repairable(dead, "dangling-entry contexts/c1");
    let alive = Small::sound().change("context-names/d", &json!({"live": true}));
    repairable(alive, "dangling-entry contexts/d1");
    repairable(Small::sound().without("context-names/c"), "missing-entry contexts/c1");
}

#[test]
fn a_live_context_whose_name_is_anothers_is_only_told() {
    let damaged = Small::sound().change("context-names/c", &json!({"context-id": "c0", "live": false}));
    only_told(&damaged, &["misplaced contexts/c1"]);
}

#[test]
fn a_name_that_leads_to_a_context_of_another_name_is_deleted() {
    let damaged = Small::sound().and("context-names/e", r#"{"context-id":"d1","live":false}"#);
    repairable(damaged, "dangling-entry context-names/e");
}

#[test]
fn what_cannot_be_read_is_told_once_and_judges_nothing_else() {
    for key in [
        "jobs/1",
        "jobs/3",
        "contexts/c1",
        "context-names/c",
        "binaries/b%2Fb",
        "job-callbacks/1",
        "idempotency/k",
        "tokens/t",
    ] {
        only_told(&Small::sound().and(key, "{"), &[&format!("unreadable {key}")]);
    }
    for key in ["jobs-ended/x", "outbox/x", "idempotency-times/x"] {
        only_told(&Small::sound().and(key, ""), &[&format!("unreadable {key}")]);
    }
}

#[test]
fn a_record_under_the_key_of_another_is_told() {
    let damaged = Small::sound()
        .and("tokens/x", r#"{"id":"t","sha256":"","principal":"p","permissions":[],"created-ms":1,"expires-ms":2}"#);
    only_told(&damaged, &["misplaced tokens/x"]);
}

#[test]
fn parts_of_a_job_that_are_gone_are_told_and_not_made_up() {
    for key in ["job-configs/1", "job-results/1"] {
        only_told(&Small::sound().without(key), &["missing-record jobs/1"]);
    }
    let damaged = Small::sound().without("job-callbacks/1").without("outbox/h:80/000000000000009/1");
    only_told(&damaged, &["missing-record jobs/1"]);
}

#[test]
fn what_somebody_may_want_of_a_job_that_is_gone_is_told_and_kept() {
    let damaged = Small::sound().without("jobs/1").without("jobs-ended/FINISHED/1").without("job-timelines/1");
    only_told(&damaged, &["orphan job-callbacks/1", "orphan job-configs/1", "orphan job-results/1"]);
    only_told(&Small::sound().and("job-results/3", "42"), &["orphan job-results/3"]);
}

#[test]
fn what_says_nothing_without_its_job_is_deleted() {
    repairable(Small::sound().and("job-timelines/9", r#"{"marks":[]}"#), "orphan job-timelines/9");
    repairable(Small::sound().and("job-results/2", "42"), "orphan job-results/2");
    let mut damaged = Small::sound();
    let callback = damaged.0["job-callbacks/1"].value.clone();
    damaged.set("job-callbacks/9", &callback);
    repairable(damaged.change("job-callbacks/9", &json!({"state": "delivered"})), "orphan job-callbacks/9");
}

#[test]
fn content_that_is_gone_is_told_where_it_is_needed() {
    let found = told(&Small::sound().findings_with(&mut Contents::default()));
    let of = |key: &str| format!("missing-content {key}");
    // The code of jobs that have ended is needed no more.
    assert_eq!(found, [of("binaries/b%2Fb"), of("jobs/1"), of("jobs/2"), of("jobs/3"), of("jobs/4")]);
    for kind in [Kind::DamagedContent, Kind::UnreadableContent] {
        let mut contents = Contents::default();
        contents.add(&BLOB.repeat(32), 7);
        match kind {
            Kind::DamagedContent => contents.set_damaged(&BLOB.repeat(32)),
            _ => contents.set_unreadable(&BLOB.repeat(32), "why".into()),
        }
        let findings = Small::sound().findings_with(&mut contents);
        assert!(!findings.is_empty() && findings.iter().all(|finding| finding.kind == kind));
    }
}

#[test]
fn an_import_that_is_not_complete_is_told() {
    only_told(&Small::sound().and("store-import", "{}"), &["half-imported store-import"]);
}

#[test]
fn families_that_this_version_does_not_know_are_no_findings() {
    let small = Small::sound().and("later/1", "?").and("later", "?").and("", "?");
    assert_eq!(told(&small.findings()), [""; 0]);
    let mut contents = Contents::default();
    let stored = &small.0["later/1"];
    assert_eq!(judge("later/1", stored, &Around::default(), &mut contents), Step::Unknown);
}

#[test]
fn every_family_of_this_version_is_judged() {
    let stored = Stored { version: 1, value: Bytes::new() };
    for family in keys::FAMILIES {
        let step = judge(&format!("{family}/x"), &stored, &Around::default(), &mut Contents::default());
        assert_ne!(step, Step::Unknown, "{family}");
    }
}

#[test]
fn every_kind_has_a_name_of_its_own() {
    let names: BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(names.len(), Kind::ALL.len());
    assert!(Kind::ALL.iter().all(|kind| !kind.why_left().is_empty()));
}
