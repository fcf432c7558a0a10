//! Which route needs which permission.

use doyen::core::access::Permission;
use reqwest::Method;

use super::{EVERYBODY, FORBIDDEN, PASSWORD, asked, get, place, post, start, text};
use crate::fixture::{Reply, Server};
use doyen::core::access::encode_basic;

/// A permission, and requests that need it and no other. They ask for what is not there, or wrongly.
const REQUESTS: [(Permission, &[(&str, &str)]); 17] = [
    (Permission::BinariesRead, &[("GET", "/binaries"), ("GET", "/binaries/x"), ("GET", "/jars")]),
    (Permission::BinariesUpload, &[("POST", "/binaries/x"), ("POST", "/jars/x")]),
    (Permission::BinariesDelete, &[("DELETE", "/binaries/x")]),
    (Permission::ContextsRead, &[("GET", "/contexts"), ("GET", "/contexts/x"), ("GET", "/v1/contexts/x")]),
    (Permission::ContextsStart, &[("POST", "/contexts/1")]),
    (Permission::ContextsStop, &[("DELETE", "/contexts/x"), ("POST", "/contexts/x?_method=DELETE")]),
    (Permission::ContextsReset, &[("PUT", "/contexts?reset=reboot")]),
    (
        Permission::JobsRead,
        &[
            ("GET", "/jobs"),
            ("GET", "/jobs/x"),
            ("GET", "/jobs/x/config"),
            ("GET", "/v1/jobs/x"),
            ("GET", "/v1/jobs/x/result"),
            ("GET", "/v1/jobs/x/logs"),
            ("GET", "/v1/jobs/x/callbacks"),
            ("GET", "/v1/jobs/x/timeline"),
        ],
    ),
    (Permission::JobsStart, &[("POST", "/jobs"), ("POST", "/v1/jobs/x/callbacks/replay")]),
    (Permission::JobsStop, &[("DELETE", "/jobs/x")]),
    (Permission::DataRead, &[("GET", "/data")]),
    (Permission::DataUpload, &[("POST", "/data/x")]),
    (Permission::DataDelete, &[("DELETE", "/data/x")]),
    (Permission::DataReset, &[("PUT", "/data?reset=reboot")]),
    (Permission::TokensOwn, &[]),
    (Permission::TokensAll, &[]),
    (Permission::MetricsRead, &[("GET", "/metrics")]),
];

/// Users `only0`, `only1`… have one permission, users `but0`… all others.
fn server() -> Server {
    let (mut settings, mut names) = (Vec::new(), Vec::new());
    for (i, one) in Permission::ALL.iter().enumerate() {
        let others = Permission::ALL.iter().filter(|other| *other != one).map(|other| other.name());
        settings.push(format!("security.roles.only{i}=[\"{}\"]", one.name()));
        settings.push(format!("security.roles.but{i}={:?}", others.collect::<Vec<_>>()));
        names.extend([format!("only{i}"), format!("but{i}")]);
    }
    let roles: Vec<[&str; 1]> = names.iter().map(|name| [name.as_str()]).collect();
    let users: Vec<(&str, &[&str])> = names.iter().zip(&roles).map(|(name, role)| (name.as_str(), &role[..])).collect();
    start(place(&text(&users)), &settings.iter().map(String::as_str).collect::<Vec<_>>())
}

async fn ask(server: &Server, user: &str, method: &str, path: &str) -> Reply {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    Reply::to(asked(server, method, path, &encode_basic(user, PASSWORD))).await
}

#[tokio::test]
async fn every_route_needs_its_permission_and_no_other() {
    let server = server();
    for (i, one) in Permission::ALL.iter().enumerate() {
        let (_, requests) = REQUESTS.iter().find(|(permission, _)| permission == one).unwrap();
        for (method, path) in *requests {
            ask(&server, &format!("but{i}"), method, path).await.is_text(403, FORBIDDEN);
            let reply = ask(&server, &format!("only{i}"), method, path).await;
            assert!(![401, 403].contains(&reply.status), "{method} {path}: {} {}", reply.status, reply.text());
        }
    }
}

#[tokio::test]
async fn the_roles_that_are_built_in() {
    let server = super::server();
    post(&server, "/jobs", "eve", "").await.is_text(403, FORBIDDEN);
    assert_eq!(get(&server, "/jobs", "eve").await.status, 200);
    assert_eq!(post(&server, "/jobs", "bob", "").await.status, 400);
    let reset = |user| asked(&server, Method::PUT, "/contexts?reset=reboot", &encode_basic(user, PASSWORD));
    Reply::to(reset("bob")).await.is_text(403, FORBIDDEN);
    assert_eq!(Reply::to(reset("ann")).await.status, 200);
}

#[tokio::test]
async fn metrics_are_open_when_the_configuration_says_so() {
    let server = start(place(&text(EVERYBODY)), &["security.open-metrics=true"]);
    assert_eq!(server.get("/metrics").await.status, 200);
    assert_eq!(server.get("/jobs").await.status, 401);
}

#[tokio::test]
async fn a_context_for_one_job_needs_the_permission_to_start_contexts() {
    let settings = ["security.roles.runner=[\"jobs\", \"binaries\"]"];
    let server = start(place(&text(&[("rex", &["runner"])])), &settings);
    let upload = asked(&server, Method::POST, "/binaries/jobs", &encode_basic("rex", PASSWORD));
    let upload = upload.header("content-type", crate::fixture::WHEEL).body(crate::fixture::jobs());
    Reply::to(upload).await.is_success(201);
    let job = post(&server, "/jobs?appName=jobs&classPath=jobs.Echo", "rex", "").await;
    job.is_text(403, FORBIDDEN);
}
