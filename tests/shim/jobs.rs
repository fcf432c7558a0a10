//! Jobs: results, logs, binaries, and what a broken connection does to them.

use doyen::api::driver::spec::Announced;
use doyen::ports::Launcher;
use serde_json::{Value, json};

use crate::server::Server;
use crate::shim::{Shim, eventually, spec};

fn wheel(hash: &str, size: usize) -> Value {
    json!({"name": "b", "type": "Wheel", "sha256": hash, "size_bytes": size})
}

#[tokio::test]
async fn attach_run_result_ack() {
    let mut server = Server::start().await;
    let _shim = Shim::start(&server).await;
    let mut link = server.connection().await;
    let hello = &link.hello;
    assert_eq!((&hello["protocol"], &hello["attempt"], &hello["secret"]), (&json!(1), &json!(3), &json!("secret")));
    link.send(json!({"welcome": {"servers": [server.url()]}})).await;
    if link.hello["ready"].is_null() {
        assert_eq!(link.expect("ready").await["application_id"], "app-name");
    }
    link.run("a", "echo", json!({"x": [1.0, "é"]})).await;
    let mut finished = link.expect("finished").await;
    // What the shim measured; this driver measures nothing.
    let spans = finished.as_object_mut().unwrap().remove("spans").unwrap();
    assert_eq!(spans.as_object().unwrap().keys().collect::<Vec<_>>(), ["driver", "settle"]);
    assert!(spans["driver"].as_u64().unwrap() > 0);
    assert_eq!(finished, json!({"job": "a", "result": {"x": [1.0, "é"]}}));
    link.ack("a").await;
    drop(link);
    assert_eq!(server.connection().await.hello["unacknowledged"], json!([]));
}

#[tokio::test]
async fn sixty_four_jobs_at_once() {
    let mut server = Server::start().await;
    let _shim = Shim::start(&server).await;
    let mut link = server.ready().await;
    for number in 0..64 {
        link.run(&format!("job-{number}"), "wait", json!({"ms": 200})).await;
    }
    link.run("one-more", "echo", json!({})).await;
    let mut ended = std::collections::BTreeMap::new();
    while ended.len() < 65 {
        let message = link.message().await;
        let (kind, fields) = message.as_object().unwrap().iter().next().unwrap();
        if kind != "accepted" {
            let job = fields["job"].as_str().unwrap().to_owned();
            link.ack(&job).await;
            ended.insert(job, (kind.clone(), fields["error"]["class"].clone()));
        }
    }
    assert_eq!(ended.remove("one-more"), Some(("failed".into(), json!("NotAccepting"))));
    assert!(ended.values().all(|(kind, _)| kind == "finished"));
}

#[tokio::test]
async fn a_long_result_is_uploaded_whether_in_a_file_or_not_and_its_file_goes_after_the_ack() {
    let mut server = Server::start().await;
    let shim = Shim::start(&server).await;
    let mut link = server.ready().await;
    server.blobs.fail(2);
    for class in ["file", "long"] {
        link.run(class, class, json!({"length": 200_000})).await;
        let finished = link.expect("finished").await;
        assert_eq!(server.blobs.get(&finished["result_ref"]), format!("\"{}\"", "x".repeat(200_000)));
        let file = shim.path(&format!("results/{class}.json"));
        assert!(file.exists());
        link.ack(class).await;
        eventually("the file's end", || !file.exists()).await;
    }
}

#[tokio::test]
async fn a_result_that_is_too_long_fails_the_job() {
    let mut server = Server::start().await;
    let _shim = Shim::start(&server).await;
    let mut link = server.ready().await;
    for class in ["file", "long"] {
        link.run(class, class, json!({"length": 2 << 20})).await;
        assert_eq!(link.expect("failed").await["error"]["class"], "ResultTooLarge");
    }
}

#[tokio::test]
async fn a_log_is_read_while_the_job_runs_uploaded_at_its_end_and_removed_after_the_ack() {
    let mut server = Server::start().await;
    let shim = Shim::start(&server).await;
    let mut link = server.ready().await;
    link.run("a", "print", json!({"text": "hé\n", "wait": true})).await;
    link.expect("accepted").await;
    link.send(json!({"read_log": {"request": 7, "job": "a", "offset": 0, "max_bytes": 2}})).await;
    let part = json!({"request": 7, "offset": 0, "next_offset": 1, "size_bytes": 4, "text": "h", "found": true});
    assert_eq!(link.expect("log").await, part);
    link.send(json!({"read_log": {"request": 8, "job": "b", "offset": 0, "max_bytes": 2}})).await;
    assert_eq!(link.expect("log").await["found"], json!(false));
    link.send(json!({"cancel": {"job": "a"}})).await;
    assert_eq!(server.blobs.get(&link.expect("cancelled").await["log_ref"]), "hé\n");
    link.send(json!({"read_log": {"request": 9, "job": "a", "offset": 1, "max_bytes": 100}})).await;
    assert_eq!(link.expect("log").await["text"], "é\n");
    link.ack("a").await;
    eventually("the log's end", || !shim.path("logs/a.log").exists()).await;
}

