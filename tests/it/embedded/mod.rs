//! The embedded store on storage that fails, and across restarts.

mod blobs;
mod cursors;
mod disk;
mod faults;
mod packed;
mod records;
mod restart;
