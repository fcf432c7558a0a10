//! BinaryStore on a real HDFS, which all tests of this process share.

mod damage;
mod network;
mod outages;
mod pair;
mod several;
mod uploads;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use doyen::adapters::blobs::ObjectBinaryStore;
use doyen::config;
use doyen::ports::{BinaryStore, BlobError};
use futures::TryStreamExt;
use tokio::runtime::Runtime;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use crate::fixture::content;
use crate::servers::hdfs::Hdfs;

/// Of several parts.
const LARGE: usize = 3 * 1024 * 1024 + 5;

/// The client keeps connections to DataNodes for the whole process, so they need a runtime that outlives each test's.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());
static SERVER: LazyLock<Hdfs> = LazyLock::new(Hdfs::start);
/// Held for writing by who has it fail.
static CALM: LazyLock<Arc<RwLock<()>>> = LazyLock::new(Arc::default);

/// Calls from a test's thread; starts the servers if need be.
fn blocking<T>(work: impl AsyncFnOnce() -> T) -> T {
    tokio::task::block_in_place(|| RUNTIME.block_on(work()))
}

/// A directory in which nothing is.
fn settings() -> config::Hdfs {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    tokio::task::block_in_place(|| SERVER.settings(&format!("/test-{number}/binaries")))
}

fn open(settings: &config::Hdfs) -> Result<Arc<dyn BinaryStore>, BlobError> {
    Ok(Arc::new(blocking(async || ObjectBinaryStore::open_hdfs(settings).await)?))
}

/// For the contract: a store while nobody has HDFS fail.
pub fn fresh() -> (Arc<dyn BinaryStore>, OwnedRwLockReadGuard<()>) {
    let settings = settings();
    let calm = blocking(async || Arc::clone(&CALM).read_owned().await);
    (open(&settings).unwrap(), calm)
}

/// HDFS for this test alone, and a store that waits for no more than two seconds.
fn alone() -> (Arc<dyn BinaryStore>, config::Hdfs, OwnedRwLockWriteGuard<()>) {
    let settings = config::Hdfs { deadline: Duration::from_secs(2), ..settings() };
    let alone = blocking(async || Arc::clone(&CALM).write_owned().await);
    (open(&settings).unwrap(), settings, alone)
}

async fn upload(store: &Arc<dyn BinaryStore>, content: &Bytes) -> Result<String, BlobError> {
    let mut writer = store.create().await?;
    writer.write(content.clone()).await?;
    Ok(writer.finish(None).await?.0)
}

async fn read(store: &Arc<dyn BinaryStore>, sha256: &str) -> Result<Vec<u8>, BlobError> {
    let (reader, _) = store.read(sha256, 0, None).await?;
    Ok(reader.try_collect::<Vec<_>>().await?.concat())
}

/// Until it does what is asked of it again.
async fn until_it_works(store: &Arc<dyn BinaryStore>) {
    for n in 0..1000 {
        match upload(store, &content(1000 + n)).await {
            Ok(_) => return,
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    panic!("HDFS did not recover");
}
