//! Use cases. Knows nothing of HTTP; permissions are checked here, and only here.

mod admission;
mod authentication;
mod binaries;
mod callbacks;
mod contexts;
mod cp;
mod data;
mod drivers;
mod error;
mod events;
mod idempotency;
mod jobs;
mod keyed;
mod keyed_access;
mod life;
mod permissions;
mod queue;
mod settings;
mod stores;
mod submit;
mod timeline;
mod tokens;
mod withheld;

use std::ops::Deref;
use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

use crate::config::Config;
use crate::core::hocon;
use crate::jobs::callbacks::Callbacks;
use crate::jobs::{ActiveJobs, Contexts, Records, Retention};
use crate::ports::{Archives, BinaryStore, BlobError, DataFiles, Outbound, UserDirectory};

pub use crate::core::access::Credentials;
pub use crate::jobs::callbacks::CallbackCounts;
pub use crate::jobs::history::Counts as HistoryCounts;
pub use crate::jobs::retention::Removed;
pub use crate::ports::Freshness;
pub use crate::ports::StoreMeter;
pub use authentication::wait_seconds;
pub use binaries::Upload;
pub use callbacks::CallbackView;
pub use contexts::Stopped;
pub use drivers::{AttachRefusal, Attached, Connection, Frame};
pub use error::ServiceError;
pub use events::{Event, EventsWish};
pub use idempotency::Keyed;
pub use jobs::{JobView, LogChunk, ResultContent};
pub use life::WishedRetry;
pub use permissions::{Permission, Principal, Via};
pub use settings::boolean;
pub use submit::{Code, Submission, Submitted};
pub use timeline::JobTimeline;
pub use tokens::NewToken;

/// All use cases. Cheap to clone: each request does so several times.
#[derive(Clone)]
pub struct Service(Arc<Shared>);

/// What all clones have in common.
pub struct Shared {
    pub config: Arc<Config>,
    records: Records,
    blobs: Arc<dyn BinaryStore>,
    contexts: Contexts,
    active: ActiveJobs,
    callbacks: Callbacks,
    archives: Arc<dyn Archives>,
    outbound: Arc<dyn Outbound>,
    data: Arc<dyn DataFiles>,
    /// False from the moment that the server begins to stop.
    serving: watch::Receiver<bool>,
    drivers: drivers::DriverConnections,
    turns: idempotency::Turns,
    /// None: everybody may do everything.
    authentication: Option<Arc<authentication::Authentication>>,
    retention: Retention,
    /// A permit for each stream of events.
    streams: Arc<Semaphore>,
    binaries: stores::Binaries,
    withheld: withheld::Withheld,
}

/// What `Service` is made of.
pub struct Parts {
    pub config: Arc<Config>,
    pub records: Records,
    pub blobs: Arc<dyn BinaryStore>,
    pub contexts: Contexts,
    pub active: ActiveJobs,
    pub callbacks: Callbacks,
    pub archives: Arc<dyn Archives>,
    pub outbound: Arc<dyn Outbound>,
    pub data: Arc<dyn DataFiles>,
    pub serving: watch::Receiver<bool>,
    pub users: Option<Arc<dyn UserDirectory>>,
    pub retention: Retention,
}

impl Deref for Service {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Service {
    pub fn new(parts: Parts) -> Self {
        let Parts {
            config,
            records,
            blobs,
            contexts,
            active,
            callbacks,
            archives,
            outbound,
            data,
            serving,
            users,
            retention,
        } = parts;
        let streams = Arc::new(Semaphore::new(config.events.max_streams));
        Self(Arc::new(Shared {
            config,
            records,
            blobs,
            contexts,
            active,
            callbacks,
            archives,
            outbound,
            data,
            serving,
            drivers: drivers::DriverConnections::default(),
            turns: idempotency::Turns::default(),
            authentication: users.map(|users| Arc::new(authentication::Authentication::new(users))),
            retention,
            streams,
            binaries: stores::Binaries::default(),
            withheld: withheld::Withheld::default(),
        }))
    }

    /// Whether this node should get requests: it is not stopping, and can read its records. It may do less than it should,
    /// which is told in words: what one node cannot do while a store is away, no other can.
    ///
    /// # Errors
    /// In words why not.
    pub async fn ready(&self) -> Result<Option<String>, String> {
        if !*self.serving.borrow() {
            return Err("the server is stopping".into());
        }
        self.records.check().await.map_err(|e| e.to_string())?;
        Ok(self.degraded())
    }

    /// Whether all stores answer.
    ///
    /// # Errors
    /// In words which do not.
    pub async fn healthy(&self) -> Result<(), String> {
        self.records.check().await.map_err(|e| e.to_string())?;
        self.degraded().map_or(Ok(()), Err)
    }

    /// Completes when the server begins to stop.
    pub async fn stopping(&self) {
        let mut serving = self.serving.clone();
        // The sender lives as long as the server.
        let _ = serving.wait_for(|serving| !serving).await;
    }

    /// Jobs that have not ended, those of them that wait for a place, and live contexts.
    pub fn load(&self, who: &Principal) -> Result<(usize, usize, usize), ServiceError> {
        self.permit(who, Permission::MetricsRead)?;
        let contexts = self.contexts.registry().all();
        let waiting = contexts.iter().map(|context| context.queue.count()).sum();
        Ok((self.active.count(), waiting, contexts.len()))
    }

    /// What retention has removed since the server started.
    pub fn removed(&self) -> &Removed {
        &self.retention.removed
    }

    /// What the metadata store has done since the server started, as it is now.
    pub fn store_meter(&self) -> Option<StoreMeter> {
        self.records.meter()
    }

    /// What was packed, and read of what is packed, since the server started.
    pub fn history(&self) -> Option<&HistoryCounts> {
        self.records.segments().map(|segments| &segments.counts)
    }

    /// Where there is no room, retention may make some. What fails for whatever is about the store has that looked at.
    fn wake_retention_if_full<T>(&self, stored: Result<T, BlobError>) -> Result<T, ServiceError> {
        if let Err(BlobError::Full(_)) = &stored {
            self.retention.wake();
        }
        if let Err(BlobError::Full(_) | BlobError::Unavailable(_)) = &stored {
            self.binaries.write_failed();
        }
        Ok(stored?)
    }

    fn hocon(&self, text: &str) -> Result<hocon::Object, ServiceError> {
        let limits = &self.config.hocon;
        let limits = hocon::Limits {
            max_depth: limits.max_depth,
            max_values: limits.max_values,
            max_expanded_bytes: limits.max_expanded_bytes,
        };
        hocon::parse(text, &limits).map_err(|error| ServiceError::BadConfig(error.to_string()))
    }
}
