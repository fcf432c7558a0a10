//! /ping, /healthz, /readyz and /metrics.

use serde_json::json;

use crate::fixture::Server;

/// Value of a series, named with its labels.
fn series(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[tokio::test]
async fn a_server_that_is_well() {
    let server = Server::start();
    server.get("/ping").await.is_text(200, "pong");
    server.get("/healthz").await.is_success(200);
    server.get("/readyz").await.is_success(200);
}

#[tokio::test]
async fn metrics_are_lines_of_names_labels_and_numbers() {
    let server = Server::start();
    server.get("/jobs").await.json(200);
    let reply = server.get("/metrics").await;
    assert_eq!(reply.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let (text, end) = reply.text().rsplit_once("# EOF").unwrap();
    assert_eq!(end, "\n");
    for line in text.lines().filter(|line| !line.starts_with("# ")) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let (name, labels) = name.split_once('{').unwrap_or((name, "}"));
        assert!(name.starts_with("doyen_") && labels.ends_with('}'), "{line}");
        assert!(
            text.contains(&format!("# HELP {}", name.split("_total").next().unwrap())) || name.contains("_seconds_"),
            "{line}"
        );
    }
}

#[tokio::test]
async fn requests_are_counted_by_route_and_status() {
    let server = Server::start();
    let route = "/binaries/{name}";
    let name = |status| format!("doyen_http_requests_total{{method=\"GET\",route=\"{route}\",status=\"{status}\"}}");
    let before = server.get("/metrics").await;
    assert_eq!(series(before.text(), &name(404)), None);
    server.get("/binaries/a").await;
    server.get("/binaries/b").await;
    let after = server.get("/metrics").await;
    assert_eq!(series(after.text(), &name(404)), Some(2.0), "{}", after.text());
    let count = format!("doyen_http_request_duration_seconds_count{{method=\"GET\",route=\"{route}\"}}");
    assert_eq!(series(after.text(), &count), Some(2.0), "{}", after.text());
}

#[tokio::test]
async fn live_contexts_and_active_jobs_are_gauges() {
    let server = Server::with_context(&[]).await;
    let gate = server.gate("gate");
    let id = server.waiting(&gate).await;
    let busy = server.get("/metrics").await;
    assert_eq!(series(busy.text(), "doyen_jobs_active"), Some(1.0));
    assert_eq!(series(busy.text(), "doyen_contexts_live"), Some(1.0));
    gate.open();
    server.ended(&id).await;
    server.put("/contexts?reset=reboot").await.says(200, "SUCCESS", "Context reset");
    let idle = server.get("/metrics").await;
    assert_eq!(series(idle.text(), "doyen_jobs_active"), Some(0.0));
    assert_eq!(series(idle.text(), "doyen_contexts_live"), Some(0.0));
    assert_eq!(server.get("/contexts").await.json(200), json!([]));
}
