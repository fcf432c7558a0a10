//! The doors for drivers: attaching, and the blobs that they fetch and bring.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::{Service, ServiceError, Upload};
use crate::api::driver::attach::{FromShim, Hello};
use crate::jobs::ContextHandle;
use crate::jobs::context::ContextMessage;
use crate::ports::{BlobError, BlobReader, Stamp};

pub use crate::jobs::context::{AttachRefusal, Connection, Frame};

/// Messages of one driver that may wait to be handled; then its socket is not read.
const IN_FLIGHT: usize = 1024;
/// A stop waits so long for drivers to take what was sent to them.
const DETACH_PATIENCE: Duration = Duration::from_secs(5);

/// Damaged blobs that are remembered.
const MOST_DAMAGED: usize = 1000;

static NEXT_CONNECTION: AtomicU64 = AtomicU64::new(1);

/// All connections of drivers: they outlast the requests, which wait for what drivers say.
#[derive(Clone, Default)]
pub(super) struct DriverConnections {
    open: TaskTracker,
    closing: CancellationToken,
    damaged: Damaged,
}

/// Content that was found to be damaged when a driver read it, as it was uploaded last. That is found at its end, where a stream can
/// only break off, as it does in an outage, which drivers wait out; who asks again is told so at once.
#[derive(Clone, Default)]
struct Damaged(Arc<Mutex<HashMap<String, Stamp>>>);

impl Damaged {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Stamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has(&self, sha256: &str, stamp: Stamp) -> bool {
        self.all().get(sha256) == Some(&stamp)
    }

    fn insert(&self, sha256: &str, stamp: Stamp) {
        let mut all = self.all();
        if all.len() >= MOST_DAMAGED {
            // They are found again.
            all.clear();
        }
        all.insert(sha256.to_owned(), stamp);
    }
}

/// An attached driver, until it is dropped.
pub struct Attached {
    handle: Arc<ContextHandle>,
    connection: u64,
    permits: Arc<Semaphore>,
    closing: CancellationToken,
    _open: TaskTrackerToken,
}

impl Attached {
    /// Completes when the server wants to be rid of the connection, all requests being answered.
    pub async fn closing(&self) {
        self.closing.cancelled().await;
    }

    /// Passes a message on; waits when too many are not handled yet. False when nobody wants them any more.
    pub async fn receive(&self, message: FromShim) -> bool {
        let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { return false };
        let connection = self.connection;
        let message = ContextMessage::FromDriver { connection, message: Box::new(message), permit };
        self.handle.actor.cast(message).is_ok()
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // An actor that is gone needs no word.
        let planned = self.closing.is_cancelled();
        let _ = self.handle.actor.cast(ContextMessage::Detached { connection: self.connection, planned });
    }
}

impl Service {
    /// The secret in `hello` is what permits it.
    pub async fn attach_driver(
        &self,
        context_id: &str,
        hello: Hello,
        frames: mpsc::Sender<Frame>,
    ) -> Result<Attached, AttachRefusal> {
        // Also while the server stops: requests under way may wait for what this driver is about to say.
        if self.drivers.closing.is_cancelled() {
            return Err(AttachRefusal::NotNow);
        }
        let handle = self.contexts.registry().with_id(context_id).ok_or(AttachRefusal::NoContext)?;
        let id = NEXT_CONNECTION.fetch_add(1, Ordering::Relaxed);
        let connection = Connection::new(id, frames);
        let (reply, answer) = oneshot::channel();
        let message = ContextMessage::Attach { hello: Box::new(hello), connection, reply };
        handle.actor.cast(message).map_err(|_| AttachRefusal::NoContext)?;
        answer.await.unwrap_or(Err(AttachRefusal::NoContext))?;
        Ok(Attached {
            handle,
            connection: id,
            permits: Arc::new(Semaphore::new(IN_FLIGHT)),
            closing: self.drivers.closing.clone(),
            _open: self.drivers.open.token(),
        })
    }

    /// Whether this is the secret of the present attempt of the context.
    #[must_use]
    pub fn knows_driver(&self, context_id: &str, secret: &str) -> bool {
        self.contexts.registry().with_id(context_id).is_some_and(|handle| handle.knows_secret(secret))
    }

    /// Parts from all drivers, once each has what was to be sent to it. The last thing before the end of the process: a
    /// driver that missed that its context is over would look for a server for a long time.
    pub async fn detach_drivers(&self) {
        self.drivers.closing.cancel();
        self.drivers.open.close();
        if tokio::time::timeout(DETACH_PATIENCE, self.drivers.open.wait()).await.is_err() {
            tracing::warn!("drivers were still attached at the end");
        }
    }

    /// Content for a driver that knows its context's secret.
    pub async fn driver_blob(
        &self,
        context_id: &str,
        secret: &str,
        sha256: &str,
    ) -> Result<(BlobReader, u64), ServiceError> {
        self.permit_driver(context_id, secret)?;
        let missing = || ServiceError::BinaryNotFound(sha256.into());
        let withheld = |error: BlobError| {
            self.withheld.note(context_id, sha256, &error);
            error
        };
        let stamp = self.blobs.stat(sha256).await.map_err(withheld)?.ok_or_else(missing)?.stamp;
        if self.drivers.damaged.has(sha256, stamp) {
            return Err(ServiceError::Internal(format!("blob {sha256} is damaged where it is stored")));
        }
        let (content, size_bytes) =
            self.blobs.read(sha256, 0, None).await.map_err(withheld).map_err(|error| match error {
                BlobError::NotFound(_) => missing(),
                other => other.into(),
            })?;
        let (damaged, blob) = (self.drivers.damaged.clone(), sha256.to_owned());
        let (withheld, context) = (self.withheld.clone(), context_id.to_owned());
        let content = content.inspect(move |part| match part {
            Ok(_) => withheld.given(&context, &blob),
            Err(error) => {
                if withheld.note(&context, &blob, error) {
                    tracing::error!(%error, context, blob, "a driver was not given all of a blob");
                }
                if matches!(error, BlobError::Damaged { .. }) {
                    damaged.insert(&blob, stamp);
                }
            }
        });
        Ok((content.boxed(), size_bytes))
    }

    /// A result or log that a driver brings. True when it was not there before.
    pub async fn store_driver_blob(
        &self,
        context_id: &str,
        secret: &str,
        sha256: &str,
        mut content: impl Upload,
    ) -> Result<bool, ServiceError> {
        self.permit_driver(context_id, secret)?;
        // It counts as brought now, or retention could take it before the job's end refers to it.
        if self.blobs.refresh(sha256).await?.is_some() {
            return Ok(false);
        }
        let limit = self.config.jobs.max_result_bytes.max(self.config.jobs.log_bytes);
        let mut writer = self.blobs.create().await?;
        let mut size = 0u64;
        while let Some(part) = content.next().await {
            let part = part.map_err(ServiceError::BodyCut)?;
            size += part.len() as u64;
            if size > limit {
                return Err(ServiceError::TooLarge { limit_bytes: limit });
            }
            self.wake_retention_if_full(writer.write(part).await)?;
        }
        match writer.finish(Some(sha256)).await {
            Err(error @ BlobError::WrongHash { .. }) => Err(ServiceError::BadBinary(error.to_string())),
            stored => self.wake_retention_if_full(stored).map(|_| true),
        }
    }

    fn permit_driver(&self, context_id: &str, secret: &str) -> Result<(), ServiceError> {
        if self.knows_driver(context_id, secret) { Ok(()) } else { Err(ServiceError::Forbidden("a driver's blobs")) }
    }
}
