//! BinaryStore in a bucket of a real server, which all tests of this process share; who has it fail has one of his own.

mod damage;
mod faults;
mod outages;
mod several;
mod sweeps;
mod tls;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use doyen::adapters::blobs::OpenBlobsError;
use doyen::adapters::s3::S3BinaryStore;
use doyen::config;
use doyen::ports::{BinaryStore, BlobError};
use futures::TryStreamExt;

use crate::fixture::content;
use crate::servers::s3::S3;

/// Of several parts.
const LARGE: usize = 20 * 1024 * 1024 + 5;
/// Everything that is bounded by a short deadline ends well within it.
const SOON: Duration = Duration::from_secs(60);

static SERVER: LazyLock<S3> = LazyLock::new(S3::start);

/// A path below which nothing is.
fn settings() -> config::S3 {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    tokio::task::block_in_place(|| SERVER.settings(&format!("test-{number}/binaries")))
}

/// For calls that are to fail: what is to work on a busy machine has the usual deadline.
fn impatient(settings: &config::S3) -> config::S3 {
    config::S3 { deadline: Duration::from_secs(2), ..settings.clone() }
}

async fn open(settings: &config::S3) -> Result<Arc<S3BinaryStore>, OpenBlobsError> {
    // Fails only when there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    S3BinaryStore::open(settings).await.map(Arc::new)
}

/// For the contract.
pub fn fresh() -> (Arc<dyn BinaryStore>, ()) {
    let settings = settings();
    let store = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(open(&settings)));
    (store.unwrap(), ())
}

fn start() -> S3 {
    tokio::task::block_in_place(S3::start)
}

async fn upload(store: &Arc<S3BinaryStore>, content: &Bytes) -> Result<String, BlobError> {
    let mut writer = store.create().await?;
    writer.write(content.clone()).await?;
    Ok(writer.finish(None).await?.0)
}

async fn read(store: &Arc<S3BinaryStore>, sha256: &str) -> Result<Vec<u8>, BlobError> {
    let (reader, _) = store.read(sha256, 0, None).await?;
    Ok(reader.try_collect::<Vec<_>>().await?.concat())
}

#[track_caller]
fn says(error: &dyn std::error::Error, words: &[&str]) {
    let text = error.to_string();
    assert!(words.iter().all(|word| text.contains(word)), "{words:?} are not all in: {text}");
}

#[track_caller]
fn is_unavailable<T: std::fmt::Debug>(answer: Result<T, BlobError>, words: &[&str]) {
    match answer {
        Err(error @ BlobError::Unavailable(_)) => says(&error, words),
        other => panic!("{other:?}"),
    }
}
