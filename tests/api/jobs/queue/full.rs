//! Limits: of a context, of a principal.

use super::{Notes, queue};
use crate::fixture::{Reply, Server};

const ANOTHER: &str = "/jobs?appName=jobs&classPath=jobs.Echo&context=c&queue=true";

#[track_caller]
fn refused(reply: &Reply, text: &str, code: &str) {
    reply.says(503, "NO SLOTS AVAILABLE", text);
    assert_eq!((reply.header("doyen-error"), reply.header("retry-after")), (code, "1"));
}

#[tokio::test]
async fn no_more_than_a_context_may_queue() {
    let server = Server::with_context(&["jobs.max-per-context=1", "jobs.max-queued-per-context=2"]).await;
    let (gate, notes) = (server.gate("gate"), Notes::new(&server));
    let running = server.waiting(&gate).await;
    let direct = server.post("/jobs?appName=jobs&classPath=jobs.Echo&context=c", "").await;
    refused(&direct, "Too many running jobs (1) for job context 'c'", "no-slots");
    queue(&server, &notes, "1", "").await;
    queue(&server, &notes, "2", "").await;
    let full = server.post(ANOTHER, "").await;
    refused(&full, "Too many queued jobs (2) for job context 'c'", "queue-full");
    gate.open();
    server.ended(&running).await;
    Reply::not_busy(server.request(reqwest::Method::POST, ANOTHER)).await.json(202);
}

#[tokio::test]
async fn a_burst_gets_as_many_places_as_there_are() {
    let server = Server::with_context(&["jobs.max-per-context=1", "jobs.max-queued-per-context=5"]).await;
    let gate = server.gate("gate");
    server.waiting(&gate).await;
    let replies = futures::future::join_all((0..20).map(|_| server.post(ANOTHER, ""))).await;
    let accepted = replies.iter().filter(|reply| reply.status == 202).count();
    assert_eq!((accepted, replies.iter().filter(|reply| reply.status == 503).count()), (5, 15));
    gate.open();
}

#[tokio::test]
async fn no_more_than_a_user_may_queue() {
    let server = Server::with_context(&["jobs.max-per-context=1", "jobs.max-queued-per-principal=1"]).await;
    let (gate, notes) = (server.gate("gate"), Notes::new(&server));
    let running = server.waiting(&gate).await;
    queue(&server, &notes, "1", "").await;
    let full = server.post(ANOTHER, "").await;
    refused(&full, "Too many queued jobs (1) of user 'anonymous'", "too-many-jobs");
    gate.open();
    server.ended(&running).await;
    Reply::not_busy(server.request(reqwest::Method::POST, ANOTHER)).await.json(202);
}

#[tokio::test]
async fn no_more_than_a_user_may_have_at_once() {
    let server = Server::with_context(&["jobs.max-active-per-principal=2"]).await;
    let (gate, other) = (server.gate("gate"), server.gate("other"));
    let running = server.waiting(&gate).await;
    server.waiting(&other).await;
    let text = "Too many active jobs (2) of user 'anonymous'";
    refused(&server.post(ANOTHER, "").await, text, "too-many-jobs");
    refused(&server.post("/jobs?appName=jobs&classPath=jobs.Echo&context=c", "").await, text, "too-many-jobs");
    gate.open();
    server.ended(&running).await;
    server.post(ANOTHER, "").await.json(202);
    other.open();
}
