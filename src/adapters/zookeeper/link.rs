//! The way to ZooKeeper: one session, every call with a deadline, and what its errors mean to us.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::timeout;
use zookeeper_client::{
    Acl, Acls, AddWatchMode, Client, CreateMode, CreateOptions, Error, EventType, MultiReadResult, MultiWriteError,
    Permission, PersistentWatcher, SessionState, StateWatcher, WatchedEvent,
};

use super::Options;
use super::paths::Paths;
use super::plan::Operation;
use super::refusal;
use super::tunnel::Tunnel;
use crate::runtime::panics;

/// Reads that are under way at once.
const READS: usize = 256;

/// Why a call did not do what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Trouble {
    /// Whether it happened, or may happen later, is unknown.
    #[error("{0}")]
    NoAnswer(String),
    /// It did not happen.
    #[error("{0}")]
    Refused(String),
    /// What stands there was not written by us.
    #[error("{0}")]
    Damaged(String),
    /// This operation of a transaction failed, and nothing happened.
    #[error("operation {at} failed: {error}")]
    Failed { at: usize, error: Error },
    /// This operation of a transaction was refused to us, and nothing happened.
    #[error("{path}: {error}")]
    Denied { at: usize, path: String, error: Error },
}

impl Trouble {
    /// It lasts until somebody has put something right: asking again soon is of no use.
    pub(super) fn lasts(&self) -> bool {
        !matches!(self, Self::NoAnswer(_))
    }

    fn of(self, path: &str) -> Self {
        match self {
            Self::Refused(why) => Self::Refused(format!("{path}: {why}")),
            other => other,
        }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        if refusal::is_refusal(&error) { Self::Refused(error.to_string()) } else { Self::NoAnswer(error.to_string()) }
    }
}

/// Of a znode and all below it.
pub(super) struct Watch(PersistentWatcher);

impl Watch {
    /// None: the session is over. The client panics when its own task has gone before, as it does where a process ends in a hurry.
    pub(super) async fn changed(&mut self) -> Option<WatchedEvent> {
        let mut changed = pin!(self.0.changed());
        let event = poll_fn(|context| match panics::quietly(|| changed.as_mut().poll(context)) {
            Some(event) => event.map(Some),
            None => Poll::Ready(None),
        });
        let event = event.await?;
        let is_end = event.event_type == EventType::Session && event.session_state.is_terminated();
        (!is_end).then_some(event)
    }
}

/// See [`Link::look`].
pub(super) struct Look {
    pub(super) data: Option<(Vec<u8>, i32)>,
    /// In the order of the parents.
    pub(super) children: Vec<Option<Vec<String>>>,
}

/// One session with ZooKeeper. It may lose its connection, and find it again; once it is over, another is needed.
#[derive(Clone)]
pub(super) struct Link {
    client: Arc<Client>,
    /// Where the client's connections begin.
    _tunnel: Option<Arc<Tunnel>>,
    answer_within: Duration,
    acls: Acls<'static>,
}

impl Link {
    /// # Errors
    /// When no server answers within the session timeout.
    pub(super) async fn open(options: &Options) -> Result<Self, Trouble> {
        let mut connector = Client::connector().with_session_timeout(options.session_timeout);
        if let Some(auth) = &options.auth {
            connector = connector.with_auth("digest", auth.as_bytes());
        }
        let tunnel = match &options.tls {
            Some(tls) => Some(Tunnel::open(&options.servers, tls).await.map_err(|e| Trouble::NoAnswer(e.to_string()))?),
            None => None,
        };
        let servers = tunnel.as_ref().map_or(options.servers.as_slice(), Tunnel::addresses).join(",");
        let answer_within = options.session_timeout;
        let client = within(answer_within * 2, connector.connect(&servers)).await;
        let client = client.map_err(|trouble| match tunnel.as_ref().map(Tunnel::troubles) {
            Some(why) if !why.is_empty() => Trouble::NoAnswer(why),
            _ => trouble,
        })?;
        let acls = if options.auth.is_some() { Acls::creator_all() } else { Acls::anyone_all() };
        Ok(Self { client: Arc::new(client), _tunnel: tunnel.map(Arc::new), answer_within, acls })
    }

