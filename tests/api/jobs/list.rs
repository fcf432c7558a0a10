//! GET /jobs.

use serde_json::{Value, json};

use crate::fixture::Server;

fn ids(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|job| job["jobId"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn newest_first_and_without_results() {
    let server = Server::with_context(&[]).await;
    assert_eq!(server.get("/jobs").await.json(200), json!([]));
    let one = server.job("Echo", &json!({})).await;
    let done = server.ended(&one).await;
    let two = server.job("Echo", &json!({})).await;
    server.ended(&two).await;
    let list = server.get("/jobs").await.json(200);
    assert_eq!(ids(&list), [&*two, &one]);
    let mut without_result = done;
    without_result.as_object_mut().unwrap().remove("result");
    assert_eq!(list[1], without_result);
}

#[tokio::test]
async fn a_limit_counts_from_the_newest() {
    let server = Server::with_context(&["jobs.list-limit=2", "jobs.max-list-limit=3"]).await;
    let mut all = Vec::new();
    for _ in 0..4 {
        let id = server.job("Echo", &json!({})).await;
        server.ended(&id).await;
        all.insert(0, id);
    }
    for (query, count) in
        [("", 2), ("?limit=", 2), ("?limit=1", 1), ("?limit=0", 0), ("?limit=-1", 3), ("?limit=99", 3)]
    {
        let list = server.get(&format!("/jobs{query}")).await.json(200);
        assert_eq!(ids(&list), all[..count], "{query}");
    }
    for value in ["abc", "99999999999", "1.5"] {
        let text =
            format!("The query parameter 'limit' was malformed:\n'{value}' is not a valid 32-bit signed integer value");
        server.get(&format!("/jobs?limit={value}")).await.is_text(400, &text);
    }
}

#[tokio::test]
async fn a_status_in_any_case() {
    let server = Server::with_context(&[]).await;
    let gate = server.gate("gate");
    let failed = server.job("Fails", &json!({})).await;
    let finished = server.job("Echo", &json!({})).await;
    let killed = server.waiting(&server.gate("other")).await;
    server.delete(&format!("/jobs/{killed}")).await.json(200);
    server.ended(&failed).await;
    server.ended(&finished).await;
    let running = server.waiting(&gate).await;
    for (status, expected) in [
        ("finished", vec![&*finished]),
        ("ERROR", vec![&*failed]),
        ("Killed", vec![&*killed]),
        ("running", vec![&*running]),
        ("RESTARTING", vec![]),
        ("nonsense", vec![]),
        ("", vec![&*running, &killed, &finished, &failed]),
    ] {
        let list = server.get(&format!("/jobs?status={status}")).await.json(200);
        let found = ids(&list);
        assert_eq!(found, expected, "{status}");
    }
    assert_eq!(ids(&server.get("/jobs?status=running&limit=0").await.json(200)), [""; 0]);
    gate.open();
}
