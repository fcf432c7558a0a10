//! Jobs are packed into segments, called back once more out of them, and removed from them in the end.

use reqwest::Method;
use serde_json::json;

use crate::lives::asked;
use crate::scenario::jobs;
use crate::server::eventually;
use crate::world::World;

impl World {
    /// The newest job is a record, the others are packed by twos; nine are kept.
    pub async fn pack_jobs(&mut self) {
        self.upload("jobs", jobs()).await;
        self.open_with("c", "").await;
        let callback = format!("{}/packed", self.peer.url);
        let path = asked("Prints", &format!("&sync=true&timeout=80&callbackUrl={callback}"));
        let mut all = Vec::new();
        for n in 0..14 {
            let (token, reply) = self.submit(&format!("job{n}"), &path).await;
            assert_eq!(
                (reply.status, &reply.json()["result"]["token"]),
                (200, &token.clone().into()),
                "{}",
                reply.text()
            );
            all.push((reply.json()["jobId"].as_str().unwrap().to_owned(), token));
            self.check().await;
            // Eight that were answered, and at most one that was not, are kept in any case.
            let kept = all.len().saturating_sub(if self.crashes.is_empty() { 8 } else { 4 });
            for (id, token) in &all[kept..] {
                let job = self.get(&format!("/jobs/{id}")).await;
                assert_eq!((job.status, &job.json()["result"]), (200, &json!({"token": token})), "{}", job.text());
                let log = self.get(&format!("/v1/jobs/{id}/logs")).await;
                assert_eq!(log.text(), format!("log of {token}\n"));
            }
            self.is_told_again(&all[kept].0).await;
        }
        let ids: Vec<String> = self
            .get("/jobs?limit=1000")
            .await
            .json()
            .as_array()
            .unwrap()
            .iter()
            .map(|job| job["jobId"].as_str().unwrap().to_owned())
            .collect();
        assert!(ids.is_sorted_by(|newer, older| newer > older), "{ids:?}");
        let oldest = all[0].0.clone();
        eventually("its removal", async || self.get(&format!("/jobs/{oldest}")).await.status == 404).await;
        self.promises.unchecked = true;
        self.check().await;
        self.stop_context("c").await;
        self.close().await;
    }

    /// Has its callback delivered once more, wherever the job is.
    async fn is_told_again(&mut self, id: &str) {
        let callbacks = format!("/v1/jobs/{id}/callbacks");
        eventually("its delivery", async || self.get(&callbacks).await.json()["state"] == "DELIVERED").await;
        let (reply, _) = self.insist(|world| world.request(Method::POST, &format!("{callbacks}/replay"))).await;
        assert_eq!(reply.status, 202, "{}", reply.text());
        eventually("its delivery", async || self.get(&callbacks).await.json()["state"] == "DELIVERED").await;
    }
}
