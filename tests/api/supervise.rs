//! Contexts that are supervised, jobs that run again, and contexts whose time is over.

use std::time::Duration;

use doyen::runtime::processes;
use futures::{SinkExt, StreamExt};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::fixture::{Gate, Place, Reply, Server, WHEEL, eventually, fixed_port, has_cause, jobs, within};

const QUICK: &str = "contexts.restart-backoff=\"100ms\"";

/// A server with the wheel and the context `c` of these settings.
async fn supervised(query: &str) -> Server {
    at(Place::new(), "127.0.0.1:0", query).await
}

async fn at(place: Place, listen: &str, query: &str) -> Server {
    let server = Server::at(place, listen, &[QUICK, "jobs.retry-backoff=\"100ms\""]);
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    server.post(&format!("/contexts/c?supervise=true{query}"), "").await.is_success_text("Context initialized");
    server
}

impl Reply {
    #[track_caller]
    fn is_success_text(&self, text: &str) {
        self.says(200, "SUCCESS", text);
    }
}

/// What the one driver was told at its start.
fn spec(server: &Server) -> Value {
    let [directory] = &server.place().driver_directories()[..] else { panic!("one directory") };
    let spec = std::fs::read(server.place().path("data/drivers").join(directory).join("spec.json")).unwrap();
    serde_json::from_slice(&spec).unwrap()
}

async fn waiting_once(server: &Server, gate: &Gate, more: &str) -> String {
    let id = server.job_with("WaitsOnce", &gate.config(), more).await;
    gate.reached().await;
    id
}

async fn details(server: &Server, id: &str) -> Value {
    server.get(&format!("/v1/jobs/{id}")).await.json(200)
}

#[tokio::test]
async fn a_lost_driver_is_replaced_and_jobs_end_or_run_again_as_they_said() {
    let server = supervised("").await;
    let (once, again) = (server.gate("once"), server.gate("again"));
    let without = server.waiting(&once).await;
    let with = waiting_once(&server, &again, "&retries=1").await;
    server.place().driver().kill_main();
    let context = server.attempt(2).await;
    assert!(context["lost"]["message"].as_str().unwrap().contains("signal 9"), "{context}");
    assert_eq!(context["restarts"], 1);
    let ended = server.ended(&without).await;
    assert_eq!(ended["status"], "ERROR");
    has_cause(&ended["result"], "signal 9");
    assert_eq!(server.ended(&with).await["result"], "went on again");
    let job = details(&server, &with).await;
    assert_eq!((&job["attempt"], &job["retries"]), (&json!(2), &json!(1)));
    assert_eq!((&job["attempts"][0]["attempt"], &job["attempts"][1]), (&json!(1), &Value::Null));
    assert!(job["attempts"][0]["why"].as_str().unwrap().contains("signal 9"), "{job}");
    eventually("one directory", || async { server.place().driver_directories().len() == 1 }).await;
    server.sync("Echo", &json!({})).await.json(200);
    server.delete("/contexts/c").await.says(200, "SUCCESS", "Context stopped");
    server.nothing_is_left().await;
}

#[tokio::test]
async fn a_killed_shim_is_replaced_and_a_sync_caller_gets_the_result_of_the_second_attempt() {
    let server = supervised("").await;
    let gate = server.gate("gate");
    let path = "/jobs?appName=jobs&classPath=jobs.WaitsOnce&context=c&sync=true&timeout=60&retries=3";
    let asked = tokio::spawn(server.request(Method::POST, path).body(gate.config().to_string()).send());
    gate.reached().await;
    let worker = gate.process();
    server.place().driver().kill_shim();
    let answer: Value = serde_json::from_slice(&asked.await.unwrap().unwrap().bytes().await.unwrap()).unwrap();
    assert_eq!(answer["result"], "went on again");
    assert!(!processes::alive(worker), "nothing of an attempt runs when the next one does");
    eventually("one directory", || async { server.place().driver_directories().len() == 1 }).await;
}

