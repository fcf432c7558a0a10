//! Bearer tokens.

use doyen::core::access::encode_basic;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    BAD_CREDENTIALS, EVERYBODY, FORBIDDEN, PASSWORD, asked, bearer, delete, get, place, post, server, start, text,
    token,
};
use crate::fixture::{Reply, Server, eventually};

async fn jobs_with(server: &Server, token: &Value) -> u16 {
    bearer(server, Method::GET, "/jobs", token["token"].as_str().unwrap()).await.status
}

#[tokio::test]
async fn a_token_gets_in_as_its_user_until_it_is_revoked() {
    let server = server();
    let made = token(&server, "bob", &json!({"note": "for the scheduler"})).await;
    assert_eq!(made["user"], "bob");
    assert_eq!(jobs_with(&server, &made).await, 200);
    let listed = get(&server, "/v1/tokens", "bob").await.json(200);
    assert_eq!((&listed[0]["id"], &listed[0]["note"]), (&made["id"], &json!("for the scheduler")));
    assert_eq!(listed[0]["token"], Value::Null);
    let path = format!("/v1/tokens/{}", made["id"].as_str().unwrap());
    delete(&server, &path, "bob").await.says(200, "SUCCESS", "Token revoked");
    let refused = bearer(&server, Method::GET, "/jobs", made["token"].as_str().unwrap()).await;
    refused.is_text(401, BAD_CREDENTIALS);
    assert_eq!(refused.header("www-authenticate"), "Bearer realm=\"Sparkjobserver Private\", error=\"invalid_token\"");
    assert_eq!(delete(&server, &path, "bob").await.status, 404);
}

#[tokio::test]
async fn a_wrong_token_is_told_like_an_expired_one() {
    let server = server();
    let made = token(&server, "bob", &json!({"life": "1s"})).await;
    eventually("the end of the token", || async { jobs_with(&server, &made).await == 401 }).await;
    let expired = made["token"].as_str().unwrap();
    bearer(&server, Method::GET, "/jobs", expired).await.is_text(401, BAD_CREDENTIALS);
    let mut other = expired.to_owned();
    other.replace_range(other.len() - 1.., if other.ends_with('0') { "1" } else { "0" });
    for wrong in [other.as_str(), "x", "doyen__", &"x".repeat(9000)] {
        bearer(&server, Method::GET, "/jobs", wrong).await.is_text(401, BAD_CREDENTIALS);
    }
    assert_eq!(get(&server, "/v1/tokens", "bob").await.json(200), json!([]));
}

#[tokio::test]
async fn a_token_permits_what_it_says_and_no_more_than_its_user() {
    let server = server();
    let made = token(&server, "bob", &json!({"permissions": ["jobs:read"]})).await;
    let text = made["token"].as_str().unwrap();
    assert_eq!(jobs_with(&server, &made).await, 200);
    bearer(&server, Method::GET, "/binaries", text).await.is_text(403, FORBIDDEN);
    bearer(&server, Method::POST, "/v1/tokens", text).await.is_text(403, FORBIDDEN);
    let more = post(&server, "/v1/tokens", "bob", json!({"permissions": ["*"]})).await;
    more.refuses(400, "No token is made: `*` is more than may be granted to bob");
}

#[tokio::test]
async fn a_token_makes_no_tokens() {
    let server = server();
    let made = token(&server, "ann", &json!({})).await;
    let reply = bearer(&server, Method::POST, "/v1/tokens", made["token"].as_str().unwrap()).await;
    reply.refuses(400, "No token is made: a token is not made with a token; log in with a password");
}

