//! GET /v1/jobs/ID/callbacks, POST …/replay: deliveries of callbacks to targets of all manners, and over a kill of the server.

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures::StreamExt;
use reqwest::Method;
use ring::hmac;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::fixture::{Called, Peer, Place, Reply, Server, encoded, eventually, status, within};

/// A job that ends at once and calls back.
async fn job(server: &Server, url: &str) -> String {
    server.job_with("Echo", &json!({"a": 1}), &format!("&callbackUrl={}", encoded(url))).await
}

async fn callback(server: &Server, id: &str) -> Value {
    server.get(&format!("/v1/jobs/{id}/callbacks")).await.json(200)
}

/// The callback once it is in this state.
async fn becomes(server: &Server, id: &str, state: &str) -> Value {
    eventually(state, || async { callback(server, id).await["state"] == state }).await;
    callback(server, id).await
}

async fn replay(server: &Server, id: &str) -> Reply {
    server.post(&format!("/v1/jobs/{id}/callbacks/replay"), "").await
}

fn statuses(callback: &Value) -> Vec<Option<u64>> {
    callback["log"].as_array().unwrap().iter().map(|attempt| attempt["status"].as_u64()).collect()
}

/// Kills the server without a word, and starts the next one with these settings.
async fn killed_and_started(server: Server, settings: &[&str]) -> Server {
    server.reset().await;
    server.signal(Signal::KILL);
    let (_, place) = server.end().await;
    Server::at(place, "127.0.0.1:0", settings)
}

