//! Callbacks to targets that do not take them at first, and tokens.

use reqwest::Method;
use serde_json::{Value, json};

use crate::lives::asked;
use crate::promises::{Job, Promise};
use crate::scenario::jobs;
use crate::server::eventually;
use crate::world::{HTTP, World, answer};

impl World {
    pub async fn call_back(&mut self) {
        self.upload("jobs", jobs()).await;
        self.open_with("c", "").await;
        self.peer.answer("/busy", 503);
        let busy = self.calling("busy").await;
        eventually("some attempts", async || self.callback(&busy.id).await["attempts"].as_u64() > Some(4)).await;
        self.peer.answer("/busy", 200);
        self.becomes(&busy, "DELIVERED").await;
        self.promise(Promise::Delivered(busy.id.clone()));
        self.comes_to_its_end(busy).await;
        self.peer.answer("/gone", 410);
        for token in ["gone", "gone-again"] {
            let gone = self.calling(token).await;
            self.becomes(&gone, "GIVEN_UP").await;
        }
        let gone = self.calling("gone-for-good").await;
        self.becomes(&gone, "GIVEN_UP").await;
        self.peer.answer("/gone", 200);
        for _ in 0..3 {
            let path = format!("/v1/jobs/{}/callbacks/replay", gone.id);
            let (reply, _) = self.insist(|world| world.request(Method::POST, &path)).await;
            assert_eq!(reply.status, 202, "{}", reply.text());
            self.becomes(&gone, "DELIVERED").await;
        }
        self.comes_to_its_end(gone).await;
        self.stop_context("c").await;
        self.finish().await;
    }

    /// A job that calls back to the path of its token's first word.
    async fn calling(&mut self, token: &str) -> Job {
        let path = format!("/{}", token.split('-').next().unwrap());
        let job = self.begun(token, &asked("Notes", &format!("&callbackUrl={}{path}", self.peer.url))).await;
        Job { callback: Some(path), ..job }
    }

    pub async fn callback(&mut self, job: &str) -> Value {
        self.get(&format!("/v1/jobs/{job}/callbacks")).await.json()
    }

    async fn becomes(&mut self, job: &Job, state: &str) {
        eventually(state, async || self.callback(&job.id).await["state"] == state).await;
    }

    pub async fn hand_out_tokens(&mut self) {
        let mut made = Vec::new();
        for note in ["one", "two", "three", "four"] {
            let wish = json!({"note": note}).to_string();
            let (reply, _) = self.insist(|world| world.request(Method::POST, "/v1/tokens").body(wish.clone())).await;
            assert_eq!(reply.status, 201, "{}", reply.text());
            let text = |name: &str| reply.json()[name].as_str().unwrap().to_owned();
            made.push((text("id"), text("token")));
            self.promise(Promise::Token(text("token")));
            self.check().await;
        }
        for (id, token) in made {
            self.release(|promise| matches!(promise, Promise::Token(kept) if *kept == token));
            let path = format!("/v1/tokens/{id}");
            let (reply, again) = self.insist(|world| world.request(Method::DELETE, &path)).await;
            assert!(reply.status / 100 == 2 || again && reply.status == 404, "{}", reply.text());
            self.promise(Promise::NoToken(token));
            self.check().await;
        }
        self.promises.unchecked = true;
        self.check().await;
        self.close().await;
    }

    /// What the server says to one who has it.
    pub async fn with_token(&mut self, token: &str) -> u16 {
        loop {
            let url = format!("{}/jobs", self.url());
            match answer(HTTP.get(url).bearer_auth(token)).await {
                Ok(reply) => return reply.status,
                Err(error) => self.bury(&error),
            }
        }
    }
}