#[tokio::test]
async fn tokens_of_others_are_for_who_may_see_them() {
    let server = server();
    let of_ann = token(&server, "ann", &json!({"permissions": ["jobs"]})).await;
    let of_eve = token(&server, "ann", &json!({"user": "eve"})).await;
    assert_eq!(of_eve["user"], "eve");
    let path = format!("/v1/tokens/{}", of_ann["id"].as_str().unwrap());
    assert_eq!(delete(&server, &path, "bob").await.status, 404);
    assert_eq!(get(&server, "/v1/tokens", "bob").await.json(200), json!([]));
    post(&server, "/v1/tokens", "bob", json!({"user": "ann"})).await.is_text(403, FORBIDDEN);
    assert_eq!(get(&server, "/v1/tokens", "ann").await.json(200).as_array().unwrap().len(), 2);
    // What eve may not do, her token cannot, whoever made it.
    let eves = of_eve["token"].as_str().unwrap();
    bearer(&server, Method::POST, "/jobs", eves).await.is_text(403, FORBIDDEN);
}

#[tokio::test]
async fn wishes_that_are_no_good() {
    let server = server();
    for (wish, told) in [
        (json!({"life": "1000d"}), "a token is good for at most 366d, and not for nothing"),
        (json!({"life": "0s"}), "a token is good for at most 366d, and not for nothing"),
        (json!({"life": "soon"}), "`soon` is not a duration"),
        (json!({"permissions": ["job"]}), "`job` is no permission"),
        (json!({"user": "zoe"}), "there is no user zoe"),
        (json!({"permision": []}), "unknown field `permision`"),
        (json!([1]), "invalid"),
    ] {
        let reply = post(&server, "/v1/tokens", "ann", &wish).await;
        let text = reply.json(400)["result"].as_str().unwrap().to_owned();
        assert!(text.starts_with("No token is made: ") && text.contains(told), "{wish}: {text}");
    }
}

#[tokio::test]
async fn a_user_has_a_hundred_tokens_at_most() {
    let server = server();
    for _ in 0..100 {
        token(&server, "bob", &json!({})).await;
    }
    let reply = post(&server, "/v1/tokens", "bob", "").await;
    reply.refuses(409, "There are too many tokens (100 of a user are good at once); revoke some");
    token(&server, "ann", &json!({})).await;
}

#[tokio::test]
async fn tokens_outlive_the_server_and_only_their_hashes_are_kept() {
    let server = server();
    let made = token(&server, "bob", &json!({})).await;
    let text_of_token = made["token"].as_str().unwrap().to_owned();
    server.signal(rustix::process::Signal::KILL);
    let (_, old) = server.end().await;
    let (_, secret) = text_of_token.rsplit_once('_').unwrap();
    for file in files(&old.path("data")) {
        let content = std::fs::read(&file).unwrap_or_default();
        assert!(!content.windows(secret.len()).any(|part| part == secret.as_bytes()), "{}", file.display());
    }
    let again = start(old, &[]);
    assert_eq!(bearer(&again, Method::GET, "/jobs", &text_of_token).await.status, 200);
}

fn files(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn a_token_ends_with_its_user() {
    let server = start(place(&text(EVERYBODY)), &[]);
    let made = token(&server, "bob", &json!({})).await;
    let file = server.place().path("users.toml");
    doyen::runtime::private_file::replace(&file, &text(&[("ann", &["admin"])])).unwrap();
    eventually("the end of the token", || async { jobs_with(&server, &made).await == 401 }).await;
}

#[tokio::test]
async fn a_key_makes_one_token_which_a_retry_does_not_see() {
    let server = server();
    let keyed = |method, path: String| {
        let request = asked(&server, method, &path, &encode_basic("bob", PASSWORD));
        Reply::to(request.header("idempotency-key", path))
    };
    let made = keyed(Method::POST, "/v1/tokens".into()).await.json(201);
    let again = keyed(Method::POST, "/v1/tokens".into()).await.json(409);
    assert!(again["result"].as_str().unwrap().contains(made["id"].as_str().unwrap()), "{again}");
    assert_eq!(get(&server, "/v1/tokens", "bob").await.json(200).as_array().unwrap().len(), 1);
    for _ in 0..2 {
        let path = format!("/v1/tokens/{}", made["id"].as_str().unwrap());
        keyed(Method::DELETE, path).await.says(200, "SUCCESS", "Token revoked");
    }
}
