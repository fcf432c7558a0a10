//! A client's day: each step asks for something, until a server has answered, and notes what was acknowledged.
//!
//! A step that is asked a second time, because a server died at the first, may find that it was done.

use std::sync::atomic::{AtomicU32, Ordering};

use reqwest::Method;
use serde_json::{Value, json};

use crate::promises::{Job, Promise};
use crate::server::eventually;
use crate::world::{World, wheel};

const JOBS: &str = include_str!("jobs.py");
pub const DATA: &str = "some data";

pub fn jobs() -> Vec<u8> {
    wheel(&[("jobs.py", JOBS.as_bytes())])
}

impl World {
    /// Every step passes crash points that the others do not.
    pub async fn live_a_day(&mut self) {
        // Several parts of a blob.
        let large = wheel(&[("jobs.py", JOBS.as_bytes()), ("filler", &vec![b'x'; 2_500_000])]);
        self.upload("jobs", jobs()).await;
        self.upload("large", large).await;
        self.refused_upload().await;
        self.open("c").await;
        self.sync_job("one", "Notes", "&context=c", json!({"token": "one"}), "").await;
        self.sync_job("alone", "Notes", "", json!({"token": "alone"}), "").await;
        self.job("large", "large", "Large", json!("large".repeat(40000)), "").await;
        self.job("prints", "jobs", "Prints", json!({"token": "prints"}), "log of prints\n").await;
        self.job("calls", "jobs", "Notes", json!({"token": "calls"}), "").await;
        self.data().await;
        self.kill().await;
        self.delete_binary("large").await;
        self.stop_context("c").await;
        self.open("c").await;
        self.sync_job("two", "Notes", "&context=c", json!({"token": "two"}), "").await;
        self.stop_context("c").await;
        self.finish().await;
    }

    /// For points that only the first start of a server passes.
    pub async fn live_briefly(&mut self) {
        self.upload("jobs", jobs()).await;
        self.open("c").await;
        self.sync_job("one", "Notes", "&context=c", json!({"token": "one"}), "").await;
        self.stop_context("c").await;
        self.finish().await;
    }

    pub async fn upload(&mut self, name: &str, content: Vec<u8>) {
        let (reply, _) = self.insist(|world| world.binary(name, content.clone())).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        self.promise(Promise::Binary { name: name.into(), content });
        self.check().await;
    }

    pub fn binary(&self, name: &str, content: Vec<u8>) -> reqwest::RequestBuilder {
        let request = self.request(Method::POST, &format!("/binaries/{name}"));
        request.header("content-type", "application/python-wheel").body(content)
    }

    /// It begins like an archive, so it is stored before it is found to be none.
    async fn refused_upload(&mut self) {
        let (reply, _) = self.insist(|world| world.binary("bad", b"PK\x03\x04, but no archive".to_vec())).await;
        assert_eq!(reply.status, 400, "{}", reply.text());
        self.promise(Promise::NoBinary("bad".into()));
        self.check().await;
    }

    async fn open(&mut self, name: &str) {
        self.open_with(name, "").await;
    }

    pub async fn open_with(&mut self, name: &str, query: &str) {
        loop {
            let path = format!("/contexts/{name}{query}");
            let (reply, again) = self.insist(|world| world.request(Method::POST, &path)).await;
            if reply.status == 200 {
                break;
            }
            assert!(again && reply.status == 400, "{}: {}", reply.status, reply.text());
            // The server that died has begun it: it comes to life, or it ends, and its name is free again.
            let mut state = Value::Null;
            eventually("a decision", async || {
                state = self.get(&format!("/contexts/{name}")).await.json()["state"].clone();
                state != "STARTED" && state != "STOPPING"
            })
            .await;
            if state == "RUNNING" {
                break;
            }
        }
        self.promise(Promise::Context(name.into()));
        self.check().await;
    }

    /// The answer is the acknowledgement. Each try is another job: nothing says that they are the same.
    async fn sync_job(&mut self, token: &str, class: &str, context: &str, result: Value, log: &str) {
        let path = format!("/jobs?appName=jobs&classPath=jobs.{class}{context}&sync=true&timeout=80");
        let (token, reply) = self.submit(token, &path).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let id = reply.json()["jobId"].as_str().unwrap().to_owned();
        let result = if token.contains('-') { json!({"token": token}) } else { result };
        assert_eq!(reply.json()["result"], result);
        self.promise(Promise::Job(Job { id, token, result: Some(result), log: log.into(), callback: None }));
        self.check().await;
    }

    /// The answer says only that it is begun.
    async fn job(&mut self, token: &str, app: &str, class: &str, result: Value, log: &str) {
        let callback = format!("{}/{token}", self.peer.url);
        let path = format!("/jobs?appName={app}&classPath=jobs.{class}&context=c&callbackUrl={callback}");
        let begun = self.begun(token, &path).await;
        let renamed = |text: &str| text.replace(token, &begun.token);
        let result = serde_json::from_str(&renamed(&result.to_string())).unwrap();
        let job = Job { result: Some(result), log: renamed(log), callback: Some(format!("/{token}")), ..begun };
        self.comes_to_its_end(job).await;
    }

    /// A job that was answered, and is to return its token.
    pub async fn begun(&mut self, token: &str, path: &str) -> Job {
        let (token, reply) = self.submit(token, path).await;
        assert_eq!(reply.status, 202, "{}", reply.text());
        let id = reply.json()["jobId"].as_str().unwrap().to_owned();
        let result = Some(json!({"token": token}));
        Job { id, token, result, log: String::new(), callback: None }
    }

