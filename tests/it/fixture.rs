//! What a test has of the server when there is no HTTP: its actors over any stores.

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use bytes::Bytes;
use doyen::adapters::memory::{MemoryBlobs, MemoryStore};
use doyen::adapters::outbound::HttpOutbound;
use doyen::config::Config;
use doyen::jobs::callbacks::{Callbacks, Secrets};
use doyen::jobs::supervisor::{Registry, Shared};
use doyen::jobs::{ActiveJobs, Contexts, Records};
use doyen::ports::{BinaryStore, Changes, Commit, CommitError, Entry, Launcher, MetaStore, ReadError, Revision};
use tokio::sync::watch;

/// Takes up the contexts that are recorded.
pub async fn start(records: Records, blobs: Arc<dyn BinaryStore>, launcher: Arc<dyn Launcher>) -> Contexts {
    let config = Config::default();
    let outbound = Arc::new(HttpOutbound::new(config.security.clone()));
    let of_callbacks = Arc::new(MemoryBlobs::default());
    let callbacks =
        Callbacks::start(outbound, of_callbacks, records.clone(), config.callbacks.clone(), Secrets::default());
    let shared = Shared {
        callbacks,
        config: Arc::new(config),
        records,
        active: ActiveJobs::default(),
        blobs,
        launcher,
        registry: Registry::default(),
        servers: watch::channel(Vec::new()).1,
    };
    Contexts::start(shared).await.unwrap()
}

/// What stands before a store, and hands commits on or does not.
#[async_trait]
pub trait Gate: Send + Sync + 'static {
    async fn commit(&self, store: &MemoryStore, commit: Commit) -> Result<Revision, CommitError>;
}

#[derive(Default)]
pub struct Gated<G> {
    pub store: MemoryStore,
    pub gate: G,
}

#[async_trait]
impl<G: Gate> MetaStore for Gated<G> {
    async fn commit(&self, commit: Commit) -> Result<Revision, CommitError> {
        self.gate.commit(&self.store, commit).await
    }

    async fn get(&self, key: &str) -> Result<Option<Entry>, ReadError> {
        self.store.get(key).await
    }

    async fn range(&self, p: &str, after: Option<&str>, back: bool, limit: usize) -> Result<Vec<Entry>, ReadError> {
        self.store.range(p, after, back, limit).await
    }

    async fn changes(&self, cursor: Revision) -> Result<Changes, ReadError> {
        self.store.changes(cursor).await
    }

    async fn revision(&self) -> Result<Revision, ReadError> {
        self.store.revision().await
    }
}

/// The most that any test stores at once, and a little.
const MOST: usize = (48 << 20) + 64;

/// Of any size, without a pattern; a smaller one is how a larger one begins. Made once: without optimisation it takes seconds.
pub fn content(size: usize) -> Bytes {
    static MUCH: LazyLock<Bytes> =
        LazyLock::new(|| (0..MOST as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect());
    MUCH.slice(..size)
}
