//! ClusterStore: where the cluster's record, its fence and the registrations of its nodes are.

use async_trait::async_trait;

use crate::core::cluster::ids::NodeId;
use crate::core::cluster::store::{StoreAnswer, StoreOp};

/// Carries out what the cluster's core asks, and decides nothing. While it lives, this run of the node is registered.
#[async_trait]
pub trait ClusterStore: Send + Sync + 'static {
    /// Answers within the deadline that it was opened with: `Lost` if ZooKeeper has not. No write is ever repeated here, and one that is
    /// lost may happen later; what became of it is found out by a write of the core's own. Dropping the future takes nothing back.
    async fn execute(&self, op: &StoreOp) -> StoreAnswer;

    /// Waits until the record may have changed since the last call. For one caller.
    async fn changed(&self);

    /// The process goes on as another run of the node: that is registered in the place of the one before.
    fn reincarnate(&self, id: NodeId);
}
