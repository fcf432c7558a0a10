//! Commits of jobs that wait in the queue of their context.

use super::idempotency::Claim;
use super::jobs::submission;
use super::{Records, StoreError, mark, put};
use crate::core::idempotency::Effect;
use crate::core::jobs::JobRecord;
use crate::core::keys;
use crate::core::timeline::Moment;
use crate::ports::{Commit, Precondition, Revision, Write};

impl Records {
    /// Records a job as waiting. Conflict 0: its context has ended; others: a binary was replaced or deleted.
    pub async fn enqueue(
        &self,
        job: &JobRecord,
        config: &str,
        binaries: &[(String, Revision)],
        claim: Option<&Claim>,
    ) -> Result<(), StoreError> {
        let lives = Precondition::Exists(keys::context_live(&job.context_id));
        let mut commit = submission(lives, job, config, binaries);
        commit.writes.push(mark(keys::job_queue(&job.context_id, job.priority, &job.id)));
        let effect = || Effect::JobSubmitted { job: job.id.clone() };
        self.commit_claimed("job-enqueue", commit, claim, effect).await?;
        self.timelines.mark(&job.id, Moment::Recorded);
        Ok(())
    }

    /// Gives jobs that wait to the attempt whose attachment is at this version; their records name it already. All are of
    /// one context. Conflict 0: the driver attached anew; n: the job before, counted from 1, waits no more.
    pub async fn assign(&self, jobs: &[JobRecord], attachment: Revision) -> Result<(), StoreError> {
        let Some(first) = jobs.first() else { return Ok(()) };
        let mut commit = Commit::default();
        commit.preconditions.push(Precondition::At(keys::attachment(&first.context_id), attachment));
        for job in jobs {
            let waits = keys::job_queue(&job.context_id, job.priority, &job.id);
            commit.preconditions.push(Precondition::Exists(waits.clone()));
            commit.writes.push(put(keys::job(&job.id), job));
            commit.writes.push(Write::Delete(waits));
        }
        self.commit("jobs-assign", commit).await?;
        Ok(())
    }
}
