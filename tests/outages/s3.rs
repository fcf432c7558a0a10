//! One node whose binaries are in a bucket of S3, which goes away and comes back.

use std::process::Command;

use rustix::process::Signal;
use serde_json::json;

use crate::fixture::{Place, Server, WHEEL, eventually, jobs, jobs_variant};
use crate::servers::s3::{BUCKET, KEY_ID, S3, SECRET};
use crate::stores::{is_refused, noted_once, recovers, says_what_is_away};

const MIB: usize = 1024 * 1024;

/// Credentials come by variables.
fn place() -> Place {
    let mut place = Place::new();
    place.set("AWS_ACCESS_KEY_ID", KEY_ID.into());
    place.set("AWS_SECRET_ACCESS_KEY", SECRET.into());
    place
}

fn settings(s3: &S3) -> Vec<String> {
    vec![
        "store.binaries=\"s3\"".into(),
        format!("store.s3.endpoint={:?}", s3.endpoint()),
        format!("store.s3.bucket={BUCKET:?}"),
        "store.s3.allow-http=true".into(),
        "store.s3.deadline=\"5s\"".into(),
    ]
}

fn start(place: Place, settings: &[String]) -> Server {
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    tokio::task::block_in_place(|| Server::at(place, "127.0.0.1:0", &settings))
}

/// `doyen store`, with credentials from a file.
fn store(place: &Place, s3: &S3, arguments: &[&str], settings: &[String]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doyen"));
    command.arg("store").args(arguments).arg("--data-dir").arg(place.path("data")).current_dir(place.root());
    let file = format!("store.s3.credentials-file={:?}", s3.credentials());
    for setting in settings.iter().chain([&file]) {
        command.args(["--set", setting]);
    }
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    assert!(output.status.success(), "{text}");
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_goes_away_and_nothing_is_lost_over_that_a_kill_and_a_move() {
    let s3 = tokio::task::block_in_place(S3::start);
    let settings = settings(&s3);
    let server = start(place(), &settings);
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    server.open("c").await;
    let gate = server.gate("gate");
    let job = server.waiting(&gate).await;
    let large = server.job("Large", &json!({"size": MIB})).await;
    assert_eq!(server.ended(&large).await["status"], "FINISHED");

    tokio::task::block_in_place(|| s3.kill());
    is_refused(&server.upload("late", WHEEL, jobs_variant("late")).await, &["store-unavailable"]);
    says_what_is_away(&server, "binaries").await;
    // What is not in the bucket is as always.
    noted_once(&server, "meanwhile").await;
    gate.open();
    tokio::task::block_in_place(|| s3.restart());
    recovers(&server, &job).await;
    let taken = || async { server.upload("late", WHEEL, jobs_variant("late")).await.status == 201 };
    eventually("an upload", taken).await;

    server.signal(Signal::KILL);
    let (_, place) = server.end().await;
    let server = start(place, &settings);
    server.context_becomes("c", "RUNNING").await;
    noted_once(&server, "next-life").await;
    let result = server.get(&format!("/v1/jobs/{large}/result")).await;
    assert_eq!((result.status, result.body.len()), (200, MIB + 2));
    server.reset().await;
    server.signal(Signal::INT);
    let (_, old) = server.end().await;
    moves(old, &s3, &settings, &large).await;
}

/// From the one path of the bucket to another, by a file.
async fn moves(old: Place, s3: &S3, settings: &[String], large: &str) {
    let said = store(&old, s3, &["check"], settings);
    assert!(said.contains("the store is sound"), "{said}");
    store(&old, s3, &["export", "file"], settings);
    let new = place();
    let elsewhere = [settings, &["store.s3.path=\"moved/here\"".to_owned()]].concat();
    store(&new, s3, &["import", old.path("file").to_str().unwrap()], &elsewhere);
    let said = store(&new, s3, &["check"], &elsewhere);
    assert!(said.contains("the store is sound"), "{said}");
    assert!(store(&new, s3, &["stats"], &elsewhere).contains("in the bucket binaries of S3"));
    let server = start(new, &elsewhere);
    let result = server.get(&format!("/v1/jobs/{large}/result")).await;
    assert_eq!((result.status, result.body.len()), (200, MIB + 2));
    server.upload("again", WHEEL, jobs()).await.is_success(201);
    server.signal(Signal::INT);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_does_not_start_over_a_bucket_that_it_may_not_use() {
    let s3 = tokio::task::block_in_place(S3::start);
    let settings = settings(&s3);
    let refused = |place: &Place| {
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let output = place.command("127.0.0.1:0", &settings).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let mut poor = Place::new();
    // Where a machine of AWS asks for its own.
    poor.set("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1".into());
    let said = tokio::task::block_in_place(|| refused(&poor));
    assert!(said.contains("there are no credentials") && said.contains("store.s3.credentials-file"), "{said}");
    let mut half = Place::new();
    half.set("AWS_ACCESS_KEY_ID", KEY_ID.into());
    let said = tokio::task::block_in_place(|| refused(&half));
    assert!(said.contains("SecretAccessKey") && said.contains("AWS_* variables"), "{said}");
    let mut stranger = place();
    stranger.set("AWS_SECRET_ACCESS_KEY", "not-the-secret".into());
    let said = tokio::task::block_in_place(|| refused(&stranger));
    assert!(said.contains("SignatureDoesNotMatch") && said.contains("AWS_SECRET_ACCESS_KEY"), "{said}");
    assert!(!said.contains("not-the-secret"), "{said}");
    // The bucket is that of the first who comes.
    let server = start(place(), &settings);
    let said = tokio::task::block_in_place(|| refused(&place()));
    assert!(
        said.contains("in the bucket binaries of S3 belongs to the metadata store")
            && said.contains("doyen store adopt"),
        "{said}"
    );
    server.signal(Signal::INT);
    server.end().await;
}