#[tokio::test]
async fn a_log_is_bounded_while_its_job_runs() {
    let mut server = Server::start().await;
    let shim = Shim::start(&server).await;
    let mut link = server.ready().await;
    link.run("a", "print", json!({"text": "line\n", "times": 10_000, "wait": true})).await;
    link.expect("accepted").await;
    let size = || shim.path("logs/a.log").metadata().unwrap().len();
    eventually("a shorter log", || size() <= 10_000).await;
    link.send(json!({"cancel": {"job": "a"}})).await;
    let log = server.blobs.get(&link.expect("cancelled").await["log_ref"]);
    assert!(log.contains("\n[doyen: log over 10000 bytes, cut here]\nline\n"));
}

#[tokio::test]
async fn what_ended_without_a_server_is_told_to_the_next_until_acknowledged() {
    let (mut first, mut second) = (Server::start().await, Server::start().await);
    let _shim = Shim::start(&first).await;
    let mut link = first.ready().await;
    link.send(json!({"welcome": {"servers": [first.url(), second.url()]}})).await;
    link.run("short", "wait", json!({"ms": 50})).await;
    link.run("long", "wait", json!({})).await;
    link.expect("accepted").await;
    link.expect("accepted").await;
    drop(link);
    drop(first);
    let link = second.attachment().await;
    assert_eq!(link.hello["ready"]["application_id"], "app-name");
    let told = |hello: &Value| [&hello["running"], &hello["unacknowledged"]].map(|list| list.as_array().unwrap().len());
    assert_eq!(told(&link.hello).iter().sum::<usize>(), 2);
    drop(link);
    // Over several attachments the same is told, in whatever order, until the acknowledgement.
    for _ in 0..2 {
        let mut link = second.attachment().await;
        let mut finished = false;
        while !finished {
            let message = link.message().await;
            let [job, result] = ["job", "result"].map(|field| &message["finished"][field]);
            finished = (job, result) == (&json!("short"), &json!("waited"));
        }
    }
    let mut link = second.attachment().await;
    link.ack("short").await;
    link.run("short", "echo", json!({})).await;
    link.send(json!({"cancel": {"job": "long"}})).await;
    while link.message().await.get("cancelled").is_none() {}
    link.ack("long").await;
}

#[tokio::test]
async fn a_graceful_stop_waits_for_a_job_whose_binary_is_on_its_way() {
    let mut server = Server::start().await;
    let shim = Shim::start(&server).await;
    let mut link = server.ready().await;
    let gate = server.blobs.close_gate();
    let slow = server.blobs.put(b"slow");
    link.run_with("a", "read", json!({}), json!([wheel(&slow, 4)])).await;
    link.send(json!({"stop": {"graceful": true, "grace_ms": 60_000}})).await;
    link.run("late", "echo", json!({})).await;
    assert_eq!(link.expect("failed").await["job"], "late");
    gate.add_permits(1);
    assert_eq!(link.expect("finished").await["result"], json!(["slow"]));
    link.ack("a").await;
    link.expect("exited").await;
    link.send(json!({"ack_exited": {}})).await;
    shim.gone().await;
}

#[tokio::test]
async fn a_binary_that_does_not_come_within_the_grace_does_not_hold_up_a_stop() {
    let mut server = Server::start().await;
    let _shim = Shim::start(&server).await;
    let mut link = server.ready().await;
    let _gate = server.blobs.close_gate();
    let slow = server.blobs.put(b"slow");
    link.run_with("a", "read", json!({}), json!([wheel(&slow, 4)])).await;
    link.send(json!({"stop": {"graceful": true, "grace_ms": 300}})).await;
    let failed = link.expect("failed").await;
    assert_eq!((&failed["job"], &failed["error"]["class"]), (&json!("a"), &json!("DriverExited")));
    assert_eq!(link.expect("exited").await["status"], 0);
}

