//! ZooKeeperStore: a MetaStore that several nodes share.
//!
//! The store is a log: each transaction of ZooKeeper makes the log's next entry, so that all transactions of all nodes
//! stand in one order, and whoever's view of the store is not the newest cannot write (docs/adr/0020). Reads are answered
//! from memory, which holds all keys.

mod access;
mod cluster;
mod contact;
mod diagnosis;
mod engine;
mod entry;
mod fixed;
mod history;
mod holder;
mod link;
mod load;
mod owner;
mod paths;
mod plan;
mod refusal;
mod skew;
mod state;
mod tunnel;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use zookeeper_client::Error;

pub use self::access::read_auth;
pub use self::cluster::ZooKeeperCluster;
use self::contact::Contact;
use self::engine::{Engine, Fate, Passed, Request, Shared};
use self::holder::{Holder, Other};
use self::link::{Link, Trouble};
use self::load::{FORMAT, Found};
pub use self::owner::Owner;
use self::paths::Paths;
pub use self::plan::MAX_BYTES as MAX_COMMIT_BYTES;
use self::plan::MAX_BYTES;
use self::refusal::Refusals;
pub use self::tunnel::Tls;
use crate::config::is_chroot;
use crate::ports::{Changes, Commit, CommitError, Entry, Freshness, MetaStore, ReadError, Revision, StoreMeter};
use crate::runtime::possession::Possession;
use crate::runtime::{clock, random};

/// Commits that wait or are being written.
const MAX_QUEUED: usize = 1024;
/// What they hold together.
const MAX_QUEUED_BYTES: usize = 32 * 1024 * 1024;
/// A read waits for this part of a commit's time to be the newest.
const BARRIER_SHARE: u32 = 5;
/// A store that is being made by another process is looked at so often.
const LOOKS: u32 = 5;

/// Where the store is, and how it is reached.
#[derive(Clone)]
pub struct Options {
    /// `host:port` of each server.
    pub servers: Vec<String>,
    /// The znode that all of it stands under; `/` for the root.
    pub chroot: String,
    /// Asked of ZooKeeper, which has limits of its own. An answer to a call is waited for so long.
    pub session_timeout: Duration,
    /// A commit is answered within this time.
    pub commit_timeout: Duration,
    /// `user:password` of ZooKeeper's scheme `digest`: what is made belongs to this user only.
    pub auth: Option<String>,
    /// Without it, the servers are spoken to in the clear.
    pub tls: Option<Tls>,
    /// Once it has claimed the store, nobody else opens that, unless with none.
    pub owner: Option<Owner>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { servers, chroot, .. } = self;
        f.debug_struct("Options").field("servers", servers).field("chroot", chroot).finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "`zookeeper.chroot` is {0:?}; a path of ZooKeeper begins with `/`, none of its parts is empty, `.` or `..`, and \
         /zookeeper is its own"
    )]
    Chroot(String),
    #[error("no ZooKeeper serves at `zookeeper.servers`: {0}")]
    Unreachable(String),
    #[error("`{key}`: {why}")]
    Setting { key: &'static str, why: String },
    #[error(
        "ZooKeeper denies access to {chroot} ({reason}): name the user who made it, as `user:password`, in \
         `zookeeper.auth-file` ({}), or choose another `zookeeper.chroot`",
        .user.as_ref().map_or_else(|| "which is not set".into(), |user| format!("there is {user:?}"))
    )]
    Denied { chroot: String, user: Option<String>, reason: String },
    #[error("there is no store at {chroot} in ZooKeeper: look at `zookeeper.chroot` and `zookeeper.servers`")]
    Nothing { chroot: String },
    #[error("{chroot} in ZooKeeper holds {example:?}, which is not of this program: choose another `zookeeper.chroot`")]
    Foreign { chroot: String, example: String },
    #[error(
        "{chroot} in ZooKeeper has format {found:?}, and this version reads format {FORMAT}: start the version that wrote it, \
         or choose another `zookeeper.chroot`"
    )]
    Format { chroot: String, found: String },
    #[error(
        "{chroot} in ZooKeeper is that of {by}: choose another `zookeeper.chroot`, or, if that one is gone for good, \
         take it over with `doyen store adopt`"
    )]
    Owned { chroot: String, by: String },
    #[error(
        "{chroot} in ZooKeeper is in use by {by}, which is alive: stop that one first, or choose another `zookeeper.chroot`"
    )]
    Held { chroot: String, by: String },
    #[error("{chroot} in ZooKeeper (`zookeeper.chroot`) is damaged: {reason}")]
    Damaged { chroot: String, reason: String },
    #[error("ZooKeeper refuses to write {path}: {remedy}")]
    Quota { path: String, remedy: String },
    #[error("cannot read {chroot} in ZooKeeper: {reason}")]
    Unreadable { chroot: String, reason: String },
}

