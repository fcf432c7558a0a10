//! Adapters: what fills the ports.

pub mod archive;
pub mod archives;
pub mod blobs;
mod changes;
pub mod data_files;
pub mod embedded;
pub mod hdfs;
pub mod memory;
pub mod outbound;
pub mod process;
pub mod s3;
pub mod users_file;
pub mod zookeeper;

/// Lower-case hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
