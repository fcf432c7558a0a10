//! Ports: what the server needs from outside, as narrow as it can be. `adapters` fills them.

pub mod archives;
pub mod binary_store;
pub mod cluster_store;
pub mod data_files;
pub mod launcher;
pub mod meta_store;
pub mod outbound;
mod store_meter;
pub mod user_directory;

pub use archives::{ArchiveError, ArchiveLimits, Archives};
pub use binary_store::{BinaryStore, BlobError, BlobInfo, BlobReader, BlobWriter, Stamp};
pub use cluster_store::ClusterStore;
pub use data_files::{DataError, DataFiles, StoredData};
pub use launcher::{Attempt, LaunchError, Launched, Launcher, LogReader};
pub use meta_store::{
    Change, Changes, Commit, CommitError, Entry, Freshness, MetaStore, Precondition, ReadError, Revision, Write,
};
pub use outbound::{CallbackAnswer, CallbackRequest, Outbound, OutboundError};
pub use store_meter::StoreMeter;
pub use user_directory::{Found, UserDirectory};