#[tokio::test]
async fn a_context_that_is_lost_too_often_is_given_up_with_its_jobs() {
    let server = supervised("&max-restarts=1").await;
    let gate = server.gate("gate");
    server.place().driver().kill_shim();
    server.attempt(2).await;
    let id = server.job_with("Waits", &gate.config(), "&retries=9").await;
    gate.reached().await;
    server.place().driver().kill_shim();
    has_cause(&server.ended(&id).await["result"], "the driver's process is gone");
    server.context_becomes("c", "ERROR").await;
    let context = server.get("/v1/contexts/c").await.json(200);
    has_cause(&context["failure"], "given up after 1 restarts");
    server.nothing_is_left().await;
}

#[tokio::test]
async fn a_driver_of_an_old_attempt_gets_in_nowhere() {
    let server = supervised("").await;
    let spec = spec(&server);
    let (id, secret) = (spec["context"].as_str().unwrap(), spec["secret"].as_str().unwrap());
    let blob = format!("/v1/drivers/{id}/blobs/{}", "0".repeat(64));
    let fetch = |secret: &str| server.request(Method::GET, &blob).bearer_auth(secret);
    assert_eq!(Reply::to(fetch(secret)).await.status, 404);
    server.place().driver().kill_main();
    server.attempt(2).await;
    assert_eq!(Reply::to(fetch(secret)).await.status, 403);
    assert_eq!(Reply::to(fetch("")).await.status, 403);
    for (attempt, secret, code) in [(1, secret, 4409), (2, secret, 4401), (2, "", 4401), (3, secret, 4409)] {
        let hello =
            json!({"hello": {"protocol": 1, "context": id, "attempt": attempt, "secret": secret, "product": "x"}});
        assert_eq!(closed(&server, id, Message::text(hello.to_string())).await, code, "attempt {attempt}");
    }
    server.sync("Echo", &json!({})).await.json(200);
}

/// With what code the server closes an attachment that begins like this.
async fn closed(server: &Server, context: &str, first: Message) -> u16 {
    let url = format!("ws://{}/v1/drivers/{context}/attach", server.address());
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    socket.send(first).await.unwrap();
    loop {
        match within("a close", socket.next()).await {
            Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return 0,
        }
    }
}

#[tokio::test]
async fn a_stranger_on_the_attach_route_is_turned_away_and_disturbs_nobody() {
    let server = Server::with_context(&[]).await;
    let id = server.get("/contexts/c").await.json(200)["id"].as_str().unwrap().to_owned();
    let hello = |context: &str| json!({"hello": {"protocol": 1, "context": context, "attempt": 1, "secret": "", "product": ""}});
    let hello = |context: &str| Message::text(hello(context).to_string());
    for (context, first, code) in [
        (&*id, Message::text("nonsense"), 4400),
        (&id, Message::text(json!({"ready": {}}).to_string()), 4400),
        (&id, Message::binary(vec![0; 1000]), 4400),
        (&id, hello("another"), 4400),
        (&id, hello(&id), 4401),
        ("none", hello("none"), 4404),
        (&id, Message::text("[".repeat(60_000)), 4400),
    ] {
        assert_eq!(closed(&server, context, first).await, code);
    }
    // More than a stranger's message may have: cut, without a word or with one, and nobody waits for the rest of it.
    let url = format!("ws://{}/v1/drivers/{id}/attach", server.address());
    let (mut huge, _) = tokio_tungstenite::connect_async(&url).await.unwrap();
    let _ = huge.send(Message::text("x".repeat((64 << 10) + 1))).await;
    within("an end", async { while let Some(Ok(_)) = huge.next().await {} }).await;
    // One that says nothing has five seconds.
    let (mut silent, _) = tokio_tungstenite::connect_async(&url).await.unwrap();
    let close = within("an end", silent.next()).await;
    assert!(matches!(close, Some(Ok(Message::Close(Some(frame)))) if u16::from(frame.code) == 4400));
    server.sync("Echo", &json!({})).await.json(200);
}

#[tokio::test]
async fn a_server_that_is_killed_between_two_attempts_is_followed_by_one_that_goes_on() {
    let listen = format!("127.0.0.1:{}", fixed_port());
    let server = at(Place::new(), &listen, "&restart-backoff=5m").await;
    let gate = server.gate("gate");
    let id = waiting_once(&server, &gate, "&retries=1").await;
    let without = server.job("Waits", &server.gate("other").config()).await;
    server.place().driver().kill_main();
    server.context_becomes("c", "RESTARTING").await;
    assert_eq!(server.get("/contexts").await.json(200), json!(["c"]));
    assert_eq!(server.ended(&without).await["status"], "ERROR");
    eventually("RESTARTING", || async { details(&server, &id).await["status"] == "RESTARTING" }).await;
    server.signal(Signal::KILL);
    let (_, place) = server.end().await;
    let server = Server::at(place, &listen, &[QUICK]);
    server.attempt(2).await;
    assert_eq!(server.ended(&id).await["result"], "went on again");
}

