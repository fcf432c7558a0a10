//! Invariant 6: one cluster id, ever.

use doyen_cluster::ids::ClusterId;
use doyen_cluster::record::Record;

#[derive(Default)]
pub struct Identity {
    first: Option<ClusterId>,
}

impl Identity {
    pub fn committed(&mut self, record: &Record) -> Result<(), String> {
        let first = self.first.get_or_insert_with(|| record.cluster_id.clone());
        if *first != record.cluster_id {
            return Err(format!("the cluster was {first}, and is {} now", record.cluster_id));
        }
        Ok(())
    }
}
