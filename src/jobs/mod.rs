//! Contexts and jobs at work: the actors that hold drivers, and the records that they write.

pub mod active;
pub mod callbacks;
pub mod context;
pub mod history;
pub mod idempotency;
pub mod kinds;
pub mod records;
pub mod retention;
pub mod supervisor;

pub use active::{ActiveJobs, Ended};
pub use context::{Assigned, ContextHandle, Phase};
pub use history::History;
pub use records::{Claim, Records, StoreError};
pub use retention::Retention;
pub use supervisor::{Contexts, CreateContext, CreateError};
