//! What holds for all routes: verbs, connections, limits, CORS.

use reqwest::Method;
use serde_json::json;

use crate::fixture::{Connection, Place, Reply, Server, WHEEL, eventually, jobs};

#[tokio::test]
async fn unknown_paths_and_wrong_verbs() {
    let server = Server::start();
    for path in ["/nothing", "/jobsx", "/jobs/a/b", "/contexts/a/b", "/healthz/a", "/v1"] {
        server.get(path).await.is_text(404, "The requested resource could not be found.");
    }
    let reply = server.delete("/jobs").await;
    reply.is_text(405, "HTTP method not allowed; see the Allow header.");
    assert_eq!(reply.header("allow"), "GET,HEAD,POST");
    assert_eq!(server.put("/binaries/a").await.header("allow"), "GET,HEAD,POST,DELETE");
}

#[tokio::test]
async fn the_web_page_is_at_the_root() {
    let server = Server::start();
    let page = server.get("/").await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
}

#[tokio::test]
async fn the_verb_of_method_counts() {
    let server = Server::start();
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    server.post("/binaries/jobs?_method=DELETE", "").await.is_success(200);
    server.get("/binaries/jobs?_method=delete").await.refuses(404, "can't find binary with name jobs");
    server.post("/contexts?reset=reboot&_method=Put", "").await.says(200, "SUCCESS", "Context reset");
    for verb in ["FETCH", ""] {
        server.post(&format!("/jobs?_method={verb}"), "").await.is_text(501, "The verb of _method is not known.");
    }
}

