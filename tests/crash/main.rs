//! The real server ends in the middle of things, or its disk does: what was acknowledged is there afterwards.

#![allow(clippy::unwrap_used, reason = "tests")]

mod asks;
mod disk;
mod durability;
mod kept;
mod keyed;
mod listed;
mod lives;
mod packed;
mod peer;
mod points;
mod ports;
mod promises;
mod scenario;
mod server;
#[path = "../servers/mod.rs"]
mod servers;
mod shared;
mod tmpfs;
mod told;
mod world;
