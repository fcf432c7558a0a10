//! DELETE /binaries/NAME.

use crate::fixture::{Server, WHEEL, jobs};

#[tokio::test]
async fn a_deleted_binary_is_gone() {
    let server = Server::start();
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    server.delete("/binaries/jobs").await.is_success(200);
    server.get("/binaries/jobs").await.refuses(404, "Can't find binary with name jobs");
    server.delete("/binaries/jobs").await.refuses(404, "can't find binary with name jobs");
}

#[tokio::test]
async fn a_binary_that_jobs_use_is_kept_until_they_have_ended() {
    let server = Server::with_context(&[]).await;
    let (one, two) = (server.gate("one"), server.gate("two"));
    let ids = [server.waiting(&one).await, server.waiting(&two).await];
    let text = format!("Binary is in use by job(s): {}, {}", ids[0], ids[1]);
    server.delete("/binaries/jobs").await.refuses(403, &text);
    one.open();
    server.ended(&ids[0]).await;
    server.delete("/binaries/jobs").await.refuses(403, &format!("Binary is in use by job(s): {}", ids[1]));
    two.open();
    server.ended(&ids[1]).await;
    server.delete("/binaries/jobs").await.is_success(200);
}

#[tokio::test]
async fn a_binary_is_in_use_from_the_answer_to_the_job_on() {
    let server = Server::with_context(&[]).await;
    let gate = server.gate("gate");
    let id = server.job("Waits", &gate.config()).await;
    server.delete("/binaries/jobs").await.refuses(403, &format!("Binary is in use by job(s): {id}"));
    gate.open();
    server.ended(&id).await;
}
