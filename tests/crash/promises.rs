//! What the server has acknowledged, and the check that it is so: exact, and done once.

use std::path::Path;

use doyen::runtime::processes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::server::eventually;
use crate::world::World;

#[derive(Debug, Clone)]
pub struct Job {
    pub id: String,
    /// Its runs are the lines of the file of this name.
    pub token: String,
    /// `None` for one that was killed.
    pub result: Option<Value>,
    pub log: String,
    /// Path that it calls back to.
    pub callback: Option<String>,
}

#[derive(Debug, Clone)]
pub enum Promise {
    Binary {
        name: String,
        content: Vec<u8>,
    },
    NoBinary(String),
    Context(String),
    Stopped(String),
    Job(Job),
    Data {
        path: String,
        content: &'static str,
    },
    NoData(String),
    /// The callback of the job with this id.
    Delivered(String),
    /// It lets in whoever has it.
    Token(String),
    NoToken(String),
}

#[derive(Default)]
pub struct Promises {
    pub made: Vec<Promise>,
    /// A server has died since the last check.
    pub unchecked: bool,
}

impl World {
    pub fn promise(&mut self, promise: Promise) {
        self.promises.made.push(promise);
    }

    /// Takes back what is to be undone now.
    pub fn release(&mut self, undone: impl Fn(&Promise) -> bool) {
        self.promises.made.retain(|promise| !undone(promise));
    }

    /// Checks all promises, if a server has died since the last time.
    pub async fn check(&mut self) {
        while std::mem::take(&mut self.promises.unchecked) {
            for promise in self.promises.made.clone() {
                self.keeps(&promise).await;
                self.checked += 1;
            }
            check_stores(&self.place.path("data"));
            if let Some(home) = &self.place.home {
                home.check().await;
            }
            self.nothing_ran_twice();
        }
    }

    async fn keeps(&mut self, promise: &Promise) {
        match promise {
            Promise::Binary { name, content } => {
                assert_eq!(self.get(&format!("/binaries/{name}")).await.status, 200, "{promise:?}");
                let hash = hex(content);
                let found = match &self.place.home {
                    Some(home) => home.blob(&hash).await,
                    None => std::fs::read(self.place.path("data/blobs").join(&hash[..2]).join(&hash)).unwrap(),
                };
                assert!(found == *content, "binary {name}");
            }
            Promise::NoBinary(name) => assert_eq!(self.get(&format!("/binaries/{name}")).await.status, 404),
            Promise::Context(name) => self.context_becomes(name, "RUNNING").await,
            Promise::Stopped(name) => self.context_becomes(name, "FINISHED").await,
            Promise::Job(job) => self.job_is_right(job).await,
            Promise::Data { path, content } => {
                assert!(self.data_files().await.contains(path), "{path}");
                assert_eq!(&std::fs::read_to_string(path).unwrap(), content);
            }
            Promise::NoData(path) => assert!(!self.data_files().await.contains(path), "{path}"),
            Promise::Delivered(job) => assert_eq!(self.callback(job).await["state"], "DELIVERED"),
            Promise::Token(token) => assert_eq!(self.with_token(token).await, 200),
            Promise::NoToken(token) => assert_eq!(self.with_token(token).await, 401),
        }
    }

    pub async fn data_files(&mut self) -> Vec<String> {
        serde_json::from_value(self.get("/data").await.json()).unwrap()
    }

    /// A context that ends otherwise will never.
    pub async fn context_becomes(&mut self, name: &str, state: &str) {
        eventually(state, async || {
            let found = self.get(&format!("/contexts/{name}")).await.json();
            let ended = ["FINISHED", "ERROR", "KILLED"].contains(&found["state"].as_str().unwrap_or_default());
            assert!(!ended || found["state"] == state, "{name} is to be {state}: {found}\n{}", self.place.log());
            found["state"] == state
        })
        .await;
    }

    pub async fn ended(&mut self, id: &str) -> Value {
        loop {
            let job = self.get(&format!("/jobs/{id}?wait=30s")).await.json();
            if ["FINISHED", "ERROR", "KILLED"].contains(&job["status"].as_str().unwrap_or_default()) {
                return job;
            }
        }
    }

    async fn job_is_right(&mut self, job: &Job) {
        let ended = self.ended(&job.id).await;
        match &job.result {
            Some(result) => {
                assert_eq!(ended["status"], "FINISHED", "{ended}");
                assert_eq!(&ended["result"], result);
                assert_eq!(self.runs(&job.token), 1, "{ended}");
            }
            None => assert_eq!(ended["status"], "KILLED", "{ended}"),
        }
        eventually("its log", async || self.get(&format!("/v1/jobs/{}/logs", job.id)).await.text() == job.log).await;
        if let Some(path) = &job.callback {
            let expected = json!({"jobId": job.id, "result": job.result});
            eventually("its callback", async || self.peer.heard(path).contains(&expected)).await;
        }
    }

    /// How often a job of this token has run.
    pub fn runs(&self, token: &str) -> usize {
        std::fs::read_to_string(self.place.path("runs").join(token)).unwrap_or_default().lines().count()
    }

    /// One that runs at this moment may have made its file, and not written its line.
    pub fn nothing_ran_twice(&self) {
        for run in std::fs::read_dir(self.place.path("runs")).unwrap() {
            let token = run.unwrap().file_name().into_string().unwrap();
            assert!(self.runs(&token) <= 1, "{token}: {}\n{}", self.runs(&token), self.place.log());
        }
    }

    /// Every job there is, acknowledged or not, is whole: it ended, and as it should.
    pub async fn all_jobs_are_whole(&mut self) {
        for listed in self.get("/jobs?limit=1000").await.json().as_array().unwrap() {
            let id = listed["jobId"].as_str().unwrap();
            let (job, config) = (self.ended(id).await, self.get(&format!("/jobs/{id}/config")).await.json());
            let token = config["token"].as_str().unwrap();
            let expected = usize::from(job["status"] == "FINISHED");
            assert!(["FINISHED", "KILLED"].contains(&job["status"].as_str().unwrap()), "{token}: {job}");
            assert!(self.runs(token) >= expected, "{token}: {job}");
        }
    }

    /// The server has stopped: no process and no file of a driver is left.
    pub async fn nothing_is_left(&self) {
        eventually("the end of all processes", async || {
            self.place.processes().into_iter().all(|process| !processes::alive(process))
        })
        .await;
        let left: Vec<_> =
            std::fs::read_dir(self.place.path("data/drivers")).unwrap().map(|e| e.unwrap().path()).collect();
        assert!(left.is_empty(), "{left:?}\n{}", self.place.log());
    }
}

/// What lies in the stores is whole, and nothing of a broken-off write is left.
pub fn check_stores(data: &Path) {
    for directory in std::fs::read_dir(data.join("blobs")).unwrap() {
        for blob in std::fs::read_dir(directory.unwrap().path()).unwrap() {
            let path = blob.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            // What is being uploaded at this moment may come and go.
            if let (false, Ok(content)) = (name.contains('#') || name.len() < 64, std::fs::read(&path)) {
                assert_eq!(hex(&content), name);
            }
        }
    }
    for file in std::fs::read_dir(data.join("data")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(!name.ends_with(".partial"), "{name}");
    }
}

pub fn hex(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}