impl OpenError {
    /// Trying again may help.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Unreadable { .. })
    }

    /// Another configuration may help.
    pub fn is_of_configuration(&self) -> bool {
        !self.is_passing() && !matches!(self, Self::Damaged { .. } | Self::Quota { .. })
    }
}

pub struct ZooKeeperStore {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Request>,
    queued_bytes: Arc<Semaphore>,
    /// How the engine is told to stop, and its task: once.
    engine: Mutex<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
    barriers: mpsc::Sender<Passed>,
}

impl ZooKeeperStore {
    /// Reads the store, and makes it when nothing is there.
    ///
    /// # Errors
    /// When ZooKeeper is not reached within twice the session timeout, denies access, or holds something else there.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        Self::open_or(options, true).await
    }

    /// Reads the store, and makes nothing when nothing is there.
    ///
    /// # Errors
    /// As `open`, and then.
    pub async fn open_existing(options: Options) -> Result<Self, OpenError> {
        Self::open_or(options, false).await
    }

    async fn open_or(options: Options, make: bool) -> Result<Self, OpenError> {
        check_chroot(&options.chroot)?;
        let paths = Paths::new(&options.chroot);
        let link = Self::link(&options).await?;
        let contact = Contact::since(clock::instant());
        let unseen = |reason: String| OpenError::Unreadable { chroot: options.chroot.clone(), reason };
        let holder = options.owner.as_ref().map(|owner| Holder::new(owner, options.session_timeout)).transpose();
        let holder = holder.map_err(|error| unseen(format!("cannot look at the data directory: {error}")))?;
        let state = Self::read(&link, &paths, &options, make).await?;
        if let Some(holder) = &holder {
            let taken = holder::take_in_time(&link, &paths, holder).await;
            match taken.map_err(unreadable(&options))? {
                None => {}
                Some(Other::Holds(other)) => {
                    return Err(OpenError::Held { chroot: options.chroot, by: other.to_string() });
                }
                Some(Other::Owns(by)) => return Err(OpenError::Owned { chroot: options.chroot, by }),
            }
        }
        if options.auth.is_some()
            && let Err(trouble) = access::warn_if_open(&link, &paths).await
        {
            tracing::warn!(%trouble, "cannot look who may write the store");
        }
        drop(link);
        let (queue, requests) = mpsc::channel(MAX_QUEUED);
        let (news, meter) = (Notify::new(), StoreMeter::default());
        let refusals = Refusals::default();
        let (hold, possession) = (holder.as_ref().map(|holder| holder.path(&paths)), Possession::default());
        let shared = Shared { state: state.into(), contact, news, paths, options, meter, refusals, hold, possession };
        let shared = Arc::new(shared);
        let (barriers, waiting) = mpsc::channel(MAX_QUEUED);
        let (stop, stopped) = oneshot::channel();
        let engine = tokio::spawn(Engine::new(Arc::clone(&shared), holder, requests, waiting).run_until(stopped));
        let engine = Mutex::new(Some((stop, engine)));
        Ok(Self { shared, queue, queued_bytes: Arc::new(Semaphore::new(MAX_QUEUED_BYTES)), engine, barriers })
    }

    async fn link(options: &Options) -> Result<Link, OpenError> {
        match Link::open(options).await {
            Ok(link) => Ok(link),
            Err(Trouble::Refused(reason)) => Err(denied(options, reason)),
            Err(trouble) => Err(OpenError::Unreachable(diagnosis::explain(options, &trouble).await)),
        }
    }

    /// Whose the store is, if it is another's: a store that is opened by who takes over.
    ///
    /// # Errors
    /// When ZooKeeper does not answer.
    pub async fn owned_by_another(&self) -> Result<Option<String>, OpenError> {
        let Shared { options, paths, .. } = &*self.shared;
        let Some(owner) = &options.owner else { return Ok(None) };
        owner::another(&Self::link(options).await?, paths, owner).await.map_err(unreadable(options))
    }

    /// Whether it is still its owner's: from when another one has it, nothing is written any more.
    pub fn possession(&self) -> Possession {
        self.shared.possession.clone()
    }

    /// Makes the store that of its owner, if it is nobody's, or if the owner takes it over.
    ///
    /// # Errors
    /// When it is another's, or ZooKeeper does not answer.
    pub async fn claim(&self) -> Result<(), OpenError> {
        let Shared { options, paths, hold, .. } = &*self.shared;
        let (Some(owner), Some(hold)) = (&options.owner, hold) else { return Ok(()) };
        let is_used = self.shared.read().history.revision() > Revision(0);
        let link = Self::link(options).await?;
        match owner::claim(&link, paths, owner, hold, is_used).await.map_err(unreadable(options))? {
            Some(by) => Err(OpenError::Owned { chroot: options.chroot.clone(), by }),
            None => Ok(()),
        }
    }

    async fn read(link: &Link, paths: &Paths, options: &Options, make: bool) -> Result<state::State, OpenError> {
        let (chroot, unreadable) = (|| options.chroot.clone(), unreadable(options));
        link.barrier(paths).await.map_err(unreadable)?;
        for _ in 0..LOOKS {
            match load::look(link, paths).await.map_err(unreadable)? {
                Found::Ours { format } if format == FORMAT.to_string() => {
                    if let Some(owner) = options.owner.as_ref().filter(|owner| !owner.takes_over)
                        && let Some(by) = owner::another(link, paths, owner).await.map_err(unreadable)?
                    {
                        return Err(OpenError::Owned { chroot: chroot(), by });
                    }
                    return load::load(link, paths).await.map_err(unreadable);
                }
                Found::Ours { format } => {
                    return Err(OpenError::Format { chroot: chroot(), found: format.chars().take(40).collect() });
                }
                Found::Foreign { example } => return Err(OpenError::Foreign { chroot: chroot(), example }),
                Found::Nothing if !make => return Err(OpenError::Nothing { chroot: chroot() }),
                Found::Nothing => load::make(link, paths, random::id()).await.map_err(unreadable)?,
            }
        }
        Err(OpenError::Unreadable { chroot: chroot(), reason: "it is made and deleted all the time".into() })
    }

    /// Those that the view knows of: of keys, the log, and what stands above them.
    pub fn znodes(&self) -> usize {
        self.shared.read().znodes()
    }

    /// Afterwards the view holds what was answered to anybody before. Those who wait share the way: see `Engine::waiting`.
    async fn take_up_all(&self) -> Result<(), ReadError> {
        let (passed, answer) = oneshot::channel();
        let stopped = || ReadError::Unavailable("its task has stopped".into());
        self.barriers.send(passed).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())
    }

    fn deadline(&self) -> Instant {
        Instant::from_std(clock::instant()) + self.shared.options.commit_timeout
    }
}

