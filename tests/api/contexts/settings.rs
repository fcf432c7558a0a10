//! Settings of contexts: the body's, the query's, the kind's.

use serde_json::{Value, json};

use crate::fixture::{Server, WHEEL, jobs};

async fn settings(server: &Server, query: &str, body: &str) -> Value {
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    server.post(&format!("/contexts/c{query}"), body).await.says(200, "SUCCESS", "Context initialized");
    let reply = server.sync("Settings", &json!({})).await;
    reply.json(200)["result"].clone()
}

#[tokio::test]
async fn the_query_wins_over_the_body_and_the_body_over_the_kind() {
    let server = Server::with(&[
        "drivers.python.settings.x.kind=1",
        "drivers.python.settings.x.body=1",
        "drivers.python.settings.x.query=1",
    ]);
    let seen =
        settings(&server, "?x.query=3&y=two+words", "x { body = 2, query = 2 }, list = [1, a], z = ${x.body}").await;
    let expected = json!({
        "x": {"kind": 1, "body": 2, "query": "3"}, "list": [1, "a"], "z": 2, "y": "two words",
        "context-factory": "python", "context": {"name": "c"},
    });
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn settings_below_spark_context_settings_count_and_the_rest_of_spark_does_not() {
    let server = Server::start();
    let seen = settings(&server, "", "spark.context-settings { a.b = 1 }, spark.other = 2").await;
    assert_eq!(seen, json!({"a": {"b": 1}, "context-factory": "python", "context": {"name": "c"}}));
}

#[tokio::test]
async fn a_body_that_is_no_hocon_is_refused() {
    let server = Server::start();
    for body in ["a = {", "a = ${nowhere}", "include \"file\""] {
        let text = server.post("/contexts/c", body).await.json(400)["result"].as_str().unwrap().to_owned();
        assert!(text.starts_with("Cannot parse config: "), "{text}");
    }
    assert_eq!(server.get("/contexts/c").await.status, 404);
}

#[tokio::test]
async fn substitutions_do_not_see_the_servers_environment() {
    let server = Server::start();
    assert_eq!(server.post("/contexts/c", "a = ${PATH}").await.status, 400);
}

#[tokio::test]
async fn a_size_of_memory_that_spark_would_not_understand() {
    let server = Server::start();
    for key in ["launcher.spark.driver.memory", "spark.driver.memory", "spark.executor.memory", "memory-per-node"] {
        let reply = server.post(&format!("/contexts/c?{key}=lots"), "").await;
        let text = format!("Context error: {key} has invalid value. Accepted formats 1024k, 2g, 512m");
        reply.fails(500, "CONTEXT INIT ERROR", &text);
        let context = server.get("/contexts/c").await.json(200);
        assert_eq!(context["state"], "ERROR");
        assert!(context["endTime"].as_str() >= context["startTime"].as_str(), "{context}");
    }
}

#[tokio::test]
async fn a_number_of_jobs_that_cannot_be() {
    let server = Server::start();
    for number in ["0", "many", "-1", "10001"] {
        let reply = server.post(&format!("/contexts/c?max-jobs-per-context={number}"), "").await;
        let expected = "which is not a whole number from 1 to 10000";
        reply.refuses(400, &format!("The setting 'max-jobs-per-context' is '{number}', {expected}"));
    }
}

#[tokio::test]
async fn a_setting_that_cannot_be_is_the_clients_mistake_and_makes_no_context() {
    let server = Server::start();
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    let lifetime = "a duration of at least 1s, like 30s, 10m or 8h, or 0 for never";
    for (key, value, expected) in [
        ("idle-timeout", "x", lifetime),
        ("idle-timeout", "5ms", lifetime),
        ("max-lifetime", "10", lifetime),
        ("supervise", "maybe", "true or false"),
        ("queue", "perhaps", "true or false"),
        ("max-restarts", "many", "a whole number from 0 to 1000"),
        ("restart-backoff", "-1s", "a duration like 500ms, 30s, 10m or 8h"),
        ("relaunch", "soon", "when-dead or at-once"),
    ] {
        let told = format!("The setting '{key}' is '{value}', which is not {expected}");
        let body = format!("spark.context-settings {{ {key} = \"{value}\" }}");
        for (path, body) in [
            (format!("/contexts/c?{key}={value}"), ""),
            ("/contexts/c".into(), body.as_str()),
            ("/jobs?appName=jobs&classPath=jobs.Echo".into(), body.as_str()),
        ] {
            let reply = server.post(&path, body.to_owned()).await;
            reply.refuses(400, &told);
            assert_eq!(reply.header("doyen-error"), "bad-setting");
        }
    }
    assert_eq!(server.get("/contexts/c").await.status, 404);
    assert_eq!(server.get("/jobs").await.json(200), json!([]));
}

#[tokio::test]
async fn a_setting_is_on_or_off_in_the_words_of_a_parameter() {
    let server = Server::start();
    server.post("/contexts/c?supervise=on&queue=No", "").await.says(200, "SUCCESS", "Context initialized");
}

#[tokio::test]
async fn as_many_jobs_as_the_context_says() {
    for (query, body) in
        [("?max-jobs-per-context=1", ""), ("", "spark.context-settings.spark.jobserver.max-jobs-per-context = 1")]
    {
        let server = Server::start();
        server.upload("jobs", WHEEL, jobs()).await.is_success(201);
        server.post(&format!("/contexts/c{query}"), body).await.says(200, "SUCCESS", "Context initialized");
        let gate = server.gate("gate");
        server.waiting(&gate).await;
        let reply = server.sync("Echo", &json!({})).await;
        reply.says(503, "NO SLOTS AVAILABLE", "Too many running jobs (1) for job context 'c'");
        gate.open();
    }
}

#[tokio::test]
async fn a_setting_whose_name_is_no_path() {
    let server = Server::start();
    let reply = server.post("/contexts/c?a..b=1", "").await;
    let text =
        "The query parameter 'a..b' was malformed:\n'1' is not the value of a setting: its name is no path of keys";
    reply.is_text(400, text);
}
