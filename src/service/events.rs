//! Streams of events: the latest state of every object that changed after a cursor, for one reader each.
//!
//! Nothing is kept for a reader but a few events: one that is slow finds, when it comes back, what changed meanwhile, each
//! object once. One that is too far behind is told so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, broadcast, mpsc};

use super::{Permission, Principal, Service, ServiceError};
use crate::core::binaries::BinaryRecord;
use crate::core::contexts::{ContextRecord, ContextState};
use crate::core::events::{Filter, Kind, Touched, WantedContext, touched};
use crate::core::jobs::{JobRecord, JobState};
use crate::jobs::StoreError;
use crate::jobs::records::history::JobSince;
use crate::ports::{Change, Changes, Revision};
use crate::runtime::clock;

/// Events that a reader has not taken.
const WAITING: usize = 64;
/// Between two looks at what changed, so that many changes are one look.
const GATHER: Duration = Duration::from_millis(5);

/// What a client asked for, as it wrote it.
#[derive(Debug, Clone, Default)]
pub struct EventsWish {
    /// `job,context,binary`; without, whatever the reader may read.
    pub types: Option<String>,
    pub context: Option<String>,
    pub job: Option<String>,
    pub states: Option<String>,
    /// Where to go on; without, from now on.
    pub cursor: Option<u64>,
}

#[derive(Debug)]
pub enum Event {
    Job(Box<JobRecord>, Option<u64>),
    Context(Box<ContextRecord>, Option<u64>),
    Binary(Box<BinaryRecord>, Option<u64>),
    Removed(Kind, String, Option<u64>),
    /// What happened before is not known: the reader is to look for itself, and goes on from here.
    Reset(u64),
    /// Nothing to tell up to here.
    Quiet(u64),
}

struct Stream {
    service: Service,
    who: Principal,
    filter: Filter,
    cursor: u64,
    began: broadcast::Receiver<Arc<str>>,
    sender: mpsc::Sender<Event>,
    /// When the reader hears a sign of life, if nothing else.
    quiet_at: Instant,
    _permit: OwnedSemaphorePermit,
}

/// The reader is gone, or is to go.
struct Over;

impl Service {
    /// Events until the server stops, as the reader takes them.
    ///
    /// # Errors
    /// When the wish makes no sense, or too many streams are open.
    pub async fn events(&self, who: &Principal, wish: EventsWish) -> Result<mpsc::Receiver<Event>, ServiceError> {
        let filter = self.filter(who, &wish)?;
        let max = self.config.events.max_streams;
        let permit = Arc::clone(&self.streams).try_acquire_owned();
        let permit = permit.map_err(|_| ServiceError::TooManyStreams { max })?;
        // First, so that nothing falls between it and what is read of the present.
        let began = self.active.began();
        let cursor = match wish.cursor {
            Some(cursor) => cursor,
            None => self.records.revision().await?.0,
        };
        let present = match &filter.job {
            Some(id) => Some(self.record(id).await?),
            None => None,
        };
        let (sender, receiver) = mpsc::channel(WAITING);
        let quiet_at = clock::instant();
        let (service, who) = (self.clone(), who.clone());
        let stream = Stream { service, who, filter, cursor, began, sender, quiet_at, _permit: permit };
        tokio::spawn(stream.run(present));
        Ok(receiver)
    }

    fn filter(&self, who: &Principal, wish: &EventsWish) -> Result<Filter, ServiceError> {
        let malformed = |name: &str, value: &str, expected: &'static str| ServiceError::BadParameter {
            name: name.into(),
            value: value.into(),
            expected: expected.into(),
        };
        let words = |text: &Option<String>| -> Vec<String> {
            let text = text.as_deref().unwrap_or_default();
            text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
        };
        let mut kinds = Vec::new();
        for word in words(&wish.types) {
            let kind = Kind::of_name(&word);
            let kind = kind.ok_or_else(|| malformed("types", &word, "a list of 'job', 'context' and 'binary'"))?;
            self.permit(who, permission(kind))?;
            kinds.push(kind);
        }
        if kinds.is_empty() {
            kinds.extend(Kind::ALL.into_iter().filter(|kind| self.permit(who, permission(*kind)).is_ok()));
        }
        if kinds.is_empty() || wish.job.is_some() {
            self.permit(who, Permission::JobsRead)?;
        }
        let states = words(&wish.states);
        let known = |name: &String| {
            JobState::of_name(name).is_some() || ContextState::ALL.iter().any(|s| s.name().eq_ignore_ascii_case(name))
        };
        if let Some(unknown) = states.iter().find(|name| !known(name)) {
            return Err(malformed("state", unknown, "a list of states of jobs and contexts"));
        }
        let context = wish.context.as_ref();
        let context = context.map(|said| WantedContext { name: self.full_name(who, said), id: said.clone() });
        Ok(Filter { kinds, context, job: wish.job.clone(), states })
    }
}

