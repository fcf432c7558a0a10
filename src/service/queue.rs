//! Waiting for a place in a context: which jobs do, and where they stand.

use super::{Service, ServiceError, Submission};
use crate::core::jobs::{JobRecord, Queued};
use crate::core::quotas::{Exceeded, Limits};
use crate::jobs::context::{NoReservation, Promised, Reservation};
use crate::jobs::{Claim, ContextHandle, StoreError};
use crate::ports::Revision;

/// Where a new job goes.
pub(super) enum Place {
    /// To the driver.
    Free(Reservation),
    /// Into the queue.
    Queue(Promised),
}

impl Place {
    /// Writes it down in the job's record.
    pub(super) fn note(&self, record: &mut JobRecord) {
        match self {
            Self::Free(reservation) => (record.attempt, record.queued) = (reservation.attempt, None),
            Self::Queue(_) => (record.attempt, record.queued) = (0, Some(Queued::default())),
        }
    }
}

impl Service {
    /// Whether the job waits if there is no free place. A context of its own has one.
    pub(super) fn waits(&self, submission: &Submission, handle: &ContextHandle) -> bool {
        let said = submission.queue.or(handle.queues);
        submission.context.is_some() && said.unwrap_or(self.config.jobs.queue)
    }

    /// A free place, or else one at the queue: also while the driver starts, or is away.
    pub(super) fn place_or_queue(&self, handle: &ContextHandle) -> Result<Place, NoReservation> {
        match handle.reserve_now() {
            Ok(reservation) => Ok(Place::Free(reservation)),
            Err(NoReservation::Full { .. } | NoReservation::Detached) => {
                let max = self.config.jobs.max_queued_per_context;
                handle.queue.promise(max).map(Place::Queue).ok_or(NoReservation::QueueFull { max })
            }
            Err(why) => Err(why),
        }
    }

    /// Counts the job from now on, if its principal may have one more.
    pub(super) fn admit(&self, record: &JobRecord) -> Result<(), ServiceError> {
        let jobs = &self.config.jobs;
        let limits = Limits { active: jobs.max_active_per_principal, queued: jobs.max_queued_per_principal };
        self.active.admit(record.clone(), limits).map_err(|exceeded| {
            let principal = record.principal.clone();
            match exceeded {
                Exceeded::Active { max } => ServiceError::TooManyJobs { principal, what: "active", max },
                Exceeded::Queued { max } => ServiceError::TooManyJobs { principal, what: "queued", max },
            }
        })
    }

    /// Records the job where it goes. Conflict: something that it was decided upon has changed.
    pub(super) async fn record_at(
        &self,
        place: &Place,
        record: &JobRecord,
        config: &str,
        binaries: &[(String, Revision)],
        claim: Option<&Claim>,
    ) -> Result<(), StoreError> {
        match place {
            Place::Free(reservation) => {
                self.records.submit(record, config, reservation.attachment, binaries, claim).await
            }
            Place::Queue(_) => self.records.enqueue(record, config, binaries, claim).await,
        }
    }

    /// How many jobs of its context begin before this one, and itself: 1 is the next. `None` when it does not wait.
    pub fn position(&self, record: &JobRecord) -> Option<usize> {
        if record.queued.is_none() || record.state.has_ended() {
            return None;
        }
        let handle = self.contexts.registry().named(&record.context)?;
        (handle.id == record.context_id).then(|| handle.queue.position(record)).flatten()
    }
}
