//! GET /contexts/NAME.

use serde_json::json;

use crate::fixture::Server;

#[tokio::test]
async fn a_context_while_it_runs_and_after() {
    let server = Server::start();
    server.open("c").await;
    let running = server.get("/contexts/c").await.json(200);
    let expected = json!({
        "id": running["id"], "name": "c", "startTime": running["startTime"], "endTime": "Empty", "state": "RUNNING"
    });
    assert_eq!(running, expected);
    server.delete("/contexts/c").await.says(200, "SUCCESS", "Context stopped");
    let ended = server.get("/contexts/c").await.json(200);
    let expected = json!({
        "id": running["id"], "name": "c", "startTime": running["startTime"], "endTime": ended["endTime"],
        "state": "FINISHED"
    });
    assert_eq!(ended, expected);
    assert!(ended["endTime"].as_str() > running["startTime"].as_str(), "{ended}");
}

#[tokio::test]
async fn unknown_context() {
    let server = Server::start();
    server.get("/contexts/nothing%2Fhere").await.refuses(404, "can't find context with name nothing/here");
}

#[tokio::test]
async fn of_contexts_with_one_name_the_newest_is_shown() {
    let server = Server::start();
    server.open("c").await;
    let first = server.get("/contexts/c").await.json(200)["id"].clone();
    server.delete("/contexts/c").await.says(200, "SUCCESS", "Context stopped");
    server.open("c").await;
    assert_ne!(server.get("/contexts/c").await.json(200)["id"], first);
}
