//! Requests that bring an `Idempotency-Key`, and are repeated with it after each crash: each has one effect.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::lives::asked;
use crate::promises::{Job, Promise};
use crate::scenario::{DATA, jobs};
use crate::server::eventually;
use crate::world::{Reply, World, wheel};

impl World {
    pub async fn repeat_with_keys(&mut self) {
        self.keyed_upload("jobs", jobs()).await;
        self.keyed_context().await;
        let one = self.keyed_job("one", "Notes", "&sync=true&timeout=80").await;
        self.comes_to_its_end(one).await;
        let two = self.keyed_job("two", "Notes", "").await;
        self.comes_to_its_end(two).await;
        let waits = self.keyed_job("waits", "Waits", "").await;
        let log = "log of waits\n";
        let path = format!("/v1/jobs/{}/logs", waits.id);
        eventually("its line", async || self.get(&path).await.text() == log).await;
        let path = format!("/jobs/{}", waits.id);
        self.done_once("kill", 200, |world| world.request(Method::DELETE, &path)).await;
        self.comes_to_its_end(Job { result: None, log: log.into(), ..waits }).await;
        self.keyed_data().await;
        self.keyed_upload("other", wheel(&[("other.py", b"")])).await;
        self.release(|promise| matches!(promise, Promise::Binary { name, .. } if name == "other"));
        self.done_once("delete", 200, |world| world.request(Method::DELETE, "/binaries/other")).await;
        self.promise(Promise::NoBinary("other".into()));
        self.release(|promise| matches!(promise, Promise::Context(_)));
        self.done_once("stop", 200, |world| world.request(Method::DELETE, "/contexts/c")).await;
        self.promise(Promise::Stopped("c".into()));
        self.promises.unchecked = true;
        self.check().await;
        self.finish().await;
    }

    /// Asks with this key until it is answered, and then once more, as one would who has not heard the answer: both answers.
    async fn done_once(&mut self, key: &str, status: u16, request: impl Fn(&Self) -> RequestBuilder) -> [Reply; 2] {
        let mut replies = Vec::new();
        while replies.len() < 2 {
            let (reply, _) = self.insist(|world| request(world).header("idempotency-key", key)).await;
            // Else a driver is on its way back.
            if reply.status != 503 {
                assert_eq!(reply.status, status, "{key}: {}", reply.text());
                replies.push(reply);
            }
        }
        replies.try_into().unwrap()
    }

    async fn keyed_upload(&mut self, name: &str, content: Vec<u8>) {
        self.done_once(&format!("upload-{name}"), 201, |world| world.binary(name, content.clone())).await;
        self.promise(Promise::Binary { name: name.into(), content });
        self.check().await;
    }

    /// A context that was cut off while it began has failed, and its key tells so for ever: then another is asked for.
    async fn keyed_context(&mut self) {
        for n in 0.. {
            let key = format!("context-{n}");
            let (reply, again) =
                self.insist(|world| world.request(Method::POST, "/contexts/c").header("idempotency-key", &key)).await;
            if reply.status == 200 {
                break;
            }
            assert!(again, "{}", reply.text());
        }
        self.promise(Promise::Context("c".into()));
        self.check().await;
    }

    async fn keyed_job(&mut self, token: &str, class: &str, more: &str) -> Job {
        let config = json!({"token": token, "runs": self.place.path("runs")}).to_string();
        let path = asked(class, more);
        let status = if more.is_empty() { 202 } else { 200 };
        let replies =
            self.done_once(token, status, |world| world.request(Method::POST, &path).body(config.clone())).await;
        let [first, second] = replies.map(|reply| reply.json()["jobId"].as_str().unwrap().to_owned());
        assert_eq!(first, second);
        assert_eq!(self.jobs_of(token).await, [first.as_str()], "one job of {token}");
        let result = Some(json!({"token": token}));
        Job { id: first, token: token.into(), result, log: String::new(), callback: None }
    }

    async fn jobs_of(&mut self, token: &str) -> Vec<String> {
        let mut found = Vec::new();
        for job in self.get("/jobs?limit=1000").await.json().as_array().unwrap() {
            let id = job["jobId"].as_str().unwrap();
            if self.get(&format!("/jobs/{id}/config")).await.json()["token"] == token {
                found.push(id.to_owned());
            }
        }
        found
    }

    async fn keyed_data(&mut self) {
        let name = |reply: &Reply| match &reply.json()["result"]["filename"] {
            Value::String(name) => name.clone(),
            other => panic!("{other}"),
        };
        let mut paths = Vec::new();
        for key in ["data-one", "data-two"] {
            let replies = self.done_once(key, 200, |world| world.request(Method::POST, "/data/file").body(DATA)).await;
            let [first, second] = replies.map(|reply| name(&reply));
            assert_eq!(first, second);
            self.promise(Promise::Data { path: first.clone(), content: DATA });
            paths.push(first);
            self.check().await;
            assert_eq!(self.data_files().await.len(), paths.len());
        }
        let gone = paths.pop().unwrap();
        self.release(|promise| matches!(promise, Promise::Data { path, .. } if *path == gone));
        let encoded = percent_encoding::utf8_percent_encode(&gone, percent_encoding::NON_ALPHANUMERIC).to_string();
        let path = format!("/data/{encoded}");
        self.done_once("data-gone", 200, |world| world.request(Method::DELETE, &path)).await;
        self.promise(Promise::NoData(gone));
        self.check().await;
    }
}
