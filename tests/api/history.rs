//! Old jobs of the real server lie in segments, and clients see no difference.

use std::collections::BTreeMap;

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::fixture::{Peer, Server, encoded, eventually, fixed_port};

/// All but the newest two, in segments of three, at once.
const PACKING: [&str; 5] = [
    "history.pack=\"on\"",
    "history.recent=2",
    "history.segment-jobs=3",
    "history.settled-after=\"0s\"",
    "history.interval=\"20ms\"",
];

const ABOUT: [&str; 6] =
    ["/jobs/ID", "/jobs/ID/config", "/v1/jobs/ID", "/v1/jobs/ID/logs", "/v1/jobs/ID/result", "/v1/jobs/ID/callbacks"];
const LISTS: [&str; 6] = [
    "/jobs",
    "/jobs?limit=3",
    "/jobs?limit=1000",
    "/jobs?status=finished",
    "/jobs?status=error",
    "/jobs?status=killed",
];

/// What clients are told of all jobs.
async fn told(server: &Server, ids: &[String]) -> BTreeMap<String, (u16, String)> {
    let about = ids.iter().flat_map(|id| ABOUT.iter().map(move |path| path.replace("ID", id)));
    let mut told = BTreeMap::new();
    for path in about.chain(LISTS.map(str::to_owned)) {
        let reply = server.get(&path).await;
        told.insert(path, (reply.status, reply.text().to_owned()));
    }
    for id in ids {
        assert_eq!(server.get(&format!("/v1/jobs/{id}/timeline")).await.status, 200, "{id}");
    }
    told
}

async fn metric(server: &Server, name: &str) -> u64 {
    let text = server.get("/metrics").await.text().to_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

/// Twelve jobs that have ended in each way; the first is called back.
async fn jobs(server: &Server, peer: &mut Peer) -> Vec<String> {
    let callback = format!("&callbackUrl={}", encoded(&peer.url));
    let mut ids = vec![server.job_with("Echo", &json!({"n": "first"}), &callback).await];
    assert_eq!(peer.called().await.json()["result"], json!({"n": "first"}));
    for n in 0..11 {
        let class = ["Echo", "Says", "Fails", "Large"][n % 4];
        let id = server.job(class, &json!({"n": n, "text": "a line\n", "size": 100_000})).await;
        server.ended(&id).await;
        ids.push(id);
    }
    let callbacks = format!("/v1/jobs/{}/callbacks", ids[0]);
    eventually("its delivery", || async { server.get(&callbacks).await.json(200)["state"] == "DELIVERED" }).await;
    ids
}

#[tokio::test]
async fn packed_jobs_are_told_as_before_also_after_kills_of_the_server_while_it_packs() {
    let listen = format!("127.0.0.1:{}", fixed_port());
    let mut peer = Peer::start().await;
    let server = Server::with_context(&["history.pack=\"off\""]).await;
    let ids = jobs(&server, &mut peer).await;
    let before = told(&server, &ids).await;
    server.reset().await;
    server.signal(Signal::KILL);
    let (_, mut place) = server.end().await;
    for packed in [0, 1, 1] {
        let server = Server::at(place, &listen, &PACKING);
        eventually("something packed, or nothing left", || async {
            metric(&server, "doyen_history_packed_total").await >= packed
                || server.get(&format!("/jobs/{}", ids[8])).await.status == 200
                    && metric(&server, "doyen_history_reads_total").await > 0
        })
        .await;
        server.signal(Signal::KILL);
        place = server.end().await.1;
    }
    let server = Server::at(place, &listen, &PACKING);
    assert_eq!(told(&server, &ids).await, before);
    eventually("the oldest packed", || async {
        server.get(&format!("/jobs/{}", ids[0])).await;
        metric(&server, "doyen_history_reads_total").await > 0
    })
    .await;
    assert_eq!(told(&server, &ids).await, before);
    assert_eq!(metric(&server, "doyen_history_unreadable_total").await, 0);

    // An old callback is delivered once more.
    let replayed = server.post(&format!("/v1/jobs/{}/callbacks/replay", ids[0]), "").await;
    assert_eq!(replayed.status, 202, "{}", replayed.text());
    assert_eq!(peer.called().await.json()["result"], json!({"n": "first"}));
    eventually("its delivery", || async {
        let callback = server.get(&format!("/v1/jobs/{}/callbacks", ids[0])).await.json(200);
        callback["state"] == "DELIVERED" && callback["attempts"] == 2
    })
    .await;
    assert_eq!(server.get("/jobs?limit=1000").await.text(), before["/jobs?limit=1000"].1);
    server.get("/jobs/nosuch").await.says(404, "ERROR", "No such job ID nosuch");
}

#[tokio::test]
async fn retention_removes_packed_jobs_results_and_logs() {
    let server = Server::with_context(&[&PACKING[..], &["retention.interval=\"1m\""]].concat()).await;
    let mut peer = Peer::start().await;
    let ids = jobs(&server, &mut peer).await;
    eventually("nine packed", || async { metric(&server, "doyen_history_packed_total").await >= 9 }).await;
    server.reset().await;
    server.signal(Signal::TERM);
    let (_, place) = server.end().await;
    let kept = ["retention.interval=\"20ms\"", "retention.jobs-count=5", "retention.logs-age=\"0s\""];
    let server = Server::at(place, "127.0.0.1:0", &[&PACKING[..], &kept].concat());
    let listed = async || -> Vec<Value> { server.get("/jobs?limit=1000").await.json(200).as_array().unwrap().clone() };
    eventually("five jobs", || async { listed().await.len() == 5 }).await;
    let left: Vec<String> = listed().await.iter().map(|job| job["jobId"].as_str().unwrap().to_owned()).collect();
    assert!(left.iter().rev().eq(&ids[7..]), "{left:?} {ids:?}");
    for id in &ids[..7] {
        for path in ABOUT {
            assert_eq!(server.get(&path.replace("ID", id)).await.status, 404, "{path}");
        }
    }
    // Of `Says`.
    let logs = format!("/v1/jobs/{}/logs", ids[10]);
    eventually("no log", || async { server.get(&logs).await.text().is_empty() }).await;
    assert_eq!(server.get(&format!("/jobs/{}", ids[10])).await.json(200)["status"], "FINISHED");
}

#[tokio::test]
async fn that_jobs_are_packed_is_no_event() {
    let server = Server::with_context(&PACKING).await;
    let mut events = server.request(Method::GET, "/v1/events?types=job&state=finished").send().await.unwrap();
    let run = async |n: usize| -> String {
        server.sync("Echo", &json!({"n": n})).await.json(200)["jobId"].as_str().unwrap().to_owned()
    };
    let mut ids = Vec::new();
    for n in 0..9 {
        ids.push(run(n).await);
    }
    eventually("six packed", || async { metric(&server, "doyen_history_packed_total").await >= 6 }).await;
    // All that went before is in the stream by then.
    let last = run(9).await;
    let mut text = String::new();
    while !text.contains(&last) {
        let part = crate::fixture::within("the last end", events.chunk()).await.unwrap().unwrap();
        text += std::str::from_utf8(&part).unwrap();
    }
    assert!(!text.contains("event: removed"), "{text}");
    for id in &ids {
        assert_eq!(text.matches(&format!("\"jobId\":\"{id}\"")).count(), 1, "{id} in {text}");
    }
}
