//! The one task that writes: it joins what waits into transactions, follows the log of the store, and settles what it
//! got no answer to. What is in memory changes here only.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{MissedTickBehavior, sleep};
use zookeeper_client::{Error, EventType, SessionState, StateWatcher};

use super::Options;
use super::contact::Contact;
use super::diagnosis;
use super::entry::LogEntry;
use super::fixed::{self, Fixed};
use super::holder::{self, Holder, Other};
use super::link::{Link, Trouble, Watch};
use super::load::{self, Ahead, ENTRIES_AHEAD};
use super::paths::{self, Paths};
use super::plan::{self, Gap, Impossible, MAX_BYTES, MAX_COMMITS, Operation, Plan};
use super::refusal::{self, Refusals};
use super::skew;
use super::state::{Cells, State, Strays};
use crate::adapters::changes::MOST_PASSED_OVER;
use crate::core::cluster::record::FenceKey;
use crate::ports::{Commit, CommitError, Precondition, Revision, StoreMeter};
use crate::runtime::pace::Pace;
use crate::runtime::possession::Possession;
use crate::runtime::{clock, random};

/// The log is looked at so often even when no watch says anything.
const LOOK: Duration = Duration::from_secs(5);
/// Between tries to reach ZooKeeper: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// The longest where somebody has to put something right first.
const LONG_PAUSE: Duration = Duration::from_secs(10);
/// A session is waited for so long to end in order, so that what goes away with it goes at once.
const END: Duration = Duration::from_secs(1);
/// The store is read anew for one batch so often. More would mean that something of ours is wrong.
const RELOADS: u32 = 3;

/// When a transaction of more than this has lost the connection twice, its size may be the reason.
const LARGE_BYTES: usize = 64 * 1024;
const TOO_LARGE_MAYBE: &str = "the connection is lost whenever this transaction is sent: `jute.maxbuffer` of ZooKeeper may be \
                               less than its default of 1 MB, which is needed";

/// What readers and the engine share.
pub(super) struct Shared {
    pub(super) state: RwLock<State>,
    pub(super) contact: Contact,
    /// Something was added to the history.
    pub(super) news: Notify,
    pub(super) paths: Paths,
    pub(super) options: Options,
    pub(super) meter: StoreMeter,
    pub(super) refusals: Refusals,
    /// The znode of the run that writes, where there is one.
    pub(super) hold: Option<String>,
    pub(super) possession: Possession,
}

impl Shared {
    pub(super) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A commit that waits for its answer.
pub(super) struct Request {
    pub(super) commit: Commit,
    pub(super) size_bytes: usize,
    pub(super) answer: oneshot::Sender<Result<Revision, CommitError>>,
    pub(super) fate: Arc<Fate>,
    pub(super) _permit: OwnedSemaphorePermit,
}

/// Whether a commit may have happened: what its caller says when its patience is at its end.
#[derive(Default)]
pub(super) struct Fate(AtomicU8);

impl Fate {
    const WAITS: u8 = 0;
    const SENT: u8 = 1;
    /// Nobody waits for it any more.
    const LEFT: u8 = 2;