    pub async fn comes_to_its_end(&mut self, job: Job) {
        self.promise(Promise::Job(job));
        // Its end passes crash points too.
        self.promises.unchecked = true;
        self.check().await;
    }

    /// Until it is answered, with another token each time.
    pub async fn submit(&mut self, token: &str, path: &str) -> (String, crate::world::Reply) {
        let tries = AtomicU32::new(0);
        let named = |tries: u32| if tries == 1 { token.to_owned() } else { format!("{token}-{tries}") };
        let request = |world: &Self| {
            let token = named(tries.fetch_add(1, Ordering::Relaxed) + 1);
            let config = json!({"token": token, "runs": world.place.path("runs")});
            world.request(Method::POST, path).body(config.to_string())
        };
        loop {
            let (reply, _) = self.insist(request).await;
            // Else a driver is on its way back.
            if reply.status != 503 {
                return (named(tries.load(Ordering::Relaxed)), reply);
            }
        }
    }

    async fn data(&mut self) {
        let store = |world: &Self| world.request(Method::POST, "/data/file").body(DATA);
        let mut paths = Vec::new();
        for _ in 0..2 {
            let (reply, _) = self.insist(store).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            paths.push(reply.json()["result"]["filename"].as_str().unwrap().to_owned());
            self.promise(Promise::Data { path: paths.last().unwrap().clone(), content: DATA });
            self.check().await;
        }
        for path in self.data_files().await {
            assert_eq!(std::fs::read_to_string(path).unwrap(), DATA, "a file of an upload that died is whole too");
        }
        let gone = paths.pop().unwrap();
        self.release(|promise| matches!(promise, Promise::Data { path, .. } if *path == gone));
        let encoded = percent_encoding::utf8_percent_encode(&gone, percent_encoding::NON_ALPHANUMERIC).to_string();
        let (reply, again) = self.insist(|world| world.request(Method::DELETE, &format!("/data/{encoded}"))).await;
        assert!(reply.status == 200 || again && reply.status == 400, "{}", reply.text());
        self.promise(Promise::NoData(gone));
        self.check().await;
    }

    async fn kill(&mut self) {
        let path = "/jobs?appName=jobs&classPath=jobs.Waits&context=c";
        let (token, reply) = self.submit("waits", path).await;
        assert_eq!(reply.status, 202, "{}", reply.text());
        let id = reply.json()["jobId"].as_str().unwrap().to_owned();
        let log = format!("log of {token}\n");
        eventually("its line", async || self.get(&format!("/v1/jobs/{id}/logs")).await.text() == log).await;
        self.kill_others(&token).await;
        let (reply, again) = self.insist(|world| world.request(Method::DELETE, &format!("/jobs/{id}"))).await;
        assert!(reply.status == 200 || again && reply.status == 404, "{}", reply.text());
        self.promise(Promise::Job(Job { id, token: token.clone(), result: None, log, callback: None }));
        let runs = self.place.path("runs").join(token);
        let pid: u32 = std::fs::read_to_string(runs).unwrap().trim().parse().unwrap();
        eventually("the end of a killed job's process", async || {
            !doyen::runtime::processes::find(pid).is_some_and(doyen::runtime::processes::alive)
        })
        .await;
        self.promises.unchecked = true;
        self.check().await;
    }

    /// Jobs of the same kind whose submission was not answered.
    pub async fn kill_others(&mut self, token: &str) {
        for job in self.get("/jobs?limit=1000").await.json().as_array().unwrap() {
            let id = job["jobId"].as_str().unwrap();
            let ended = ["FINISHED", "ERROR", "KILLED"].contains(&job["status"].as_str().unwrap());
            if !ended && self.get(&format!("/jobs/{id}/config")).await.json()["token"] != token {
                let (reply, again) = self.insist(|world| world.request(Method::DELETE, &format!("/jobs/{id}"))).await;
                assert!(reply.status == 200 || again && reply.status == 404, "{}", reply.text());
            }
        }
    }

    async fn delete_binary(&mut self, name: &str) {
        self.release(|promise| matches!(promise, Promise::Binary { name: kept, .. } if kept == name));
        let (reply, again) = self.insist(|world| world.request(Method::DELETE, &format!("/binaries/{name}"))).await;
        assert!(reply.status == 200 || again && reply.status == 404, "{}", reply.text());
        self.promise(Promise::NoBinary(name.into()));
        self.check().await;
    }

    pub async fn stop_context(&mut self, name: &str) {
        self.release(|promise| matches!(promise, Promise::Context(kept) if kept == name));
        let (reply, again) = self.insist(|world| world.request(Method::DELETE, &format!("/contexts/{name}"))).await;
        assert!(reply.status == 200 || again && [404, 409].contains(&reply.status), "{}", reply.text());
        self.context_becomes(name, "FINISHED").await;
        self.promise(Promise::Stopped(name.into()));
        self.check().await;
        // Another of the name may come.
        self.release(|promise| matches!(promise, Promise::Stopped(kept) if kept == name));
    }

    pub async fn finish(&mut self) {
        eventually("the end of the job's own context", async || self.get("/contexts").await.json() == json!([])).await;
        self.all_jobs_are_whole().await;
        self.close().await;
    }

    pub async fn close(&mut self) {
        self.nothing_ran_twice();
        self.stop();
        self.nothing_is_left().await;
    }
}
