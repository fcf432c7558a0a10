//! What a driver needs and this machine lacks is said at the context's creation, with what to do.

use crate::server::{CONTEXT, Server, python};

/// What the creation of a context of the kind says, on a server with these settings that serves on afterwards.
#[track_caller]
fn creation_fails(kind: &str, settings: &[&str], words: &[&str]) {
    let server = Server::with(settings);
    let answer = server.post(&format!("/contexts/lacking?context-factory={kind}"), "");
    assert_eq!(answer.expect(500)["status"], "CONTEXT INIT ERROR");
    let said = answer.says(500);
    assert!(words.iter().all(|word| said.contains(word)), "{words:?} are not all in: {said}");
    assert_eq!(server.get("/contexts/lacking").expect(200)["state"], "ERROR");
    assert_eq!(server.get("/contexts").expect(200), serde_json::json!([]));

    let ad_hoc = server.post(&format!("/jobs?cp=x&mainClass=y&spark.context-settings.context-factory={kind}"), "");
    assert_eq!(ad_hoc.says(404), "appName x not found");
    assert_eq!(server.get("/healthz").status, 200);
}

fn pyspark() -> String {
    format!("drivers.pyspark.executable={:?}", python("DOYEN_PYSPARK_PYTHON"))
}

#[test]
fn no_python() {
    let executable = "drivers.python.executable=\"no-such-python\"";
    creation_fails("python", &[executable], &["`no-such-python` cannot be started", "`drivers.python.executable`"]);
}

#[test]
fn a_python_that_is_no_python() {
    let settings = ["drivers.python.executable=\"false\""];
    creation_fails("python", &settings, &["status 1"]);
}

#[test]
fn no_pyspark() {
    // Without the packages that are installed.
    let settings = [pyspark(), "drivers.pyspark.arguments=[\"-S\", \"-m\", \"doyen_driver\"]".into()];
    let words = ["pyspark cannot be imported", "-m pip install pyspark", "drivers.pyspark.executable"];
    creation_fails("pyspark", &settings.each_ref().map(String::as_str), &words);
}

#[test]
fn no_java() {
    let settings = [pyspark(), "drivers.pyspark.environment={PATH = \"/nonexistent\", JAVA_HOME = \"\"}".into()];
    let words = ["there is no Java", "Install one, or set JAVA_HOME in drivers.pyspark.environment"];
    creation_fails("pyspark", &settings.each_ref().map(String::as_str), &words);
}

#[test]
fn a_java_home_without_java() {
    let settings = [pyspark(), "drivers.pyspark.environment.JAVA_HOME=\"/nonexistent\"".into()];
    let words = ["JAVA_HOME is /nonexistent", "there is no bin/java in it"];
    creation_fails("pyspark", &settings.each_ref().map(String::as_str), &words);
}

#[test]
fn an_unknown_factory_and_one_for_scala() {
    creation_fails("no.such.Factory", &[], &["unknown context factory no.such.Factory", "pyspark, python"]);
    let scala = "spark.jobserver.context.SessionContextFactory";
    creation_fails(scala, &[], &["runs Scala and Java jobs, for which this version has no driver"]);
}

#[test]
fn a_driver_that_is_never_ready() {
    let settings =
        ["drivers.slow.executable=\"sleep\"", "drivers.slow.arguments=[\"600\"]", "contexts.creation-timeout=\"1s\""];
    creation_fails("slow", &settings, &["the driver was not ready within 1s (contexts.creation-timeout)"]);
}

#[test]
fn a_setting_that_is_no_setting() {
    let server = Server::shared();
    for (query, code, word) in [
        ("max-jobs-per-context=many", 400, "max-jobs-per-context"),
        ("max-jobs-per-context=0", 400, "a whole number from 1 to 10000"),
        ("context-factory=pyspark&spark.driver.memory=lots", 500, "spark.driver.memory has invalid value"),
    ] {
        let said = server.post(&format!("/contexts/c{}?{query}", doyen::runtime::random::id()), "").says(code);
        assert!(said.contains(word), "{said}");
    }
    assert_eq!(server.get(&format!("/contexts/{CONTEXT}")).expect(200)["state"], "RUNNING");
    server.still_serves();
}
