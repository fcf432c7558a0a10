//! `/v1/jobs/<id>/timeline`: where a job's time went.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::fixture::{Server, eventually};

async fn timeline(server: &Server, job: &str) -> Value {
    server.get(&format!("/v1/jobs/{job}/timeline")).await.json(200)
}

fn names(timeline: &Value, list: &str, member: &str) -> Vec<String> {
    timeline[list].as_array().unwrap().iter().map(|one| one[member].as_str().unwrap().to_owned()).collect()
}

fn us(timeline: &Value, phase: &str) -> u64 {
    let phases = timeline["phases"].as_array().unwrap();
    let found = phases.iter().find(|one| one["name"] == phase);
    found.unwrap_or_else(|| panic!("no {phase} in {phases:?}"))["us"].as_u64().unwrap()
}

#[tokio::test]
async fn an_ended_job_tells_where_its_time_went() {
    let server = Server::with_context(&["node.name=\"n1\""]).await;
    let id = server.sync("Echo", &json!({})).await.json(200)["jobId"].as_str().unwrap().to_owned();
    let found = timeline(&server, &id).await;
    assert_eq!((&found["jobId"], &found["status"]), (&json!(id), &json!("FINISHED")));
    let moments = names(&found, "marks", "at");
    let of_note: Vec<&str> = moments.iter().map(String::as_str).filter(|name| *name != "accepted").collect();
    assert_eq!(of_note, ["received", "begun", "recorded", "sent", "heard", "ended"]);
    let phases = names(&found, "phases", "name");
    for name in
        ["prepare", "record", "queue", "transfer", "start", "load", "validate", "run", "result", "finish", "store"]
    {
        assert!(phases.iter().any(|phase| phase == name), "{name} in {phases:?}");
    }
    // The first job of the context had to fetch its binary.
    assert!(us(&found, "fetch") > 0 && us(&found, "answer") > 0);
    let marks = found["marks"].as_array().unwrap();
    assert!(marks.is_sorted_by_key(|mark| mark["us"].as_u64()), "{marks:?}");
    let attempts = found["attempts"].as_array().unwrap();
    assert_eq!((attempts.len(), &attempts[0]["attempt"], &attempts[0]["node"]), (1, &json!(1), &json!("n1")));
    assert!(attempts[0]["driverPid"].as_u64().is_some() && attempts[0].get("why").is_none());
}

#[tokio::test]
async fn the_time_in_a_job_is_the_jobs() {
    let server = Server::with_context(&[]).await;
    let gate = server.gate("gate");
    let id = server.waiting(&gate).await;
    let running = timeline(&server, &id).await;
    assert_eq!(names(&running, "marks", "at").last().map(String::as_str), Some("accepted"));
    assert_eq!(running["status"], "RUNNING");
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    gate.open();
    server.ended(&id).await;
    assert!(us(&timeline(&server, &id).await, "run") >= 300_000);
}

#[tokio::test]
async fn a_job_that_failed_says_why_and_one_that_is_not_there_is_404() {
    let server = Server::with_context(&[]).await;
    let id = server.sync("Fails", &json!({})).await.json(200)["jobId"].as_str().unwrap().to_owned();
    let found = timeline(&server, &id).await;
    assert!(found["attempts"][0]["why"].as_str().is_some());
    assert!(us(&found, "run") > 0);
    server.get("/v1/jobs/nosuch/timeline").await.refuses(404, "No such job ID nosuch");
}

#[tokio::test]
async fn a_killed_job_has_a_timeline() {
    let server = Server::with_context(&[]).await;
    let gate = server.gate("gate");
    let id = server.waiting(&gate).await;
    assert_eq!(server.delete(&format!("/jobs/{id}")).await.json(200)["status"], "KILLED");
    let found = timeline(&server, &id).await;
    assert_eq!(names(&found, "marks", "at").last().map(String::as_str), Some("ended"));
    assert!(found["attempts"][0]["why"].as_str().unwrap().contains("killed"));
}

#[tokio::test]
async fn after_a_restart_it_tells_what_the_new_server_knows_and_the_drivers_own_time() {
    let listen = format!("127.0.0.1:{}", crate::fixture::fixed_port());
    let server = Server::at(crate::fixture::Place::new(), &listen, &[]);
    server.upload("jobs", crate::fixture::WHEEL, crate::fixture::jobs()).await.is_success(201);
    server.open("c").await;
    let gate = server.gate("gate");
    let id = server.waiting(&gate).await;
    server.signal(Signal::KILL);
    let (_, place) = server.end().await;
    let server = Server::at(place, &listen, &[]);
    eventually("the driver", || async {
        names(&timeline(&server, &id).await, "marks", "at").contains(&"attached".to_owned())
    })
    .await;
    gate.open();
    server.ended(&id).await;
    let found = timeline(&server, &id).await;
    let moments = names(&found, "marks", "at");
    assert_eq!(moments.first().map(String::as_str), Some("taken-up"), "{moments:?}");
    assert!(!moments.contains(&"received".to_owned()) && moments.contains(&"heard".to_owned()), "{moments:?}");
    assert!(us(&found, "run") > 0);
    server.put("/contexts?reset=reboot").await.says(200, "SUCCESS", "Context reset");
}
