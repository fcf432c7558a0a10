//! Ten thousand jobs that wait, and a server that is killed: before they run, and while they do.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use doyen::adapters::embedded::EmbeddedStore;
use doyen::adapters::embedded::data_dir::DataDir;
use doyen::core::jobs::JobRecord;
use doyen::jobs::Records;
use doyen::runtime::{clock, processes, random};
use futures::StreamExt;
use rustix::process::Signal;
use serde_json::Value;

use super::{Notes, at, id, queue, shown};
use crate::fixture::{Place, Server, WHEEL, fixed_port, has_cause, jobs, within};

const MANY: usize = 10_000;
/// Jobs that run before the server is killed again, and after that: all would take long on a busy machine.
const SOME: usize = 100;
const ANYWHERE: &str = "127.0.0.1:0";
/// What a busy machine may take for what takes a tenth of a second.
const READY: Duration = Duration::from_secs(20);

async fn kill(server: Server) -> Place {
    server.signal(Signal::KILL);
    server.end().await.1
}

/// More jobs like the one of this id, through the commits that the server makes, while there is no server.
async fn multiply(place: &Place, template: &str, notes: &Notes) -> Vec<String> {
    let directory = DataDir::open(&place.path("data")).unwrap();
    let records = Records::new(Arc::new(EmbeddedStore::open(&directory.meta(), 32 << 20).unwrap()));
    let template = records.job(template).await.unwrap().unwrap();
    let binaries = [("jobs".to_owned(), records.binary("jobs").await.unwrap().unwrap().version)];
    let ids: Vec<String> = (1..MANY).map(|_| random::id()).collect();
    let enqueue = |id: &String| {
        let job = JobRecord { id: id.clone(), ..template.clone() };
        let (records, binaries, config) = (&records, &binaries, notes.config(id.as_str()).to_string());
        async move { records.enqueue(&job, &config, binaries, None).await.unwrap() }
    };
    futures::stream::iter(&ids).map(enqueue).buffer_unordered(1024).collect::<()>().await;
    ids
}

/// Those that wait, in the order of their turns.
async fn waiting(server: &Server) -> Vec<String> {
    let jobs = server.get(&format!("/jobs?limit={MANY}")).await.json(200);
    let position = |job: &Value| Some((job["queue"]["position"].as_u64()?, id(job)));
    let mut jobs: Vec<_> = jobs.as_array().unwrap().iter().filter_map(position).collect();
    jobs.sort();
    jobs.into_iter().map(|(_, id)| id).collect()
}

/// Jobs that have not ended: by a number, since to list them all takes long.
async fn active(server: &Server) -> usize {
    let metrics = server.get("/metrics").await;
    let line = metrics.text().lines().find_map(|line| line.strip_prefix("doyen_jobs_active ")).unwrap();
    line.parse().unwrap()
}

/// Waits until nothing is left, as long as it becomes less.
async fn until_none<F: Future<Output = usize>>(what: &str, left: impl Fn() -> F) {
    let mut before = usize::MAX;
    while before > 0 {
        let less = async {
            loop {
                match left().await {
                    now if now < before => return now,
                    _ => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        };
        before = within(what, less).await;
    }
}

async fn in_state(server: &Server, state: &str) -> Vec<Value> {
    let jobs = server.get(&format!("/jobs?limit={MANY}&status={state}")).await.json(200);
    jobs.as_array().unwrap().clone()
}

#[tokio::test]
async fn ten_thousand_that_wait_stay_in_order_run_once_and_end_with_their_context() {
    let home = format!("127.0.0.1:{}", fixed_port());
    let server = Server::at(Place::new(), &home, &[]);
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    server.open("c").await;
    let notes = Notes::new(&server);
    // Its driver would find the next server wherever that is: it is held up, so that the jobs wait.
    let shim = server.place().driver().shim;
    processes::signal(shim, Signal::STOP);
    let server = Server::at(kill(server).await, ANYWHERE, &[]);
    let first = id(&queue(&server, &notes, "first", "").await);
    let place = kill(server).await;
    let mut ids = vec![first.clone()];
    ids.extend(multiply(&place, &first, &notes).await);

    let began = clock::instant();
    let server = Server::at(place, ANYWHERE, &[]);
    assert!(clock::since(began) < READY, "ready only after {:?}", clock::since(began));
    assert!(waiting(&server).await == ids, "the order is not that of submission");
    assert_eq!(shown(&server, &ids[MANY - 1]).await["queue"], at(MANY, 0));
    let full = server.post("/jobs?appName=jobs&classPath=jobs.Echo&context=c&queue=true", "").await;
    full.says(503, "NO SLOTS AVAILABLE", "Too many queued jobs (10000) for job context 'c'");

    processes::signal(shim, Signal::CONT);
    let server = Server::at(kill(server).await, &home, &[]);
    until_none("some to run", || async { SOME.saturating_sub(notes.lines().len()) }).await;
    let server = Server::at(kill(server).await, &home, &["contexts.stop-wait=\"1s\""]);
    let left = waiting(&server).await;
    assert!(ids.ends_with(&left) && left.len() < MANY, "those that are left are not the last");
    until_none("some more to run", || async { (2 * SOME).saturating_sub(notes.lines().len()) }).await;

    let stopping = server.delete("/contexts/c").await;
    assert!([200, 202].contains(&stopping.status), "{}", stopping.text());
    until_none("their ends", || active(&server)).await;
    server.context_becomes("c", "FINISHED").await;
    let (finished, failed) = (in_state(&server, "finished").await, in_state(&server, "error").await);
    assert_eq!(finished.len() + failed.len(), MANY);
    for job in &failed {
        has_cause(&job["result"], "Context (c) for this job was terminated");
    }
    let lines = notes.lines();
    let once: HashSet<&String> = lines.iter().collect();
    assert_eq!(lines.len(), once.len(), "a job ran twice");
    // Those that were running when the context was stopped may have noted it.
    assert!((finished.len()..=finished.len() + 8).contains(&lines.len()), "{} of {}", lines.len(), finished.len());
}
