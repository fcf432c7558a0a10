//! The embedded store on storage that fails, and across restarts.

mod blobs;
mod cursors;
mod disk;
mod faults;
mod records;
mod restart;
