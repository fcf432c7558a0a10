//! HTTP Basic.

use doyen::core::access::encode_basic;
use reqwest::Method;
use serde_json::json;

use super::{BAD_CREDENTIALS, NO_CREDENTIALS, PASSWORD, asked, get, post, server};
use crate::fixture::{Reply, Server, WHEEL, jobs};

#[tokio::test]
async fn who_says_nothing_gets_only_what_tells_nothing() {
    let server = server();
    for path in ["/ping", "/healthz", "/readyz", "/openapi.json", "/"] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
    for path in ["/jobs", "/contexts", "/binaries", "/jars", "/data", "/jobs/x", "/v1/tokens", "/metrics"] {
        server.get(path).await.is_challenge(NO_CREDENTIALS);
    }
    server.post("/jobs", "").await.is_challenge(NO_CREDENTIALS);
    server.delete("/contexts/c").await.is_challenge(NO_CREDENTIALS);
    assert_eq!(server.get("/nowhere").await.status, 404);
}

#[tokio::test]
async fn a_user_with_the_password_gets_in() {
    let server = server();
    assert_eq!(get(&server, "/jobs", "ann").await.json(200), json!([]));
    // Whatever the scheme's case, and again from what is remembered.
    let lower = encode_basic("ann", PASSWORD).replace("Basic", "basic");
    assert_eq!(Reply::to(asked(&server, Method::GET, "/jobs", &lower)).await.status, 200);
}

#[tokio::test]
async fn a_wrong_password_and_a_user_who_is_not_there_are_told_in_the_same_way() {
    let server = server();
    let wrong = Reply::to(asked(&server, Method::GET, "/jobs", &encode_basic("ann", "wrong"))).await;
    let nobody = Reply::to(asked(&server, Method::GET, "/jobs", &encode_basic("zoe", PASSWORD))).await;
    wrong.is_challenge(BAD_CREDENTIALS);
    nobody.is_challenge(BAD_CREDENTIALS);
    let names = |reply: &Reply| reply.headers.keys().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(&wrong), names(&nobody));
}

#[tokio::test]
async fn a_malformed_header_is_refused() {
    let server = server();
    let long = format!("Basic {}", "A".repeat(20_000));
    for header in ["Basic", "Basic !!!", "Basic YW5u", "Digest a=b", "YW5uOng=", "Basic /////w==", &long] {
        Reply::to(asked(&server, Method::GET, "/jobs", header)).await.is_challenge(BAD_CREDENTIALS);
    }
    let twice = asked(&server, Method::GET, "/jobs", &encode_basic("ann", PASSWORD)).header("authorization", "Basic x");
    Reply::to(twice).await.is_challenge(BAD_CREDENTIALS);
}

#[tokio::test]
async fn where_no_users_are_configured_credentials_are_ignored() {
    let server = Server::start();
    let reply = Reply::to(asked(&server, Method::GET, "/jobs", &encode_basic("ann", "wrong"))).await;
    assert_eq!(reply.json(200), json!([]));
    server.get("/v1/tokens").await.refuses(400, "This server has no users, and so no tokens (security.users-file)");
}

#[tokio::test]
async fn drivers_need_no_user_and_records_name_who_asked() {
    let server = server();
    let upload = asked(&server, Method::POST, "/binaries/jobs", &encode_basic("bob", PASSWORD));
    Reply::to(upload.header("content-type", WHEEL).body(jobs())).await.is_success(201);
    post(&server, "/contexts/c", "bob", "").await.says(200, "SUCCESS", "Context initialized");
    assert_eq!(get(&server, "/v1/contexts/c", "bob").await.json(200)["principal"], "bob");
    let path = "/jobs?appName=jobs&classPath=jobs.Echo&context=c&sync=true&timeout=60";
    let done = post(&server, path, "ann", json!({"x": 1})).await.json(200);
    let id = done["jobId"].as_str().unwrap();
    assert_eq!(get(&server, &format!("/v1/jobs/{id}"), "bob").await.json(200)["principal"], "ann");
}

#[tokio::test]
async fn a_thousand_requests_of_one_user_at_once_are_all_answered() {
    let server = server();
    let header = encode_basic("ann", PASSWORD);
    let one = || async { Reply::to(asked(&server, Method::GET, "/binaries", &header)).await.status };
    // Fewer than wait for the first verification, then many that find it done.
    for number in [100, 1000] {
        let all = futures::future::join_all((0..number).map(|_| one())).await;
        assert!(all.iter().all(|status| *status == 200), "{all:?}");
    }
}
