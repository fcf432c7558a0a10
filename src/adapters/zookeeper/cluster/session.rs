//! Keeps a session with ZooKeeper, the registration of this node in it, and a watch on the record.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};
use zookeeper_client::{Error, SessionState, StateWatcher};

use super::Shared;
use crate::adapters::zookeeper::link::{Link, Trouble, Watch};
use crate::adapters::zookeeper::paths::Paths;
use crate::adapters::zookeeper::plan::Operation;
use crate::core::cluster::ids::NodeId;

/// Whether the registration still stands is looked at so often: hands may have deleted it.
const LOOK: Duration = Duration::from_secs(2);
/// Looks and writes until a registration stands.
const TRIES: u32 = 5;
/// Between tries to reach ZooKeeper: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

pub(super) struct Keeper {
    shared: Arc<Shared>,
    ids: watch::Receiver<NodeId>,
    registered: Option<NodeId>,
}

/// A session, and what it tells of itself.
struct Session {
    link: Link,
    states: StateWatcher,
    /// Of the record.
    watcher: Watch,
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let ids = shared.id.subscribe();
        Self { shared, ids, registered: None }
    }

    pub(super) async fn run(mut self) {
        let mut pause = PAUSES.0;
        loop {
            let ended = match self.begin().await {
                Ok(session) => {
                    pause = PAUSES.0;
                    self.serve(session).await
                }
                Err(trouble) => Err(trouble),
            };
            // The client is let go of before the next begins: it ends its session if it can.
            self.shared.link.send_replace(None);
            if let Err(trouble) = ended {
                tracing::warn!(%trouble, "ZooKeeper is not reached for the cluster");
                sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }

    async fn begin(&mut self) -> Result<Session, Trouble> {
        let link = Link::open(&self.shared.options).await?;
        // Another server than before may lag behind what was read there.
        link.barrier(&self.shared.paths).await?;
        let (states, watcher) = (link.states(), link.watch(&self.shared.paths.cluster()).await?);
        self.register(&link).await?;
        self.shared.link.send_replace(Some(link.clone()));
        self.shared.news.notify_one();
        Ok(Session { link, states, watcher })
    }

    /// Until the session is over. What fails in between is tried again at the next look: a session that is given up is a registration that
    /// goes away.
    async fn serve(&mut self, mut session: Session) -> Result<(), Trouble> {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_watched = true;
        loop {
            tokio::select! {
                state = session.states.changed() => {
                    if state.is_terminated() {
                        return Err(Trouble::NoAnswer(format!("the session is over: {state}")));
                    }
                    // The client sends no recursive watch again when it connects again.
                    is_watched = false;
                }
                event = session.watcher.changed() => match event {
                    None => return Err(Trouble::NoAnswer("the session is over".into())),
                    Some(_) => {
                        self.shared.news.notify_one();
                        continue;
                    }
                },
                changed = self.ids.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                }
                _ = look.tick() => {}
            }
            if session.link.state() != SessionState::SyncConnected {
                continue;
            }
            if let Err(trouble) = self.settle(&mut session, &mut is_watched).await {
                tracing::warn!(%trouble, "ZooKeeper does not answer about the cluster");
            }
        }
    }

    async fn settle(&mut self, session: &mut Session, is_watched: &mut bool) -> Result<(), Trouble> {
        if !*is_watched {
            session.watcher = session.link.watch(&self.shared.paths.cluster()).await?;
            *is_watched = true;
            self.shared.news.notify_one();
        }
        self.register(&session.link).await
    }

    /// Has the registration of this run, and of no other run of this process, stand in this session.
    async fn register(&mut self, link: &Link) -> Result<(), Trouble> {
        let paths = &self.shared.paths;
        let id = self.ids.borrow_and_update().clone();
        let path = paths.node(&id);
        let earlier = self.registered.as_ref().filter(|earlier| **earlier != id).map(|earlier| paths.node(earlier));
        for _ in 0..TRIES {
            let mut operations = Vec::new();
            if let Some(earlier) = &earlier
                && link.is_mine(earlier).await?.is_some()
            {
                operations.push(Operation::Delete(earlier.clone()));
            }
            match link.is_mine(&path).await? {
                Some(true) if operations.is_empty() => {
                    self.registered = Some(id);
                    return Ok(());
                }
                Some(true) => {}
                // Of an earlier session of this process, which will end without it.
                Some(false) => {
                    operations.extend([
                        Operation::Delete(path.clone()),
                        Operation::CreateEphemeral(path.clone(), Vec::new()),
                    ]);
                }
                None => operations.push(Operation::CreateEphemeral(path.clone(), Vec::new())),
            }
            match link.transact(&operations).await {
                // What is above it is not there, or it went away in between: the next look tells.
                Err(Trouble::Failed { error: Error::NoNode, .. }) => make_parent(link, paths).await?,
                Ok(()) | Err(Trouble::Failed { .. }) => {}
                Err(trouble) => return Err(trouble),
            }
        }
        Err(Trouble::NoAnswer("this node's registration comes and goes".into()))
    }
}

/// But not what is above it: that a store is there is not decided here.
async fn make_parent(link: &Link, paths: &Paths) -> Result<(), Trouble> {
    match link.transact(&[Operation::Create(paths.nodes(), Vec::new())]).await {
        Err(Trouble::Failed { error: Error::NoNode, .. }) => {
            Err(Trouble::NoAnswer(format!("{} is not there", paths.root())))
        }
        Ok(()) | Err(Trouble::Failed { .. }) => Ok(()),
        Err(trouble) => Err(trouble),
    }
}
