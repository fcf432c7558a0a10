//! A real shim and a real driver process, against a server that the tests play.

#![allow(clippy::unwrap_used, reason = "tests")]

mod ends;
mod jobs;
mod leftovers;
mod server;
mod shim;
