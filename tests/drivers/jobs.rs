//! What a job gives back: a result, short or long, an error, a refusal, a log.

use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::json;

use crate::server::Server;

#[tokio::test]
async fn a_job_of_several_modules_gives_its_result() {
    let server = Server::start().await;
    server.open("c").await;
    let said = server.run("c", "greet", r#"{"name": "Ada"}"#).await;
    let result = json!({"text": "Hello, Ada", "context": "c", "separator": "\u{2028}", "numbers": [1, 2.5, null]});
    assert_eq!(said["result"], result);
    server.stop().await;
}

#[tokio::test]
async fn a_separator_line_in_a_config_does_not_end_the_message() {
    let server = Server::start().await;
    server.open("c").await;
    let said = server.run("c", "greet", "{\"name\": \"A\u{2028}B\"}").await;
    assert_eq!(said["result"]["text"], "Hello, A\u{2028}B");
    server.stop().await;
}

#[tokio::test]
async fn jobs_with_different_archives_have_their_own_modules() {
    let server = Server::start().await;
    server.open("c").await;
    server.upload("other", &[("lib/words.js", "exports.greeting = 'Salut'")]).await;
    let run = async |parts: &str| {
        let path = format!("/jobs?cp={parts}&mainClass=greet&context=c&sync=true&timeout=60");
        server.post(&path, "name = Ada").await.1["result"]["text"].clone()
    };
    assert_eq!(run("other,jobs").await, "Salut, Ada");
    assert_eq!(run("jobs").await, "Hello, Ada");
    server.stop().await;
}

#[tokio::test]
async fn the_log_holds_both_outputs() {
    let server = Server::start().await;
    server.open("c").await;
    let job = server.submit("c", "greet", "name = Ada").await;
    assert_eq!(server.ended(&job).await["status"], "FINISHED");
    assert_eq!(server.log(&job).await, "greeting Ada\non both outputs\n");
    server.stop().await;
}

#[tokio::test]
async fn a_job_that_throws_fails_with_its_error() {
    let server = Server::start().await;
    server.open("c").await;
    let said = server.run("c", "fail", "how = throw").await;
    assert_eq!(said["status"], "ERROR");
    assert_eq!(said["result"]["message"], "out of range");
    assert_eq!(said["result"]["errorClass"], "RangeError");
    assert!(said["result"]["stack"].as_str().unwrap().contains("at exports.run (fail.js:5"), "{said}");
    server.stop().await;
}

#[tokio::test]
async fn a_job_that_throws_out_of_turn_fails_as_well() {
    let server = Server::start().await;
    server.open("c").await;
    let said = server.run("c", "fail", "how = later").await;
    assert_eq!(said["result"]["errorClass"], "TypeError");
    server.stop().await;
}

#[tokio::test]
async fn a_job_whose_process_ends_fails_and_the_context_goes_on() {
    let server = Server::start().await;
    server.open("c").await;
    let said = server.run("c", "fail", "how = exit").await;
    assert_eq!(said["result"]["errorClass"], "WorkerExited");
    assert!(said["result"]["message"].as_str().unwrap().contains("status 3"), "{said}");
    assert_eq!(server.run("c", "greet", "name = Ada").await["result"]["text"], "Hello, Ada");
    server.stop().await;
}

#[tokio::test]
async fn a_class_that_no_archive_has_fails() {
    let server = Server::start().await;
    server.open("c").await;
    let said = server.run("c", "missing", "").await;
    assert_eq!(said["result"]["message"], "no archive of this job holds missing.js");
    server.stop().await;
}

#[tokio::test]
async fn a_job_that_refuses_its_config_is_rejected_with_all_problems() {
    let server = Server::start().await;
    server.open("c").await;
    let said = server.run("c", "greet", "").await;
    let message = said["result"]["message"].as_str().unwrap();
    assert_eq!(said["status"], "ERROR");
    assert!(message.contains("name is missing") && message.contains("nobody to greet"), "{said}");
    server.stop().await;
}

#[tokio::test]
async fn a_result_over_the_inline_limit_comes_whole() {
    let server = Server::start().await;
    server.open("c").await;
    let said = server.run("c", "large", "size = 3000000").await;
    assert_eq!(said["result"].as_str().unwrap().chars().filter(|c| *c == 'é').count(), 3_000_000);
    server.stop().await;
}

#[tokio::test]
async fn a_result_at_the_inline_limit_and_one_byte_over_come_whole() {
    // The JSON text of `size` characters is 2 * size + 2 bytes.
    let server = Server::start_with(&["jobs.inline-result-bytes=2002"]).await;
    server.open("c").await;
    for size in [1000, 1001] {
        let said = server.run("c", "large", &format!("size = {size}")).await;
        assert_eq!(said["result"], "é".repeat(size));
    }
    server.stop().await;
}

#[tokio::test]
async fn eight_jobs_run_at_once() {
    let server = Server::start().await;
    server.open("c").await;
    let meeting = server.directory().join("meeting");
    std::fs::create_dir(&meeting).unwrap();
    let jobs = join_all((0..8).map(|own| {
        let config = json!({"directory": meeting, "count": 8, "own": own}).to_string();
        let server = &server;
        async move { server.run("c", "meet", &config).await["result"].clone() }
    }));
    assert_eq!(jobs.await, (0..8).map(|own| json!(own)).collect::<Vec<_>>());
    server.stop().await;
}

#[tokio::test]
async fn a_context_that_cannot_be_built_says_why() {
    let server = Server::start().await;
    let (status, said) = server.post("/contexts/c?context-factory=node&node.heap-mb=much", "").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(said["result"]["message"], r#"the setting node.heap-mb is a number of MiB, not "much""#);
    server.stop().await;
}
