//! Ports: what the server needs from outside, as narrow as it can be. `adapters` fills them.

pub mod binary_store;
pub mod launcher;
pub mod meta_store;
pub mod outbound;

pub use binary_store::{BinaryStore, BlobError, BlobReader, BlobWriter};
pub use launcher::{LaunchError, Launched, Launcher};
pub use outbound::{Outbound, OutboundError};
pub use meta_store::{
    Change, Changes, Commit, CommitError, Entry, MetaStore, Precondition, ReadError, Revision, Write,
};