    pub(super) fn states(&self) -> StateWatcher {
        self.client.state_watcher()
    }

    pub(super) fn state(&self) -> SessionState {
        self.client.state()
    }

    pub(super) async fn watch(&self, path: &str) -> Result<Watch, Trouble> {
        let watch = self.client.watch(path, AddWatchMode::PersistentRecursive);
        within(self.answer_within, watch).await.map(Watch)
    }

    /// What stands there; `None` when nothing is there.
    pub(super) async fn get(&self, path: &str) -> Result<Option<Vec<u8>>, Trouble> {
        let found = absent_is_none(self.call(self.client.get_data(path)).await).map_err(|trouble| trouble.of(path))?;
        Ok(found.map(|(data, _)| data))
    }

    /// In the order of the paths.
    pub(super) async fn get_all(&self, paths: Vec<String>) -> Result<Vec<Option<Vec<u8>>>, Trouble> {
        stream::iter(paths).map(|path| async move { self.get(&path).await }).buffered(READS).try_collect().await
    }

    /// What stands there with its version, and the names below each of the parents, all as of one moment: ZooKeeper carries out
    /// nothing else meanwhile. `None` is what is not there.
    pub(super) async fn look(&self, path: &str, parents: &[String]) -> Result<Look, Trouble> {
        let mut reader = self.client.new_multi_reader();
        reader.add_get_data(path)?;
        for parent in parents {
            reader.add_get_children(parent)?;
        }
        let mut look = Look { data: None, children: Vec::new() };
        for result in within(self.answer_within, reader.commit()).await? {
            match result {
                MultiReadResult::Data { data, stat } => look.data = Some((data, stat.version)),
                MultiReadResult::Children { children } => look.children.push(Some(children)),
                // The first is that of the data, and so is the first error, unless data came.
                MultiReadResult::Error { err: Error::NoNode } => look.children.push(None),
                MultiReadResult::Error { err } => return Err(err.into()),
                _ => return Err(Trouble::NoAnswer("an answer to another question".into())),
            }
        }
        if look.data.is_none() {
            look.children.remove(0);
        }
        Ok(look)
    }

    /// The session that an ephemeral znode goes away with, if it is there.
    pub(super) async fn is_mine(&self, path: &str) -> Result<Option<bool>, Trouble> {
        let stat = within(self.answer_within, self.client.check_stat(path)).await?;
        Ok(stat.map(|stat| stat.ephemeral_owner == self.client.session_id().0))
    }

    /// Names, sorted; `None` when nothing is there.
    pub(super) async fn children(&self, path: &str) -> Result<Option<Vec<String>>, Trouble> {
        let names = absent_is_none(self.call(self.client.list_children(path)).await);
        let mut names = names.map_err(|trouble| trouble.of(path))?;
        if let Some(names) = &mut names {
            names.sort();
        }
        Ok(names)
    }

    /// In the order of the paths; of what is not there none.
    pub(super) async fn all_children(&self, paths: Vec<String>) -> Result<Vec<Vec<String>>, Trouble> {
        let children = |path: String| async move { Ok(self.children(&path).await?.unwrap_or_default()) };
        stream::iter(paths).map(children).buffered(READS).try_collect().await
    }

    /// What was answered to anybody before is seen by the reads of this session from now on. Only a write can bring that
    /// about, if it is one that cannot happen: a read, and a `sync` too, is answered by servers that may lag behind.
    pub(super) async fn barrier(&self, paths: &Paths) -> Result<(), Trouble> {
        match self.transact(&[Operation::Check(paths.never())]).await {
            Err(Trouble::Failed { .. }) => Ok(()),
            answer => answer,
        }
    }

