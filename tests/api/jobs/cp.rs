//! Code by URI: `cp=http://…`, `file:` and `local:`.

use serde_json::json;

use crate::fixture::{Peer, Server, WHEEL, encoded, jobs, wheel};

fn echo(uri: &str) -> String {
    format!("/jobs?mainClass=jobs.Echo&context=c&sync=true&timeout=60&cp={}", encoded(uri))
}

#[tokio::test]
async fn a_wheel_from_another_server() {
    let server = Server::with_context(&[]).await;
    let files = [
        ("/a/jobs.whl", jobs()),
        ("/jobs.EGG", jobs()),
        ("/broken.whl", b"hello".to_vec()),
        ("/a.jar", wheel(&[("A", "")])),
    ];
    let peer = Peer::answering(&files, &[]).await;
    for path in ["/a/jobs.whl", "/a/jobs.whl?x=1#y", "/jobs.EGG"] {
        let reply = server.post(&echo(&format!("{}{path}", peer.url)), r#"{"a": 1}"#).await;
        assert_eq!(reply.json(200)["result"], json!({"a": 1}), "{path}");
    }
    let fails = |path: &str| {
        let path = echo(&format!("{}{path}", peer.url));
        async { server.post(&{ path }, "").await }
    };
    fails("/none.whl").await.fails(400, "JOB LOADING FAILED", "it answered 404");
    fails("/broken.whl").await.fails(400, "JOB LOADING FAILED", "Binary is not of the right format");
    fails("/a.jar").await.refuses(400, "Invalid job type for this context");
    assert_eq!(server.get("/binaries").await.json(200).as_object().unwrap().len(), 1);
}

#[tokio::test]
async fn malformed_uris() {
    let server = Server::with_context(&[]).await;
    for (uri, why) in [
        ("http://[::1/jobs.whl", "malformed URL"),
        ("ftp://127.0.0.1/jobs.whl", "the scheme ftp is not supported"),
        ("http://127.0.0.1/jobs", "does not end in .jar, .egg or .whl"),
    ] {
        server.post(&echo(uri), "").await.fails(400, "CONTEXT INIT ERROR: Malformed URL", why);
    }
}

#[tokio::test]
async fn nobody_there() {
    let server = Server::with_context(&[]).await;
    server.post(&echo("http://127.0.0.1:1/jobs.whl"), "").await.fails(
        400,
        "JOB LOADING FAILED",
        "127.0.0.1:1/jobs.whl",
    );
}

#[tokio::test]
async fn hosts_that_are_not_allowed() {
    let server = Server::with_context(&["security.cp-hosts=[\"example.org\"]"]).await;
    let text = "the host 127.0.0.1 is not in security.cp-hosts";
    server.post(&echo("http://127.0.0.1:1/jobs.whl"), "").await.fails(400, "JOB LOADING FAILED", text);
    let text = "169.254.169.254 is a link-local address (security.allow-link-local)";
    server.post(&echo("http://169.254.169.254/jobs.whl"), "").await.fails(400, "JOB LOADING FAILED", text);
}

#[tokio::test]
async fn files_of_the_server_only_from_directories_that_are_open() {
    let open = tempfile::tempdir().unwrap();
    let wheel = open.path().join("two words.whl");
    std::fs::write(&wheel, jobs()).unwrap();
    let directories = format!("security.cp-directories=[{:?}]", open.path());
    let server = Server::with_context(&[&directories]).await;
    let path = wheel.to_str().unwrap().replace(' ', "%20");
    for uri in [format!("file:{path}"), format!("file://{path}"), format!("local://{path}")] {
        assert_eq!(server.post(&echo(&uri), r#"{"a": 1}"#).await.json(200)["result"], json!({"a": 1}), "{uri}");
    }
    let missing = format!("file:{path}.none.whl");
    server.post(&echo(&missing), "").await.fails(400, "JOB LOADING FAILED", "none.whl");
    let outside = server.place().path("outside.whl");
    std::fs::write(&outside, jobs()).unwrap();
    for uri in
        [format!("file:{}", outside.display()), format!("file:{}/../{}", open.path().display(), outside.display())]
    {
        assert_eq!(server.post(&echo(&uri), "").await.json(400)["status"], "JOB LOADING FAILED", "{uri}");
    }
}

#[tokio::test]
async fn no_files_of_the_server_by_default() {
    let server = Server::with_context(&[]).await;
    let file = server.place().path("jobs.whl");
    std::fs::write(&file, jobs()).unwrap();
    let text = "files of the server are not open to cp (security.cp-directories)";
    server.post(&echo(&format!("file:{}", file.display())), "").await.fails(400, "JOB LOADING FAILED", text);
}

#[tokio::test]
async fn a_name_with_a_colon_is_a_name() {
    let server = Server::with_context(&[]).await;
    server.upload("a:b", WHEEL, jobs()).await.is_success(201);
    server.post(&echo("a:b"), "").await.json(200);
}
