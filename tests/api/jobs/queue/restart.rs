//! What waits outlives the server, in order; and it waits for a driver that is away.

use rustix::process::Signal;
use serde_json::json;

use super::{Notes, at, id, queue, shown};
use crate::fixture::{Place, Server, WHEEL, eventually, fixed_port, jobs};

async fn begin(listen: &str) -> Server {
    let server = Server::at(Place::new(), listen, &["jobs.max-per-context=1"]);
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    server.open("c").await;
    server
}

#[tokio::test]
async fn a_killed_server_loses_neither_jobs_nor_their_order() {
    let listen = format!("127.0.0.1:{}", fixed_port());
    let server = begin(&listen).await;
    let (gate, notes) = (server.gate("gate"), Notes::new(&server));
    server.waiting(&gate).await;
    for (line, more) in [("3", ""), ("1", "&priority=9"), ("4", "")] {
        queue(&server, &notes, line, more).await;
    }
    let last = id(&queue(&server, &notes, "5", "&priority=-1").await);
    server.signal(Signal::KILL);
    let (_, place) = server.end().await;

    let server = Server::at(place, &listen, &["jobs.max-per-context=1"]);
    assert_eq!(shown(&server, &last).await["queue"], at(4, -1));
    assert_eq!(queue(&server, &notes, "2", "&priority=9").await["queue"], at(2, 9));
    gate.open();
    assert_eq!(server.ended(&last).await["status"], "FINISHED");
    assert_eq!(notes.lines(), ["1", "2", "3", "4", "5"]);
}

#[tokio::test]
async fn a_job_waits_for_a_driver_that_is_not_attached() {
    let listen = format!("127.0.0.1:{}", fixed_port());
    let server = begin(&listen).await;
    let notes = Notes::new(&server);
    server.signal(Signal::KILL);
    let (_, place) = server.end().await;
    // The driver does not find it there.
    let server = Server::at(place, "127.0.0.1:0", &[]);
    let first = queue(&server, &notes, "1", "").await;
    assert_eq!(first["queue"], at(1, 0));
    let killed = id(&queue(&server, &notes, "2", "").await);
    assert_eq!(server.delete(&format!("/jobs/{killed}")).await.json(200), json!({"status": "KILLED"}));
    server.signal(Signal::KILL);
    let (_, place) = server.end().await;

    let server = Server::at(place, &listen, &[]);
    assert_eq!(server.ended(&id(&first)).await["status"], "FINISHED");
    assert_eq!(shown(&server, &killed).await["status"], "KILLED");
    assert_eq!(notes.lines(), ["1"]);
}

#[tokio::test]
async fn a_context_that_starts_takes_jobs_into_its_queue() {
    let server = Server::start();
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    let notes = Notes::new(&server);
    let job = async {
        eventually("the context", || async { server.get("/contexts/c").await.status == 200 }).await;
        queue(&server, &notes, "1", "").await
    };
    let (opened, job) = tokio::join!(server.post("/contexts/c", ""), job);
    opened.says(200, "SUCCESS", "Context initialized");
    assert_eq!(server.ended(&id(&job)).await["status"], "FINISHED");
}

#[tokio::test]
async fn after_a_stop_that_leaves_drivers_the_queue_goes_on() {
    let listen = format!("127.0.0.1:{}", fixed_port());
    let server = begin(&listen).await;
    let (gate, notes) = (server.gate("gate"), Notes::new(&server));
    server.waiting(&gate).await;
    let waiting = id(&queue(&server, &notes, "1", "").await);
    server.signal(Signal::TERM);
    let (code, place) = server.end().await;
    assert_eq!(code, Some(0));
    gate.open();
    let server = Server::at(place, &listen, &[]);
    assert_eq!(server.ended(&waiting).await["status"], "FINISHED");
    assert_eq!(notes.lines(), ["1"]);
}