#[tokio::test]
async fn a_dead_machine_whose_supervised_context_and_job_go_on_when_it_is_back() {
    let server = supervised("").await;
    let gate = server.gate("gate");
    let id = waiting_once(&server, &gate, "&retries=1").await;
    server.signal(Signal::STOP);
    for process in server.place().processes() {
        processes::signal(process, Signal::KILL);
    }
    let (_, place) = server.end().await;
    let server = Server::at(place, "127.0.0.1:0", &[QUICK]);
    assert_eq!(server.ended(&id).await["result"], "went on again");
    server.attempt(2).await;
    eventually("one directory", || async { server.place().driver_directories().len() == 1 }).await;
}

#[tokio::test]
async fn a_job_that_waits_for_its_retry_is_killed_and_a_context_that_restarts_is_stopped() {
    let server = supervised("&restart-backoff=5m").await;
    let gate = server.gate("gate");
    let id = waiting_once(&server, &gate, "&retries=1").await;
    server.place().driver().kill_shim();
    eventually("RESTARTING", || async { details(&server, &id).await["status"] == "RESTARTING" }).await;
    assert_eq!(server.delete(&format!("/jobs/{id}")).await.json(200), json!({"status": "KILLED"}));
    assert_eq!(server.ended(&id).await["status"], "KILLED");
    server.delete("/contexts/c").await.says(200, "SUCCESS", "Context stopped");
    server.context_becomes("c", "FINISHED").await;
    server.nothing_is_left().await;
}

#[tokio::test]
async fn a_shim_that_is_frozen_is_replaced_when_the_context_says_at_once() {
    let server = supervised("&relaunch=at-once").await;
    let gate = server.gate("gate");
    let id = waiting_once(&server, &gate, "&retries=1").await;
    let shim = server.place().driver().shim;
    // It is silent; after 15 s the server drops the connection, and 20 s later gives it up.
    processes::signal(shim, Signal::STOP);
    assert_eq!(server.ended(&id).await["result"], "went on again");
    assert!(!processes::alive(shim));
    server.attempt(2).await;
}

#[tokio::test]
async fn a_job_that_fails_or_whose_worker_dies_runs_again_only_when_it_asked_for_that() {
    let server = Server::with_context(&["jobs.retry-backoff=\"200ms\"", "contexts.supervise=true"]).await;
    let config =
        |name: &str, tries: u32, dies: bool| json!({"path": server.place().path(name), "tries": tries, "dies": dies});
    let id = server.job_with("Retried", &config("a", 3, false), "&retries=5&retry-on=any").await;
    assert_eq!(server.ended(&id).await["result"], 3);
    let job = details(&server, &id).await;
    let why: Vec<&str> = job["attempts"].as_array().unwrap().iter().map(|a| a["why"].as_str().unwrap()).collect();
    assert_eq!(why, ["in run_job: ValueError: try 1", "in run_job: ValueError: try 2"]);
    let times: Vec<f64> =
        std::fs::read_to_string(server.place().path("a")).unwrap().lines().map(|line| line.parse().unwrap()).collect();
    assert!(times[1] - times[0] >= 0.2 && times[2] - times[1] >= 0.4, "{times:?}");
    server.get(&format!("/v1/jobs/{id}/logs")).await.is_text(200, "try 3\n");
    let id = server.job_with("Retried", &config("b", 2, true), "&retries=1&retry-on=any").await;
    assert_eq!(server.ended(&id).await["result"], 2);
    let id = server.job_with("Retried", &config("c", 9, false), "&retries=1&retry-on=any").await;
    has_cause(&server.ended(&id).await["result"], "try 2");
    let id = server.job_with("Retried", &config("d", 2, false), "&retries=5").await;
    has_cause(&server.ended(&id).await["result"], "try 1");
}

