//! Configuration: one struct a concern, defaults once, unknown keys refused.
//!
//! Later layers win: defaults, file, environment, `--set`, flags. `load` is the way in.

mod access;
mod binaries;
pub mod duration;
mod error;
mod history;
mod keys;
mod least;
mod load;
mod reference;
mod s3;
mod schema;
#[cfg(test)]
mod tests;
mod validate;
mod zookeeper;

pub use binaries::{Binaries, Hdfs, Shared};
pub use error::{Errors, Origin, Problem};
pub use history::{History, Pack};
pub use keys::nearest;
pub use least::{LEAST_LIFE, MAX_RESTARTS};
pub use load::{ENVIRONMENT_PREFIX, FILE_NAME, Sources, load};
pub use reference::reference;
pub use s3::S3;
pub use schema::*;
pub use zookeeper::is_chroot;