impl Drop for ZooKeeperStore {
    fn drop(&mut self) {
        if let Some((_, engine)) = self.engine.get_mut().unwrap_or_else(PoisonError::into_inner) {
            engine.abort();
        }
    }
}

#[async_trait]
impl MetaStore for ZooKeeperStore {
    /// Dropping the future does not take the commit back.
    async fn commit(&self, commit: Commit) -> Result<Revision, CommitError> {
        let size_bytes = plan::size_bytes(&commit);
        if size_bytes > MAX_BYTES {
            return Err(CommitError::TooLarge { size_bytes, limit_bytes: MAX_BYTES });
        }
        let (deadline, limit) = (self.deadline(), self.shared.options.commit_timeout);
        let late = |what: &str| format!("ZooKeeper has not {what} within {limit:?}");
        let held = size_bytes.max(MAX_QUEUED_BYTES / MAX_QUEUED);
        let held = u32::try_from(held).expect("at most MAX_BYTES");
        let permit = timeout_at(deadline, self.queued_bytes.clone().acquire_many_owned(held)).await;
        let permit = permit.map_err(|_| CommitError::Unavailable(late("taken what waits")))?.expect("never closed");
        let (answer, mut answered) = oneshot::channel();
        let fate = Arc::new(Fate::default());
        let request = Request { commit, size_bytes, answer, fate: Arc::clone(&fate), _permit: permit };
        // Each holds at least its share of the bytes, so the queue is never full.
        let stopped = || "its task has stopped".to_owned();
        self.queue.try_send(request).map_err(|_| CommitError::Unavailable(stopped()))?;
        match timeout_at(deadline, &mut answered).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(CommitError::Unknown(stopped()))),
            Err(_) if fate.leave() => Err(CommitError::Unavailable(late("been reached"))),
            // It may have come in this moment.
            Err(_) => answered.try_recv().unwrap_or_else(|_| Err(CommitError::Unknown(late("answered")))),
        }
    }

    async fn get(&self, key: &str) -> Result<Option<Entry>, ReadError> {
        Ok(self.shared.read().get(key))
    }

    async fn range(
        &self,
        prefix: &str,
        after: Option<&str>,
        descending: bool,
        limit: usize,
    ) -> Result<Vec<Entry>, ReadError> {
        Ok(self.shared.read().range(prefix, after, descending, limit))
    }

    fn max_commit_bytes(&self) -> usize {
        MAX_BYTES
    }

    async fn changes(&self, cursor: Revision) -> Result<Changes, ReadError> {
        if cursor > self.shared.read().history.revision() {
            // Of another node's, perhaps, whose last commits are not known here yet.
            let limit = self.shared.options.commit_timeout;
            let late = |_| ReadError::Unavailable(format!("ZooKeeper has not been reached within {limit:?}"));
            timeout(limit, self.take_up_all()).await.map_err(late)??;
        }
        loop {
            // Made before the look, so that what comes between the look and the wait is not missed.
            let news = self.shared.news.notified();
            if let Some(changes) = self.shared.read().history.after(cursor) {
                return Ok(changes);
            }
            news.await;
        }
    }

    async fn revision(&self) -> Result<Revision, ReadError> {
        Ok(self.shared.read().history.revision())
    }

    fn freshness(&self) -> Freshness {
        self.shared.contact.freshness(clock::instant())
    }

    fn refusing(&self) -> Option<Duration> {
        self.shared.refusals.lasting(clock::instant())
    }

    async fn close(&self) {
        let engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((stop, engine)) = engine {
            // It has ended by itself otherwise.
            let _ = stop.send(());
            let _ = engine.await;
        }
    }

    fn meter(&self) -> Option<StoreMeter> {
        let meter = self.shared.meter.clone();
        meter.znodes.set(i64::try_from(self.znodes()).unwrap_or(i64::MAX));
        Some(meter)
    }

    /// Once ZooKeeper has been away for as long as a read would wait, none waits any more.
    async fn barrier(&self) -> Result<(), ReadError> {
        if self.shared.options.owner.is_some() {
            return Ok(());
        }
        let away = |why: &str| Err(ReadError::Unavailable(why.to_owned()));
        let patience = (self.shared.options.commit_timeout / BARRIER_SHARE)
            .saturating_sub(self.shared.contact.waited(clock::instant()));
        if patience.is_zero() {
            return away("ZooKeeper is not reached");
        }
        match timeout(patience, self.take_up_all()).await {
            Ok(passed) => passed,
            Err(_) => away("ZooKeeper does not say in time what is newest"),
        }
    }
}

fn denied(options: &Options, reason: String) -> OpenError {
    let user = options.auth.as_deref().and_then(|auth| auth.split_once(':'));
    OpenError::Denied { chroot: options.chroot.clone(), user: user.map(|(user, _)| user.to_owned()), reason }
}

fn unreadable(options: &Options) -> impl Fn(Trouble) -> OpenError + Copy {
    let chroot = || options.chroot.clone();
    move |trouble| match trouble {
        Trouble::Refused(reason) => denied(options, reason),
        Trouble::Denied { path, error: error @ Error::QuotaExceeded, .. } => {
            OpenError::Quota { remedy: refusal::remedy(&error, None), path }
        }
        denied @ Trouble::Denied { .. } => self::denied(options, denied.to_string()),
        Trouble::Damaged(reason) => OpenError::Damaged { chroot: chroot(), reason },
        trouble => OpenError::Unreadable { chroot: chroot(), reason: trouble.to_string() },
    }
}

fn check_chroot(chroot: &str) -> Result<(), OpenError> {
    if is_chroot(chroot) { Ok(()) } else { Err(OpenError::Chroot(chroot.into())) }
}