#[tokio::test]
async fn a_job_with_retries_and_a_context_of_its_own_gets_that_context_back() {
    let server = Server::with(&[QUICK, "jobs.retry-backoff=\"100ms\""]);
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    let gate = server.gate("gate");
    let job = server.post("/jobs?appName=jobs&classPath=jobs.WaitsOnce&retries=1", gate.config()).await.json(202);
    gate.reached().await;
    server.place().driver().kill_main();
    let ended = server.ended(job["jobId"].as_str().unwrap()).await;
    assert_eq!(ended["result"], "went on again");
    server.nothing_is_left().await;
}

#[tokio::test]
async fn an_idle_context_is_stopped_and_says_why_a_busy_one_is_not() {
    let server = Server::with(&[]);
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    server.post("/contexts/c?idle-timeout=2s", "").await.is_success_text("Context initialized");
    let gate = server.gate("gate");
    server.waiting(&gate).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(server.get("/contexts/c").await.json(200)["state"], "RUNNING");
    gate.open();
    server.context_becomes("c", "FINISHED").await;
    let why = server.get("/v1/contexts/c").await.json(200)["stoppedBecause"].take();
    assert_eq!(why, "it had no job for idle-timeout (2s)");
    server.nothing_is_left().await;
}

#[tokio::test]
async fn a_context_is_stopped_at_its_age_also_when_the_server_was_restarted_meanwhile() {
    let listen = format!("127.0.0.1:{}", fixed_port());
    let settings = ["contexts.max-lifetime=\"6s\""];
    let server = Server::at(Place::new(), &listen, &settings);
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    let began = doyen::runtime::clock::instant();
    server.open("c").await;
    let id = server.waiting(&server.gate("gate")).await;
    server.signal(Signal::KILL);
    let (_, place) = server.end().await;
    let server = Server::at(place, &listen, &settings);
    has_cause(&server.ended(&id).await["result"], "Context (c) for this job was terminated");
    server.context_becomes("c", "FINISHED").await;
    assert!(doyen::runtime::clock::since(began) >= Duration::from_secs(6));
    let why = server.get("/v1/contexts/c").await.json(200)["stoppedBecause"].take();
    assert_eq!(why, "it is older than max-lifetime (6s)");
    server.nothing_is_left().await;
}

#[tokio::test]
async fn settings_and_parameters_that_are_wrong() {
    let server = Server::with_context(&[]).await;
    let reply = server.post("/contexts/d?idle-timeout=soon", "").await;
    let told = "The setting 'idle-timeout' is 'soon', which is not a duration of at least 1s, like 30s, 10m or 8h, or 0 for never";
    reply.refuses(400, told);
    for wrong in ["retries=-1", "retries=21", "retries=x", "retry-backoff=5", "retry-on=never"] {
        let reply = server.post(&format!("/jobs?appName=jobs&classPath=jobs.Echo&context=c&{wrong}"), "").await;
        assert_eq!(reply.status, 400, "{wrong}: {}", reply.text());
    }
    let reply = server.post("/jobs?appName=jobs&classPath=jobs.Echo&context=c", "doyen.retries = 21").await;
    let typed = server.post("/jobs?appName=jobs&classPath=jobs.Echo&context=c", "doyen { retires = 2 }").await;
    let known = "doyen.retries, doyen.retry-backoff, doyen.retry-on; perhaps doyen.retries is meant";
    typed.refuses(400, &format!("The setting 'doyen.retires' is not known; known are {known}"));
    let told = "The setting 'doyen.retries' is '21', which is not a whole number from 0 to 20 (jobs.max-retries)";
    reply.refuses(400, told);
}

#[tokio::test]
async fn retries_that_no_loss_would_bring_are_refused_but_the_servers_default_fails_nobody() {
    let server = Server::with_context(&["jobs.retries=1"]).await;
    let submit = async |query: &str, body: &str| {
        let path = format!("/jobs?appName=jobs&classPath=jobs.Echo&context=c{query}");
        server.post(&path, body.to_owned()).await
    };
    for (query, body) in [("&retries=2", ""), ("&retries=2&queue=true", ""), ("", "doyen.retries = 2")] {
        let reply = submit(query, body).await;
        assert_eq!(reply.status, 400, "{query}: {}", reply.text());
        assert!(reply.text().contains("Context c is not supervised"), "{}", reply.text());
    }
    for query in ["", "&retries=0", "&retries=2&retry-on=any"] {
        let reply = submit(query, "").await;
        assert_eq!(reply.status, 202, "{query}: {}", reply.text());
    }
}

