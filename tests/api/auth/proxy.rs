//! `security.use-as-proxy-user`: users have contexts of their own.

use doyen::core::access::encode_basic;
use reqwest::Method;
use serde_json::json;

use super::{PASSWORD, asked, delete, get, place, post, start, text};
use crate::fixture::{Reply, Server, WHEEL, jobs, within};

async fn server() -> Server {
    let users = text(&[("ann", &["user"]), ("ann~2", &["user"]), ("bob", &["user"])]);
    let server = start(place(&users), &["security.use-as-proxy-user=true"]);
    let upload = asked(&server, Method::POST, "/binaries/jobs", &encode_basic("bob", PASSWORD));
    Reply::to(upload.header("content-type", WHEEL).body(jobs())).await.is_success(201);
    server
}

#[tokio::test]
async fn users_see_and_stop_only_contexts_of_their_own() {
    let server = server().await;
    post(&server, "/contexts/one", "ann", "").await.says(200, "SUCCESS", "Context initialized");
    post(&server, "/contexts/one", "ann~2", "").await.says(200, "SUCCESS", "Context initialized");
    post(&server, "/contexts/one", "ann", "").await.refuses(400, "context one exists");
    assert_eq!(get(&server, "/contexts", "ann").await.json(200), json!(["one"]));
    assert_eq!(get(&server, "/contexts", "bob").await.json(200), json!([]));
    assert_eq!(get(&server, "/contexts/one", "ann~2").await.json(200)["name"], "ann~~2~one");
    get(&server, "/contexts/one", "bob").await.refuses(404, "can't find context with name one");
    delete(&server, "/contexts/one", "bob").await.refuses(404, "context one not found");
    for stranger in ["ann~one", "ann~~2~one"] {
        assert_eq!(delete(&server, &format!("/contexts/{stranger}"), "bob").await.status, 404);
    }
    delete(&server, "/contexts/one", "ann~2").await.says(200, "SUCCESS", "Context stopped");
    assert_eq!(get(&server, "/contexts", "ann").await.json(200), json!(["one"]));
}

#[tokio::test]
async fn jobs_run_in_contexts_of_who_asks_as_who_asks() {
    let server = server().await;
    post(&server, "/contexts/c?spark.proxy.user=bob", "ann", "").await.says(200, "SUCCESS", "Context initialized");
    let details = get(&server, "/v1/contexts/c", "ann").await.json(200);
    assert_eq!(details["settings"]["spark"]["proxy"]["user"], "ann", "{details}");
    let path = "/jobs?appName=jobs&classPath=jobs.Echo&sync=true&timeout=60&spark.proxy.user=bob";
    assert_eq!(post(&server, &format!("{path}&context=c"), "ann", "{}").await.status, 200);
    post(&server, &format!("{path}&context=c"), "bob", "{}").await.refuses(404, "context c not found");
    // A context for one job.
    let done = post(&server, path, "ann", "{}").await.json(200);
    let job = get(&server, &format!("/jobs/{}", done["jobId"].as_str().unwrap()), "ann").await.json(200);
    assert!(job["context"].as_str().unwrap().starts_with("ann~"), "{job}");
}

/// Opens the stream, and reads it up to the first event that holds all of these.
async fn told(server: &Server, query: &str, user: &str) -> impl AsyncFnMut(&[&str]) -> String {
    let request = asked(server, Method::GET, &format!("/v1/events{query}"), &encode_basic(user, PASSWORD));
    let mut response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    let mut told = String::new();
    async move |wanted| {
        within("an event", async {
            while !told.split_inclusive("\n\n").any(|event| wanted.iter().all(|part| event.contains(part))) {
                let part = response.chunk().await.unwrap().expect("the stream goes on");
                told += std::str::from_utf8(&part).unwrap();
            }
        })
        .await;
        told.clone()
    }
}

#[tokio::test]
async fn events_tell_users_of_their_own_contexts_by_the_names_they_gave() {
    let server = server().await;
    let mut all = told(&server, "", "bob").await;
    let mut of_c = told(&server, "?context=c", "bob").await;
    post(&server, "/contexts/c2", "ann", "").await.says(200, "SUCCESS", "Context initialized");
    post(&server, "/contexts/c", "bob", "").await.says(200, "SUCCESS", "Context initialized");
    let job = "/jobs?appName=jobs&classPath=jobs.Echo&sync=true&timeout=60&context=";
    assert_eq!(post(&server, &format!("{job}c2"), "ann", "{}").await.status, 200);
    assert_eq!(post(&server, &format!("{job}c"), "bob", "{}").await.status, 200);
    let ended = ["event: job\n", r#""context":"bob~c""#, "FINISHED"];
    let running = ["event: context\n", r#""name":"c""#, "RUNNING"];
    for stream in [&mut all, &mut of_c] {
        stream(&running).await;
        let told = stream(&ended).await;
        let mut contexts = told.split("\n\n").filter(|event| event.contains("event: context\n"));
        assert!(contexts.all(|event| event.contains(r#""name":"c""#)), "{told}");
    }
    assert!(!of_c(&ended).await.contains("ann"));
}

#[tokio::test]
async fn who_may_stop_all_contexts_may_stop_one_of_somebody_elses() {
    let users = text(&[("root", &["admin"]), ("ann", &["user"]), ("bob", &["user"])]);
    let server = start(place(&users), &["security.use-as-proxy-user=true"]);
    for name in ["c", "d"] {
        let path = format!("/contexts/{name}");
        post(&server, &path, "bob", "").await.says(200, "SUCCESS", "Context initialized");
    }
    get(&server, "/contexts/bob~c", "ann").await.refuses(404, "can't find context with name bob~c");
    delete(&server, "/contexts/bob~c", "ann").await.refuses(404, "context bob~c not found");
    delete(&server, "/contexts/c", "root").await.refuses(404, "context c not found");
    assert_eq!(get(&server, "/contexts/bob~c", "root").await.json(200)["name"], "bob~c");
    delete(&server, "/contexts/bob~c", "root").await.says(200, "SUCCESS", "Context stopped");
    let keyed = asked(&server, Method::DELETE, "/contexts/bob~d", &encode_basic("root", PASSWORD));
    Reply::to(keyed.header("idempotency-key", "k")).await.says(200, "SUCCESS", "Context stopped");
    assert_eq!(get(&server, "/contexts", "bob").await.json(200), json!([]));
}

#[tokio::test]
async fn a_prefix_makes_no_bad_name_good() {
    let server = server().await;
    for name in ["1a", "~x", "_x"] {
        post(&server, &format!("/contexts/{name}"), "ann", "")
            .await
            .refuses(400, "context name must start with letters");
    }
}
