//! The cluster's record, its fence and the registration of this node, as znodes beside the log: docs/adr/0023.
//!
//! It has a session of its own, so that neither a store that is read anew nor large transactions hold up the cluster.

mod changes;
mod session;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use zookeeper_client::Error;

use self::changes::Change;
use self::session::Keeper;
use super::Options;
use super::link::{Link, Look, Trouble};
use super::paths::{self, Paths};
use super::plan::Operation;
use crate::core::cluster::encoding;
use crate::core::cluster::ids::{NodeId, Version};
use crate::core::cluster::record::{Fence, Invalid, Record};
use crate::core::cluster::store::{Reading, Refusal, StoreAnswer, StoreOp, Stored};
use crate::ports::ClusterStore;

/// A reading is begun anew when fences come and go meanwhile.
const LOOKS: u32 = 5;

/// What callers and the keeper of the session share.
struct Shared {
    options: Options,
    paths: Paths,
    /// None while there is no session.
    link: watch::Sender<Option<Link>>,
    /// The run of this node that is registered.
    id: watch::Sender<NodeId>,
    /// The record may have changed.
    news: Notify,
    /// The fences that were there last, which are most likely there still.
    fences: Mutex<Vec<String>>,
}

pub struct ZooKeeperCluster {
    shared: Arc<Shared>,
    deadline: Duration,
    keeper: JoinHandle<()>,
}

impl ZooKeeperCluster {
    /// Returns at once, and reaches ZooKeeper later. The chroot must be a store that a `ZooKeeperStore` has opened.
    ///
    /// `deadline`: each request is answered within it.
    pub fn open(options: Options, id: NodeId, deadline: Duration) -> Self {
        let paths = Paths::new(&options.chroot);
        let shared = Arc::new(Shared {
            options,
            paths,
            link: watch::channel(None).0,
            id: watch::channel(id).0,
            news: Notify::new(),
            fences: Mutex::default(),
        });
        let keeper = tokio::spawn(Keeper::new(Arc::clone(&shared)).run());
        Self { shared, deadline, keeper }
    }

    async fn answer(&self, op: &StoreOp) -> Result<StoreAnswer, Trouble> {
        let mut links = self.shared.link.subscribe();
        let link =
            links.wait_for(Option::is_some).await.map_err(|_| Trouble::NoAnswer("its task is over".into()))?.clone();
        let link = link.expect("waited for");
        let paths = &self.shared.paths;
        match op {
            StoreOp::Read { confirm } => {
                if *confirm {
                    link.barrier(paths).await?;
                }
                self.read(&link).await
            }
            StoreOp::Create { record } => self.change(&link, changes::create(paths, record)).await,
            StoreOp::Swap { base, fence, record } => self.swap(&link, *base, fence, record).await,
            StoreOp::Touch { base, fence } => self.touch(&link, *base, fence).await,
        }
    }

    async fn swap(&self, link: &Link, base: Version, fence: &Fence, record: &Record) -> Result<StoreAnswer, Trouble> {
        let Ok(base) = i32::try_from(base.0) else { return Ok(StoreAnswer::Refused(Refusal::Conflict)) };
        self.change(link, changes::swap(&self.shared.paths, base, fence, record)).await
    }

    /// The record is written as it is, so it is read before, as it is now: a version that is another now stays another.
    async fn touch(&self, link: &Link, base: Version, fence: &Fence) -> Result<StoreAnswer, Trouble> {
        let paths = &self.shared.paths;
        link.barrier(paths).await?;
        match link.look(&paths.cluster(), &[]).await?.data {
            Some((stored, counted)) if changes::version(counted) == base => {
                self.change(link, Ok(changes::touch(paths, counted, fence, stored))).await
            }
            _ => Ok(StoreAnswer::Refused(Refusal::Conflict)),
        }
    }

    async fn change(&self, link: &Link, change: Result<Change, Invalid>) -> Result<StoreAnswer, Trouble> {
        let Change { operations, version } = match change {
            Ok(change) => change,
            Err(error) => {
                tracing::error!(%error, "a record of the cluster was to be written that is invalid");
                return Ok(StoreAnswer::Refused(Refusal::Conflict));
            }
        };
        match link.transact(&operations).await {
            Ok(()) => Ok(StoreAnswer::Done { version }),
            // What is above the record is not there: nothing can be said of records.
            Err(Trouble::Failed { at: 0, error: Error::NoNode }) if matches!(operations[0], Operation::Create(..)) => {
                Err(Trouble::NoAnswer(format!("{} is not there", self.shared.paths.root())))
            }
            Err(Trouble::Failed { at, .. }) => Ok(StoreAnswer::Refused(changes::refusal(at))),
            Err(trouble) => Err(trouble),
        }
    }

    async fn read(&self, link: &Link) -> Result<StoreAnswer, Trouble> {
        let paths = &self.shared.paths;
        let fixed = [paths.nodes(), paths.fences()];
        for _ in 0..LOOKS {
            let expected = self.fences().clone();
            let of_fences = expected.iter().map(|name| format!("{}/{name}", paths.fences()));
            let parents: Vec<String> = fixed.iter().cloned().chain(of_fences).collect();
            let Look { data, children } = link.look(&paths.cluster(), &parents).await?;
            let mut children = children.into_iter().map(Option::unwrap_or_default);
            let (nodes, mut names) = (children.next().unwrap_or_default(), children.next().unwrap_or_default());
            names.sort();
            if names != expected {
                *self.fences() = names;
                continue;
            }
            let below: Vec<Vec<String>> = children.collect();
            let mut registered: Vec<NodeId> = nodes.iter().filter_map(|name| paths::node_id(name)).collect();
            registered.sort();
            let record = data.map(|(bytes, counted)| {
                encoding::decode(&bytes).map(|record| Stored { record, version: changes::version(counted) })
            });
            let fences = changes::fences(names.iter().zip(&below));
            return Ok(StoreAnswer::Read(Box::new(Reading { record: record.transpose(), fences, registered })));
        }
        Err(Trouble::NoAnswer("fences come and go all the time".into()))
    }

    fn fences(&self) -> MutexGuard<'_, Vec<String>> {
        self.shared.fences.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ZooKeeperCluster {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

#[async_trait]
impl ClusterStore for ZooKeeperCluster {
    async fn execute(&self, op: &StoreOp) -> StoreAnswer {
        match timeout(self.deadline, self.answer(op)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(trouble @ Trouble::NoAnswer(_))) => {
                tracing::debug!(%trouble, "no answer about the cluster's record");
                StoreAnswer::Lost
            }
            Ok(Err(trouble)) => {
                tracing::error!(%trouble, "ZooKeeper refuses a request about the cluster's record");
                StoreAnswer::Lost
            }
            Err(_) => StoreAnswer::Lost,
        }
    }

    async fn changed(&self) {
        self.shared.news.notified().await;
    }

    fn reincarnate(&self, id: NodeId) {
        self.shared.id.send_replace(id);
    }
}
