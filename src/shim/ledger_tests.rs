//! Scenarios of the ledger: what came in, and what went to server (`>`) and shell.

use super::*;
use crate::api::driver;

/// A ledger whose effects are read as text.
struct Scene(Ledger);

impl Scene {
    fn new() -> Self {
        Self(Ledger::new(2))
    }

    /// Attached, with a driver that is ready.
    fn ready() -> Self {
        let mut scene = Self::new();
        scene.attach();
        scene.driver(r#"{"ready":{}}"#);
        scene
    }

    fn attach(&mut self) -> Vec<String> {
        self.0.hello();
        self.server(r#"{"welcome":{"servers":[]}}"#).split_off(1)
    }

    fn server(&mut self, message: &str) -> Vec<String> {
        let mut effects = Vec::new();
        self.0.server_says(driver::read(message).unwrap().unwrap(), &mut effects);
        texts(effects)
    }

    fn driver(&mut self, message: &str) -> Vec<String> {
        let mut effects = Vec::new();
        self.0.driver_says(driver::read(message).unwrap().unwrap(), &mut effects);
        texts(effects)
    }

    fn run(&mut self, job: &str) -> Vec<String> {
        self.server(&format!(r#"{{"run":{{"job":"{job}","class":"m.C","config":{{"n":1.0}},"binaries":[]}}}}"#))
    }

    fn run_with_binary(&mut self, job: &str) -> Vec<String> {
        let binary = r#"{"name":"b","type":"Wheel","sha256":"00","size_bytes":1}"#;
        self.server(&format!(r#"{{"run":{{"job":"{job}","class":"m.C","config":{{}},"binaries":[{binary}]}}}}"#))
    }

    fn settled(&mut self, job: &str, outcome: Outcome) -> Vec<String> {
        let mut effects = Vec::new();
        let settled = Settled { job: job.into(), outcome, result_ref: None, log_ref: None, spans: None };
        self.0.settled(settled, &mut effects);
        texts(effects)
    }

    fn fetched(&mut self, job: &str) -> Vec<String> {
        let mut effects = Vec::new();
        self.0.fetched(job, &mut effects);
        texts(effects)
    }

    fn stop_now(&mut self) -> Vec<String> {
        let mut effects = Vec::new();
        self.0.stop_now(&mut effects);
        texts(effects)
    }

    fn gone(&mut self) -> Vec<String> {
        let mut effects = Vec::new();
        self.0.driver_gone(Exited { status: Some(3), ..Exited::default() }, "It ended.", &mut effects);
        texts(effects)
    }
}

fn texts(effects: Vec<Effect>) -> Vec<String> {
    let text = |effect| match effect {
        Effect::Send(text) => format!("> {text}"),
        Effect::Fetch { job, .. } => format!("fetch {job}"),
        Effect::Start(run) => format!("start {}", run.job),
        Effect::Settle { job, outcome: Outcome::Failed(error) } => format!("settle {job}: {}", error.class),
        Effect::Settle { job, outcome: Outcome::Cancelled } => format!("settle {job}: cancelled"),
        Effect::Settle { job, .. } => format!("settle {job}"),
        Effect::ReadLog { held, .. } => format!("read log, held: {held}"),
        Effect::Detach(_) => "detach".into(),
        other => format!("{other:?}").to_lowercase(),
    };
    effects.into_iter().map(text).collect()
}

const STOP: &str = r#"{"stop":{"graceful":true,"grace_ms":1}}"#;
const CANCELLED_A: &str = r#"> {"cancelled":{"job":"a"}}"#;

#[test]
fn run_accepted_finished_acknowledged() {
    let mut scene = Scene::ready();
    assert_eq!(scene.run("a"), ["start a"]);
    assert_eq!(scene.driver(r#"{"accepted":{"job":"a"}}"#), [r#"> {"accepted":{"job":"a"}}"#]);
    assert_eq!(scene.driver(r#"{"finished":{"job":"a","result":1.0}}"#), ["settle a"]);
    let result = serde_json::value::RawValue::from_string("1.0".into()).unwrap();
    let finished = r#"> {"finished":{"job":"a","result":1.0}}"#;
    assert_eq!(scene.settled("a", Outcome::Finished(Some(result))), [finished]);
    assert_eq!(scene.server(r#"{"ack":{"job":"a"}}"#), [r#"forget("a")"#]);
    assert_eq!(scene.0.hello(), (Some(Ready::default()), vec![], vec![]));
}

#[test]
fn the_end_of_a_retry_says_which_it_is() {
    let mut scene = Scene::ready();
    for retry in [0, 7] {
        scene.server(&format!(r#"{{"run":{{"job":"a","class":"C","config":{{}},"binaries":[],"retry":{retry}}}}}"#));
        scene.driver(r#"{"cancelled":{"job":"a"}}"#);
        let told = scene.settled("a", Outcome::Cancelled);
        assert_eq!(told, [if retry == 0 { CANCELLED_A } else { r#"> {"cancelled":{"job":"a","retry":7}}"# }]);
        scene.server(r#"{"ack":{"job":"a"}}"#);
    }
}

#[test]
fn ended_while_detached_is_told_in_each_attachment_until_acknowledged() {
    let mut scene = Scene::ready();
    scene.run("a");
    scene.run("b");
    scene.driver(r#"{"accepted":{"job":"b"}}"#);
    scene.0.detached();
    scene.driver(r#"{"cancelled":{"job":"a"}}"#);
    assert!(scene.settled("a", Outcome::Cancelled).is_empty());
    assert_eq!(scene.0.hello(), (Some(Ready::default()), vec!["b".into()], vec!["a".into()]));
    for _ in 0..2 {
        assert_eq!(scene.attach(), [CANCELLED_A, r#"> {"accepted":{"job":"b"}}"#]);
    }
    scene.server(r#"{"ack":{"job":"a"}}"#);
    assert_eq!(scene.attach(), [r#"> {"accepted":{"job":"b"}}"#]);
}

#[test]
fn a_run_that_is_held_already_is_ignored() {
    let mut scene = Scene::ready();
    scene.run("a");
    assert!(scene.run("a").is_empty());
    scene.driver(r#"{"cancelled":{"job":"a"}}"#);
    assert!(scene.run("a").is_empty());
    scene.settled("a", Outcome::Cancelled);
    assert!(scene.run("a").is_empty());
}

#[test]
fn a_job_with_binaries_starts_once_they_are_fetched() {
    let (mut scene, mut effects) = (Scene::ready(), Vec::new());
    assert_eq!(scene.run_with_binary("a"), ["fetch a"]);
    scene.0.fetched("a", &mut effects);
    scene.0.fetched("a", &mut effects);
    assert_eq!(texts(effects), ["start a"]);
}

#[test]
fn a_cancel_while_fetching_ends_the_job_here() {
    let (mut scene, mut effects) = (Scene::ready(), Vec::new());
    scene.run_with_binary("a");
    assert_eq!(scene.server(r#"{"cancel":{"job":"a"}}"#), ["settle a: cancelled"]);
    scene.0.fetched("a", &mut effects);
    scene.0.not_fetched("a", Failure::default(), &mut effects);
    assert!(effects.is_empty());
}

#[test]
fn a_cancel_goes_to_the_driver_once_and_an_unknown_one_nowhere() {
    let mut scene = Scene::ready();
    scene.run("a");
    assert_eq!(scene.server(r#"{"cancel":{"job":"a"}}"#), [r#"cancel("a")"#]);
    assert!(scene.server(r#"{"cancel":{"job":"a"}}"#).is_empty());
    assert!(scene.server(r#"{"cancel":{"job":"x"}}"#).is_empty());
}

#[test]
fn only_the_first_end_of_a_job_counts() {
    let mut scene = Scene::ready();
    scene.run("a");
    assert_eq!(scene.driver(r#"{"finished":{"job":"a","result":1}}"#), ["settle a"]);
    assert!(scene.driver(r#"{"cancelled":{"job":"a"}}"#).is_empty());
    assert!(scene.driver(r#"{"accepted":{"job":"a"}}"#).is_empty());
    assert!(scene.driver(r#"{"finished":{"job":"x"}}"#).is_empty());
}

#[test]
fn an_early_acknowledgement_does_not_lose_the_job() {
    let mut scene = Scene::ready();
    scene.run("a");
    assert!(scene.server(r#"{"ack":{"job":"a"}}"#).is_empty());
    assert_eq!(scene.driver(r#"{"cancelled":{"job":"a"}}"#), ["settle a: cancelled"]);
}

#[test]
fn more_jobs_than_allowed_or_before_ready_or_after_stop_are_refused() {
    let mut scene = Scene::new();
    scene.attach();
    assert_eq!(scene.run("a"), ["settle a: NotAccepting"]);
    scene.driver(r#"{"ready":{}}"#);
    scene.run("b");
    scene.run("c");
    assert_eq!(scene.run("d"), ["settle d: NotAccepting"]);
    assert_eq!(scene.driver(r#"{"finished":{"job":"b"}}"#), ["settle b"]);
    assert_eq!(scene.run("e"), ["start e"]);
    scene.server(r#"{"stop":{"graceful":true,"grace_ms":1}}"#);
    scene.driver(r#"{"finished":{"job":"e"}}"#);
    assert_eq!(scene.run("f"), ["settle f: NotAccepting"]);
}

#[test]
fn a_job_id_that_is_no_file_name_detaches() {
    assert_eq!(Scene::ready().run("../a"), ["detach"]);
    assert_eq!(Scene::ready().run(""), ["detach"]);
}

#[test]
fn ready_between_hello_and_welcome_is_told_after_the_welcome() {
    let mut scene = Scene::new();
    assert_eq!(scene.0.hello().0, None);
    assert!(scene.driver(r#"{"ready":{"application_id":"x"}}"#).is_empty());
    let told = scene.server(r#"{"welcome":{"servers":[]}}"#).split_off(1);
    assert_eq!(told, [r#"> {"ready":{"application_id":"x"}}"#]);
    assert!(scene.attach().is_empty(), "hello tells it from now on");
}

#[test]
fn a_second_welcome_brings_servers_and_nothing_twice() {
    let mut scene = Scene::ready();
    scene.run("a");
    scene.driver(r#"{"cancelled":{"job":"a"}}"#);
    scene.settled("a", Outcome::Cancelled);
    assert_eq!(scene.server(r#"{"welcome":{"servers":["http://b"]}}"#), [r#"servers(["http://b"])"#]);
}

#[test]
fn the_drivers_end_fails_its_jobs_and_exited_comes_after_them() {
    let mut scene = Scene::ready();
    scene.run("a");
    scene.run_with_binary("b");
    assert_eq!(scene.gone(), ["settle a: DriverExited", "settle b: DriverExited"]);
    assert_eq!(scene.settled("a", Outcome::Cancelled), [CANCELLED_A]);
    let exited = r#"> {"exited":{"status":3,"last_lines":[]}}"#;
    assert_eq!(scene.settled("b", Outcome::Cancelled), [r#"> {"cancelled":{"job":"b"}}"#, exited]);
    assert_eq!(scene.attach(), [CANCELLED_A, r#"> {"cancelled":{"job":"b"}}"#, exited]);
    assert_eq!(scene.server(r#"{"ack_exited":{}}"#), ["leave"]);
}

#[test]
fn an_acknowledged_exit_that_has_not_happened_is_ignored() {
    assert!(Scene::ready().server(r#"{"ack_exited":{}}"#).is_empty());
}

#[test]
fn unable_is_told_in_each_attachment() {
    let mut scene = Scene::new();
    scene.driver(r#"{"unable":{"message":"no"}}"#);
    for _ in 0..2 {
        assert_eq!(scene.attach(), [r#"> {"unable":{"message":"no"}}"#]);
    }
}

#[test]
fn a_stop_without_grace_ends_jobs_that_had_not_begun() {
    for stop in [r#"{"stop":{"graceful":true,"grace_ms":0}}"#, r#"{"stop":{"graceful":false,"grace_ms":9}}"#] {
        let mut scene = Scene::ready();
        scene.run("a");
        scene.run_with_binary("b");
        let effects = scene.server(stop);
        assert_eq!(effects[0], "settle b: DriverExited");
        assert!(effects[1].starts_with("stopdriver"));
    }
}

#[test]
fn a_stop_with_grace_waits_for_jobs_that_are_being_fetched() {
    let mut scene = Scene::ready();
    scene.run_with_binary("a");
    scene.run_with_binary("b");
    assert!(scene.server(STOP)[0].starts_with("stoplater"));
    assert_eq!(scene.run("c"), ["settle c: NotAccepting"]);
    assert_eq!(scene.fetched("a"), ["start a"]);
    let effects = scene.server(r#"{"cancel":{"job":"b"}}"#);
    assert_eq!(effects[0], "settle b: cancelled");
    assert!(effects[1].starts_with("stopdriver"));
    assert!(scene.stop_now().is_empty());
}

#[test]
fn a_job_that_is_not_fetched_within_the_grace_does_not_begin() {
    let mut scene = Scene::ready();
    scene.run_with_binary("a");
    scene.server(STOP);
    let effects = scene.stop_now();
    assert_eq!(effects[0], "settle a: DriverExited");
    assert!(effects[1].starts_with("stopdriver"));
    assert!(scene.fetched("a").is_empty());
}

#[test]
fn a_forced_stop_does_not_wait_for_what_a_graceful_one_waits_for() {
    let mut scene = Scene::ready();
    scene.run_with_binary("a");
    scene.server(STOP);
    let effects = scene.server(r#"{"stop":{"graceful":false,"grace_ms":0}}"#);
    assert_eq!(effects[0], "settle a: DriverExited");
    assert!(effects[1].starts_with("stopdriver") && scene.stop_now().is_empty());
}

#[test]
fn a_server_that_never_acknowledges_is_cut_off() {
    let mut scene = Scene::ready();
    for number in 0..MAX_HELD {
        scene.run(&number.to_string());
    }
    assert_eq!(scene.run("a"), ["detach"]);
}
