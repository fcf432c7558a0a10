//! GET /v1/contexts/NAME and GET /v1/jobs/ID.

use serde_json::json;

use crate::fixture::Server;

#[tokio::test]
async fn a_context_with_its_settings() {
    let server = Server::with_context(&[]).await;
    let context = server.get("/v1/contexts/c").await.json(200);
    assert_eq!((&context["kind"], &context["state"]), (&json!("python"), &json!("RUNNING")));
    assert_eq!(context["settings"]["context"]["name"], "c");
    assert_eq!(context["principal"], "anonymous");
    server.get("/v1/contexts/nosuch").await.refuses(404, "can't find context with name nosuch");
}

#[tokio::test]
async fn a_context_that_failed_says_why() {
    let server = Server::start();
    assert_eq!(server.post("/contexts/c?context-factory=no.such.Factory", "").await.status, 500);
    let context = server.get("/v1/contexts/c").await.json(200);
    assert_eq!(context["state"], "ERROR");
    assert!(context["failure"]["message"].as_str().unwrap().contains("no.such.Factory"));
}

#[tokio::test]
async fn a_killed_job_with_its_binaries_and_its_log() {
    let server = Server::with_context(&[]).await;
    let gate = server.gate("gate");
    let id = server.job("Prints", &gate.config()).await;
    gate.reached().await;
    let running = server.get(&format!("/v1/jobs/{id}")).await.json(200);
    assert_eq!(running["binaries"][0]["sha256"].as_str().unwrap().len(), 64);
    assert_eq!((&running["attempt"], &running["logBytes"]), (&json!(1), &json!(null)));
    server.delete(&format!("/jobs/{id}")).await.json(200);
    assert_eq!(server.get(&format!("/v1/jobs/{id}")).await.json(200)["logBytes"], 12);
    server.get(&format!("/v1/jobs/{id}/logs")).await.is_text(200, "at the gate\n");
    server.get("/v1/jobs/nosuch").await.refuses(404, "No such job ID nosuch");
}