    /// Makes the node and all above it that are missing. Those above are for everybody, as they are for others, too.
    pub(super) async fn make_all(&self, path: &str) -> Result<(), Trouble> {
        let make = async || self.call(self.client.create(path, b"", &self.create())).await;
        let mut made = make().await?;
        let above = path.rsplit_once('/').map_or("", |(above, _)| above);
        if matches!(made, Err(Error::NoNode)) && !above.is_empty() {
            let open = CreateMode::Persistent.with_acls(Acls::anyone_all());
            within(self.answer_within, self.client.mkdir(above, &open)).await?;
            made = make().await?;
        }
        match made {
            Ok(_) | Err(Error::NodeExists) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a znode there for a moment. When that was, by ZooKeeper's clock, in ms since 1970.
    pub(super) async fn stamp(&self, path: &str) -> Result<i64, Trouble> {
        let passing = CreateMode::Ephemeral.with_acls(self.acls);
        let (stat, _) = within(self.answer_within, self.client.create(path, b"", &passing)).await?;
        // Else it goes with the session.
        let _ = self.call(self.client.delete(path, None)).await;
        Ok(stat.ctime)
    }

    /// Whether everybody may do more than read there. What is not there is not open.
    pub(super) async fn is_open(&self, path: &str) -> Result<bool, Trouble> {
        let found = absent_is_none(self.call(self.client.get_acl(path)).await)?;
        let open = |acl: &Acl| acl.auth_id().scheme() == "world" && acl.permission() != Permission::READ;
        Ok(found.is_some_and(|(acls, _)| acls.iter().any(open)))
    }

    /// All of it happens, or nothing.
    pub(super) async fn transact(&self, operations: &[Operation]) -> Result<(), Trouble> {
        let mut writer = self.client.new_multi_writer();
        for operation in operations {
            match operation {
                Operation::Check(path) => writer.add_check_version(path, -1)?,
                Operation::Create(path, data) => writer.add_create(path, data, &self.create())?,
                Operation::Set(path, data) => writer.add_set_data(path, data, None)?,
                Operation::SetAt(path, data, version) => writer.add_set_data(path, data, Some(*version))?,
                Operation::Delete(path) => writer.add_delete(path, None)?,
                Operation::CreateEphemeral(path, data) => {
                    writer.add_create(path, data, &CreateMode::Ephemeral.with_acls(self.acls))?;
                }
            }
        }
        match timeout(self.answer_within, writer.commit()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(MultiWriteError::OperationFailed { index: at, source: error })) => Err(match operations.get(at) {
                Some(operation) if refusal::is_refusal(&error) => {
                    Trouble::Denied { at, path: operation.path().to_owned(), error }
                }
                _ => Trouble::Failed { at, error },
            }),
            // That the session may not write may be told of any of its requests.
            Ok(Err(MultiWriteError::RequestFailed { source })) => Err(Trouble::NoAnswer(source.to_string())),
            Err(_) => Err(too_late(self.answer_within)),
        }
    }

    async fn call<T>(&self, operation: impl Future<Output = Result<T, Error>>) -> Result<Result<T, Error>, Trouble> {
        timeout(self.answer_within, operation).await.map_err(|_| too_late(self.answer_within))
    }

    fn create(&self) -> CreateOptions<'static> {
        CreateMode::Persistent.with_acls(self.acls)
    }
}

fn absent_is_none<T>(answer: Result<Result<T, Error>, Trouble>) -> Result<Option<T>, Trouble> {
    match answer? {
        Ok(found) => Ok(Some(found)),
        Err(Error::NoNode) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn within<T>(limit: Duration, operation: impl Future<Output = Result<T, Error>>) -> Result<T, Trouble> {
    Ok(timeout(limit, operation).await.map_err(|_| too_late(limit))??)
}

fn too_late(limit: Duration) -> Trouble {
    Trouble::NoAnswer(format!("no answer from ZooKeeper within {limit:?}"))
}
