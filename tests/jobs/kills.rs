//! Spark's JVM is killed under a context and its job.

use doyen::runtime::processes::{self, Process};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::server::{APP, Server, eventually, python};

fn jvm(server: &Server) -> Process {
    eventually("the JVM", || {
        let [shim] = server.shims()[..] else { return None };
        let is_java = |process: &Process| {
            std::fs::read(format!("/proc/{}/comm", process.pid)).is_ok_and(|name| name == b"java\n")
        };
        processes::descendants(shim.pid).into_iter().find(is_java)
    })
}

fn context(server: &Server, state: &str, attempt: u32) -> Value {
    eventually(state, || {
        let context = server.get("/v1/contexts/c").expect(200);
        (context["state"] == state && context["attempt"] == attempt).then_some(context)
    })
}

#[test]
fn a_killed_jvm_fails_jobs_or_has_them_run_again_in_the_next_of_a_supervised_context_until_it_is_given_up() {
    let server = Server::with(&[
        &format!("drivers.pyspark.executable={:?}", python("DOYEN_PYSPARK_PYTHON")),
        "drivers.pyspark.settings.\"spark.master\"=\"local[2]\"",
        "contexts.creation-timeout=\"3m\"",
    ]);
    server.open("c", "context-factory=pyspark&supervise=true&max-restarts=1");
    let directory = tempfile::tempdir().unwrap();
    let body = json!({"file": directory.path().join("never")}).to_string();
    let id = server.submit("c", APP, "bad.Waits", &body);
    server.until_written(&id, "waiting");
    // One that is in Python when it is lost, and one that speaks with Spark.
    let waits = json!({"file": directory.path().join("a"), "doyen": {"retries": 1}}).to_string();
    let waits = server.submit("c", APP, "bad.Waits", &waits);
    server.until_written(&waits, "waiting");
    let counts = json!({"file": directory.path().join("b"), "doyen": {"retries": 1}}).to_string();
    let counts = server.submit("c", APP, "spark_jobs.CountsUntil", &counts);
    server.until_written(&counts, "counting");
    assert!(processes::signal(jvm(&server), Signal::KILL));
    let job = server.end_of(&id);
    assert_eq!(job["status"], "ERROR");
    assert!(job["result"]["message"].as_str().unwrap().contains("JVM"), "{job}");
    assert_eq!(job["result"]["errorClass"], "DriverExited", "{job}");

    let again = context(&server, "RUNNING", 2);
    assert!(again["lost"]["message"].as_str().unwrap().contains("JVM"), "{again}");
    for (file, job) in [("a", &waits), ("b", &counts)] {
        std::fs::write(directory.path().join(file), "").unwrap();
        assert_eq!(server.end_of(job)["status"], "FINISHED");
        let job = server.get(&format!("/v1/jobs/{job}")).expect(200);
        assert_eq!(job["attempts"].as_array().unwrap().len(), 1, "{job}");
        let why = job["attempts"][0]["why"].as_str().unwrap();
        assert!(why.contains("the context has ended: the JVM of Spark has "), "{job}");
    }
    let counted = server.run_in("c", "spark_jobs.CountWords", json!({"text": "to be or not to be"}).to_string());
    assert_eq!(counted.expect(200)["result"]["sql"]["to"], 2);

    let shim = server.shims()[0];
    assert!(processes::signal(jvm(&server), Signal::KILL));
    let over = context(&server, "ERROR", 2);
    assert!(over["failure"]["message"].as_str().unwrap().contains("JVM"), "{over}");
    eventually("an end of the shim", || (!processes::alive(shim)).then_some(()));
    assert_eq!(std::fs::read_dir(server.data_dir().join("drivers")).unwrap().count(), 0);
}
