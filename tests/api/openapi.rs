//! The API's description. `DOYEN_WRITE_OPENAPI=1 cargo test --test api openapi` renews `docs/openapi.json`.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::Value;

use crate::fixture::{Reply, Server};

const SNAPSHOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
const ROUTER: &str = include_str!("../../src/http/router.rs");
/// The page, the description itself, old names of /binaries, and the doors for drivers, which have a document of their own.
const NOT_DESCRIBED: [&str; 6] = [
    "/",
    "/openapi.json",
    "/jars",
    "/jars/{name}",
    "/v1/drivers/{context}/attach",
    "/v1/drivers/{context}/blobs/{sha256}",
];

/// Paths with their verbs, in capitals.
fn described() -> BTreeMap<String, BTreeSet<String>> {
    let document: Value = serde_json::from_str(&doyen::http::document()).unwrap();
    let verbs = |item: &Value| item.as_object().unwrap().keys().map(|verb| verb.to_uppercase()).collect();
    document["paths"].as_object().unwrap().iter().map(|(path, item)| (path.clone(), verbs(item))).collect()
}

/// The same path whatever its parameters are called.
fn anonymous(path: &str) -> String {
    path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part }).collect::<Vec<_>>().join("/")
}

#[test]
fn the_snapshot_in_docs_is_what_the_server_says() {
    let document = doyen::http::document();
    if std::env::var_os("DOYEN_WRITE_OPENAPI").is_some() {
        std::fs::write(SNAPSHOT, &document).unwrap();
    }
    let snapshot = std::fs::read_to_string(SNAPSHOT).unwrap_or_default();
    assert!(
        snapshot == document,
        "docs/openapi.json is old: renew it with `DOYEN_WRITE_OPENAPI=1 cargo test --test api openapi`"
    );
}

#[tokio::test]
async fn the_server_answers_it_as_json() {
    let server = Server::start();
    let reply = server.get("/openapi.json").await;
    assert_eq!(reply.json(200)["info"]["title"], "Doyen");
    assert_eq!(reply.text(), doyen::http::document());
}

#[test]
fn every_route_is_described_and_nothing_else() {
    let routes = ROUTER.split(".route(\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    let routes: BTreeSet<String> = routes.filter(|path| !NOT_DESCRIBED.contains(path)).map(anonymous).collect();
    let described: BTreeSet<String> = described().keys().map(|path| anonymous(path)).collect();
    assert_eq!(routes, described);
}

#[test]
fn every_change_takes_an_idempotency_key() {
    let document: Value = serde_json::from_str(&doyen::http::document()).unwrap();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (verb, operation) in item.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let takes = parameters.iter().any(|one| one["name"] == "Idempotency-Key" && one["in"] == "header");
            assert_eq!(takes, verb != "get", "{verb} {path}");
        }
    }
}

#[tokio::test]
async fn every_verb_is_described_and_nothing_else() {
    let server = Server::start();
    let mut served: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in described().keys() {
        // No route has a TRACE: the answer names those that it has.
        let reply = Reply::to(server.request(Method::TRACE, &path.replace(['{', '}'], ""))).await;
        assert_eq!(reply.status, 405, "{path}");
        let verbs = reply.header("allow").split(',').filter(|verb| *verb != "HEAD").map(str::to_owned);
        served.entry(anonymous(path)).or_default().extend(verbs);
    }
    let mut expected: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, verbs) in described() {
        expected.entry(anonymous(&path)).or_default().extend(verbs);
    }
    assert_eq!(served, expected);
}
