//! POST /contexts/NAME.

use crate::fixture::{PATIENCE, Server, encoded, eventually};

/// A kind whose driver never gets ready.
const SLOW: [&str; 2] = ["drivers.slow.executable=\"sleep\"", "drivers.slow.arguments=[\"600\"]"];

#[tokio::test]
async fn names_begin_with_a_letter_of_any_script() {
    let server = Server::start();
    for name in ["1c", "_c", "-c", ".c", " c", "§"] {
        let reply = server.post(&format!("/contexts/{}", encoded(name)), "").await;
        reply.refuses(400, "context name must start with letters");
    }
    let name = "über/alles 100% \"world\" 世界";
    server.open(&encoded(name)).await;
    assert_eq!(server.get("/contexts").await.json(200)[0], name);
    server.delete(&format!("/contexts/{}", encoded(name))).await.says(200, "SUCCESS", "Context stopped");
}

#[tokio::test]
async fn names_that_nobody_could_show_are_refused() {
    let server = Server::start();
    for (name, why) in [
        ("c".repeat(256), "context name refused: the name is 256 bytes long; at most 255 are possible"),
        ("c\u{7f}".into(), "context name refused: the name holds a control character"),
    ] {
        server.post(&format!("/contexts/{}", encoded(&name)), "").await.refuses(400, why);
    }
}

#[tokio::test]
async fn a_name_that_is_taken() {
    let server = Server::start();
    server.open("c").await;
    server.post("/contexts/c", "").await.refuses(400, "context c exists");
}

#[tokio::test]
async fn of_two_at_once_one_is_made() {
    let server = Server::start();
    let (one, two) = tokio::join!(server.post("/contexts/c", ""), server.post("/contexts/c", ""));
    let (made, refused) = if one.status == 200 { (one, two) } else { (two, one) };
    made.says(200, "SUCCESS", "Context initialized");
    refused.refuses(400, "context c exists");
    server.delete("/contexts/c").await.says(200, "SUCCESS", "Context stopped");
}

#[tokio::test]
async fn unknown_factories_fail_with_those_that_are_known() {
    let server = Server::start();
    let known = "known are pyspark, python and spark.jobserver.python.PythonSessionContextFactory";
    for (factory, why) in [
        ("no.such.Factory", "unknown context factory no.such.Factory; "),
        ("spark.jobserver.context.SessionContextFactory", "which this version has no driver; "),
    ] {
        let reply = server.post(&format!("/contexts/c?context-factory={factory}"), "").await;
        reply.fails(500, "CONTEXT INIT ERROR", &format!("{why}{known}"));
        assert_eq!(server.get("/contexts/c").await.json(200)["state"], "ERROR");
    }
    server.open("c").await;
}

#[tokio::test]
async fn a_driver_that_cannot_be_started() {
    let server = Server::with(&["drivers.none.executable=\"no-such-program\""]);
    let reply = server.post("/contexts/c?context-factory=none", "").await;
    reply.fails(500, "CONTEXT INIT ERROR", "no-such-program");
    assert_eq!(server.get("/contexts/c").await.json(200)["state"], "ERROR");
}

#[tokio::test]
async fn a_driver_that_ends_at_once_tells_its_last_lines() {
    let server = Server::with(&[
        "drivers.ends.executable=\"sh\"",
        "drivers.ends.arguments=[\"-c\", \"echo out of luck; exit 7\"]",
    ]);
    let reply = server.post("/contexts/c?context-factory=ends", "").await;
    reply.fails(500, "CONTEXT INIT ERROR", "out of luck");
}

#[tokio::test]
async fn a_driver_that_does_not_get_ready_is_given_up() {
    let server = Server::with(&[SLOW[0], SLOW[1], "contexts.creation-timeout=\"1s\""]);
    let reply = server.post("/contexts/c?context-factory=slow", "").await;
    reply.fails(500, "CONTEXT INIT ERROR", "the driver was not ready within 1s (contexts.creation-timeout)");
}

#[tokio::test]
async fn what_a_driver_wrote_that_does_not_get_ready_is_told() {
    let server = Server::with(&[
        "drivers.waits.executable=\"sh\"",
        "drivers.waits.arguments=[\"-c\", \"echo no master answers; exec sleep 600\"]",
        "contexts.creation-timeout=\"3s\"",
    ]);
    let reply = server.post("/contexts/c?context-factory=waits", "").await;
    let message = "the driver was not ready within 3s (contexts.creation-timeout); its last lines:\nno master answers";
    reply.fails(500, "CONTEXT INIT ERROR", message);
    let context = server.get("/v1/contexts/c").await.json(200);
    assert_eq!(
        (&context["failure"]["errorClass"], &context["failure"]["message"]),
        (&"CreationTimeout".into(), &message.into())
    );
    let logged = || async { server.log().contains("no master answers") };
    eventually("a line in the server's log", logged).await;
}

#[tokio::test]
async fn a_stop_while_it_starts() {
    let server = Server::with(&SLOW);
    let stop = async {
        eventually("the context", || async { server.get("/contexts/c").await.status == 200 }).await;
        server.post("/contexts/c", "").await.refuses(400, "context c exists");
        server.delete("/contexts/c").await.says(200, "SUCCESS", "Context stopped");
    };
    let (started, ()) = tokio::join!(server.post("/contexts/c?context-factory=slow", ""), stop);
    started.fails(500, "CONTEXT INIT ERROR", "it was stopped while it started");
    server.open("c").await;
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_undo_it() {
    let server = Server::start();
    let request = server.request(reqwest::Method::POST, "/contexts/c");
    let asked = tokio::spawn(request.send());
    eventually("the context", || async { server.get("/contexts/c").await.status == 200 }).await;
    asked.abort();
    server.context_becomes("c", "RUNNING").await;
}

#[tokio::test]
async fn more_contexts_than_may_be() {
    let server = Server::with(&["contexts.max=1"]);
    server.open("a").await;
    let reply = server.post("/contexts/b", "").await;
    reply.refuses(503, "Too many contexts (1); stop one, or raise contexts.max");
    assert_eq!(reply.header("retry-after"), "1");
    server.delete("/contexts/a").await.says(200, "SUCCESS", "Context stopped");
    server.open("b").await;
}

#[tokio::test]
async fn a_driver_that_dies_takes_its_jobs_along_and_frees_the_name() {
    let server = Server::with_context(&[]).await;
    let gate = server.gate("gate");
    let id = server.waiting(&gate).await;
    let mains = server.place().processes();
    let main = mains.iter().find(|p| command_has(p.pid, "doyen_driver")).expect("a driver");
    doyen::runtime::processes::signal(*main, rustix::process::Signal::KILL);
    let job = server.ended(&id).await;
    assert_eq!(job["status"], "ERROR", "{job}");
    tokio::time::timeout(PATIENCE, server.context_becomes("c", "ERROR")).await.unwrap();
    server.open("c").await;
}

fn command_has(pid: u32, word: &str) -> bool {
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    command.split(|byte| *byte == 0).any(|part| part == word.as_bytes())
}
