//! Which code a job runs: appName and classPath, cp and mainClass, in the query or the body.

use serde_json::json;

use crate::fixture::{Server, WHEEL, has_cause, jobs_variant};

const TO: &str = "context=c&sync=true&timeout=60";

#[tokio::test]
async fn names_in_query_and_body() {
    let server = Server::with_context(&[]).await;
    for (query, body) in [
        ("appName=jobs&classPath=jobs.Fails", ""),
        ("cp=jobs&mainClass=jobs.Fails", ""),
        ("cp=%20jobs%20,&mainClass=jobs.Fails", ""),
        ("", "appName = jobs, classPath = jobs.Fails"),
        ("", "cp = jobs, mainClass = jobs.Fails"),
        ("", "cp = [jobs], mainClass = jobs.Fails"),
        ("appName=jobs", "classPath = jobs.Fails"),
        ("mainClass=jobs.Fails", r#"{"cp": "jobs"}"#),
        ("classPath=jobs.Fails", "appName = jobs, classPath = jobs.Echo"),
        ("appName=jobs&classPath=jobs.Fails&cp=nothing&mainClass=jobs.Echo", ""),
    ] {
        let reply = server.post(&format!("/jobs?{TO}&{query}"), body).await.json(200);
        assert_eq!(reply["status"], "ERROR", "{query} {body}");
        has_cause(&reply["result"], "not today");
    }
}

#[tokio::test]
async fn what_is_missing_is_told() {
    let server = Server::with_context(&[]).await;
    for (query, what) in [
        ("", "To start the job appName or cp parameters should be configured!"),
        ("cp=,&mainClass=x", "To start the job appName or cp parameters should be configured!"),
        ("mainClass=jobs.Echo", "To start the job appName or cp parameters should be configured!"),
        ("cp=jobs", "mainClass parameter is missing!"),
        ("cp=jobs&classPath=jobs.Echo", "mainClass parameter is missing!"),
        ("appName=jobs", "classPath parameter is missing!"),
        ("appName=jobs&mainClass=jobs.Echo", "classPath parameter is missing!"),
    ] {
        server.post(&format!("/jobs?{TO}&{query}"), "").await.refuses(400, &format!("Cannot parse config: {what}"));
    }
}

#[tokio::test]
async fn code_that_is_not_there() {
    let server = Server::with_context(&[]).await;
    let unknown = "appName nothing here not found";
    server.post(&format!("/jobs?{TO}&appName=nothing+here&classPath=x"), "").await.refuses(404, unknown);
    server.post(&format!("/jobs?{TO}&cp=nothing+here&mainClass=x"), "").await.refuses(404, unknown);
    server.post("/jobs?appName=nothing+here&classPath=x&context=none", "").await.refuses(404, unknown);
    let path = "/jobs?appName=jobs&classPath=jobs.Echo&context=none";
    server.post(path, "").await.refuses(404, "context none not found");
    for class in ["jobs.Nothing", "nothing.Echo", "jobs", "Echo"] {
        let reply = server.sync_class(class).await;
        assert_eq!(reply["status"], "ERROR", "{class}");
        assert!(
            reply["result"]["message"].as_str().unwrap().contains(class.split('.').next_back().unwrap()),
            "{reply}"
        );
    }
}

impl Server {
    async fn sync_class(&self, class: &str) -> serde_json::Value {
        self.post(&format!("/jobs?{TO}&appName=jobs&classPath={class}"), "").await.json(200)
    }
}

#[tokio::test]
async fn a_python_context_takes_exactly_one_python_package() {
    let server = Server::with_context(&[]).await;
    server.upload_jar("jar").await;
    server.upload("other", WHEEL, jobs_variant("other")).await.is_success(201);
    let invalid = "Invalid job type for this context";
    server.post(&format!("/jobs?{TO}&appName=jar&classPath=A"), "").await.refuses(400, invalid);
    server.post(&format!("/jobs?{TO}&cp=jobs,jar&mainClass=jobs.Echo"), "").await.refuses(400, invalid);
    let two = server.post(&format!("/jobs?{TO}&cp=jobs,other&mainClass=jobs.Echo"), "").await;
    two.fails(400, "JOB LOADING FAILED", "Python should have exactly one package file! Found: 2");
    assert_eq!(server.get("/jobs").await.json(200), json!([]));
}

#[tokio::test]
async fn wheels_with_the_same_module_do_not_meet() {
    let server = Server::with_context(&[]).await;
    server.upload("one", WHEEL, jobs_variant("one")).await.is_success(201);
    server.upload("two", WHEEL, jobs_variant("two")).await.is_success(201);
    for name in ["one", "two", "one"] {
        let reply = server.post(&format!("/jobs?{TO}&appName={name}&classPath=jobs.Version"), "").await.json(200);
        assert_eq!(reply["result"], name);
    }
}