/// A driver that the test plays, by attaching in the place of the real one.
struct Played(tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>);

impl Played {
    async fn attach(server: &Server, spec: &Value, unacknowledged: &[&str]) -> Self {
        let context = spec["context"].as_str().unwrap();
        let url = format!("ws://{}/v1/drivers/{context}/attach", server.address());
        let mut played = Self(tokio_tungstenite::connect_async(url).await.unwrap().0);
        let hello = json!({"hello": {"protocol": 1, "context": context, "attempt": 1, "secret": spec["secret"],
            "product": "x", "ready": {}, "unacknowledged": unacknowledged}});
        played.says(hello).await;
        played.hears("welcome").await;
        played
    }

    async fn says(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    /// The fields of the next message, which is of this kind.
    async fn hears(&mut self, kind: &str) -> Value {
        loop {
            if let Message::Text(text) = within(kind, self.0.next()).await.unwrap().unwrap() {
                let mut message: Value = serde_json::from_str(&text).unwrap();
                assert!(message.get(kind).is_some(), "{kind} is not {message}");
                return message[kind].take();
            }
        }
    }
}

#[tokio::test]
async fn the_end_of_a_try_that_is_repeated_is_not_taken_for_that_of_the_next() {
    let server = Server::with_context(&["jobs.retry-backoff=\"0s\""]).await;
    let spec = spec(&server);
    let shim = server.place().driver().shim;
    processes::signal(shim, Signal::STOP);
    let mut driver = Played::attach(&server, &spec, &[]).await;
    let id = server.job_with("Echo", &json!({}), "&retries=1&retry-on=any").await;
    assert_eq!(driver.hears("run").await.get("retry"), None);
    let failed = json!({"failed": {"job": id, "error": {"message": "first", "class": "E"}}});
    driver.says(failed.clone()).await;
    driver.hears("ack").await;
    assert_eq!(driver.hears("run").await["retry"], 1);
    // The driver got neither of the two, and says again what it holds.
    drop(driver);
    let mut driver = Played::attach(&server, &spec, &[&id]).await;
    driver.says(failed).await;
    driver.hears("ack").await;
    let again = driver.hears("run").await;
    assert_eq!((&again["job"], &again["retry"]), (&json!(id), &json!(1)));
    driver.says(json!({"finished": {"job": id, "result": 7, "retry": 1}})).await;
    driver.hears("ack").await;
    assert_eq!(server.ended(&id).await["result"], 7);
    assert_eq!(details(&server, &id).await["attempts"].as_array().unwrap().len(), 1);
    drop(driver);
    processes::signal(shim, Signal::CONT);
}

#[tokio::test]
async fn a_job_that_was_lost_is_decided_about_when_its_driver_is_known_to_be_gone() {
    let server = supervised("").await;
    let spec = spec(&server);
    let shim = server.place().driver().shim;
    processes::signal(shim, Signal::STOP);
    let mut driver = Played::attach(&server, &spec, &[]).await;
    let id = server.job_with("Echo", &json!({"a": 1}), "&retries=1").await;
    driver.hears("run").await;
    driver.says(json!({"failed": {"job": id, "error": {"message": "it ended", "class": "DriverExited"}}})).await;
    // As long as others are settled, `exited` does not come; three ticks of the server.
    tokio::time::sleep(Duration::from_millis(1600)).await;
    let job = details(&server, &id).await;
    assert_eq!((&job["status"], &job["attempts"]), (&json!("STARTED"), &json!([])));
    driver.says(json!({"exited": {"status": 3, "last_lines": []}})).await;
    driver.hears("ack_exited").await;
    assert_eq!(server.ended(&id).await["result"], json!({"a": 1}));
    let job = details(&server, &id).await;
    assert_eq!((&job["attempt"], &job["attempts"][0]["why"]), (&json!(2), &json!("it ended")));
    assert_eq!(job["attempts"].as_array().unwrap().len(), 1);
    // The real one is told that it is superseded, and leaves with its files.
    processes::signal(shim, Signal::CONT);
    eventually("one directory", || async { server.place().driver_directories().len() == 1 }).await;
}
