//! The configuration that a job is posted with: HOCON, JSON, a form; and GET /jobs/ID/config.

use reqwest::Method;
use serde_json::json;

use crate::fixture::{Reply, Server};

const ECHO: &str = "/jobs?appName=jobs&classPath=jobs.Echo&context=c&sync=true&timeout=60";

#[tokio::test]
async fn hocon_json_and_nothing() {
    let server = Server::with_context(&[]).await;
    for (body, expected) in [
        ("", json!({})),
        ("{}", json!({})),
        (
            r#"{"a": {"b": [1, 2.5, null, true, "x"]}, "ü": "世界"}"#,
            json!({"a": {"b": [1, 2.5, null, true, "x"]}, "ü": "世界"}),
        ),
        ("a.b = 1 // one\na.c = ${a.b}\nl = [x, y y]", json!({"a": {"b": 1, "c": 1}, "l": ["x", "y y"]})),
    ] {
        let reply = server.post(ECHO, body).await.json(200);
        assert_eq!(reply["result"], expected, "{body}");
        let config = server.get(&format!("/jobs/{}/config", reply["jobId"].as_str().unwrap())).await;
        assert_eq!(config.json(200), expected, "{body}");
        assert!(config.text().ends_with('\n'));
    }
}

#[tokio::test]
async fn a_form_when_it_says_so_and_is_no_hocon() {
    let server = Server::with_context(&[]).await;
    let form = |body: &'static str| {
        let request = server.request(Method::POST, ECHO);
        Reply::to(request.header("content-type", "application/x-www-form-urlencoded").body(body))
    };
    let expected = json!({"k": "v", "k2": "v 2", "a": {"b": "%&="}});
    assert_eq!(form("k=v&k2=v+2&a.b=%25%26%3D").await.json(200)["result"], expected);
    assert_eq!(form("input.string = a b c").await.json(200)["result"], json!({"input": {"string": "a b c"}}));
    assert_eq!(form(r#"{"a": 1}"#).await.json(200)["result"], json!({"a": 1}));
    // Every `curl -d` says that it is a form.
    for typo in ["a = {", "input.path = ${base}/x", "null", "a = [1, 2"] {
        let refused = form(typo).await.json(400);
        assert!(refused["result"].as_str().unwrap().starts_with("Cannot parse config: "), "{typo}: {refused}");
    }
    let bad = server.post(ECHO, "k=v&k2=v+2").await.json(400);
    assert!(bad["result"].as_str().unwrap().starts_with("Cannot parse config: "), "{bad}");
}

#[tokio::test]
async fn what_cannot_be_parsed_starts_nothing() {
    let server = Server::with_context(&["hocon.max-depth=5"]).await;
    for body in ["a = {", "a = ${nowhere}", "a = ${PATH}", "include \"x\"", "a{a{a{a{a{a{a{b=1}}}}}}}"] {
        let reply = server.post(ECHO, body).await.json(400);
        assert!(reply["result"].as_str().unwrap().starts_with("Cannot parse config: "), "{reply}");
    }
    let reply = Reply::to(server.request(Method::POST, ECHO).body(vec![0xff, 0xfe])).await;
    reply.refuses(400, "Cannot parse config: the body is not UTF-8");
    assert_eq!(server.get("/jobs").await.json(200), json!([]));
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_413() {
    let server = Server::with_context(&["http.max-body-bytes=1000"]).await;
    let text = "The request is too large: the limit is 1000 bytes";
    for (size, path) in [(1001, ECHO), (20 << 20, ECHO), (1001, "/contexts/other")] {
        let body = format!("# {}", "x".repeat(size - 2));
        server.post(path, body).await.refuses(413, text);
    }
    server.post(ECHO, format!("# {}", "x".repeat(998))).await.json(200);
}

#[tokio::test]
async fn config_of_an_unknown_job() {
    let server = Server::start();
    server.get("/jobs/none/config").await.refuses(404, "No such job ID none");
}