    fn go(&self, from: u8, to: u8) -> bool {
        self.0.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// False: it may be written, or may be later.
    pub(super) fn leave(&self) -> bool {
        self.0.swap(Self::LEFT, Ordering::AcqRel) == Self::WAITS
    }

    fn is_left(&self) -> bool {
        self.0.load(Ordering::Acquire) == Self::LEFT
    }

    /// It waits again, and was not sent.
    fn keep(&self) {
        self.go(Self::SENT, Self::WAITS);
    }

    /// False: nobody waits for it any more.
    fn send(&self) -> bool {
        self.go(Self::WAITS, Self::SENT) || !self.is_left()
    }
}

/// Told once the view holds all that was answered to anybody before this was sent.
pub(super) type Passed = oneshot::Sender<()>;

/// A session, and what it tells of itself.
struct Session {
    link: Link,
    states: StateWatcher,
    /// Of the log.
    watcher: Watch,
}

pub(super) struct Engine {
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Request>,
    barriers: mpsc::Receiver<Passed>,
    /// Who waits for the transaction that is under way, or the next when none is, and for the log to be read afterwards. Any transaction
    /// will do, also one that fails: only reads are answered by servers that lag behind. Who comes while it is under way waits for the one after it.
    waiting: Vec<Passed>,
    /// Those that did not fit in the last transaction.
    left: VecDeque<Request>,
    session: Option<Session>,
    holder: Option<Holder>,
    /// Of a transaction of several commits: less than there is, once ZooKeeper seems to take less.
    room_bytes: usize,
    gap: Gap,
    /// How often the store was read anew.
    reading: u32,
    /// Of what is logged.
    pace: Pace,
    /// Its owner's znode was there.
    is_owned: bool,
}

impl Engine {
    /// With a holder, only while that one holds the store.
    pub(super) fn new(
        shared: Arc<Shared>,
        holder: Option<Holder>,
        queue: mpsc::Receiver<Request>,
        barriers: mpsc::Receiver<Passed>,
    ) -> Self {
        let gap = Gap { length: random::below(MOST_PASSED_OVER), broken: false };
        Self {
            shared,
            queue,
            barriers,
            waiting: Vec::new(),
            left: VecDeque::new(),
            session: None,
            holder,
            room_bytes: MAX_BYTES,
            gap,
            reading: 0,
            pace: Pace::default(),
            is_owned: false,
        }
    }

    /// Until it is told to stop, or nobody has the store any more.
    pub(super) async fn run_until(mut self, stopped: oneshot::Receiver<()>) {
        tokio::select! {
            () = self.run() => {}
            _ = stopped => {}
        }
        self.end().await;
    }

    /// The watch goes first, then the client, which ends its session then: it tells when it has.
    async fn end(&mut self) {
        let Some(Session { link, mut states, watcher }) = self.session.take() else { return };
        drop(watcher);
        drop(link);
        let ended = async { while !states.changed().await.is_terminated() {} };
        let _ = tokio::time::timeout(END, ended).await;
    }

    async fn run(&mut self) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // A session begins with a look.
        look.reset();
        loop {
            self.reach().await;
            if let Some(request) = self.left.pop_front() {
                self.commit(request).await;
                continue;
            }
            // No transaction that they could share has been answered.
            if !self.waiting.is_empty() {
                self.pass().await;
                continue;
            }
            let Some(session) = &mut self.session else { continue };
            tokio::select! {
                request = self.queue.recv() => match request {
                    Some(request) => self.commit(request).await,
                    None => return,
                },
                Some(passed) = self.barriers.recv() => {
                    self.waiting.push(passed);
                    self.pass().await;
                }
                state = session.states.changed() => self.heard(state).await,
                event = session.watcher.changed() => match event {
                    // `states` tells of that, too.
                    None => self.over(),
                    Some(event) if event.event_type == EventType::NodeCreated && self.is_news(&event.path) => {
                        self.follow().await;
                    }
                    Some(_) => {}
                },
                _ = look.tick() => {
                    self.follow().await;
                    self.look().await;
                }
            }
        }
    }

    /// Returns with a session that has a connection, has been watching the log since, and has read it.
    async fn reach(&mut self) {
        let mut pause = PAUSES.0;
        loop {
            if self.session.as_ref().is_some_and(|session| session.link.state() == SessionState::SyncConnected) {
                return;
            }
            self.shared.contact.waits(clock::instant());
            let reached = match &self.session {
                Some(session) if session.link.state().is_terminated() => {
                    self.session = None;
                    continue;
                }
                // It connects again, or ends: what comes first.
                Some(_) => self.reconnected().await,
                None => self.begin().await,
            };
            if let Err(trouble) = reached {
                self.session = None;
                self.tell_why(&trouble);
                sleep(pause).await;
                pause = (pause * 2).min(if trouble.lasts() { LONG_PAUSE } else { PAUSES.1 });
            }
        }
    }

    /// Why the store cannot be used; of a ZooKeeper that does not answer, what its servers say themselves.
    fn tell_why(&mut self, trouble: &Trouble) {
        let Some(left_out) = self.told(&format!("not used: {trouble}")) else { return };
        let (trouble, shared) = (trouble.clone(), Arc::clone(&self.shared));
        tokio::spawn(async move {
            let trouble = match &trouble {
                Trouble::NoAnswer(_) => diagnosis::explain(&shared.options, &trouble).await,
                _ => trouble.to_string(),
            };
            tracing::warn!(trouble, left_out, "the store in ZooKeeper cannot be used");
        });
    }

