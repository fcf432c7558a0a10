//! Where a job's time went.

use super::{Permission, Principal, Service, ServiceError};
use crate::core::jobs::JobRecord;
use crate::core::timeline::Timeline;
use crate::jobs::records::After;

/// What is known of a job's course.
pub struct JobTimeline {
    pub record: JobRecord,
    pub timeline: Timeline,
    pub after: Option<After>,
}

impl Service {
    pub async fn job_timeline(&self, who: &Principal, id: &str) -> Result<JobTimeline, ServiceError> {
        self.permit(who, Permission::JobsRead)?;
        let record = self.record(id).await?;
        let (timeline, after) = self.records.timeline(id).await?;
        Ok(JobTimeline { record, timeline, after })
    }
}
