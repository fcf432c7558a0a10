//! GET /binaries/NAME.

use serde_json::json;

use crate::fixture::{Server, WHEEL, jobs};

#[tokio::test]
async fn one_binary_with_its_name_type_and_time() {
    let server = Server::start();
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    let binary = server.get("/binaries/jobs").await.json(200);
    let listed = &server.get("/binaries").await.json(200)["jobs"];
    let expected = json!({"app-name": "jobs", "binary-type": "Wheel", "upload-time": listed["upload-time"]});
    assert_eq!(binary, expected);
    assert_eq!(server.get("/jars/jobs").await.json(200), expected);
}

#[tokio::test]
async fn unknown_binary() {
    let server = Server::start();
    let reply = server.get("/binaries/nothing%20here").await;
    reply.refuses(404, "Can't find binary with name nothing here");
    assert_eq!(reply.header("doyen-error"), "binary-not-found");
}
