//! `security.use-as-proxy-user`: users have contexts of their own.

use doyen::core::access::encode_basic;
use reqwest::Method;
use serde_json::json;

use super::{PASSWORD, asked, delete, get, place, post, start, text};
use crate::fixture::{Reply, Server, WHEEL, jobs};

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

#[tokio::test]
async fn a_prefix_makes_no_bad_name_good() {
    let server = server().await;
    for name in ["1a", "~x", "_x"] {
        post(&server, &format!("/contexts/{name}"), "ann", "")
            .await
            .refuses(400, "context name must start with letters");
    }
}