fn permission(kind: Kind) -> Permission {
    match kind {
        Kind::Job => Permission::JobsRead,
        Kind::Context => Permission::ContextsRead,
        Kind::Binary => Permission::BinariesRead,
    }
}

impl Stream {
    async fn run(mut self, present: Option<JobRecord>) {
        let told = match present.filter(|job| self.filter.wants_job(job)) {
            Some(job) => self.tell(Event::Job(Box::new(job), Some(self.cursor))).await,
            // So that a reader can go on from here before anything has happened.
            None => self.tell(Event::Quiet(self.cursor)).await,
        };
        if told.is_ok() {
            while self.next().await.is_ok() {}
        }
    }

    async fn next(&mut self) -> Result<(), Over> {
        let records = self.service.records.clone();
        let service = self.service.clone();
        tokio::select! {
            changes = records.changes(Revision(self.cursor)) => match changes {
                Ok(Changes::Since { changes, cursor }) => {
                    self.changed(&changes, cursor.0).await?;
                    tokio::time::sleep(GATHER).await;
                    Ok(())
                }
                Ok(Changes::Lost { cursor }) => {
                    self.cursor = cursor.0;
                    self.tell(Event::Reset(cursor.0)).await
                }
                Err(_) => Err(Over),
            },
            began = self.began.recv() => match began {
                Ok(id) => self.began(&id).await,
                // What it missed is no loss: the jobs' ends come from the store.
                Err(RecvError::Lagged(_)) => Ok(()),
                Err(RecvError::Closed) => Err(Over),
            },
            () = tokio::time::sleep_until(self.quiet_at.into()) => self.tell(Event::Quiet(self.cursor)).await,
            () = service.stopping() => Err(Over),
            () = self.sender.closed() => Err(Over),
        }
    }

    async fn changed(&mut self, changes: &[Change], cursor: u64) -> Result<(), Over> {
        let touched = touched(changes.iter().map(|change| (change.key.as_str(), change.revision.0)), &self.filter);
        for touched in touched {
            // What cannot be read now is not skipped: the reader comes again, from its last cursor.
            if let Some(event) = self.latest(touched).await.map_err(|_| Over)? {
                self.tell(event).await?;
            }
        }
        self.cursor = cursor;
        Ok(())
    }

    /// The object as it is now, if it is wanted.
    async fn latest(&self, touched: Touched) -> Result<Option<Event>, StoreError> {
        let Touched { kind, id, cursor } = touched;
        let records = &self.service.records;
        let event = match kind {
            Kind::Job => {
                // Before the store is read: a job that is not active (any more) has its end there.
                let active = self.service.active.get(&id);
                match records.job_since(&id, Revision(self.cursor)).await? {
                    JobSince::Gone => None,
                    // That is no change of it: whoever has heard of its end does not hear of it again.
                    JobSince::Packed => return Ok(None),
                    // What wrote this is a later change, which is told in its turn.
                    JobSince::Is(stored) if cursor.is_some_and(|cursor| stored.version.0 > cursor) => return Ok(None),
                    JobSince::Is(stored) => {
                        let job = stored.record.or_running(active);
                        Some(self.filter.wants_job(&job).then(|| Event::Job(Box::new(job), cursor)))
                    }
                }
            }
            Kind::Context => records.context(&id).await?.map(|context| {
                let shown = self.shown(context)?;
                Some(Event::Context(Box::new(shown), cursor))
            }),
            Kind::Binary => {
                records.binary(&id).await?.map(|binary| Some(Event::Binary(Box::new(binary.record), cursor)))
            }
        };
        let removed = || self.filter.wants_removed(kind, &id).then(|| Event::Removed(kind, id.clone(), cursor));
        Ok(event.unwrap_or_else(removed))
    }

    /// The context as the reader knows it, if it is wanted and for the reader.
    fn shown(&self, context: ContextRecord) -> Option<ContextRecord> {
        let name = self.service.shown_name(&self.who, &context.name)?;
        self.filter.wants_context(&context).then_some(ContextRecord { name, ..context })
    }

    async fn began(&mut self, id: &str) -> Result<(), Over> {
        match self.service.active.get(id).filter(|job| self.filter.wants_job(job)) {
            Some(job) => self.tell(Event::Job(Box::new(job), None)).await,
            None => Ok(()),
        }
    }

    /// Waits for a slow reader, but not for ever.
    async fn tell(&mut self, event: Event) -> Result<(), Over> {
        let patience = self.service.config.events.stalled_after;
        match self.sender.send_timeout(event, patience).await {
            Ok(()) => {
                self.quiet_at = clock::instant() + self.service.config.events.heartbeat;
                Ok(())
            }
            Err(_) => Err(Over),
        }
    }
}