    async fn begin(&mut self) -> Result<(), Trouble> {
        let link = Link::open(&self.shared.options).await?;
        // Another server than before may lag behind what we know already.
        link.barrier(&self.shared.paths).await?;
        load::is_there(&link, &self.shared.paths).await?;
        if let Some(holder) = &self.holder
            && let Some(other) = holder::take(&link, &self.shared.paths, holder).await?
        {
            return Err(Trouble::Refused(self.kept_out(&other)));
        }
        let (states, watcher) = (link.states(), link.watch(&self.shared.paths.log()).await?);
        self.session = Some(Session { link: link.clone(), states, watcher });
        self.catch_up(&link).await?;
        self.shared.meter.sessions.inc();
        tokio::spawn(skew::look(link, self.shared.paths.clone()));
        tracing::info!("a session with ZooKeeper has begun");
        Ok(())
    }

    /// By whom.
    fn kept_out(&self, other: &Other) -> String {
        let Shared { options, possession, .. } = &*self.shared;
        match other {
            Other::Holds(other) => format!("{} is held by {other}", options.chroot),
            Other::Owns(by) => {
                let why = format!("{} in ZooKeeper is that of {by} now", options.chroot);
                possession.lose(&why);
                why
            }
        }
    }

    async fn reconnected(&mut self) -> Result<(), Trouble> {
        let Some(session) = &mut self.session else { return Ok(()) };
        let limit = self.shared.options.session_timeout * 2;
        let state = tokio::time::timeout(limit, session.states.changed()).await;
        self.heard(state.map_err(|_| Trouble::NoAnswer(format!("no connection within {limit:?}")))?).await;
        Ok(())
    }

    /// A connection that was lost and found again has lost its recursive watches, silently: the client sends none of them
    /// again. So there is a new one each time, and the log is read.
    async fn heard(&mut self, state: SessionState) {
        if state.is_terminated() {
            self.over();
        } else if state == SessionState::Disconnected {
            if let Some(left_out) = self.told("lost") {
                tracing::warn!(left_out, "the connection to ZooKeeper is lost");
            }
        } else if state == SessionState::SyncConnected
            && let Err(trouble) = self.watch_again().await
        {
            self.failed(&trouble);
        }
    }

    fn over(&mut self) {
        tracing::warn!("the session with ZooKeeper is over");
        self.session = None;
    }

    async fn watch_again(&mut self) -> Result<(), Trouble> {
        let Some(session) = &mut self.session else { return Ok(()) };
        let link = session.link.clone();
        // The new one before the old one goes: the last to go would take the watch away in the server.
        session.watcher = link.watch(&self.shared.paths.log()).await?;
        self.catch_up(&link).await?;
        tracing::info!("the connection to ZooKeeper is there again");
        Ok(())
    }

    fn failed(&mut self, trouble: &Trouble) {
        // That the store is damaged is told by who tries to begin again.
        if !matches!(trouble, Trouble::Damaged(_))
            && let Some(left_out) = self.told(&trouble.to_string())
        {
            tracing::warn!(%trouble, left_out, "ZooKeeper does not answer");
        }
        self.session = None;
    }

    /// Whether somebody has deleted what a store cannot do without.
    async fn look(&mut self) {
        let Some(link) = self.session.as_ref().map(|session| session.link.clone()) else { return };
        let paths = self.shared.paths.clone();
        let fixed = match Fixed::look(&link, &paths).await {
            Ok(fixed) => fixed,
            Err(trouble) => return self.failed(&trouble),
        };
        if let Some(damage) = fixed.damage(&paths) {
            return self.failed(&Trouble::Damaged(damage));
        }
        // This server goes on without them.
        let lacks = if fixed.format { None } else { Some(fixed::without_format(&paths)) };
        let disowned = (self.is_owned && !fixed.owner).then(|| fixed::without_owner(&paths));
        self.is_owned |= fixed.owner;
        for told in lacks.into_iter().chain(disowned) {
            if let Some(left_out) = self.told(&told) {
                tracing::warn!(left_out, "{told}");
            }
        }
    }

