//! PUT /contexts?reset=reboot.

use serde_json::json;

use crate::fixture::{Server, eventually};

#[tokio::test]
async fn all_contexts_are_gone_when_it_answers() {
    let server = Server::start();
    server.put("/contexts?reset=reboot").await.says(200, "SUCCESS", "Context reset");
    server.open("a").await;
    server.open("b").await;
    server.put("/contexts?reset=reboot").await.says(200, "SUCCESS", "Context reset");
    assert_eq!(server.get("/contexts").await.json(200), json!([]));
    assert_eq!(server.get("/contexts/a").await.json(200)["state"], "FINISHED");
    eventually("an end of all processes", || async { server.place().processes().len() == 1 }).await;
}

#[tokio::test]
async fn without_sync_it_answers_at_once() {
    let server = Server::start();
    server.open("a").await;
    server.put("/contexts?reset=reboot&sync=false").await.says(200, "SUCCESS", "Context reset requested");
    eventually("an end of the context", || async { server.get("/contexts").await.json(200) == json!([]) }).await;
}

#[tokio::test]
async fn there_is_no_other_reset() {
    let server = Server::start();
    let text = |given: &str| {
        format!(
            "The query parameter 'reset' was malformed:\n'{given}' is not 'reboot', which is the only reset there is"
        )
    };
    server.put("/contexts?reset=soft").await.is_text(400, &text("soft"));
    server.put("/contexts").await.is_text(400, &text(""));
}
