//! ZooKeeperStore over real servers, and what becomes of it when they do not do as they should.

mod cluster;
mod hands;
mod holders;
mod missing;
mod openings;
mod outages;
mod refusals;
mod several;
mod tls;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use doyen::adapters::zookeeper::{Options, ZooKeeperStore};
use doyen::ports::{Changes, Commit, CommitError, MetaStore, Precondition, Revision, Write};
use tokio::runtime::Handle;
use zookeeper_client::{Acls, Client, CreateMode, CreateOptions};

use crate::servers::zookeeper::Ensemble;

const PATIENCE: Duration = Duration::from_secs(60);

/// One server for all tests that do it no harm; it ends with this process.
fn shared() -> Vec<String> {
    static SERVER: OnceLock<Ensemble> = OnceLock::new();
    SERVER.get_or_init(|| Ensemble::for_process(1)).addresses()
}

/// A place that no other test has.
fn options(servers: Vec<String>) -> Options {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let chroot = format!("/doyen/test-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let session_timeout = Duration::from_secs(4);
    Options {
        servers,
        chroot,
        session_timeout,
        commit_timeout: Duration::from_secs(30),
        auth: None,
        tls: None,
        owner: None,
    }
}

pub fn fresh_now() -> ZooKeeperStore {
    tokio::task::block_in_place(|| Handle::current().block_on(open(&options(shared()))))
}

/// A store, and what opens it once more.
pub fn twice_now() -> (ZooKeeperStore, impl FnOnce() -> ZooKeeperStore) {
    let options = options(shared());
    let open = move || tokio::task::block_in_place(|| Handle::current().block_on(open(&options)));
    (open.clone()(), open)
}

async fn open(options: &Options) -> ZooKeeperStore {
    ZooKeeperStore::open(options.clone()).await.unwrap()
}

async fn put(store: &ZooKeeperStore, key: &str, value: &str) -> Result<Revision, CommitError> {
    put_if(store, &[], key, value).await
}

async fn put_if(
    store: &ZooKeeperStore,
    preconditions: &[Precondition],
    key: &str,
    value: &str,
) -> Result<Revision, CommitError> {
    let writes = vec![Write::Put(key.into(), value.as_bytes().to_vec().into())];
    store.commit(Commit { preconditions: preconditions.to_vec(), writes }).await
}

async fn value(store: &ZooKeeperStore, key: &str) -> Option<String> {
    store.get(key).await.unwrap().map(|entry| String::from_utf8(entry.value.to_vec()).unwrap())
}

/// Puts until it is taken: for how long the store is away is not what is tested.
async fn put_at_last(store: &ZooKeeperStore, key: &str, value: &str) -> Revision {
    let tries = async {
        loop {
            match put(store, key, value).await {
                Ok(revision) => return revision,
                Err(CommitError::Unavailable(_) | CommitError::Unknown(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, tries).await.unwrap()
}

/// Waits until the store tells of a change of this key.
async fn hear_of(store: &ZooKeeperStore, mut cursor: Revision, key: &str) -> Revision {
    let hears = async {
        loop {
            let Changes::Since { changes, cursor: next } = store.changes(cursor).await.unwrap() else { panic!("lost") };
            if changes.iter().any(|change| change.key == key) {
                return next;
            }
            cursor = next;
        }
    };
    tokio::time::timeout(PATIENCE, hears).await.unwrap()
}

/// Without anything of ours in between.
async fn bare(options: &Options) -> Client {
    Client::connect(&options.servers.join(",")).await.unwrap()
}

fn node() -> CreateOptions<'static> {
    CreateMode::Persistent.with_acls(Acls::anyone_all())
}
