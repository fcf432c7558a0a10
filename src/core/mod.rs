//! The domain, pure: no IO, clock, randomness or async. Everything here is data, tables and decisions.

pub mod access;
pub mod belonging;
pub mod binaries;
pub mod callbacks;
pub use doyen_cluster as cluster;
pub mod consistency;
pub mod contexts;
pub mod events;
pub mod history;
pub mod hocon;
pub mod idempotency;
pub mod job_logs;
pub mod jobs;
pub mod keys;
pub mod queue;
pub mod quotas;
pub mod retention;
pub mod supervision;
pub mod timeline;
pub mod timestamp;