    fn told(&mut self, state: &str) -> Option<u64> {
        self.pace.tells(state, clock::instant())
    }

    fn is_news(&self, path: &str) -> bool {
        let number = path.rsplit('/').next().and_then(|name| name.parse::<u64>().ok());
        number.is_some_and(|number| number > self.shared.read().history.head())
    }

    async fn follow(&mut self) {
        let Some(link) = self.session.as_ref().map(|session| session.link.clone()) else { return };
        if link.state() == SessionState::SyncConnected
            && let Err(trouble) = self.catch_up(&link).await
        {
            self.failed(&trouble);
        }
    }

    /// Takes up what stands in the log behind our head now. What comes meanwhile is not waited for: others may write all the time.
    async fn catch_up(&mut self, link: &Link) -> Result<(), Trouble> {
        loop {
            let (head, asked) = (self.shared.read().history.head(), clock::instant());
            self.shared.contact.waits(asked);
            match load::ahead(link, &self.shared.paths, head).await? {
                Ahead::Nothing => {
                    self.shared.contact.is_current(asked);
                    return Ok(());
                }
                Ahead::Entries(entries, cells, strays) => {
                    let is_all = entries.len() < ENTRIES_AHEAD;
                    let mut state = self.shared.write();
                    entries.into_iter().for_each(|entry| state.history.push(entry));
                    state.set(cells, strays);
                    drop(state);
                    self.shared.news.notify_waiters();
                    if is_all {
                        self.shared.contact.is_current(asked);
                        return Ok(());
                    }
                }
                Ahead::Gone => {
                    if let Some(left_out) = self.told("gone") {
                        tracing::warn!(
                            head,
                            left_out,
                            "the log went on without us, or is an older one: the store is read anew"
                        );
                    }
                    self.reload(link).await?;
                }
            }
        }
    }

    async fn reload(&mut self, link: &Link) -> Result<(), Trouble> {
        let state = load::load(link, &self.shared.paths).await?;
        self.gap.length = random::below(MOST_PASSED_OVER);
        self.reading += 1;
        *self.shared.write() = state;
        self.shared.news.notify_waiters();
        Ok(())
    }

    fn collect(&mut self) {
        while let Ok(passed) = self.barriers.try_recv() {
            self.waiting.push(passed);
        }
        // Who does not wait any more.
        self.waiting.retain(|passed| !passed.is_closed());
    }

    fn passed(&mut self) {
        for passed in self.waiting.drain(..) {
            let _ = passed.send(());
        }
    }

    /// Lets those pass who wait, without anything to write.
    async fn pass(&mut self) {
        let Some(link) = self.session.as_ref().map(|session| session.link.clone()) else { return };
        self.collect();
        let passed = match link.barrier(&self.shared.paths).await {
            Ok(()) => self.catch_up(&link).await,
            trouble => trouble,
        };
        match passed {
            Ok(()) => self.passed(),
            Err(trouble) => self.failed(&trouble),
        }
    }

