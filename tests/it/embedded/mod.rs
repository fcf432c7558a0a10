//! The embedded store on storage that fails, and across restarts.

mod bench;
mod blobs;
mod disk;
mod faults;
mod restart;
