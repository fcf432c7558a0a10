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
pub mod possessed;
pub mod process;
pub mod s3;
pub mod users_file;
pub mod zookeeper;

use std::fmt::Write;

/// Lower-case hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(digits, "{byte:02x}").expect("a String takes all text");
    }
    digits
}
