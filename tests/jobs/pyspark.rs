//! Spark jobs in a warm `pyspark` context.

use std::process::Command;
use std::sync::{Arc, Mutex, Weak};

use serde_json::{Value, json};

use crate::server::{APP, Server, eventually, python, shared};
use crate::wheel::wheel;

const CONTEXT: &str = "spark";

fn server() -> Server {
    Server::with(&[
        &format!("drivers.pyspark.executable={:?}", python("DOYEN_PYSPARK_PYTHON")),
        "drivers.pyspark.settings.\"spark.master\"=\"local[4]\"",
        "contexts.creation-timeout=\"3m\"",
    ])
}

/// A server with a Spark of four task slots; tests that run at once have the same one.
fn spark() -> Arc<Server> {
    static SPARK: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    shared(&SPARK, || {
        let server = server();
        server.open(CONTEXT, "context-factory=pyspark&max-jobs-per-context=32");
        server
    })
}

#[track_caller]
fn result(server: &Server, class: &str, body: &Value) -> Value {
    let answer = server.run_in(CONTEXT, class, body.to_string()).expect(200);
    assert!(answer.get("status").is_none(), "{answer}");
    answer["result"].clone()
}

#[test]
fn words_are_counted_with_sql_and_with_an_rdd() {
    let server = spark();
    let counted = result(&server, "spark_jobs.CountWords", &json!({"text": "to be or not to be"}));
    let expected = json!({"to": 2, "be": 2, "or": 1, "not": 1});
    assert_eq!(counted, json!({"sql": expected, "rdd": expected}));
}

#[test]
fn four_jobs_at_once_have_each_their_own_job_group() {
    let server = spark();
    let directory = tempfile::tempdir().unwrap();
    let body = json!({"directory": directory.path(), "jobs": 4}).to_string();
    let jobs: Vec<String> = (0..4).map(|_| server.submit(CONTEXT, APP, "spark_jobs.Meets", &body)).collect();
    for id in jobs {
        let job = server.end_of(&id);
        assert_eq!((&job["result"]["group"], &job["result"]["id"]), (&json!(id), &json!(id)), "{job}");
        assert!(job["result"]["jobs"].as_u64().is_some_and(|jobs| jobs >= 1), "{job}");
    }
}

/// A page of the context's own Spark UI, fetched without our server.
fn ui(server: &Server, page: &str) -> Value {
    let context = server.get(&format!("/contexts/{CONTEXT}")).expect(200);
    let base = context["url"].as_str().unwrap();
    let application = context["applicationId"].as_str().unwrap();
    crate::server::fetch(&format!("{base}/api/v1/applications/{application}/{page}")).expect(200)
}

/// The stages of a job that are at work.
fn active_stages(server: &Server, job: &str) -> usize {
    let jobs = ui(server, "jobs");
    let of_job: Vec<&Value> = jobs
        .as_array()
        .unwrap()
        .iter()
        .filter(|found| found["jobGroup"] == job)
        .flat_map(|j| j["stageIds"].as_array())
        .flatten()
        .collect();
    let stages = ui(server, "stages?status=active");
    stages.as_array().unwrap().iter().filter(|stage| of_job.contains(&&stage["stageId"])).count()
}

#[test]
fn a_killed_job_stops_its_stage_and_frees_its_slots_and_others_go_on() {
    let server = spark();
    let directory = tempfile::tempdir().unwrap();
    let gate = directory.path().join("gate");
    let beside = server.submit(CONTEXT, APP, "spark_jobs.CountsUntil", &json!({"file": gate}).to_string());
    server.until_written(&beside, "counting");
    let long = server.submit(CONTEXT, APP, "spark_jobs.SleepsInStage", "tasks = 3");
    eventually("the stage", || (active_stages(&server, &long) == 1).then_some(()));

    assert_eq!(server.delete(&format!("/jobs/{long}")).expect(200), json!({"status": "KILLED"}));
    eventually("the stage's end", || (active_stages(&server, &long) == 0).then_some(()));
    assert_eq!(server.job(&long)["status"], "KILLED");
    // All but the one of the job beside it are free: as many tasks run at once again.
    let again = server.submit(CONTEXT, APP, "spark_jobs.SleepsInStage", "tasks = 3");
    eventually("the tasks", || {
        let executors = ui(&server, "executors");
        executors.as_array().unwrap().iter().any(|e| e["activeTasks"].as_u64() >= Some(3)).then_some(())
    });
    server.delete(&format!("/jobs/{again}")).expect(200);

    assert_eq!(server.job(&beside)["status"], "RUNNING");
    std::fs::write(&gate, "").unwrap();
    assert_eq!(server.end_of(&beside)["result"], true);
}

