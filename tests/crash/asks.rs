//! What tests ask of a server that stays at its port over all its lives.

use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::ports::Port;
use crate::server::Place;
use crate::world::{HTTP, Reply, answer, wheel};

const JOBS: &str = include_str!("jobs.py");

pub trait Asks {
    fn place(&self) -> &Place;
    fn port(&self) -> &Port;

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        HTTP.request(method, format!("http://{}{path}", self.port().address))
    }

    async fn get(&self, path: &str) -> Reply {
        answer(self.request(Method::GET, path)).await.unwrap()
    }

    async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Reply {
        answer(self.request(Method::POST, path).body(body)).await.unwrap()
    }

    /// Uploads the jobs, made longer by so many bytes.
    async fn binary(&self, name: &str, filler: usize) -> Reply {
        let content = wheel(&[("jobs.py", JOBS.as_bytes()), ("filler", &vec![b'x'; filler])]);
        let request = self.request(Method::POST, &format!("/binaries/{name}"));
        answer(request.header("content-type", "application/python-wheel").body(content)).await.unwrap()
    }

    async fn job(&self, class: &str, token: &str) -> Reply {
        let body = json!({"token": token, "runs": self.place().path("runs")}).to_string();
        self.post(&format!("/jobs?appName=jobs&classPath=jobs.{class}&context=c"), body).await
    }

    /// The job has ended well, after one run.
    async fn finished(&self, id: &str, token: &str) {
        let job = self.get(&format!("/jobs/{id}?wait=60s")).await.json();
        assert_eq!((&job["status"], &job["result"]["token"]), (&json!("FINISHED"), &json!(token)), "{job}");
        assert_eq!(
            std::fs::read_to_string(self.place().path("runs").join(token)).unwrap().lines().count(),
            1,
            "{token}"
        );
    }
}