#[tokio::test]
async fn head_answers_like_get_without_a_body() {
    let server = Server::start();
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    for (path, status) in [("/binaries", 200), ("/jobs", 200), ("/ping", 200), ("/contexts/none", 404)] {
        let (head, get) = (Reply::to(server.request(Method::HEAD, path)).await, server.get(path).await);
        assert_eq!((head.status, head.body.len()), (status, 0), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"));
        assert_eq!(head.header("content-length"), get.header("content-length"));
    }
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let server = Server::start();
    let mut connection = Connection::to(&server).await;
    for _ in 0..3 {
        connection.send("GET /jobs HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        let answer = connection.answer().await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("[]"), "{answer}");
    }
    connection.send("GET /nothing HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert!(connection.rest().await.starts_with("HTTP/1.1 404 "));
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    let server = Server::start();
    let mut connection = Connection::to(&server).await;
    connection.send("hello\r\n\r\n").await;
    assert!(connection.rest().await.starts_with("HTTP/1.1 400 "));
    server.get("/ping").await.is_text(200, "pong");
}

#[tokio::test]
async fn more_requests_than_may_be_at_work_are_503() {
    let server = Server::with_context(&["http.max-requests=1"]).await;
    let gate = server.gate("gate");
    let id = server.waiting(&gate).await;
    let wait = server.request(Method::GET, &format!("/jobs/{id}?wait=60s"));
    let waiting = tokio::spawn(Reply::not_busy(wait));
    eventually("a busy server", || async { server.get("/jobs").await.status == 503 }).await;
    let busy = server.get("/jobs").await;
    busy.refuses(503, "The server is busy: too many requests are at work (http.max-requests)");
    assert_eq!(busy.header("retry-after"), "1");
    server.get("/ping").await.is_text(200, "pong");
    server.get("/readyz").await.is_success(200);
    assert_eq!(server.get("/metrics").await.status, 200);
    gate.open();
    waiting.await.unwrap().json(200);
    server.get("/jobs").await.json(200);
}

async fn from_origin(server: &Server, method: Method, origin: &str) -> Reply {
    let request = server.request(method, "/jobs").header("origin", origin);
    Reply::to(request.header("access-control-request-method", "DELETE")).await
}

#[tokio::test]
async fn without_cors_origins_browsers_are_told_nothing() {
    let server = Server::start();
    let reply = from_origin(&server, Method::GET, "https://example.org").await;
    assert_eq!((reply.status, reply.headers.get("access-control-allow-origin")), (200, None));
    assert_eq!(from_origin(&server, Method::OPTIONS, "https://example.org").await.status, 405);
}

#[tokio::test]
async fn pages_of_configured_origins_may_call() {
    let server = Server::with(&["http.cors-origins=[\"https://example.org\"]"]);
    for method in [Method::GET, Method::OPTIONS] {
        let allowed = from_origin(&server, method.clone(), "https://example.org").await;
        assert_eq!(allowed.header("access-control-allow-origin"), "https://example.org");
        assert_eq!(allowed.header("access-control-allow-credentials"), "true");
        let other = from_origin(&server, method, "https://example.com").await;
        assert_eq!(other.headers.get("access-control-allow-origin"), None);
    }
    let preflight = from_origin(&server, Method::OPTIONS, "https://example.org").await;
    assert_eq!((preflight.status, preflight.header("access-control-allow-methods")), (200, "DELETE"));
}

#[tokio::test]
async fn a_star_is_any_origin_and_is_echoed() {
    let server = Server::with(&["http.cors-origins=[\"*\"]"]);
    let reply = from_origin(&server, Method::GET, "https://anything.example").await;
    assert_eq!(reply.header("access-control-allow-origin"), "https://anything.example");
    assert_eq!(server.get("/jobs").await.headers.get("access-control-allow-origin"), None);
    assert_eq!(reply.json(200), json!([]));
}

#[tokio::test]
async fn connections_that_ask_nothing_make_room_for_those_that_do() {
    let server = Server::with(&["http.max-connections=2"]);
    let mut silent = Vec::new();
    for begun in ["", "GET /ping HTTP/1.1\r\nhost:", "GET /ping HTTP/1.1\r\nhost: localhost\r\n\r\n", ""] {
        let mut connection = Connection::to(&server).await;
        connection.send(begun).await;
        silent.push(connection);
    }
    for _ in 0..5 {
        assert_eq!(server.get("/ping").await.status, 200);
    }
}

#[tokio::test]
async fn more_connections_than_may_be_at_work_wait() {
    let server = Server::with(&["http.max-connections=1"]);
    let mut first = Connection::to(&server).await;
    first.send("GET /v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    first.answer().await;
    let mut second = Connection::to(&server).await;
    second.send("GET /ping HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    drop(first);
    assert!(second.rest().await.ends_with("pong"));
}

#[tokio::test]
async fn one_that_waits_has_the_place_of_the_next_that_comes_to_rest() {
    let server = Server::with(&["http.max-connections=1"]);
    let mut first = Connection::to(&server).await;
    // Asked for its body, it knows that its request is under way.
    first.send("POST /data/x HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n").await;
    assert!(first.answer().await.starts_with("HTTP/1.1 100"));
    let mut second = Connection::to(&server).await;
    second.send("GET /ping HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    first.send("ab").await;
    assert!(first.answer().await.starts_with("HTTP/1.1 200"));
    assert!(second.rest().await.ends_with("pong"));
}

#[tokio::test]
async fn a_page_of_another_site_can_start_and_delete_nothing() {
    let server = Server::with_context(&[]).await;
    let from = |method, path, name: &str, value: &str| Reply::to(server.request(method, path).header(name, value));
    let job = "/jobs?appName=jobs&classPath=jobs.Echo&context=c";
    for (name, value) in [("origin", "http://localhost:1"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
        assert_eq!(from(Method::POST, job, name, value).await.status, 403, "{name}: {value}");
        assert_eq!(from(Method::GET, "/contexts/c?_method=DELETE", name, value).await.status, 403, "{name}: {value}");
    }
    let own = server.url.clone();
    assert_eq!(from(Method::POST, job, "origin", &own).await.status, 202);
    let rebound = server.request(Method::GET, "/jobs").header("host", "evil.example").header("sec-fetch-site", "none");
    assert_eq!(Reply::to(rebound).await.status, 403);
    server.get("/contexts/c").await.json(200);
}

#[tokio::test]
async fn a_page_whose_name_was_made_to_point_here_reads_and_changes_nothing() {
    let server = Server::with(&["http.hosts=[\"jobs.example.org\"]"]);
    let by = |name, path| Reply::to(server.request(Method::GET, path).header("host", name));
    for path in ["/", "/jobs", "/contexts?_method=PUT&reset=reboot", "/v1/events", "/nothing"] {
        let reply = by("evil.example:8090", path).await;
        reply.is_text(403, "This server may not be called by that name; http.hosts says by which it may.");
    }
    for name in ["localhost:1", "[::1]:1", "jobs.example.org"] {
        by(name, "/jobs").await.json(200);
    }
    // Probes say what they like, and HTTP/1.0 may say no name at all.
    assert_eq!(by("evil.example", "/ping").await.status, 200);
    let mut nameless = Connection::to(&server).await;
    nameless.send("GET /jobs HTTP/1.0\r\n\r\n").await;
    assert!(nameless.rest().await.ends_with("[]"));
}

#[tokio::test]
async fn on_a_network_without_users_browsers_need_a_name_that_no_stranger_can_have_and_programs_none() {
    let server = Server::at(Place::new(), "0.0.0.0:0", &["http.insecure=true", "http.hosts=[\"jobs.example.org\"]"]);
    let by = |name, agent, path| {
        let request = server.request(Method::GET, path).header("host", name).header("user-agent", agent);
        Reply::to(request)
    };
    let (firefox, curl) = ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0)", "curl/8.5.0");
    for path in ["/jobs", "/v1/events", "/contexts?_method=PUT&reset=reboot"] {
        let reply = by("evil.example:8090", firefox, path).await;
        reply.is_text(403, "This server may not be called by that name; http.hosts says by which it may.");
    }
    for name in ["10.1.2.3:8090", "jobs:8090", "jobs.example.org"] {
        by(name, firefox, "/jobs").await.json(200);
    }
    by("doyen.jobs.svc:8090", curl, "/jobs").await.json(200);
    let picture = by("10.1.2.3:8090", firefox, "/contexts?_method=PUT&reset=reboot").await;
    picture.is_text(403, "A browser may not ask for a change by GET and _method; use the verb itself.");
    by("jobs", curl, "/contexts?_method=PUT&reset=reboot").await.says(200, "SUCCESS", "Context reset");
    let log = std::fs::read_to_string(server.place().path("server.log")).unwrap();
    assert!(log.contains("whoever reaches this address can run code here"), "{log}");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let server = Server::with(&["http.body-timeout=\"300ms\"", "http.max-requests=2"]);
    let mut silent = Vec::new();
    for _ in 0..2 {
        let mut connection = Connection::to(&server).await;
        connection.send("POST /jobs HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\na").await;
        silent.push(connection);
    }
    for mut connection in silent {
        let answer = connection.answer().await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    server.get("/jobs").await.json(200);
}