#[test]
fn a_job_that_calls_os_exit_leaves_another_unharmed() {
    let server = spark();
    let directory = tempfile::tempdir().unwrap();
    let gate = directory.path().join("gate");
    let beside = server.submit(CONTEXT, APP, "spark_jobs.CountsUntil", &json!({"file": gate}).to_string());
    server.until_written(&beside, "counting");
    let failed = server.run_in(CONTEXT, "spark_jobs.Exits", "").expect(200);
    assert_eq!(failed["status"], "ERROR");
    assert!(failed["result"]["message"].as_str().unwrap().contains('5'), "{failed}");
    assert_eq!(server.job(&beside)["status"], "RUNNING");
    std::fs::write(&gate, "").unwrap();
    assert_eq!(server.end_of(&beside)["result"], true);
}

/// A wheel whose module works on the driver and in the executors.
fn speaker(word: &str) -> Vec<u8> {
    let job = "import same_inner\n\nclass Job:\n    def validate(self, spark, runtime, config):\n        return None\n\n    \
               def run_job(self, spark, runtime, data):\n        rdd = spark.sparkContext.parallelize(range(4), 4)\n        \
               return [same_inner.word(0)] + sorted(set(rdd.map(same_inner.word).collect()))\n";
    wheel(&[("same_module.py", job.to_owned()), ("same_inner.py", format!("def word(_):\n    return '{word}'\n"))])
}

#[test]
fn two_wheels_with_the_same_modules_do_not_meet_in_driver_or_executors() {
    let server = spark();
    server.upload("one", speaker("one")).expect(201);
    server.upload("two", speaker("two")).expect(201);
    for app in ["one", "two", "one", "two"] {
        let path = format!("/jobs?cp={app}&mainClass=same_module.Job&context={CONTEXT}&sync=true&timeout=100");
        assert_eq!(server.post(&path, "").expect(200)["result"], json!([app, app]));
    }
}

#[test]
fn the_example_counts_the_words_of_a_file() {
    let server = spark();
    let directory = tempfile::tempdir().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/wordcount/build.py");
    let built = Command::new(python("DOYEN_PYSPARK_PYTHON")).arg(script).arg(directory.path()).output().unwrap();
    assert!(built.status.success(), "{built:?}");
    let path = String::from_utf8(built.stdout).unwrap();
    server.upload("wordcount", std::fs::read(path.trim()).unwrap()).expect(201);
    let text = directory.path().join("text");
    std::fs::write(&text, "The quick fox\njumps over the lazy dog.\nThe end\n").unwrap();
    let path = format!("/jobs?appName=wordcount&classPath=wordcount.WordCount&context={CONTEXT}&sync=true&timeout=100");
    let counted = server.post(&path, json!({"input": {"path": text}, "top": 1}).to_string()).expect(200);
    let expected = json!({"words": 10, "different": 8, "top": [{"word": "the", "count": 3}]});
    assert_eq!(counted["result"], expected);
    let refused = server.post(&path, "top = 0").expect(200);
    let message = refused["result"]["message"].as_str().unwrap();
    assert!(message.contains("input.path is missing") && message.contains("top must be"), "{message}");
}

#[test]
fn a_bad_master_is_said_at_the_contexts_creation() {
    let server = spark();
    let answer = server.post("/contexts/nowhere?context-factory=pyspark&spark.master=bad%3A%2F%2Fmaster", "");
    let said = answer.says(500);
    assert!(said.contains("Master must"), "{said}");
    assert_eq!(server.get("/contexts/nowhere").expect(200)["state"], "ERROR");
    let counted = result(&server, "spark_jobs.CountWords", &json!({"text": "here"}));
    assert_eq!(counted["sql"], json!({"here": 1}));
}
