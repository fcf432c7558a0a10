//! POST /jobs?sync=true.

use serde_json::json;

use crate::fixture::{Server, has_cause};

#[tokio::test]
async fn the_result_with_the_jobs_id_and_nothing_else() {
    let server = Server::with_context(&[]).await;
    for word in ["true", "YES", "on", "1"] {
        let path = format!("/jobs?appName=jobs&classPath=jobs.Echo&context=c&timeout=60&sync={word}");
        let reply = server.post(&path, r#"{"a": [null]}"#).await.json(200);
        assert_eq!(reply, json!({"jobId": reply["jobId"], "result": {"a": [null]}}));
        let job = server.get(&format!("/jobs/{}", reply["jobId"].as_str().unwrap())).await.json(200);
        assert_eq!((&job["status"], &job["result"]), (&json!("FINISHED"), &json!({"a": [null]})));
    }
}

#[tokio::test]
async fn anything_else_than_true_is_no_sync() {
    let server = Server::with_context(&[]).await;
    for word in ["false", "No", "off", "0", ""] {
        server.job_with("Echo", &json!({}), &format!("&sync={word}")).await;
    }
    let text = "The query parameter 'sync' was malformed:\n'maybe' is not a valid Boolean value";
    server.post("/jobs?appName=jobs&classPath=jobs.Echo&context=c&sync=maybe", "").await.is_text(400, text);
}

#[tokio::test]
async fn failures_are_200_with_their_cause() {
    let server = Server::with_context(&[]).await;
    for (class, message) in [("Fails", "not today"), ("Refuses", "too late"), ("Missing", "Missing")] {
        let reply = server.sync(class, &json!({})).await.json(200);
        assert_eq!(reply, json!({"jobId": reply["jobId"], "status": "ERROR", "result": reply["result"]}));
        has_cause(&reply["result"], message);
    }
}

#[tokio::test]
async fn a_job_beyond_its_time_goes_on() {
    let server = Server::with_context(&["jobs.sync-timeout=\"100ms\""]).await;
    for more in ["", "&timeout=1"] {
        let gate = server.gate(&format!("gate{more}"));
        let path = format!("/jobs?appName=jobs&classPath=jobs.Waits&context=c&sync=true{more}");
        let reply = server.post(&path, gate.config()).await;
        let text = "Request timed out. Try using the /jobs/<jobID>, /jobs APIs to get status/results. Job ";
        reply.fails(500, "ERROR", text);
        let id = server.get("/jobs?limit=1").await.json(200)[0]["jobId"].as_str().unwrap().to_owned();
        assert!(reply.text().contains(&id), "{}", reply.text());
        gate.open();
        assert_eq!(server.ended(&id).await["result"], "went on");
    }
}

#[tokio::test]
async fn a_time_that_cannot_be() {
    let server = Server::with_context(&[]).await;
    for (value, expected) in [
        ("0", "a number of seconds above 0"),
        ("-1", "a number of seconds above 0"),
        ("soon", "a valid 32-bit signed integer value"),
    ] {
        let path = format!("/jobs?appName=jobs&classPath=jobs.Echo&context=c&sync=true&timeout={value}");
        let text = format!("The query parameter 'timeout' was malformed:\n'{value}' is not {expected}");
        server.post(&path, "").await.is_text(400, &text);
    }
}

#[tokio::test]
async fn a_large_result_is_streamed_into_the_answer() {
    let server = Server::with_context(&["jobs.inline-result-bytes=1000"]).await;
    let reply = server.sync("Large", &json!({"size": 5_000_000})).await.json(200);
    assert!(reply["result"] == "x".repeat(5_000_000));
    assert_eq!(reply.as_object().unwrap().keys().collect::<Vec<_>>(), ["jobId", "result"]);
}

#[tokio::test]
async fn a_kill_answers_who_waits_for_it() {
    let server = Server::with_context(&[]).await;
    let gate = server.gate("gate");
    let config = gate.config();
    let kill = async {
        gate.reached().await;
        let id = server.get("/jobs").await.json(200)[0]["jobId"].as_str().unwrap().to_owned();
        assert_eq!(server.delete(&format!("/jobs/{id}")).await.json(200), json!({"status": "KILLED"}));
    };
    let (answer, ()) = tokio::join!(server.sync("Waits", &config), kill);
    let answer = answer.json(200);
    assert_eq!(answer["status"], "ERROR", "{answer}");
}
