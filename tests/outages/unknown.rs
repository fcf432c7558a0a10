//! ZooKeeper does what it is asked, and its answer is lost: who asked hears that nobody knows, and afterwards all say the same.

use std::time::Duration;

use doyen::runtime::processes;
use rustix::process::Signal;
use serde_json::json;

use crate::fixture::{Reply, Server, eventually};
use crate::servers::proxy::{Proxy, Weather};
use crate::stores::{CALM, Stores, is_refused, note, noted_once};

/// Asks without a key, whose request arrives and whose answer does not; then the link is well again. On a busy machine the link may be
/// found dead before anything is sent: then nothing was done, and it is asked once more.
async fn answer_is_lost<F: Future<Output = Reply>>(server: &Server, proxy: &Proxy, ask: impl Fn() -> F) {
    for _ in 0..20 {
        proxy.set(Weather::AnswersLost);
        let reply = ask().await;
        is_refused(&reply, &["store-unknown", "store-unavailable"]);
        if reply.header("doyen-error") == "store-unknown" {
            return;
        }
        is_well_again(server, proxy).await;
    }
    panic!("nothing is ever sent");
}

async fn is_well_again(server: &Server, proxy: &Proxy) {
    proxy.set(Weather::Cut);
    proxy.set(Weather::Fair);
    eventually("health", || async { server.get("/healthz").await.status == 200 }).await;
}

/// Whoever asks hears of this one end.
async fn was_killed(server: &Server, job: &str) {
    eventually("the end", || async { server.get(&format!("/jobs/{job}")).await.value()["status"] == "KILLED" }).await;
    for path in ["/jobs", "/jobs?status=killed"] {
        let listed = server.get(path).await.json(200);
        let found = listed.as_array().unwrap().iter().find(|one| one["jobId"] == job).unwrap();
        assert_eq!(found["status"], "KILLED", "{path}");
    }
    for state in ["running", "finished"] {
        let listed = server.get(&format!("/jobs?status={state}")).await.json(200);
        assert!(listed.as_array().unwrap().iter().all(|one| one["jobId"] != job), "{listed}");
    }
    assert_eq!(server.ended(job).await["status"], "KILLED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_job_is_killed_and_its_driver_hears_of_it_once_the_store_is_back() {
    let _calm = CALM.read().await;
    let (stores, proxy) = Stores::proxied().await;
    let (server, gate, job) = stores.with_a_job().await;
    let process = gate.process();
    let path = format!("/jobs/{job}");
    let waits = server.ended(&job);
    let kills = async {
        answer_is_lost(&server, &proxy, || server.delete(&path)).await;
        is_refused(&server.delete(&path).await, &["store-unknown"]);
        is_well_again(&server, &proxy).await;
    };
    let (ended, ()) = tokio::join!(waits, kills);
    assert_eq!(ended["status"], "KILLED", "{ended}");
    was_killed(&server, &job).await;
    eventually("the end of its process", || async { !processes::alive(process) }).await;
    noted_once(&server, "afterwards").await;
    server.reset().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_ends_by_itself_after_its_kill_has_one_end() {
    let _calm = CALM.read().await;
    let (stores, proxy) = Stores::proxied().await;
    let (server, gate, job) = stores.with_a_job().await;
    let path = format!("/jobs/{job}");
    let waits = server.ended(&job);
    let kills = async {
        answer_is_lost(&server, &proxy, || server.delete(&path)).await;
        gate.open();
        // So that it most likely ends before the store is back; it has the same end anyway.
        tokio::time::sleep(Duration::from_secs(2)).await;
        is_well_again(&server, &proxy).await;
    };
    let (ended, ()) = tokio::join!(waits, kills);
    assert_eq!(ended["status"], "KILLED", "{ended}");
    was_killed(&server, &job).await;
    noted_once(&server, "afterwards").await;
    server.reset().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_waits_for_a_place_is_killed_and_never_runs() {
    let _calm = CALM.read().await;
    let (stores, proxy) = Stores::proxied().await;
    let (server, gate, running) = stores.with_a_job_in("c?max-jobs-per-context=1").await;
    let config = json!({"notes": server.place().path("never"), "line": "never"});
    let queued = server.job_with("Notes", &config, "&queue=true").await;
    let path = format!("/jobs/{queued}");
    answer_is_lost(&server, &proxy, || server.delete(&path)).await;
    is_well_again(&server, &proxy).await;
    was_killed(&server, &queued).await;
    gate.open();
    assert_eq!(server.ended(&running).await["status"], "FINISHED");
    noted_once(&server, "afterwards").await;
    assert!(!server.place().path("never").exists());
    server.reset().await;
}

/// The context stops, as its record says, and is no longer taken for one that runs.
async fn stops<F: Future<Output = Reply>>(ask: impl Fn(&Server) -> F) {
    let _calm = CALM.read().await;
    let (stores, proxy) = Stores::proxied().await;
    let (server, _gate, job) = stores.with_a_job().await;
    answer_is_lost(&server, &proxy, || ask(&server)).await;
    is_well_again(&server, &proxy).await;
    server.context_becomes("c", "FINISHED").await;
    assert_eq!(server.ended(&job).await["status"], "ERROR");
    eventually("the end of the driver", || async { server.place().processes().len() == 1 }).await;
    assert_eq!(note(&server, "early").await.status, 404);
    // Its name is free.
    server.open("c").await;
    noted_once(&server, "afterwards").await;
    server.reset().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_context_that_may_have_been_told_to_stop_stops() {
    let url = |server: &Server| server.request(reqwest::Method::DELETE, "/contexts/c");
    stops(|server| Reply::to(url(server))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_contexts_that_may_have_been_told_to_stop_stop() {
    let url = |server: &Server| server.request(reqwest::Method::PUT, "/contexts?reset=reboot");
    stops(|server| Reply::to(url(server).timeout(Duration::from_secs(60)))).await;
}

/// The context's end was stored, and its answer lost: to store it once more finds no live context.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_context_whose_end_had_no_answer_ends_once_the_store_is_back() {
    let _calm = CALM.read().await;
    let (stores, proxy) = Stores::proxied().await;
    let (server, _gate, job) = stores.with_a_job().await;
    let shim = server.place().driver().shim;
    assert!(processes::signal(shim, Signal::STOP));
    let stop = server.delete("/contexts/c");
    let ends = async {
        server.context_becomes("c", "STOPPING").await;
        proxy.set(Weather::AnswersLost);
        assert!(processes::signal(shim, Signal::CONT));
        eventually("a loss", || async { server.get("/healthz").await.status == 500 }).await;
        is_well_again(&server, &proxy).await;
        server.context_becomes("c", "FINISHED").await;
    };
    tokio::join!(stop, ends);
    assert_eq!(server.ended(&job).await["status"], "ERROR");
    server.open("c").await;
    noted_once(&server, "afterwards").await;
    server.reset().await;
}