    async fn commit(&mut self, first: Request) {
        let mut batch = self.batch(first);
        // The plan that was sent last, until it is certain that it has not happened and never will. Sent once more as it is,
        // one of both happens at most; and if none does, another stands in its place.
        let mut sent: Option<Plan> = None;
        let mut unsure = false;
        let mut reloads = 0;
        let mut lost: Option<Duration> = None;
        while !batch.iter().all(|request| request.fate.is_left()) {
            self.reach().await;
            let Some(link) = self.session.as_ref().map(|session| session.link.clone()) else { continue };
            let plan = match sent.take() {
                Some(plan) if self.shared.read().history.has(&plan.entry.id) => return self.done(batch, plan.outcomes),
                Some(plan) if self.follows(&plan) => plan,
                // Its place may have been its own, and is forgotten; or it is not taken yet.
                Some(plan) if unsure && !self.shared.read().history.tells_of(plan.number) => {
                    let trouble = Trouble::NoAnswer("the log does not tell any more whether it was written".into());
                    return refuse(batch, &trouble, unsure);
                }
                _ => {
                    unsure = false;
                    self.plan(&mut batch)
                }
            };
            self.collect();
            let asked = clock::instant();
            self.shared.contact.waits(asked);
            let answer = if plan.writes() { link.transact(&plan.operations).await } else { self.confirm(&link).await };
            let makes_entry = plan.makes_entry;
            let troubled = match answer {
                Ok(()) => {
                    if plan.writes() {
                        let commits = plan.outcomes.iter().filter(|outcome| outcome.is_ok()).count();
                        self.shared.meter.wrote(commits, clock::since(asked));
                        self.take_up(plan.entry, plan.cells);
                    }
                    self.shared.contact.is_current(asked);
                    self.passed();
                    return self.done(batch, plan.outcomes);
                }
                Err(Trouble::Failed { at, error: Error::NodeExists }) if at == makes_entry => {
                    let caught_up = self.catch_up(&link).await;
                    if caught_up.is_ok() {
                        self.passed();
                    }
                    caught_up
                }
                Err(Trouble::Failed { at, error: Error::NoNode }) if plan.fence_at(at).is_some() => {
                    // The operations before it would have failed if the plan had happened before.
                    supersede(&mut batch, plan.fence_at(at).expect("just looked"));
                    unsure = false;
                    continue;
                }
                Err(Trouble::Failed { at, error: Error::NoNode }) if self.is_holder(plan.operations.get(at)) => {
                    unsure = false;
                    Err(Trouble::Refused("this process does not hold the store any more".into()))
                }
                Err(Trouble::Denied { at, path, error }) => {
                    if at > makes_entry {
                        // The entry before it could have been made: our head is the newest.
                        self.shared.contact.is_current(asked);
                        self.passed();
                    }
                    self.deny(&mut batch, &plan, Trouble::Denied { at, path, error }, unsure);
                    continue;
                }
                Err(Trouble::Failed { at, error }) if reloads < RELOADS => {
                    let path = plan.operations.get(at).map(Operation::path);
                    tracing::warn!(path, %error, "the store is not as its log says: it is read anew");
                    reloads += 1;
                    self.gap.broken |= at > 0;
                    self.reload(&link).await
                }
                Err(trouble @ Trouble::NoAnswer(_)) => {
                    unsure = true;
                    if lost.is_some() && plan.size_bytes() > LARGE_BYTES {
                        self.is_too_large(plan.size_bytes());
                    }
                    // A connection that ends whenever this is sent would be made again and again.
                    let pause = lost.map_or(PAUSES.0, |pause: Duration| (pause * 2).min(PAUSES.1));
                    sleep(pause).await;
                    lost = Some(pause);
                    Err(trouble)
                }
                Err(trouble) => {
                    if let Some(left_out) = self.told(&trouble.to_string()) {
                        tracing::error!(%trouble, commits = batch.len(), left_out, "ZooKeeper refuses to write");
                    }
                    return refuse(batch, &trouble, unsure);
                }
            };
            sent = Some(plan);
            if let Err(trouble) = troubled {
                self.failed(&trouble);
            }
        }
    }

    fn is_too_large(&mut self, bytes: usize) {
        if let Some(left_out) = self.told(TOO_LARGE_MAYBE) {
            tracing::warn!(bytes, left_out, "{TOO_LARGE_MAYBE}");
        }
        self.room_bytes = (bytes / 2).max(LARGE_BYTES);
    }

    /// Answers those that need what was refused; the others go on. All, where all need it, or where it is not certain that an earlier try
    /// has not happened.
    fn deny(&mut self, batch: &mut Vec<Request>, plan: &Plan, trouble: Trouble, unsure: bool) {
        let Trouble::Denied { at, path, error } = &trouble else { return };
        self.tell_refusal(path, error);
        let evicted = if unsure { Vec::new() } else { refusal::evict(batch, plan, *at, &self.shared.paths) };
        let refused = if evicted.is_empty() { std::mem::take(batch) } else { evicted };
        refuse(refused, &trouble, unsure);
    }

    fn tell_refusal(&mut self, path: &str, error: &Error) {
        self.shared.refusals.add(clock::instant());
        let Some(left_out) = self.told(&error.to_string()) else { return };
        let user = self.shared.options.auth.as_deref().and_then(|auth| Some(auth.split_once(':')?.0));
        tracing::error!(
            path,
            %error,
            remedy = refusal::remedy(error, user),
            left_out,
            "ZooKeeper refuses to write a znode: changes that need it are answered with 503, others go on"
        );
    }

