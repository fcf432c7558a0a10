//! `queue=true`: jobs that wait for a place.

mod ends;
mod full;
mod many;
mod restart;
mod turns;

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::fixture::Server;

/// Where the jobs of a test write down that they ran, in the order in which they did.
struct Notes(PathBuf);

impl Notes {
    fn new(server: &Server) -> Self {
        Self(server.place().path("notes"))
    }

    fn config(&self, line: impl Into<Value>) -> Value {
        json!({"notes": self.0, "line": line.into()})
    }

    fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// The answer to a job that is to note this line, sent with `queue=true`.
async fn queue(server: &Server, notes: &Notes, line: &str, more: &str) -> Value {
    let path = format!("/jobs?appName=jobs&classPath=jobs.Notes&context=c&queue=true{more}");
    server.post(&path, notes.config(line)).await.json(202)
}

fn id(job: &Value) -> String {
    job["jobId"].as_str().unwrap().to_owned()
}

fn at(position: usize, priority: i32) -> Value {
    json!({"position": position, "priority": priority})
}

async fn shown(server: &Server, id: &str) -> Value {
    server.get(&format!("/jobs/{id}")).await.json(200)
}