#[tokio::test]
async fn a_binary_is_fetched_once_and_jobs_whose_binaries_are_here_do_not_wait_for_others() {
    let mut server = Server::start().await;
    let _shim = Shim::start(&server).await;
    let mut link = server.ready().await;
    let here = server.blobs.put(b"here");
    server.blobs.fail(1);
    link.run_with("a", "read", json!({}), json!([wheel(&here, 4)])).await;
    assert_eq!(link.expect("finished").await["result"], json!(["here"]));
    let gate = server.blobs.close_gate();
    let slow = server.blobs.put(b"slow");
    for job in ["b", "c", "cancelled"] {
        link.run_with(job, "read", json!({}), json!([wheel(&slow, 4), wheel(&here, 4)])).await;
    }
    link.run_with("d", "read", json!({}), json!([wheel(&here, 4)])).await;
    assert_eq!(link.expect("finished").await["job"], "d");
    link.send(json!({"cancel": {"job": "cancelled"}})).await;
    assert_eq!(link.expect("cancelled").await["job"], "cancelled");
    gate.add_permits(1);
    for _ in 0..2 {
        assert_eq!(link.expect("finished").await["result"], json!(["slow", "here"]));
    }
    assert_eq!((server.blobs.fetches(&here), server.blobs.fetches(&slow)), (2, 1));
}

#[tokio::test]
async fn a_binary_that_nobody_has_fails_its_job() {
    let mut server = Server::start().await;
    let shim = Shim::start(&server).await;
    let mut link = server.ready().await;
    link.run_with("a", "read", json!({}), json!([wheel(&"0".repeat(64), 4)])).await;
    let error = link.expect("failed").await["error"].take();
    assert_eq!(error["class"], "BinaryUnavailable");
    assert!(error["message"].as_str().unwrap().contains("404"), "{error}");
    assert_eq!(std::fs::read_dir(shim.path("binaries")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_fetch_outlasts_an_outage_and_goes_on_where_the_next_server_is() {
    let (mut first, mut second) = (Server::start().await, Server::start().await);
    let shim = Shim::start(&first).await;
    let mut link = first.ready().await;
    let hash = second.blobs.put(b"late");
    first.blobs.fail(usize::MAX);
    link.run_with("a", "read", json!({}), json!([wheel(&hash, 4)])).await;
    eventually("more rounds than for an answer", || first.blobs.fetches(&hash) > 3).await;
    drop(link);
    drop(first);
    let announced = Announced { servers: vec![second.url()], trust: None };
    shim.launcher.announce(&shim.launched, &announced).await;
    let mut link = second.attachment().await;
    // The fetch may be faster than the attachment.
    let held = ["running", "unacknowledged"].map(|list| link.hello[list] == json!(["a"]));
    assert_ne!(held[0], held[1], "{}", link.hello);
    let finished = loop {
        let message = link.message().await;
        if !message["finished"].is_null() {
            break message["finished"].clone();
        }
    };
    assert_eq!((&finished["job"], &finished["result"]), (&json!("a"), &json!(["late"])));
    link.ack("a").await;
}

#[tokio::test]
async fn unused_binaries_beyond_the_caches_size_go() {
    let mut server = Server::start().await;
    let shim = Shim::start(&server).await;
    let mut link = server.ready().await;
    for content in ["a".repeat(600), "b".repeat(600)] {
        let hash = server.blobs.put(content.as_bytes());
        link.run_with(&content[..1], "read", json!({}), json!([wheel(&hash, 600)])).await;
        link.expect("finished").await;
    }
    let left: Vec<_> = std::fs::read_dir(shim.path("binaries")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left, [shim.path(&format!("binaries/{}.whl", crate::server::hash("b".repeat(600).as_bytes())))]);
}

#[tokio::test]
async fn the_drivers_environment_is_as_documented() {
    let mut server = Server::start().await;
    let mut spec = spec(vec![server.url()]);
    spec.python_package = true;
    spec.environment.insert("PYTHONPATH".into(), "/inherited".into());
    let shim = Shim::with(spec).await;
    let mut link = server.ready().await;
    let work = shim.path("work").display().to_string();
    let package = format!("{}:/inherited", shim.path("package").display());
    for (name, value) in [("GIVEN", "yes"), ("DOYEN_DRIVER_DIR", work.as_str()), ("PYTHONPATH", package.as_str())] {
        link.run(name, "environment", json!({"name": name})).await;
        assert_eq!(link.expect("finished").await["result"], json!([value, work]));
    }
    assert!(shim.path("package").is_dir());
}
