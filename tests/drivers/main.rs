//! A real server with a driver that was written from docs/driver-protocol.md alone, in another language than ours.

#![allow(clippy::unwrap_used, reason = "tests")]

mod ends;
mod jobs;
mod server;
