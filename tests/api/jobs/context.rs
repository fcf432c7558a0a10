//! Where a job runs: places in a context, and contexts of a job's own.

use serde_json::{Value, json};

use crate::fixture::{Place, Server, WHEEL, eventually, jobs};

#[tokio::test]
async fn no_more_jobs_at_once_than_the_context_has_places() {
    let server = Server::with_context(&["jobs.max-per-context=2"]).await;
    let gate = server.gate("gate");
    let first = server.job("Waits", &gate.config()).await;
    server.job("Waits", &gate.config()).await;
    for sync in ["false", "true"] {
        let path = format!("/jobs?appName=jobs&classPath=jobs.Echo&context=c&sync={sync}");
        let reply = server.post(&path, "").await;
        reply.says(503, "NO SLOTS AVAILABLE", "Too many running jobs (2) for job context 'c'");
        assert_eq!(reply.header("doyen-error"), "no-slots");
    }
    gate.open();
    server.ended(&first).await;
    server.sync("Echo", &json!({})).await.json(200);
}

/// The one job there is.
async fn newest(server: &Server) -> Value {
    server.get("/jobs?limit=1").await.json(200)[0].clone()
}

#[tokio::test]
async fn a_job_without_a_context_gets_one_that_ends_with_it() {
    let server = Server::start();
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    let gate = server.gate("gate");
    let body = format!("gate = {:?}, spark.context-settings.mine = 1", gate.config()["gate"].as_str().unwrap());
    let started = server.post("/jobs?appName=jobs&classPath=jobs.Waits", body).await.json(202);
    let name = started["context"].as_str().unwrap();
    assert_eq!(name, format!("{}-jobs.Waits", started["contextId"].as_str().unwrap()));
    assert_eq!(server.get("/contexts").await.json(200), json!([name]));
    gate.open();
    assert_eq!(server.ended(started["jobId"].as_str().unwrap()).await["result"], "went on");
    server.context_becomes(name, "FINISHED").await;
    assert_eq!(server.get("/contexts").await.json(200), json!([]));
}

#[tokio::test]
async fn a_context_of_its_own_bears_the_user_and_takes_settings_from_the_body() {
    let server = Server::start();
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    let path = "/jobs?appName=jobs&classPath=jobs.Settings&sync=true&timeout=60&spark.proxy.user=ann";
    let reply = server.post(path, "spark.context-settings.mine = 1, other = 2").await.json(200);
    let job = newest(&server).await;
    let (name, id) = (job["context"].as_str().unwrap(), job["contextId"].as_str().unwrap());
    assert_eq!(name, format!("ann~{id}-jobs.Settings"));
    assert_eq!(reply["result"], json!({"mine": 1, "context-factory": "python", "context": {"name": name}}));
    server.context_becomes(&crate::fixture::encoded(name), "FINISHED").await;
}

#[tokio::test]
async fn a_context_of_its_own_ends_with_a_job_that_fails_or_is_killed() {
    let server = Server::start();
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    let failed = server.post("/jobs?appName=jobs&classPath=jobs.Fails&sync=true&timeout=60", "").await.json(200);
    assert_eq!(failed["status"], "ERROR");
    server.context_becomes(newest(&server).await["context"].as_str().unwrap(), "FINISHED").await;
    let gate = server.gate("gate");
    let killed = server.post("/jobs?appName=jobs&classPath=jobs.Waits", gate.config()).await.json(202);
    server.delete(&format!("/jobs/{}", killed["jobId"].as_str().unwrap())).await.json(200);
    server.context_becomes(killed["context"].as_str().unwrap(), "FINISHED").await;
}

#[tokio::test]
async fn a_context_of_its_own_that_does_not_start() {
    let server = Server::start();
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    let body = "spark.context-settings.context-factory = nothing";
    let reply = server.post("/jobs?appName=jobs&classPath=jobs.Echo", body).await;
    reply.fails(500, "CONTEXT INIT FAILED", "unknown context factory nothing");
    assert_eq!(server.get("/jobs").await.json(200), json!([]));
}

#[tokio::test]
async fn a_job_right_after_the_start_of_its_context_waits_for_it() {
    let server = Server::start();
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    let job = async {
        crate::fixture::eventually("the context", || async { server.get("/contexts/c").await.status == 200 }).await;
        server.sync("Echo", &json!({})).await.json(200)
    };
    let (opened, job) = tokio::join!(server.post("/contexts/c", ""), job);
    opened.says(200, "SUCCESS", "Context initialized");
    assert_eq!(job["result"], json!({}));
}

#[tokio::test]
async fn code_that_becomes_a_jar_while_the_context_of_its_own_starts_is_refused_there_too() {
    let place = Place::new();
    let (begun, go) = (place.path("begun"), place.path("go"));
    let script = format!(
        "touch {}; until [ -e {} ]; do sleep 0.05; done; exec python3 -m doyen_driver",
        begun.display(),
        go.display()
    );
    let arguments = format!("drivers.python.arguments={:?}", ["-c", &script, "doyen_driver"]);
    let server = Server::at(place, "127.0.0.1:0", &["drivers.python.executable=\"sh\"", &arguments]);
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    let replace = async {
        eventually("a driver that starts", || async { begun.exists() }).await;
        server.upload_jar("jobs").await;
        std::fs::write(&go, "").unwrap();
    };
    let submit = server.post("/jobs?appName=jobs&classPath=jobs.Echo", "");
    let (submitted, ()) = tokio::join!(submit, replace);
    submitted.refuses(400, "Invalid job type for this context");
    assert_eq!(server.get("/jobs").await.json(200), json!([]));
    server.nothing_is_left().await;
}