    fn is_holder(&self, operation: Option<&Operation>) -> bool {
        let path = self.holder.as_ref().map(|holder| holder.path(&self.shared.paths));
        path.is_some() && operation.map(Operation::path) == path.as_deref()
    }

    /// What waits, as far as it fits into one transaction.
    fn batch(&mut self, first: Request) -> Vec<Request> {
        let (mut bytes, mut batch) = (first.size_bytes, vec![first]);
        while batch.len() < MAX_COMMITS
            && let Some(request) = self.left.pop_front().or_else(|| self.queue.try_recv().ok())
        {
            bytes += request.size_bytes;
            if bytes > MAX_BYTES {
                self.left.push_front(request);
                break;
            }
            batch.push(request);
        }
        batch
    }

    /// Nothing of the batch may be under way. What does not fit is left.
    fn plan(&mut self, batch: &mut Vec<Request>) -> Plan {
        batch.retain(|request| request.fate.send());
        let (paths, commits) = (&self.shared.paths, batch.iter().map(|request| &request.commit));
        let holder = self.holder.as_ref().map(|holder| holder.path(paths));
        let plan =
            plan::plan(&self.shared.read(), paths, holder.as_deref(), commits, self.room_bytes, self.gap, random::id());
        for request in batch.drain(plan.outcomes.len()..).rev() {
            request.fate.keep();
            self.left.push_front(request);
        }
        Plan { reading: self.reading, ..plan }
    }

    /// Whether its place is still the next one, in the state that it was made for.
    fn follows(&self, plan: &Plan) -> bool {
        plan.number == self.shared.read().history.head() + 1 && plan.reading == self.reading
    }

    /// Asks whether our head is that of the log, by a transaction that cannot happen. Only a write can tell: a read is
    /// answered by a server that may lag behind.
    async fn confirm(&self, link: &Link) -> Result<(), Trouble> {
        let number = self.shared.read().history.head() + 1;
        let paths = &self.shared.paths;
        let mut operations = vec![Operation::Check(paths.entry(number - 1))];
        if paths::begins_bucket(number) {
            operations.push(Operation::Create(paths.bucket(number), Vec::new()));
        }
        operations.push(Operation::Create(paths.entry(number), Vec::new()));
        operations.push(Operation::Check(paths.never()));
        match link.transact(&operations).await {
            Err(Trouble::Failed { at, error: Error::NoNode }) if at + 1 == operations.len() => Ok(()),
            answer => answer,
        }
    }

    fn take_up(&mut self, entry: LogEntry, cells: Cells) {
        let mut state = self.shared.write();
        state.history.push(entry);
        state.set(cells, Strays::new());
        drop(state);
        self.shared.news.notify_waiters();
    }

    fn done(&mut self, batch: Vec<Request>, outcomes: Vec<Result<Revision, Impossible>>) {
        if outcomes.iter().any(Result::is_ok) {
            self.gap = Gap::default();
        }
        for (request, outcome) in batch.into_iter().zip(outcomes) {
            let answer = outcome.map_err(|why| match why {
                Impossible::Conflict(at) => CommitError::Conflict(at),
                Impossible::TooLarge { size_bytes } => CommitError::TooLarge { size_bytes, limit_bytes: MAX_BYTES },
            });
            let _ = request.answer.send(answer);
        }
    }
}

/// Answers those of a term that is over; the others go on.
fn supersede(batch: &mut Vec<Request>, over: &FenceKey) {
    let failed = |commit: &Commit| {
        commit.preconditions.iter().position(|it| matches!(it, Precondition::Fence(fence) if fence == over))
    };
    for request in std::mem::take(batch) {
        match failed(&request.commit) {
            Some(at) => drop(request.answer.send(Err(CommitError::Conflict(at)))),
            None => batch.push(request),
        }
    }
}

/// `unsure`: it was sent before, and there was no answer.
fn refuse(batch: Vec<Request>, trouble: &Trouble, unsure: bool) {
    for request in batch {
        let error = if unsure { CommitError::Unknown } else { CommitError::Unavailable };
        let _ = request.answer.send(Err(error(trouble.to_string())));
    }
}
