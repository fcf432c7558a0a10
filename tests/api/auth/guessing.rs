//! Guessing passwords.

use std::time::Duration;

use doyen::core::access::encode_basic;
use doyen::runtime::clock;
use reqwest::Method;

use super::{BAD_CREDENTIALS, EVERYBODY, PASSWORD, asked, get, place, server, start, text};
use crate::fixture::{Reply, Server};

async fn guess(server: &Server, user: &str, password: &str) -> Reply {
    Reply::to(asked(server, Method::GET, "/jobs", &encode_basic(user, password))).await
}

#[track_caller]
fn must_wait(reply: &Reply) {
    assert_eq!(reply.status, 429, "{}", reply.text());
    let seconds: u64 = reply.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
}

/// What the password gets right after five that failed. On a machine so slow that the wait is over, it is tried again.
async fn after_five(try_one: impl AsyncFn(&str) -> Reply, password: &str) -> Reply {
    loop {
        let mut last = clock::instant();
        for i in 0..5 {
            last = clock::instant();
            let failed = try_one(&format!("guess {i}")).await;
            assert!([401, 429].contains(&failed.status), "{}", failed.text());
        }
        let reply = try_one(password).await;
        if clock::since(last) < Duration::from_secs(1) {
            return reply;
        }
    }
}

#[tokio::test]
async fn after_some_failures_one_waits_with_the_right_password_too() {
    let server = server();
    let early = after_five(async |password| guess(&server, "ann", password).await, PASSWORD).await;
    must_wait(&early);
    assert!(early.text().contains("Too many failed attempts to log in; try again in "), "{}", early.text());
    // Others are not held up, and the wait is over some time.
    assert_eq!(guess(&server, "bob", PASSWORD).await.status, 200);
    crate::fixture::eventually("a login", || async { guess(&server, "ann", PASSWORD).await.status == 200 }).await;
    guess(&server, "ann", "wrong").await.is_challenge(BAD_CREDENTIALS);
}

#[tokio::test]
async fn a_user_who_is_not_there_waits_like_one_who_is() {
    let server = server();
    guess(&server, "zoe", PASSWORD).await.is_challenge(BAD_CREDENTIALS);
    must_wait(&after_five(async |password| guess(&server, "zoe", password).await, PASSWORD).await);
}

#[tokio::test]
async fn who_is_logged_in_goes_on_while_somebody_guesses() {
    let server = server();
    assert_eq!(get(&server, "/jobs", "ann").await.status, 200);
    must_wait(&after_five(async |password| guess(&server, "ann", password).await, "another guess").await);
    assert_eq!(get(&server, "/jobs", "ann").await.status, 200);
}

#[tokio::test]
async fn many_guesses_at_once_are_not_all_tried() {
    let server = server();
    let guesses = (0..60).map(|i| format!("guess {i}")).collect::<Vec<_>>();
    let all = futures::future::join_all(guesses.iter().map(|password| guess(&server, "ann", password))).await;
    let tried = all.iter().filter(|reply| reply.status == 401).count();
    // Five are free, and those at work at that moment.
    assert!((5..=12).contains(&tried), "{tried}");
    assert!(all.iter().all(|reply| [401, 429].contains(&reply.status)));
    assert_eq!(server.get("/ping").await.status, 200);
}

#[tokio::test]
async fn behind_a_proxy_that_is_trusted_each_client_counts_for_itself() {
    let server = start(place(&text(EVERYBODY)), &["security.trusted-proxies=[\"127.0.0.1\"]"]);
    let guess = |from: &str, password: &str| {
        let request = asked(&server, Method::GET, "/jobs", &encode_basic("ann", password));
        Reply::to(request.header("x-forwarded-for", format!("8.8.8.8, {from}")))
    };
    must_wait(&after_five(async |password| guess("10.1.1.1", password).await, PASSWORD).await);
    assert_eq!(guess("10.1.1.2", PASSWORD).await.status, 200);
}