#[tokio::test]
async fn each_attempt_stands_in_the_log() {
    let server = Server::with_context(&["callbacks.backoff=\"10ms\""]).await;
    let mut peer = Peer::answering(&[], &[500, 302]).await;
    let url = format!("{}/done", peer.url);
    let id = job(&server, &format!("{url}?token=secret")).await;
    for attempt in ["1", "2", "3"] {
        let called = peer.called().await;
        assert_eq!((called.header("doyen-delivery"), called.header("doyen-attempt")), (id.as_str(), attempt));
        assert!(!called.headers.contains_key("doyen-signature"));
    }
    let found = becomes(&server, &id, "DELIVERED").await;
    assert_eq!(statuses(&found), [Some(500), Some(302), Some(200)]);
    assert_eq!((&found["attempts"], &found["url"], &found["delivery"]), (&json!(3), &json!(url), &json!(id)));
    assert!(found["log"][2]["durationMs"].is_u64() && found["log"][2]["time"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn what_was_not_delivered_is_delivered_after_a_kill_of_the_server_under_the_same_id() {
    let server = Server::with_context(&[]).await;
    // The first hangs, so the server is killed while it waits for an answer; the second stands for its next attempt.
    let mut peer = Peer::playing(|number| (number > 1).then(|| status(200))).await;
    let mut refusing = Peer::answering(&[], &[500]).await;
    let (hung, second) = (job(&server, &peer.url).await, job(&server, &peer.url).await);
    let refused = job(&server, &refusing.url).await;
    let before = [peer.called().await, peer.called().await];
    refusing.called().await;
    becomes(&server, &refused, "WAITING").await;
    eventually("an attempt", || async { callback(&server, &refused).await["attempts"] == 1 }).await;

    let server = killed_and_started(server, &["callbacks.max-backoff=\"10ms\"", "callbacks.backoff=\"10ms\""]).await;
    let ids = |called: &[Called; 2]| {
        let mut ids = [called[0].header("doyen-delivery").to_owned(), called[1].header("doyen-delivery").to_owned()];
        ids.sort();
        ids
    };
    let after = [peer.called().await, peer.called().await];
    assert_eq!(ids(&before), [hung.clone(), second]);
    assert_eq!(ids(&before), ids(&after));
    assert_eq!(after[0].json()["result"], json!({"a": 1}));
    becomes(&server, &hung, "DELIVERED").await;
    // Its pause was longer than what is allowed now: it does not wait for that.
    assert_eq!(refusing.called().await.header("doyen-delivery"), refused);
    assert_eq!(statuses(&becomes(&server, &refused, "DELIVERED").await), [Some(500), Some(200)]);
}

#[tokio::test]
async fn targets_that_hang_do_not_hold_up_the_others() {
    let settings = ["callbacks.timeout=\"10m\"", "callbacks.concurrency=4", "callbacks.concurrency-per-target=2"];
    let server = Server::with_context(&settings).await;
    let mut hanging = Peer::playing(|_| None).await;
    let mut fine = Peer::start().await;
    for _ in 0..5 {
        job(&server, &hanging.url).await;
    }
    hanging.called().await;
    hanging.called().await;
    for _ in 0..5 {
        let id = job(&server, &fine.url).await;
        assert_eq!(fine.called().await.json()["jobId"], id.as_str());
    }
}

#[tokio::test]
async fn a_target_that_does_not_answer_in_time_is_tried_again() {
    let server = Server::with_context(&["callbacks.timeout=\"300ms\"", "callbacks.backoff=\"10ms\""]).await;
    let mut peer = Peer::playing(|number| (number > 0).then(|| status(204))).await;
    let id = job(&server, &peer.url).await;
    peer.called().await;
    let found = becomes(&server, &id, "DELIVERED").await;
    assert_eq!(found["log"][0]["error"], "no answer within 0.3 s");
    assert_eq!(found["log"].as_array().unwrap().last().unwrap()["status"], 204);
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let server = Server::with_context(&[]).await;
    let (dropped, gone) = tokio::sync::mpsc::channel::<()>(1);
    let peer = Peer::playing(move |_| {
        let held = dropped.clone();
        let part = Bytes::from(vec![b'x'; 1 << 16]);
        let endless = futures::stream::repeat(part).map(move |part| {
            let _held = &held;
            Ok::<_, std::io::Error>(part)
        });
        Some(Response::new(Body::from_stream(endless)))
    })
    .await;
    let id = job(&server, &peer.url).await;
    becomes(&server, &id, "DELIVERED").await;
    // One is held by the peer, one by each answer that is still being sent.
    eventually("the end of the connection", || async { gone.sender_strong_count() == 1 }).await;
}

#[tokio::test]
async fn a_redirect_to_itself_is_not_followed() {
    let server = Server::with_context(&["callbacks.attempts=3", "callbacks.backoff=\"10ms\""]).await;
    let mut peer = Peer::playing(|_| {
        let mut answer = status(307);
        answer.headers_mut().insert("location", "/".parse().unwrap());
        Some(answer)
    })
    .await;
    let id = job(&server, &peer.url).await;
    for attempt in ["1", "2", "3"] {
        assert_eq!(peer.called().await.header("doyen-attempt"), attempt);
    }
    assert_eq!(statuses(&becomes(&server, &id, "GIVEN_UP").await), [Some(307); 3]);
}

#[tokio::test]
async fn a_target_that_is_gone_is_given_up_at_once_and_may_be_replayed_by_hand() {
    let server = Server::with_context(&["callbacks.backoff=\"10ms\""]).await;
    let mut peer = Peer::answering(&[], &[410, 200, 200]).await;
    let id = job(&server, &peer.url).await;
    let first = peer.called().await;
    let found = becomes(&server, &id, "GIVEN_UP").await;
    assert_eq!(statuses(&found), [Some(410)]);
    // Also once it was delivered.
    for attempts in [2, 3] {
        let asked = replay(&server, &id).await.json(202);
        assert_eq!((&asked["state"], &asked["jobId"]), (&json!("WAITING"), &json!(id)));
        let again = peer.called().await;
        assert_eq!((again.header("doyen-delivery"), &again.body), (id.as_str(), &first.body));
        assert_eq!(becomes(&server, &id, "DELIVERED").await["attempts"], attempts);
    }
}

#[tokio::test]
async fn retry_after_is_obeyed_and_bounded() {
    let later = |seconds: &'static str| {
        move |number| {
            let mut answer = status(if number == 0 { 503 } else { 200 });
            answer.headers_mut().insert("retry-after", seconds.parse().unwrap());
            Some(answer)
        }
    };
    let server = Server::with_context(&["callbacks.backoff=\"10ms\"", "callbacks.max-backoff=\"2h\""]).await;
    let mut peer = Peer::playing(later("3600")).await;
    let id = job(&server, &peer.url).await;
    peer.called().await;
    eventually("an attempt", || async { callback(&server, &id).await["attempts"] == 1 }).await;
    let found = callback(&server, &id).await;
    let ms = |text: &Value| text.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let pause = ms(&found["nextAttempt"]) - ms(&found["log"][0]["time"]);
    // Two clocks, each cut to milliseconds.
    assert!((3_599_000..3_700_000).contains(&pause), "{found}");
    // A replay does not wait for it.
    replay(&server, &id).await.json(202);
    peer.called().await;

    let server = Server::with_context(&["callbacks.backoff=\"10ms\"", "callbacks.max-backoff=\"20ms\""]).await;
    let mut peer = Peer::playing(later("99999999999")).await;
    let id = job(&server, &peer.url).await;
    peer.called().await;
    peer.called().await;
    becomes(&server, &id, "DELIVERED").await;
}

#[tokio::test]
async fn a_host_that_is_no_longer_allowed_is_not_called() {
    let server = Server::with_context(&[]).await;
    let peer = Peer::answering(&[], &[500]).await;
    let id = job(&server, &peer.url).await;
    eventually("an attempt", || async { callback(&server, &id).await["attempts"] == 1 }).await;
    let settings = ["security.callback-hosts=[\"example.org\"]", "callbacks.max-backoff=\"10s\""];
    let server = killed_and_started(server, &settings).await;
    replay(&server, &id).await.json(202);
    let found = becomes(&server, &id, "GIVEN_UP").await;
    assert_eq!(found["log"][1]["error"], "the host 127.0.0.1 is not in security.callback-hosts");
}

/// Whether one of the codes in the header is that of the time and the body, as a receiver checks it.
fn verifies(called: &Called, secret: &str) -> bool {
    let parts: Vec<(&str, &str)> =
        called.header("doyen-signature").split(',').map(|part| part.split_once('=').unwrap()).collect();
    let (_, time) = parts.iter().find(|(name, _)| *name == "t").unwrap();
    let signed = [format!("{time}.").as_bytes(), &called.body].concat();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let code: String = hmac::sign(&key, &signed).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    parts.contains(&("v1", &code))
}

#[tokio::test]
async fn callbacks_are_signed_with_every_secret() {
    let place = Place::new();
    let (old, new) = ("the old secret, 16 or more", "0123456789abcdef0123456789abcdef");
    std::fs::write(place.path("old"), format!("{old}\n")).unwrap();
    std::fs::write(place.path("new"), new).unwrap();
    let files = format!("callbacks.secret-files={:?}", [place.path("old"), place.path("new")]);
    let server = Server::at(place, "127.0.0.1:0", &[&files, "jobs.inline-result-bytes=1000"]);
    server.upload("jobs", crate::fixture::WHEEL, crate::fixture::jobs()).await.is_success(201);
    server.open("c").await;
    let mut peer = Peer::start().await;
    job(&server, &peer.url).await;
    let large = format!("&callbackUrl={}", encoded(&peer.url));
    server.job_with("Large", &json!({"size": 3_000_000}), &large).await;
    for _ in 0..2 {
        let called = peer.called().await;
        assert!(verifies(&called, old) && verifies(&called, new), "{:?}", called.headers);
        assert!(!verifies(&called, "another secret of that length"));
    }
}

#[tokio::test]
async fn a_secret_that_is_changed_signs_callbacks_without_a_restart() {
    let place = Place::new();
    let file = place.path("secret");
    let (old, new) = ("the old secret, 16 or more", "0123456789abcdef0123456789abcdef");
    std::fs::write(&file, old).unwrap();
    let server = Server::at(place, "127.0.0.1:0", &[&format!("callbacks.secret-files={:?}", [&file])]);
    server.upload("jobs", crate::fixture::WHEEL, crate::fixture::jobs()).await.is_success(201);
    server.open("c").await;
    let mut peer = Peer::start().await;
    job(&server, &peer.url).await;
    assert!(verifies(&peer.called().await, old));
    std::fs::write(&file, new).unwrap();
    let calls = async {
        loop {
            job(&server, &peer.url).await;
            let called = peer.called().await;
            if verifies(&called, new) {
                return;
            }
            assert!(verifies(&called, old));
        }
    };
    within("a callback with the new secret", calls).await;
}

#[tokio::test]
async fn a_server_without_its_secret_does_not_start() {
    let place = Place::new();
    let output = place.command("127.0.0.1:0", &["callbacks.secret-files=[\"none\"]"]).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && output.stdout.is_empty(), "{text}");
    assert!(text.contains("cannot read the secret in none (callbacks.secret-files)"), "{text}");
}

#[tokio::test]
async fn jobs_without_a_callback_and_those_that_have_not_ended() {
    let server = Server::with_context(&[]).await;
    let peer = Peer::start().await;
    let plain = server.job("Echo", &json!({})).await;
    let gate = server.gate("gate");
    let to = format!("&callbackUrl={}", encoded(&peer.url));
    let running = server.job_with("Waits", &gate.config(), &to).await;
    assert_eq!(callback(&server, &running).await["state"], "PENDING");
    replay(&server, &running).await.refuses(409, "The job has not ended; its callback follows then");
    server.delete(&format!("/jobs/{running}")).await.json(200);
    for (id, why) in [
        (running.as_str(), "The job has no callback: nobody is called of a kill"),
        (&plain, "The job has no callback: it was submitted without a callbackUrl"),
        ("none", "No such job ID none"),
    ] {
        server.get(&format!("/v1/jobs/{id}/callbacks")).await.refuses(404, why);
        replay(&server, id).await.refuses(404, why);
    }
}

#[tokio::test]
async fn metrics_tell_what_waits_and_what_became_of_the_rest() {
    let server = Server::with_context(&["callbacks.attempts=2", "callbacks.backoff=\"1ms\""]).await;
    let mut peer = Peer::answering(&[], &[200, 500, 500]).await;
    for state in ["DELIVERED", "GIVEN_UP"] {
        let id = job(&server, &peer.url).await;
        peer.called().await;
        becomes(&server, &id, state).await;
    }
    let hanging = Peer::playing(|_| None).await;
    job(&server, &hanging.url).await;
    let lines = ["waiting 1", "delivered_total 1", "failed_total 2", "given_up_total 1"];
    let all = || async {
        let metrics = Reply::to(server.request(Method::GET, "/metrics")).await;
        lines.iter().all(|line| metrics.text().contains(&format!("\ndoyen_callbacks_{line}\n")))
    };
    eventually("the figures", all).await;
}
