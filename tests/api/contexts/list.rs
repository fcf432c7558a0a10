//! GET /contexts.

use serde_json::json;

use crate::fixture::Server;

#[tokio::test]
async fn running_contexts_by_name() {
    let server = Server::start();
    assert_eq!(server.get("/contexts").await.json(200), json!([]));
    server.open("b").await;
    server.open("a").await;
    assert_eq!(server.get("/contexts").await.json(200), json!(["a", "b"]));
    server.delete("/contexts/b").await.says(200, "SUCCESS", "Context stopped");
    assert_eq!(server.get("/contexts").await.json(200), json!(["a"]));
}
