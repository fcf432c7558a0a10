//! A home in ZooKeeper and HDFS for what servers keep: real ones, which all tests of this process share.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use doyen::adapters::blobs::ObjectBinaryStore;
use doyen::config;
use doyen::ports::{BinaryStore, BlobError};
use futures::TryStreamExt;
use tokio::runtime::Runtime;

use crate::servers::hdfs::Hdfs;
use crate::servers::zookeeper::Ensemble;

static ZOOKEEPER: LazyLock<Ensemble> = LazyLock::new(|| Ensemble::for_process(1));
static HDFS: LazyLock<Hdfs> = LazyLock::new(Hdfs::start);
/// The client keeps connections for the whole process.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());

/// The chroot in ZooKeeper, and the directory in HDFS.
#[derive(Debug, Clone)]
pub struct Home(String);

impl Home {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        Self(format!("/crash-{}", NUMBER.fetch_add(1, Ordering::Relaxed)))
    }

    /// Of a server that lives there.
    pub fn settings(&self) -> Vec<String> {
        vec![
            "store.metadata=\"zookeeper\"".into(),
            format!("zookeeper.servers={:?}", ZOOKEEPER.addresses()),
            format!("zookeeper.chroot={:?}", self.0),
            "store.binaries=\"hdfs\"".into(),
            format!("store.hdfs.url={:?}", HDFS.url()),
            format!("store.hdfs.path={:?}", self.0),
        ]
    }

    /// Each blob is what its name says.
    pub async fn check(&self) {
        let settings = self.hdfs();
        let check = async move {
            let store = ObjectBinaryStore::open_hdfs(&settings).await.unwrap();
            for blob in store.list(None, 10_000).await.unwrap() {
                match read(&store, &blob.sha256).await {
                    // What is unreferenced may go at this moment.
                    Ok(_) | Err(BlobError::NotFound(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        };
        RUNTIME.spawn(check).await.unwrap();
    }

    pub async fn blob(&self, sha256: &str) -> Vec<u8> {
        let (settings, sha256) = (self.hdfs(), sha256.to_owned());
        let get = async move { read(&ObjectBinaryStore::open_hdfs(&settings).await.unwrap(), &sha256).await.unwrap() };
        RUNTIME.spawn(get).await.unwrap()
    }

    fn hdfs(&self) -> config::Hdfs {
        HDFS.settings(&self.0)
    }
}

async fn read(store: &ObjectBinaryStore, sha256: &str) -> Result<Vec<u8>, BlobError> {
    let (content, _) = store.read(sha256, 0, None).await?;
    Ok(content.try_collect::<Vec<_>>().await?.concat())
}
