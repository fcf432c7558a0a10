//! Retention: what has had its time goes, once and for all, and nothing else does.

use reqwest::Method;

use crate::lives::asked;
use crate::promises::Promise;
use crate::scenario::jobs;
use crate::server::eventually;
use crate::world::{World, wheel};

impl World {
    /// The two newest jobs are kept, without results and logs.
    pub async fn forget_jobs(&mut self) {
        self.upload("jobs", jobs()).await;
        self.open_with("c", "").await;
        // They are kept until their callbacks have come.
        self.peer.answer("/busy", 503);
        let path = asked("Prints", &format!("&sync=true&timeout=80&callbackUrl={}/busy", self.peer.url));
        let mut ids = Vec::new();
        for n in 0..7 {
            let (token, reply) = self.submit(&format!("job{n}"), &path).await;
            assert_eq!((reply.status, &reply.json()["result"]["token"]), (200, &token.into()), "{}", reply.text());
            ids.push(reply.json()["jobId"].as_str().unwrap().to_owned());
            self.check().await;
        }
        for id in &ids {
            assert_eq!(self.get(&format!("/jobs/{id}")).await.status, 200, "{id}");
        }
        self.peer.answer("/busy", 200);
        eventually("two jobs", async || self.get("/jobs").await.json().as_array().unwrap().len() == 2).await;
        let last = ids.pop().unwrap();
        eventually("no result", async || self.get(&format!("/v1/jobs/{last}/result")).await.status == 404).await;
        eventually("an empty outbox", async || {
            self.get("/metrics").await.text().lines().any(|line| line == "doyen_callbacks_waiting 0")
        })
        .await;
        assert_eq!(self.get(&format!("/jobs/{last}")).await.json()["status"], "FINISHED");
        // The one before may have a younger sibling, whose submission was not answered.
        for id in &ids[..ids.len() - 1] {
            for path in [format!("/jobs/{id}"), format!("/jobs/{id}/config"), format!("/v1/jobs/{id}/timeline")] {
                assert_eq!(self.get(&path).await.status, 404, "{path}");
            }
        }
        self.promises.unchecked = true;
        self.check().await;
        self.stop_context("c").await;
        self.close().await;
    }

    /// Contexts and binaries go as soon as nobody needs them.
    pub async fn forget_the_rest(&mut self) {
        for n in 0..3 {
            let (name, content) = (format!("b{n}"), wheel(&[("a.py", name_of(n).as_bytes())]));
            let (reply, _) = self.insist(|world| world.binary(&name, content.clone())).await;
            assert_eq!(reply.status, 201, "{}", reply.text());
            self.is_forgotten(&format!("/binaries/{name}")).await;
            self.promise(Promise::NoBinary(name));
            let name = format!("c{n}");
            self.open_with(&name, "").await;
            self.release(|promise| matches!(promise, Promise::Context(_)));
            let path = format!("/contexts/{name}");
            let (reply, again) = self.insist(|world| world.request(Method::DELETE, &path)).await;
            assert!(reply.status == 200 || again && [404, 409].contains(&reply.status), "{}", reply.text());
            self.is_forgotten(&path).await;
            self.check().await;
        }
        self.close().await;
    }

    async fn is_forgotten(&mut self, path: &str) {
        eventually("the removal", async || self.get(path).await.status == 404).await;
    }
}

fn name_of(n: u32) -> String {
    format!("# {n}\n")
}
